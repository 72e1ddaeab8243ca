"""Wrong keys in the audit trail, at every interface: the first of a minute at once, the others as a count after it.

Whoever tries thousands of keys fills a few lines a minute, not the trail.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from registry.keys import is_access_key
from registry.sign_in import Connect, group_address
from registry.store import DATABASE_AWAY
from registry.store.audit import AuditEntry, append_audit
from registry.tokens import is_token
from schemas.errors import ServiceError, Unavailable

MINUTE = timedelta(minutes=1)
MAX_LINES = 50  # of one minute and process; whatever is beyond shares one more
OTHERS = "others"

Tried = tuple[str, str, str, str]  # interface, name, address, code


@dataclass(slots=True)
class Refusals:
    """What one process has refused in the present minute; only a killed one takes a count with it."""

    began: datetime | None = None
    counts: dict[Tried, int] = field(default_factory=dict)

    async def note(self, connect: Connect, at: datetime, tried: Tried) -> None:
        """Whatever is due goes into the trail; without a database it stays out and the refusal stands."""
        await _write(connect, self.count(at, tried))

    async def flush(self, connect: Connect, at: datetime, *, ending: bool = False) -> None:
        """Write the sums of a minute that is over, though nobody tries any more; with the process, of any."""
        await _write(connect, self.close(at) if ending else self.close_minute(at))

    def count(self, at: datetime, tried: Tried) -> list[AuditEntry]:
        """The entries to write now: sums of the minute that is over, and this one if it is the first of its kind."""
        due = self.close_minute(at)
        if tried not in self.counts and len(self.counts) >= MAX_LINES:
            tried = (OTHERS, OTHERS, "", tried[3])
        self.counts[tried] = self.counts.get(tried, 0) + 1
        if self.counts[tried] == 1:
            due.append(_make_entry(at, tried, ""))
        return due

    def close_minute(self, at: datetime) -> list[AuditEntry]:
        """The sums of the minute before, once it is over."""
        if self.began is not None and self.began <= at < self.began + MINUTE:
            return []
        return self.close(at)

    def close(self, at: datetime) -> list[AuditEntry]:
        """The sums so far; another minute begins."""
        more = [(tried, count - 1) for tried, count in self.counts.items() if count > 1]
        since = self.began
        self.began, self.counts = at, {}
        return [_make_entry(at, tried, f"{count} more in the minute from {since:%H:%M:%S}Z") for tried, count in more]


async def _write(connect: Connect, due: list[AuditEntry]) -> None:
    if due:
        with suppress(Unavailable, *DATABASE_AWAY):
            async with connect() as conn:
                for entry in due:
                    await append_audit(conn, entry)


def _make_entry(at: datetime, tried: Tried, reason: str) -> AuditEntry:
    interface, name, address, code = tried
    return AuditEntry(at, "anonymous", address, f"refused {interface}", f"key:{name}", code, reason)


def name_tried(interface: str, bearer: str, address: str, error: ServiceError) -> Tried:
    """What is noted of credentials that were refused: never a secret, and no text that is not the name of a key."""
    key = bearer.rpartition(" ")[2].partition(".")[0]
    name = key if is_access_key(key) else "token" if is_token(bearer) else "malformed"
    return interface, name, group_address(address), error.code
