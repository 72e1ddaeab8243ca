"""How an enterprise stands on a day follows from its day of connection, its prefixes and the decisions on them."""

from datetime import date
from typing import Any

import pytest

from node.standing import Standing, count_connected, make_enterprises

CLOSED, SUSPENDED, APPROVED = 6, 5, 3
ENABLED, STOPPED, PENDING = 1, 0, 4


def day(number: int) -> date:
    return date(2024, 6, number)


def make(
    decisions: list[tuple[int, str | None, str]] = (),  # type: ignore[assignment]
    *,
    state: int = APPROVED,
    prefixes: tuple[tuple[Any, ...], ...] = (("88.101.1", ENABLED, None),),
    connected: date | None = date(2024, 6, 5),
    certificate_type: int = 1,
) -> dict[int, Any]:
    """One enterprise; decisions: day, prefix or None for itself, decision; prefixes: with present state and end,
    and perhaps since when they are its own and enabled."""
    row: Any = {
        "enterprise_id": 1, "connected_on": connected, "state": state, "certificate_type": certificate_type,
    }  # fmt: skip
    owned: list[Any] = [
        {"enterprise_id": 1, "prefix": name, "state": now, "to_day": until, "from_day": own, "enabled_on": enabled}
        for name, now, until, own, enabled in (one if len(one) == 5 else (*one, day(6), day(6)) for one in prefixes)
    ]
    taken: list[Any] = [
        {"enterprise_id": 1, "prefix": prefix, "decision": decision, "day": day(number)}
        for number, prefix, decision in decisions
    ]
    return make_enterprises([row], owned, taken)


ONE, TWO = "88.101.1", "88.101.2"
CASES: list[tuple[str, dict[int, Any], dict[int, Standing | None]]] = [
    ("from its day on", make(), {4: None, 5: "connected", 30: "connected"}),
    ("never connected", make(connected=None), {5: None}),
    ("without a prefix", make(prefixes=()), {6: None}),
    ("not enabled yet", make(prefixes=((ONE, PENDING, None),)), {6: None}),
    ("suspended and resumed", make([(10, None, "suspended"), (12, None, "resumed")]),
     {9: "connected", 10: "suspended", 11: "suspended", 12: "connected"}),
    ("suspended, and no decision tells when", make(state=SUSPENDED), {6: "suspended"}),
    ("closed", make([(10, None, "closed")], state=CLOSED), {9: "connected", 10: "departed"}),
    ("closed while suspended", make([(8, None, "suspended"), (10, None, "closed")], state=CLOSED),
     {7: "connected", 9: "suspended", 10: "departed"}),
    ("its only prefix stopped", make([(10, ONE, "stopped")], prefixes=((ONE, STOPPED, None),)),
     {9: "connected", 10: "suspended"}),
    ("one of two stopped", make([(10, ONE, "stopped")], prefixes=((ONE, STOPPED, None), ("88.101.2", ENABLED, None))),
     {10: "connected"}),
    ("stopped and resumed", make([(10, ONE, "stopped"), (11, ONE, "resumed")]), {10: "suspended", 11: "connected"}),
    ("given away", make(prefixes=((ONE, ENABLED, day(10)),)), {9: "connected", 10: "departed"}),
    ("another prefix was given to it after its own was stopped", make(
        [(10, ONE, "stopped")], prefixes=((ONE, STOPPED, None), (TWO, ENABLED, None, day(20), day(2)))),
     {9: "connected", 10: "suspended", 19: "suspended", 20: "connected"}),
    ("another prefix was enabled after its own was stopped", make(
        [(10, ONE, "stopped")], prefixes=((ONE, STOPPED, None), (TWO, ENABLED, None, day(8), day(20)))),
     {10: "suspended", 19: "suspended", 20: "connected"}),
    ("another prefix was given to it after its own was given away", make(
        prefixes=((ONE, ENABLED, day(10)), (TWO, ENABLED, None, day(20), day(2)))),
     {9: "connected", 10: "departed", 19: "departed", 20: "connected"}),
    ("suspended on its first day", make([(5, None, "suspended"), (8, None, "resumed")]),
     {5: "suspended", 8: "connected"}),
    ("approved after its day of connection", make([(20, ONE, "approved")]), {5: "connected"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "enterprises", "expected"), CASES, ids=[case[0] for case in CASES])
def test_an_enterprise_stands_as_it_was_decided(
    name: str, enterprises: dict[int, Any], expected: dict[int, Standing | None]
) -> None:
    assert {number: enterprises[1].stand(day(number)) for number in expected} == expected


@pytest.mark.parametrize(("name", "enterprises", "expected"), CASES, ids=[case[0] for case in CASES])
def test_the_days_of_a_period_sum_to_how_it_stands(
    name: str, enterprises: dict[int, Any], expected: dict[int, Standing | None]
) -> None:
    for first in (1, 8, 11):
        changes = count_connected(enterprises.values(), (day(first), day(30)))
        connected = 0
        for number in range(first, 31):
            connected += changes.get(day(number), (0, 0))[0]
            assert connected == (enterprises[1].stand(day(number)) == "connected"), number
        new = sum(newly for _, newly in changes.values())
        assert new == (first <= 5 and enterprises[1].stand(day(5)) is not None)


def test_only_social_credit_codes_count() -> None:
    assert make(certificate_type=2) == {}
