"""Packed records: canonical, read back equal, and bounded."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import TooLarge
from schemas.records import MAX_PACKED_BYTES, keep_times, pack_texts, pack_values, says_the_same, unpack
from schemas.values import Reference, Value

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.lists(
    st.builds(
        Value,
        st.integers(1, 2**31 - 1),
        TEXT,
        st.binary(max_size=30),
        st.integers(-(2**31), 2**31 - 1),
        st.integers(0, 15),
        st.integers(1, 2**31 - 1),
        st.booleans(),
        st.lists(st.builds(Reference, TEXT, st.integers(0, 9)), max_size=2).map(tuple),
    ),
    max_size=6,
    unique_by=lambda value: value.index,
)


@given(st.integers(0, 2**31 - 1), VALUES)
def test_a_packed_record_reads_back_in_order_of_index(template_id: int, values: list[Value]) -> None:
    packed = pack_values(template_id, values, 2**31)
    assert unpack(packed, 2**31) == (template_id, sorted(values, key=lambda value: value.index))


@given(VALUES)
def test_equal_records_pack_to_equal_bytes(values: list[Value]) -> None:
    assert pack_values(1, values, 5) == pack_values(1, list(reversed(values)), 5)


@given(st.lists(st.tuples(st.integers(1, 99), TEXT, TEXT), unique_by=lambda v: v[0]))
def test_plain_texts_pack_as_the_values_they_are(texts: list[tuple[int, str, str]]) -> None:
    texts.sort()
    values = [Value(index, kind, text.encode()) for index, kind, text in texts]
    assert pack_texts(7, texts) == pack_values(7, values)


@pytest.mark.parametrize(
    ("other", "same", "why"),
    [
        (Value(1, "A", b"x", timestamp=3), True, "times do not count"),
        (Value(1, "A", b"y"), False, "other data"),
        (Value(1, "a", b"x"), False, "the type is written otherwise"),
        (Value(2, "A", b"x"), False, "another index"),
        (Value(1, "A", b"x", ttl_seconds=60), False, "another ttl"),
        (Value(1, "A", b"x", permissions=0x0C), False, "other rights"),
    ],
)
def test_what_makes_records_equal(other: Value, same: bool, why: str) -> None:
    assert says_the_same(pack_values(1, [Value(1, "A", b"x")], 9), pack_values(1, [other], 9)) is same, why
    assert not says_the_same(pack_values(1, [other]), pack_values(2, [other]))


BEFORE, NOW = 2**31, 2**31 + 7  # times of two records; those of VALUES are older


@given(VALUES, VALUES, st.booleans(), st.data())
def test_values_that_say_the_same_keep_their_times_and_others_do_not(
    old: list[Value], new: list[Value], was_plain: bool, data: st.DataObject
) -> None:
    """However it is packed, the outcome is canonical and differs from the new record in times alone."""
    if was_plain:  # values as old as their record have no time of their own
        old = [replace(value, timestamp=BEFORE) for value in old]
    kept = data.draw(st.lists(st.sampled_from(old), unique_by=lambda v: v.index)) if old else []
    mixed = {value.index: replace(value, timestamp=NOW) for value in (*new, *kept)}
    packed = pack_values(3, mixed.values(), NOW)
    result = keep_times(packed, pack_values(2, old, BEFORE), BEFORE)
    expected = dict(mixed)
    for value in old:
        if value.index in mixed and replace(value, timestamp=NOW) == mixed[value.index]:
            expected[value.index] = value
    assert result == pack_values(3, expected.values(), NOW)
    assert says_the_same(result, packed)


def test_a_record_that_no_answer_could_carry_is_refused() -> None:
    with pytest.raises(TooLarge):
        pack_texts(1, [(2000, "A", "x" * MAX_PACKED_BYTES)])


def test_an_unknown_format_is_never_guessed() -> None:
    with pytest.raises(ValueError, match="format"):
        unpack(b"\x02[0,[]]")
