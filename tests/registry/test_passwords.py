"""Which passwords are refused, and that those made here never are."""

import pytest

from registry.passwords import check_password, make_password
from schemas.errors import InvalidInput


@pytest.mark.parametrize(
    ("password", "name", "why"),
    [
        ("franziska2026", "franziska", "holds the name"),
        ("FRANziska-1", "franziska", "whatever the case"),
        ("franziska1", "franziska1-pump", "is part of the name"),
        ("1234567890", "gu", "among the commonest"),
        ("gugugugugugu", "gu", "of two letters"),
    ],
)
def test_what_is_easily_guessed_is_refused(password: str, name: str, why: str) -> None:
    with pytest.raises(InvalidInput):
        check_password(password, name)


@pytest.mark.parametrize("name", ["a", "gu", "x7", "abc"])
def test_no_password_made_here_is_refused_for_a_short_name(name: str) -> None:
    check_password(f"kmnpq-{name}rst-23456-vwxyz"[:23], name)
    for _ in range(200):
        check_password(make_password(), name)
