"""Records come back as they were written; whatever follows the last complete one does no harm and is told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.resolution_log import (
    HEADER_BYTES,
    IDENTIFIER_BYTES,
    LATEST_US,
    OK_OUTCOMES,
    UNCOUNTED_CLASSES,
    WORD,
    ClientClass,
    Damage,
    End,
    Gap,
    LoggedAnswer,
    Outcome,
    SegmentDamaged,
    SegmentHeader,
    Transport,
    decode_answers,
    decode_header,
    encode_answer,
    encode_end,
    encode_header,
)

int32 = st.integers(0, 2**31 - 1)
answers = st.builds(
    LoggedAnswer,
    time_us=st.integers(1, LATEST_US - 1),
    prefix_id=int32,
    template_id=int32,
    transport=st.sampled_from(Transport),
    outcome=st.sampled_from(Outcome),
    client_class=st.sampled_from(ClientClass),
    address=st.sampled_from([b"", bytes(4), b"\x0a\x00\x00\x07", bytes(range(16))]),
    identifier=st.binary(max_size=40) | st.just(b"x" * IDENTIFIER_BYTES),
)
ONE = LoggedAnswer(
    1_700_000_000_000_000, 5, 3, Transport.HTTP, Outcome.FOUND, ClientClass.PUBLIC, b"\x7f\0\0\1", b"a/b"
)


@given(st.lists(answers, max_size=8))
def test_what_was_encoded_is_decoded(written: list[LoggedAnswer]) -> None:
    data = b"".join(map(encode_answer, written))
    assert list(decode_answers(data, 0)) == [*written, End(len(data), finished=False)]
    assert list(decode_answers(data + encode_end() + b"anything", 0))[-1] == End(len(data), finished=True)


@given(st.lists(answers, min_size=1, max_size=5), st.data())
def test_a_cut_loses_only_the_torn_record(written: list[LoggedAnswer], data: st.DataObject) -> None:
    pieces = [encode_answer(answer) for answer in written]
    whole = b"".join(pieces)
    cut = data.draw(st.integers(0, len(whole)))
    complete = [a for n, a in enumerate(written) if sum(map(len, pieces[: n + 1])) - padding(a) <= cut]
    *read, last = decode_answers(whole[:cut], 0)
    assert read == complete
    assert isinstance(last, End | Damage)


def padding(answer: LoggedAnswer) -> int:
    return -(20 + len(answer.address) + len(answer.identifier)) % 4


@given(st.lists(answers, min_size=1, max_size=4), answers)
def test_a_record_whose_length_word_was_not_stored_yet_is_none(written: list[LoggedAnswer], torn: LoggedAnswer) -> None:
    begun = b"".join(map(encode_answer, written))
    room = begun + bytes(4) + encode_answer(torn)[4:] + bytes(64)
    assert list(decode_answers(room, 0)) == [*written, End(len(begun), finished=False)]


@given(st.lists(answers, max_size=3), st.binary(max_size=200))
def test_nothing_after_the_last_complete_record_raises(written: list[LoggedAnswer], rubbish: bytes) -> None:
    read = list(decode_answers(b"".join(map(encode_answer, written)) + rubbish, 0))
    assert read[: len(written)] == written
    assert isinstance(read[-1], End | Damage)
    assert sum(isinstance(one, End | Damage) for one in read) == 1


@pytest.mark.parametrize(
    ("offset", "byte", "why"),
    [
        (0, 0x05, "a length below the smallest body"),
        (2, 0x01, "a length above the largest body"),
        (11, 0xFF, "a negative time"),
        (15, 0x80, "a negative prefix"),
        (19, 0x80, "a negative template"),
        (20, 9, "an unknown transport"),
        (21, 0, "no outcome"),
        (22, 6, "an unknown client class"),
        (23, 5, "an address of five bytes"),
        (23, 16, "an address longer than the record"),
    ],
)
def test_damage_is_reported_with_its_offset(offset: int, byte: int, why: str) -> None:
    good, bad = encode_answer(ONE), bytearray(encode_answer(ONE))
    bad[offset] = byte
    first, damage = decode_answers(good + bytes(bad) + good, 0)
    assert first == ONE
    assert isinstance(damage, Damage), why
    assert damage.offset == len(good)


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=63),
    st.integers(1, LATEST_US),
    st.integers(1, 2**31),
    st.none() | st.builds(Gap, int32, int32, st.integers(1, 2**40)),
)
def test_a_header_comes_back(owner: str, opened_us: int, sequence: int, gap: Gap | None) -> None:
    header = SegmentHeader(owner, opened_us, sequence, gap)
    assert len(encode_header(header)) == HEADER_BYTES
    assert decode_header(encode_header(header) + b"records") == header


@pytest.mark.parametrize("owner", ["", "x" * 64])
def test_an_owner_has_one_to_63_bytes(owner: str) -> None:
    with pytest.raises(ValueError, match="owner"):
        encode_header(SegmentHeader(owner, 1, 1))


@pytest.mark.parametrize("at", [0, 7, 8])
def test_a_header_of_another_format_or_byte_order_is_refused(at: int) -> None:
    data = bytearray(encode_header(SegmentHeader("resolver-0", 1, 1)))
    data[at] ^= 0xFF
    with pytest.raises(SegmentDamaged) as refused:
        decode_header(bytes(data))
    assert refused.value.offset == at & ~7


def test_a_header_that_is_cut_off_is_refused() -> None:
    with pytest.raises(SegmentDamaged):
        decode_header(encode_header(SegmentHeader("resolver-0", 1, 1))[:-1])


def test_what_is_ok_and_what_is_shown_apart() -> None:
    assert {Outcome.FOUND, Outcome.REFERRAL} == OK_OUTCOMES
    assert set(ClientClass) - UNCOUNTED_CLASSES == {ClientClass.PUBLIC, ClientClass.PARTNER}


def test_numbers_of_the_format_never_change() -> None:
    assert [t.value for t in Transport] == [1, 2, 3, 4]
    assert [o.name for o in sorted(Outcome)] == [
        "FOUND", "REFERRAL", "NOT_FOUND", "NO_VALUES", "DENIED", "RETIRED", "MALFORMED", "UNAVAILABLE",
    ]  # fmt: skip
    assert WORD.unpack(encode_answer(ONE)[:4]) == (27,)
