"""The prefixes of this node, all in memory, and what an identifier comes to by its prefix alone.

Decision table: domain.md appendix 3.4. What is left over is looked up among the records.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from resolver.entry import Entry, make_fixed
from schemas.ranges import Shape, find_member
from schemas.records import pack_values
from schemas.resolution_log import ClientClass, Outcome
from schemas.small_files import replace_json
from schemas.values import Value
from schemas.viewing import Verdict

STOPPED, ENABLED, TO_BE_DELETED = 0, 1, 2
HOSTED = 4
SITE_INDEX = 1
PREFIX_OF_PREFIXES = b"0.NA"


@dataclass(slots=True)
class Prefix:
    """A row of `prefixes` with the shapes of its ranges and the enterprise that owns it now."""

    prefix_id: int
    name: str
    state: int
    hosting: int
    site: bytes | None
    folds_case: bool
    changed: int
    enterprise: str = ""
    shapes: tuple[Shape, ...] = ()
    is_sandbox: bool = False

    @property
    def is_elsewhere(self) -> bool:
        """The enterprise runs its own server, and we know where."""
        return self.hosting != HOSTED and self.site is not None


class Lookup(NamedTuple):
    """A question for the database. `key` is what the cache keeps it under; `otherwise` answers if there is no row."""

    key: bytes | str
    prefix: Prefix
    suffix_key: str
    otherwise: Entry | None = None

    def list_members(self) -> list[tuple[Shape, int]]:
        """The ranges that could hold it: shape and serial number."""
        fits = ((shape, find_member(self.suffix_key, shape)) for shape in self.prefix.shapes)
        return [(shape, number) for shape, number in fits if number is not None]


class PrefixTable:
    """All prefixes by name. `own` are our secondary prefixes, `site` the HS_SITE record of this node.

    `memory` is a file that keeps their numbers: a worker that starts while the database is away can answer nothing,
    but says in the log whose questions those were.
    """

    def __init__(self, own: Iterable[str], site: bytes, memory: Path | None = None) -> None:
        self._own = tuple(name.upper().encode() for name in own)
        self._below_own = tuple(name + b"." for name in self._own)
        self._site = site
        self._by_name: dict[bytes, Prefix] = {}
        self._by_id: dict[int, Prefix] = {}
        self.sandboxes: set[int] = set()  # always this one object
        self.is_known = False  # the table was read once: before, nobody can say what is not here
        self._memory = memory
        self._numbers: dict[str, int] = {}  # as they stand in the memory
        if memory is not None:
            with suppress(OSError, ValueError, LookupError, TypeError):
                kept = json.loads(memory.read_text(encoding="ascii"))
                self._numbers = dict(kept["prefixes"])
                self.sandboxes |= set(kept["sandboxes"])

    def __len__(self) -> int:
        return len(self._by_id)

    def replace(self, prefixes: Iterable[Prefix]) -> None:
        """Take a whole new table."""
        self.is_known = True
        self._by_id = {prefix.prefix_id: prefix for prefix in prefixes}
        self._by_name = {prefix.name.upper().encode(): prefix for prefix in self._by_id.values()}
        self.sandboxes.clear()
        self.sandboxes |= {prefix.prefix_id for prefix in self._by_id.values() if prefix.is_sandbox}
        self._remember({prefix.name.upper(): prefix.prefix_id for prefix in self._by_id.values()})

    def _remember(self, numbers: dict[str, int]) -> None:
        if self._memory is None or numbers == self._numbers:
            return
        self._numbers = numbers
        with suppress(OSError):  # a full disk is no reason to stop
            replace_json(self._memory, json.dumps({"prefixes": numbers, "sandboxes": sorted(self.sandboxes)}))

    def recall(self, raw: bytes) -> int:
        """Whose identifier it was when the table was read last, maybe by another worker; 0: nobody's of ours."""
        name, slash, suffix = raw.partition(b"/")
        if slash and name.upper() == PREFIX_OF_PREFIXES:
            name = suffix
        return self._numbers.get(name.decode("ascii", "replace").upper(), 0)

    def choose_class(self, prefix_id: int, client_class: ClientClass) -> ClientClass:
        """Questions about sandboxes are a class of their own, whoever asks."""
        return ClientClass.SANDBOX if prefix_id in self.sandboxes else client_class

    def find_by_id(self, prefix_id: int) -> Prefix | None:
        return self._by_id.get(prefix_id)

    def find(self, name: bytes) -> Prefix | None:
        """By name as asked, in any case."""
        return self._by_name.get(name.upper())

    def make_key(self, prefix: Prefix, suffix_key: str) -> bytes | str:
        """What the cache keeps a record under: folded bytes, or text (never equal to them) where case counts."""
        if prefix.folds_case:
            return f"{prefix.name.upper()}/{suffix_key}".encode()
        return f"{prefix.name}/{suffix_key}"

    def locate(self, raw: bytes) -> Entry | Lookup:
        """What an identifier comes to: an answer that needs no database, or the question for it."""
        name, slash, suffix = raw.partition(b"/")
        if not slash:
            name, suffix = PREFIX_OF_PREFIXES, raw
        folded = name.upper()
        prefix = self._by_name.get(folded)
        about_prefix = self._answer_about(suffix) if folded == PREFIX_OF_PREFIXES else None
        if prefix is None:
            return about_prefix or self._answer_unknown(suffix.upper() if folded == PREFIX_OF_PREFIXES else folded)
        if prefix.state not in (ENABLED, TO_BE_DELETED):
            return _answer_stopped(prefix)
        if prefix.is_elsewhere:
            return make_fixed(Outcome.REFERRAL, prefix.prefix_id, site=prefix.site or b"")
        if prefix.folds_case:
            suffix = suffix.upper()
        try:
            text = suffix.decode()
        except UnicodeDecodeError:
            return about_prefix or make_fixed(Outcome.NOT_FOUND, prefix.prefix_id)
        if "\0" in text or "\n" in text:  # nothing like it is ever issued, and PostgreSQL knows no such text
            return about_prefix or make_fixed(Outcome.NOT_FOUND, prefix.prefix_id)
        if prefix.folds_case:
            return Lookup(b"%b/%b" % (folded, suffix), prefix, text, about_prefix)
        return Lookup(self.make_key(prefix, text), prefix, text, about_prefix)

    def _answer_about(self, name: bytes) -> Entry | None:
        """The record of a prefix: where its identifiers are answered. None if it is none of ours."""
        folded = name.upper()
        prefix = self._by_name.get(folded)
        if folded in self._own:  # whoever holds it, and whatever becomes of that
            return self._make_site_entry(prefix.prefix_id if prefix else 0, self._site, prefix.changed if prefix else 0)
        if prefix is None:
            return None
        if prefix.state not in (ENABLED, TO_BE_DELETED):
            return _answer_stopped(prefix)
        site = prefix.site if prefix.is_elsewhere and prefix.site else self._site
        return self._make_site_entry(prefix.prefix_id, site, prefix.changed)

    def _make_site_entry(self, prefix_id: int, site: bytes, changed: int) -> Entry:
        entry = make_fixed(Outcome.FOUND, prefix_id)
        entry.packed = pack_values(0, [Value(SITE_INDEX, "HS_SITE", site)])
        entry.changed = changed
        return entry

    def _answer_unknown(self, folded: bytes) -> Entry:
        entry = make_fixed(Outcome.NOT_FOUND, 0)
        # `0.NA/x` is a question about x, so whose it is depends on x; its own prefix 0.NA is nobody's.
        entry.is_foreign = folded not in self._own and not folded.startswith(self._below_own)
        return entry


def _answer_stopped(prefix: Prefix) -> Entry:
    """Stopped: says so. Never enabled: just not there."""
    note = "prefix_stopped" if prefix.state == STOPPED else ""
    entry = make_fixed(Outcome.NOT_FOUND, prefix.prefix_id, note=note)
    assert entry.verdict is Verdict.NOT_FOUND  # noqa: S101 (what every edge relies on)
    return entry
