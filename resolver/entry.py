"""One cached answer: what the database said about an identifier, and the forms it was asked for so far.

Small on purpose: a resolver keeps as many as fit in its memory.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from resolver.plain_tail import encode_plain_tail, encode_plain_values
from resolver.rest_json import encode_tail
from schemas.handle_values import encode_values
from schemas.records import Record, RecordState, unpack
from schemas.resolution_log import Outcome
from schemas.templates import Template
from schemas.values import Value
from schemas.viewing import Answer, Verdict, Viewer, answer_record

_VERDICTS = {
    Outcome.FOUND: Verdict.FOUND,
    Outcome.NO_VALUES: Verdict.NO_VALUES,
    Outcome.RETIRED: Verdict.RETIRED,
    Outcome.NOT_FOUND: Verdict.NOT_FOUND,
    Outcome.REFERRAL: Verdict.NOT_FOUND,
}
OUTCOMES = {
    Verdict.FOUND: Outcome.FOUND,
    Verdict.NO_VALUES: Outcome.NO_VALUES,
    Verdict.NOT_FOUND: Outcome.NOT_FOUND,
    Verdict.RETIRED: Outcome.RETIRED,
    Verdict.DENIED: Outcome.DENIED,
}
_FOUND = Outcome.FOUND  # a member is looked up slowly, by way of its class
_RETIRED = RecordState.RETIRED
_EPOCH = datetime.fromtimestamp(0, UTC)
_FRAME_BYTES = 344  # of an entry without its three texts: object, key, and its places in the tables
_TEXT_BYTES = 33  # of an empty bytes object


class Entry:
    """`outcome` and `verdict` answer the plain question: everything that is public.

    `note` is the notice of a frozen record, the successor of a retired one, or the code of a text that says why
    nothing was found. `site` is not empty for identifiers that are answered elsewhere: a referral. `is_foreign`:
    the prefix is none of ours, an upstream may know. `is_member`: a range answers, until there is a record.
    `is_plain`: it is found, and a request that spells its key needs no decoding.
    `changed` is in unix seconds, `checked_at` on the loop's clock.
    """

    __slots__ = (
        "_handle_tail",
        "_rest_tail",
        "changed",
        "checked_at",
        "grew",
        "is_foreign",
        "is_member",
        "is_plain",
        "note",
        "outcome",
        "packed",
        "prefix_id",
        "site",
        "template",
        "template_id",
        "used",
    )

    def __init__(self, outcome: Outcome, prefix_id: int, template: Template | None = None) -> None:
        self.outcome = outcome
        self.prefix_id = prefix_id
        self.template = template
        self.template_id = template.template_id if template else 0
        self.packed = b""
        self.note = ""
        self.site = b""
        self.changed = 0
        self.checked_at = 0.0
        self.is_foreign = False
        self.is_member = False
        self.is_plain = False
        self.used = False
        self.grew: Callable[[int], None] | None = None  # tells the cache that keeps it
        self._rest_tail: bytes | None = None
        self._handle_tail: bytes | None = None

    @property
    def verdict(self) -> Verdict:
        return _VERDICTS[self.outcome]

    @property
    def may_hide(self) -> bool:
        """Whether a value may forbid public reading, so that a question without PUBL needs `answer`."""
        return b'"p":' in self.packed

    def rest_tail(self) -> bytes:
        """The JSON of the plain answer from behind the echoed handle's closing quote to the end."""
        return self._rest_tail if self._rest_tail is not None else self._make_rest_tail()

    def handle_tail(self) -> bytes:
        """The plain resolution response from behind the echoed handle to the end: count and encoded values."""
        return self._handle_tail if self._handle_tail is not None else self._make_handle_tail()

    def _make_rest_tail(self) -> bytes:
        tail = self._encode_plain(encode_plain_tail)
        self._rest_tail = encode_tail(self._list_tail_values()) if tail is None else tail
        if self.grew is not None:
            self.grew(len(self._rest_tail) + _TEXT_BYTES)
        return self._rest_tail

    def _make_handle_tail(self) -> bytes:
        tail = self._encode_plain(encode_plain_values)
        self._handle_tail = encode_values(self._list_tail_values() or []) if tail is None else tail
        if self.grew is not None:
            self.grew(len(self._handle_tail) + _TEXT_BYTES)
        return self._handle_tail

    def _encode_plain(self, encode: Callable[[bytes, Template, int], bytes | None]) -> bytes | None:
        if self.template is None or self.outcome is not _FOUND or self.note:
            return None
        return encode(self.packed, self.template, self.changed)

    def answer(
        self,
        indexes: list[int] | None = None,
        types: list[str] | None = None,
        public_only: bool = True,
        viewer: Viewer = Viewer.PUBLIC,
    ) -> Answer:
        """Answer any question about it; nothing of what a viewer with rights sees is kept."""
        if self.outcome in (Outcome.NOT_FOUND, Outcome.REFERRAL):
            return Answer(Verdict.NOT_FOUND, [])
        record = self._unpack()
        return answer_record(record, self.template, viewer, indexes, types, public_only)

    def _list_tail_values(self) -> list[Value] | None:
        """The values of the plain answer; None where the answer has no list of values at all."""
        if self.outcome is Outcome.REFERRAL:
            return [Value(1, "HS_SITE", self.site)]
        if self.outcome in (Outcome.NOT_FOUND, Outcome.RETIRED):
            return None
        return self.answer().values

    def _unpack(self) -> Record:
        changed = datetime.fromtimestamp(self.changed, UTC)
        if self.outcome is Outcome.RETIRED:
            return Record(self.prefix_id, "", self.template_id, (), _RETIRED, _EPOCH, changed)
        _, values = unpack(self.packed, self.changed)
        state = RecordState.FROZEN if self.note else RecordState.LIVE
        return Record(self.prefix_id, "", self.template_id, tuple(values), state, _EPOCH, changed, note=self.note)

    def count_bytes(self) -> int:
        """What it occupies now, its places in the cache's tables included."""
        size = _FRAME_BYTES + len(self.packed) + _TEXT_BYTES
        for text in (self._rest_tail, self._handle_tail):
            if text is not None:
                size += len(text) + _TEXT_BYTES
        return size + (len(self.note) * 4 + 49 if self.note else 0)


def make_fixed(outcome: Outcome, prefix_id: int, note: str = "", site: bytes = b"") -> Entry:
    """An answer without a row of the database."""
    entry = Entry(outcome, prefix_id)
    entry.note, entry.site = note, site
    return entry


def make_entry(prefix_id: int, template: Template | None, state: int, changed: int, packed: bytes, note: str) -> Entry:
    """The answer a row holds; `state` is the number of a RecordState.

    A template's own values are public, so with one there is always something to see.
    """
    if state == _RETIRED:
        entry = Entry(Outcome.RETIRED, prefix_id, template)
    else:
        entry = Entry(_FOUND, prefix_id, template)
        entry.packed = packed
    entry.changed, entry.note = changed, note
    if template is None and entry.outcome is _FOUND and not entry.answer().values:
        entry.outcome = Outcome.NO_VALUES
    return entry
