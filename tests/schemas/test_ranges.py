"""Serials within ranges: what fits, what does not, and check characters that catch every slip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.ranges import Shape, compute_check_character, find_member, format_member, parse_range

DIGITS = st.text("0123456789", min_size=1, max_size=18)


@given(st.text("ABC-", max_size=5), DIGITS, st.booleans())
def test_every_member_is_found_by_the_text_on_the_goods(head: str, digits: str, checked: bool) -> None:
    suffix = format_member(head, len(digits), int(digits), checked)
    assert find_member(suffix, Shape(head, len(digits), checked)) == int(digits)


@pytest.mark.parametrize(
    ("suffix", "why"),
    [
        ("SN0001", "too short"),
        ("SN000001", "too long"),
        ("TN00001", "another head"),
        ("SN0000A", "a letter"),
        ("SN００００１", "digits of full width are other characters"),
        ("", "nothing"),
    ],
)
def test_what_is_no_member(suffix: str, why: str) -> None:
    assert find_member(suffix, Shape("SN", 5)) is None, why


@given(DIGITS, st.data())
def test_a_check_character_catches_a_wrong_digit_and_swapped_neighbours(digits: str, data: st.DataObject) -> None:
    right = compute_check_character(digits)
    at = data.draw(st.integers(0, len(digits) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != digits[at]]))
    assert compute_check_character(digits[:at] + other + digits[at + 1 :]) != right
    if at and digits[at] != digits[at - 1]:
        swapped = digits[: at - 1] + digits[at] + digits[at - 1] + digits[at + 1 :]
        assert compute_check_character(swapped) != right


def test_the_check_character_is_that_of_the_standard() -> None:
    assert compute_check_character("0794") == "0"  # the worked example of ISO 7064 for MOD 11-2
    assert {compute_check_character(str(n)) for n in range(100)} == set("0123456789X")


def test_all_final_digits_belong_to_the_number() -> None:
    assert parse_range("SN00000001", "SN10000000") == ("SN", 8, 1, 10_000_000)
    assert parse_range("A-1-07", "A-1-31") == ("A-1-", 2, 7, 31)


@pytest.mark.parametrize(
    ("first", "last", "checked", "refusal"),
    [
        ("", "SN9", False, ("suffix_empty", "first")),
        ("SN1", "SN9\0", False, ("suffix_control_character", "last")),
        ("SN", "SN9", False, ("range_malformed", "last")),  # no digits to count from
        ("SN1", "TN9", False, ("range_malformed", "last")),  # two heads
        ("SN1", "SN10", False, ("range_malformed", "last")),  # SN2 or SN02?
        ("SN9", "SN1", False, ("range_backwards", "last")),
        (" SN1", "SN9", False, ("suffix_blank_at_ends", "first")),
        ("SN1", "SN9 ", False, ("suffix_blank_at_ends", "last")),
        ("1" + "0" * 18, "2" + "0" * 18, False, ("range_too_wide", "first")),  # the heads would differ
        ("0011", "9006", True, ("range_check_character", "first")),
        ("001X", "9001", True, ("range_check_character", "last")),
    ],
)
def test_ends_that_make_no_range_are_refused_where_they_stand(
    first: str, last: str, checked: bool, refusal: tuple[str, str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_range(first, last, checked)
    assert (refused.value.code, refused.value.field) == refusal


def test_of_a_longer_number_the_leading_digits_are_fixed() -> None:
    assert parse_range("SN7" + "0" * 18, "SN7" + "0" * 17 + "9") == ("SN7", 18, 0, 9)
