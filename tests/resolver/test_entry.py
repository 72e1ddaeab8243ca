"""One cached answer: its forms, what the short way to answers may and may not do, and what it weighs."""

import sys
import time
import tracemalloc
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.cache import Fill, RecordCache
from resolver.entry import Entry, make_entry, make_fixed
from resolver.plain_tail import encode_plain_tail, encode_plain_values
from resolver.prefixes import Lookup, Prefix, PrefixTable
from resolver.rest_json import encode_tail
from schemas.handle_bytes import Reader
from schemas.handle_values import (
    Admin,
    KeyRecord,
    decode_values,
    encode_admin,
    encode_key,
    encode_values,
    encode_vlist,
    make_rsa_key,
)
from schemas.records import RecordState, pack_texts, pack_values
from schemas.resolution_log import Outcome
from schemas.templates import Item, Template, Visibility
from schemas.values import Reference, Value

CHANGED = int(datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp())
ITEMS = tuple(Item(2000 + n, f"t{n}", f"字段{n}", f"field {n}", visibility=Visibility(n % 3)) for n in range(6))
TEMPLATE = Template("1.0", ITEMS, prefix="88.101.5", template_id=7)

texts = st.lists(
    st.tuples(
        st.one_of(st.integers(2000, 2007), st.sampled_from([1, 100, 1000, 1001, 1999])),
        st.sampled_from(["t0", "t1", "URL", "HS_ADMIN", "hs_site", "模", 'a"b']),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    max_size=8,
    unique_by=lambda value: value[0],
).map(sorted)


@given(texts)
def test_the_short_way_gives_what_the_long_one_gives(values: list[tuple[int, str, str]]) -> None:
    alike = [(index, value_type, text[::-1] + "%b") for index, value_type, text in values]
    for packed in (pack_texts(7, values), pack_texts(7, alike)):
        entry = make_entry(1, TEMPLATE, RecordState.LIVE, CHANGED, packed, "")
        long = encode_tail(entry.answer().values)
        short = encode_plain_tail(packed, TEMPLATE, CHANGED)
        assert short in (None, long)
        assert entry.rest_tail() == long
        long_values = encode_values(entry.answer().values)
        assert encode_plain_values(packed, TEMPLATE, CHANGED) in (None, long_values)
        assert entry.handle_tail() == long_values
        assert orjson.loads(b'{"handle":"x' + long)["values"] is not None


def test_the_short_way_takes_the_commonest_records() -> None:
    for text in ("离心泵", "100 %", ""):
        packed = pack_texts(
            7, [(2000, "t0", text), (2001, "t1", "hidden"), (2003, "t3", "x y"), (2004, "t4", "hidden")]
        )
        tail = encode_plain_tail(packed, TEMPLATE, CHANGED)
        assert tail is not None and b"hidden" not in tail
        assert [v["data"]["value"] for v in orjson.loads(b'{"handle":"x' + tail)["values"][2:]] == [text, "x y"]
        encoded = encode_plain_values(packed, TEMPLATE, CHANGED)
        assert encoded is not None and b"hidden" not in encoded
        assert [v.data for v in decode_values(Reader(encoded))[2:]] == [text.encode(), b"x y"]


def test_a_template_that_was_replaced_is_not_remembered() -> None:
    packed = pack_texts(7, [(2000, "t0", "secret")])
    assert b"secret" in (encode_plain_tail(packed, TEMPLATE, CHANGED) or b"")
    items = (Item(2000, "t0", "", "", visibility=Visibility.PRIVATE),)
    closed = Template("1.0", items, prefix="88.101.5", template_id=7)
    assert b"secret" not in (encode_plain_tail(packed, closed, CHANGED) or b"")


def test_both_forms_hold_the_same_public_values() -> None:
    values = [Value(1, "URL", b"https://x"), Value(2, "SECRET", b"s", permissions=0x0C), Value(3, "BIN", b"\x00\xff")]
    entry = make_entry(1, None, RecordState.LIVE, CHANGED, pack_values(0, values, CHANGED), "")
    decoded = decode_values(Reader(entry.handle_tail()))
    shown = orjson.loads(b'{"handle":"x' + entry.rest_tail())["values"]
    assert [v.index for v in decoded] == [v["index"] for v in shown] == [1, 3]
    assert entry.may_hide and shown[1]["data"] == {"format": "base64", "value": "AP8="}


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Value(1, "T", b""), {"format": "string", "value": ""}),
        (Value(1, "T", b"a\tb\nc"), {"format": "string", "value": "a\tb\nc"}),
        (Value(1, "T", b"a\x07"), {"format": "base64", "value": "YQc="}),
        (Value(1, "T", b"\x7f"), {"format": "base64", "value": "fw=="}),
        (Value(1, "T", b"\xc0\xaf"), {"format": "base64", "value": "wK8="}),
        (
            Value(100, "HS_ADMIN", encode_admin(Admin(0x0FFF, "0.NA/88.101", 300))),
            {"format": "admin", "value": {"handle": "0.NA/88.101", "index": 300, "permissions": "111111111111"}},
        ),
        (
            Value(1, "HS_VLIST", encode_vlist([Reference("0.NA/88.101", 300)])),
            {"format": "vlist", "value": [{"handle": "0.NA/88.101", "index": 300}]},
        ),
        (
            Value(1, "HS_PUBKEY", encode_key(make_rsa_key(65_537, 0xC0FFEE))),
            {"format": "key", "value": {"kty": "RSA", "n": "wP_u", "e": "AQAB"}},
        ),
        (Value(1, "HS_ADMIN", b"text"), {"format": "string", "value": "text"}),  # does not decode as its type
        (Value(1, "HS_SITE", b"\x00\x01"), {"format": "base64", "value": "AAE="}),
        (
            Value(1, "HS_PUBKEY", encode_key(KeyRecord("SM2_PUB_KEY", (b"",)))),
            {"format": "base64", "value": "AAAAC1NNMl9QVUJfS0VZAAAAAAAA"},
        ),
    ],
)
def test_data_are_shown_by_their_type(value: Value, data: dict[str, object]) -> None:
    shown = orjson.loads(b'{"handle":"x' + encode_tail([value]))["values"][0]
    assert shown["data"] == data and "permissions" not in shown and "timestamp" not in shown


def test_what_differs_from_the_usual_is_shown() -> None:
    value = Value(1, "T", b"x", 1_700_000_000, 0b0110, CHANGED, True, (Reference("a/b", 3),))
    assert orjson.loads(b'{"handle":"x' + encode_tail([value]))["values"][0] == {
        "index": 1, "type": "T", "data": {"format": "string", "value": "x"}, "permissions": "0110",
        "ttl": "2023-11-14T22:13:20Z", "timestamp": "2026-03-01T08:00:00Z",
        "references": [{"handle": "a/b", "index": 3}],
    }  # fmt: skip


def make_cached(cache: RecordCache, prefix: Prefix, number: int) -> Entry:
    suffix = f"PUMP-{number:07d}"
    types = ("name", "model", "made_on", "batch", "colour")
    values = [(2000 + n, t, f"value {number:06d}") for n, t in enumerate(types)]
    entry = make_entry(1, TEMPLATE, RecordState.LIVE, CHANGED + number, bytes(pack_texts(7, values)), "")
    cache.settle([Fill(Lookup(cache.prefixes.make_key(prefix, suffix), prefix, suffix), lambda _: None)], [entry])
    return entry


@pytest.mark.parametrize(("both", "limit"), [(False, 1_536), (True, 2_048)])
def test_a_cached_record_of_five_values_is_small(both: bool, limit: int) -> None:
    shown = Template("1.0", (), prefix="88.101.5", template_id=7)
    prefix = Prefix(1, "88.101.5", 1, 4, None, True, 0)
    cache = RecordCache(PrefixTable(["88.101"], b""), 1 << 40, time.monotonic)
    cache.prefixes.replace([prefix])
    cache.mark_current()
    make_cached(cache, prefix, 0).rest_tail()
    entries = 3_000  # just past where the table of a dict doubles: no number weighs more on each
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1, entries + 1):
            entry = make_cached(cache, prefix, number)
            entry.template = shown
            assert entry.rest_tail() and (not both or entry.handle_tail())
        size = (tracemalloc.get_traced_memory()[0] - before) / entries
    finally:
        tracemalloc.stop()
    assert entry.outcome is Outcome.FOUND
    assert size <= limit
    assert cache.occupied_bytes / (entries + 1) == pytest.approx(size, rel=0.1), "the accounts are right"


@pytest.mark.parametrize("notice", ["停" * 500, "stop using it"])
def test_the_notice_of_a_frozen_record_is_in_the_accounts(notice: str) -> None:
    live, frozen = (make_fixed(Outcome.FOUND, 1, note) for note in ("", notice))
    assert frozen.count_bytes() - live.count_bytes() >= sys.getsizeof(notice)
