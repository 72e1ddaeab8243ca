"""Messages come whole out of any cut of a stream and any order of datagrams; what waits is bounded."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.handle_bodies import decode_handle_values
from schemas.handle_bytes import MalformedMessage
from schemas.handle_messages import (
    MAX_MESSAGE_BYTES,
    TRUNCATED,
    Envelope,
    Header,
    Message,
    decode_envelope,
    decode_message,
    encode_message,
)
from schemas.handle_stream import FrameReader, Reassembler, ReassemblyLimits, split_datagrams

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "handle-vectors.json").read_text())["vectors"]
MESSAGES = [bytes.fromhex(v["hex"]) for v in VECTORS if v["kind"] == "message"]
PLAIN = next(bytes.fromhex(v["hex"]) for v in VECTORS if v["name"] == "resolution_request_plain")
PACKETS = [bytes.fromhex(v["hex"]) for v in VECTORS if v["kind"] == "udp-fragment"]


def _message(body_bytes: int, request_id: int = 7) -> bytes:
    """A message that cannot be confused with another: its body depends on its size and id."""
    body = random.Random(body_bytes * 1_000 + request_id).randbytes(body_bytes)
    return encode_message(Message(Envelope(2, 11, 0, 2, 11, 0, request_id, 0, 0), Header(1), body))


def _with_length(length: int) -> bytes:
    return PLAIN[:16] + (length & 0xFFFF_FFFF).to_bytes(4, "big") + PLAIN[20:]


# TCP


@pytest.mark.parametrize("step", [1, 19, 20, 21, 43, 44, 4096])  # around every boundary
def test_messages_are_found_however_the_stream_is_cut(step: int) -> None:
    stream, frames = b"".join(MESSAGES), FrameReader()
    found = [m for at in range(0, len(stream), step) for m in frames.feed(stream[at : at + step])]
    assert found == MESSAGES
    assert frames.buffered == 0


@given(st.lists(st.integers(1, 200), max_size=60))
def test_messages_are_found_however_unevenly_the_stream_is_cut(sizes: list[int]) -> None:
    stream, frames, at = b"".join(MESSAGES[:12]), FrameReader(), 0
    found: list[bytes] = []
    for size in [*sizes, len(stream)]:
        found += frames.feed(stream[at : at + size])
        at += size
    assert found == MESSAGES[:12]


@pytest.mark.parametrize("length", [0, 1, 23, MAX_MESSAGE_BYTES + 1, 0x7FFF_FFFF, 0x8000_0000, -1])
def test_a_length_out_of_bounds_is_refused_with_the_envelope_after_what_came_before(length: int) -> None:
    frames, found = FrameReader(), []
    with pytest.raises(MalformedMessage) as refusal:
        for message in frames.feed(PLAIN + _with_length(length)[:20]):
            found.append(message)
    assert found == [PLAIN]
    assert refusal.value.envelope is not None
    assert refusal.value.envelope.request_id == 0x01020304


@pytest.mark.parametrize("length", [24, MAX_MESSAGE_BYTES])
def test_a_length_at_the_bounds_waits_for_its_bytes(length: int) -> None:
    frames = FrameReader()
    assert list(frames.feed(_with_length(length)[:30])) == []
    message = _with_length(length)[:30] + bytes(length - 10)
    assert list(frames.feed(bytes(length - 10))) == [message]


def test_the_limit_is_the_callers() -> None:
    with pytest.raises(MalformedMessage):
        list(FrameReader(limit=54).feed(PLAIN))
    assert list(FrameReader(limit=55).feed(PLAIN)) == [PLAIN]


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"G", b"POST / HTTP/1.1\r\n", b"\0", b"\xff"])
def test_other_protocols_are_refused_at_their_first_byte(start: bytes) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        list(FrameReader().feed(start))
    assert refusal.value.envelope is None


def test_a_broken_stream_stays_broken() -> None:
    frames = FrameReader()
    for data in (b"GET ", PLAIN):
        with pytest.raises(MalformedMessage):
            list(frames.feed(data))


# UDP: splitting


@pytest.mark.parametrize(
    ("body", "packets"),
    [(0, 1), (464, 1), (465, 2), (956, 2), (957, 3), (20_000, 41)],  # 492 bytes less header and trailer
)
def test_a_message_takes_as_many_datagrams_as_it_needs(body: int, packets: int) -> None:
    message = _message(body)
    datagrams = split_datagrams(message)
    assert len(datagrams) == packets
    assert b"".join(d[20:] for d in datagrams) == message[20:]
    for number, datagram in enumerate(datagrams):
        envelope = decode_envelope(datagram)
        assert len(datagram) == 512 or number == packets - 1
        assert bool(envelope.flags & TRUNCATED) == (packets > 1)
        assert (envelope.sequence, envelope.length) == (number, len(message) - 20)
        assert (envelope.request_id, envelope.session_id) == (7, 0)


def test_the_packets_of_the_reference_make_a_message_and_it_makes_the_same_packets() -> None:
    reassembler = Reassembler()
    assert reassembler.accept(PACKETS[1], "peer", 0.0) is None
    message = reassembler.accept(PACKETS[0], "peer", 0.1)
    assert message is not None
    body = decode_handle_values(decode_message(message).body)
    assert [(v.type, len(v.data)) for v in body.values] == [("DESC", 900)]
    assert split_datagrams(message) == PACKETS


# UDP: reassembly


@pytest.mark.parametrize("message", MESSAGES, ids=len)
def test_every_message_survives_being_split(message: bytes) -> None:
    reassembler = Reassembler()
    whole = [reassembler.accept(d, "peer", 0.0) for d in split_datagrams(message)]
    assert whole == [None] * (len(whole) - 1) + [message]
    assert (reassembler.pending, reassembler.held) == (0, 0)


@given(st.data())
def test_any_order_with_duplicates_gives_each_message_once_it_is_complete(data: st.DataObject) -> None:
    messages = [_message(size, number) for number, size in enumerate((465, 1_200, 2_500))]
    arriving = [d for m in messages for d in split_datagrams(m)]
    arriving += data.draw(st.lists(st.sampled_from(arriving), max_size=4))
    reassembler, found = Reassembler(), []
    for datagram in data.draw(st.permutations(arriving)):
        message = reassembler.accept(datagram, "peer", 0.0)
        found += [message] if message else []
    assert set(found) == set(messages)


@given(st.data())
def test_a_lost_fragment_loses_its_message_and_no_other(data: st.DataObject) -> None:
    messages = [_message(size, number) for number, size in enumerate((465, 1_200, 2_500))]
    arriving = [d for m in messages for d in split_datagrams(m)]
    lost = data.draw(st.sampled_from(arriving))
    reassembler, found = Reassembler(), []
    for datagram in data.draw(st.permutations([d for d in arriving if d != lost])):
        message = reassembler.accept(datagram, "peer", 0.0)
        found += [message] if message else []
    assert set(found) == {m for m in messages if decode_envelope(m).request_id != decode_envelope(lost).request_id}
    reassembler.expire(5.0)
    assert (reassembler.pending, reassembler.held) == (0, 0)


def test_fragments_without_the_truncated_flag_are_accepted_if_the_length_says_so() -> None:
    message, reassembler = _message(600), Reassembler()
    first, second = ((d[:2] + bytes((d[2] & ~TRUNCATED,)) + d[3:]) for d in split_datagrams(message))
    assert reassembler.accept(first, "peer", 0.0) is None
    assert reassembler.accept(second, "peer", 0.0) == message


def test_a_whole_message_with_the_truncated_flag_comes_out_without() -> None:
    marked = PLAIN[:2] + bytes((PLAIN[2] | TRUNCATED,)) + PLAIN[3:]
    assert Reassembler().accept(marked, "peer", 0.0) == PLAIN


def test_peers_with_the_same_request_id_are_kept_apart() -> None:
    one, other, reassembler = _message(600), _message(601), Reassembler()
    waiting = [reassembler.accept(split_datagrams(m)[0], peer, 0.0) for peer, m in (("a", one), ("b", other))]
    assert waiting == [None, None]
    assert reassembler.accept(split_datagrams(other)[1], "b", 0.0) == other
    assert reassembler.accept(split_datagrams(one)[1], "a", 0.0) == one


def test_what_is_incomplete_after_five_seconds_is_forgotten() -> None:
    first, second = split_datagrams(_message(600))
    reassembler = Reassembler()
    reassembler.accept(first, "peer", 100.0)
    reassembler.expire(104.9)
    assert reassembler.pending == 1
    assert reassembler.accept(second, "peer", 105.0) is None
    assert reassembler.pending == 1  # the second alone


FIRST, SECOND = split_datagrams(_message(600))


def _edit(datagram: bytes, at: int, data: bytes) -> bytes:
    return datagram[:at] + data + datagram[at + len(data) :]


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "empty"),
        (FIRST[:19], "shorter than an envelope"),
        (FIRST[:20], "no payload"),
        (FIRST[:-1], "a fragment that is not full and not the last"),
        (FIRST + b"\0", "more than a fragment"),
        (SECOND[:-1], "the last fragment cut"),
        (PLAIN[:-1], "a single packet cut"),
        (PLAIN + b"\0", "a single packet with something behind it"),
        (_edit(SECOND, 12, b"\0\0\0\2"), "number past the last"),
        (_edit(SECOND, 12, b"\xff\xff\xff\xff"), "number 2^32 - 1"),
        (_edit(FIRST, 16, b"\x7f\xff\xff\xff"), "two thousand million bytes"),
        (_edit(FIRST, 16, b"\0\4\0\1"), "one byte over the limit"),
        (_edit(FIRST, 16, b"\0\0\0\0"), "length 0"),
        (_edit(SECOND, 4, b"\0\0\0\1"), "another session under the same request id"),
        (_edit(FIRST, 16, b"\0\0\7\0"), "another length under the same request id"),
        (_edit(FIRST, 1, b"\1"), "another version under the same request id"),
        (_edit(FIRST, 0, b"\x16"), "TLS"),
    ],
)
def test_what_cannot_belong_is_refused_and_the_waiting_fragments_stay(datagram: bytes, why: str) -> None:
    reassembler = Reassembler()
    assert reassembler.accept(FIRST, "peer", 0.0) is None
    with pytest.raises(MalformedMessage):
        reassembler.accept(datagram, "peer", 0.0)
    assert (reassembler.pending, reassembler.held) == (1, 492)
    assert reassembler.accept(SECOND, "peer", 0.0) == _message(600)


def test_a_duplicate_never_replaces_what_came_first() -> None:
    reassembler = Reassembler()
    reassembler.accept(FIRST, "peer", 0.0)
    assert reassembler.accept(FIRST[:-1] + b"\xee", "peer", 0.0) is None
    assert reassembler.held == 492
    assert reassembler.accept(SECOND, "peer", 0.0) == _message(600)


@pytest.mark.parametrize(
    ("limits", "peers"),
    [
        (ReassemblyLimits(peer_sets=4), 1),
        (ReassemblyLimits(peer_bytes=4 * 492), 1),
        (ReassemblyLimits(sets=4), 1_000),
        (ReassemblyLimits(bytes=4 * 492), 1_000),
    ],
    ids=["sets of a peer", "bytes of a peer", "sets in all", "bytes in all"],
)
def test_incomplete_sets_are_bounded_and_the_newest_can_still_complete(limits: ReassemblyLimits, peers: int) -> None:
    reassembler = Reassembler(limits)
    for number in range(1_000):
        peer = number % peers
        first, second = split_datagrams(_message(600, number))
        assert reassembler.accept(first, peer, 0.0) is None
        assert reassembler.pending <= 4
        assert reassembler.held <= 4 * 492
        if number % 10 == 9:
            assert reassembler.accept(second, peer, 0.0) == _message(600, number)


def test_one_peer_does_not_push_out_another() -> None:
    reassembler = Reassembler(ReassemblyLimits(peer_sets=4))
    reassembler.accept(FIRST, "patient", 0.0)
    for number in range(100):
        reassembler.accept(split_datagrams(_message(600, number))[0], "greedy", 0.0)
    assert reassembler.accept(SECOND, "patient", 0.0) == _message(600)


def test_a_message_that_alone_exceeds_the_bounds_is_dropped_and_nothing_is_kept() -> None:
    reassembler = Reassembler(ReassemblyLimits(peer_bytes=1_000))
    found = [reassembler.accept(d, "peer", 0.0) for d in split_datagrams(_message(5_000))[:3]]
    assert found == [None, None, None]
    assert (reassembler.pending, reassembler.held) == (0, 0)


def test_the_largest_message_passes_with_the_default_bounds() -> None:
    message, reassembler = _message(MAX_MESSAGE_BYTES - 28), Reassembler()
    found = [reassembler.accept(d, "peer", 0.0) for d in reversed(split_datagrams(message))]
    assert found[-1] == message


DAMAGE = st.tuples(st.sampled_from([FIRST, SECOND, PLAIN]), st.integers(0, 60), st.integers(0, 255))


@given(st.lists(DAMAGE, max_size=30))
def test_damaged_datagrams_never_raise_anything_else_nor_leak(damage: list[tuple[bytes, int, int]]) -> None:
    reassembler = Reassembler()
    for datagram, at, byte in damage:
        try:
            reassembler.accept(_edit(datagram, at, bytes((byte,)))[: len(datagram)], "peer", 0.0)
        except MalformedMessage:
            continue
    assert reassembler.held <= reassembler.pending * 2 * 492
    reassembler.expire(5.0)
    assert (reassembler.pending, reassembler.held) == (0, 0)
