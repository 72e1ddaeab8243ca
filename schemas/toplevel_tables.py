"""The tables of TLN-1 (domain.md §f.1, §f.5): columns, limits, and the rules every row must keep.

Both sides judge with the same rules: we before we send, the rehearsal node when it receives. A problem is a code of
the contract and the column at fault; its sentence is in `schemas.texts.toplevel`. Unknown columns are allowed
("native extras"), as the contract says.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple
from uuid import UUID

from schemas.certificates import check_uscc
from schemas.days import get_day, get_working_day, list_months
from schemas.errors import InvalidInput
from schemas.templates import MAX_TEXT_CHARACTERS
from schemas.toplevel_envelope import encode_canonical

CURRENT = "current"  # the period of tables that say how things stand, such as enterprises and routes
MAX_SOURCES = 1_000
ENCODINGS = ("Handle", "OID", "DID:BID", "VAA", "Ecode", "GS1")
_PREFIX = re.compile(r"\d{1,3}(\.[0-9A-Za-z]{1,40}){1,12}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAMES = re.compile(r"[0-9A-Za-z.-]{1,253}", re.ASCII)


class Problem(NamedTuple):
    """A rule of the contract that a row or a message breaks."""

    code: str
    field: str


class Column(NamedTuple):
    """`kind` is a key of `_FORMS`, or a tuple of the texts and numbers that are allowed."""

    name: str
    kind: str | tuple[str | int, ...]
    required: bool = True
    longest: int = 255


Row = Mapping[str, Any]
Rule = Callable[[Row], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class Table:
    """How one table travels. `key` are the columns that tell its rows apart.

    The period of a `daily` one is a day, of a `monthly` one a month; the others say how things stand.
    """

    name: str
    method: Literal["POST", "PUT", "PATCH"]
    path: str
    limit: int  # rows a message
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    daily: bool = False
    monthly: bool = False
    below: bool = False  # the rows' `prefix` stands below the node's, not equal to it
    own: bool = False  # the rows' `prefix` is the node's
    lines: bool = False  # NDJSON instead of one document
    form: bool = False  # multipart: the document, and the file it names; of a month that is over


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) == 10 and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_month(value: object) -> bool:
    return isinstance(value, str) and len(value) == 7 and _is_day(f"{value}-01")


def _is_instant(value: object) -> bool:
    """With its zone, and of a day at UTC+8 that the calendar has."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at is not None and at.tzinfo is not None and bool(get_day(at))
    except (ValueError, OverflowError):
        return False


def _is_address(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(ip_address(value))
    except ValueError:
        return False


def _is_uscc(value: object) -> bool:
    try:
        return isinstance(value, str) and check_uscc(value) == value
    except InvalidInput:
        return False


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_milliseconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**9


def _is_handle(value: object) -> bool:
    prefix, slash, suffix = value.partition("/") if isinstance(value, str) else ("", "", "")
    return bool(slash and suffix and _PREFIX.fullmatch(prefix))


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 64 and bool(_PREFIX.fullmatch(value))


_FORMS: dict[str, Callable[[object], bool]] = {
    "text": _is_text,
    "count": _is_count,
    "milliseconds": _is_milliseconds,
    "port": lambda value: type(value) is int and 1 <= value <= 65_535,
    "day": _is_day,
    "month": _is_month,
    "instant": _is_instant,
    "address": _is_address,
    "host": lambda value: isinstance(value, str) and bool(_NAMES.fullmatch(value)),
    "uscc": _is_uscc,
    "uuid": _is_uuid,
    "prefix": _is_prefix,
    "prefixes": lambda value: isinstance(value, list) and all(map(_is_prefix, value)),
    "handle": _is_handle,
    "sha256": lambda value: isinstance(value, str) and bool(_SHA256.fullmatch(value)),
    "flag": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "objects": _is_objects,
    "texts": lambda value: isinstance(value, list) and all(isinstance(entry, str) for entry in value),
}


# Rules ----------------------------------------------------------------------------------------------------------


def _check_answers(row: Row) -> Iterator[Problem]:
    """Σ sources + others = all requests (domain.md appendix 3.3)."""
    if row["resolveOk"] > row["resolveReq"]:
        yield Problem("E501", "resolveOk")
    sources = row["sources"]
    if len(sources) > MAX_SOURCES:
        yield Problem("E511", "sources")
    counts = [source.get("count") for source in sources]
    if not all(_is_count(count) for count in counts) or not all(_is_text(source.get("ip")) for source in sources):
        yield Problem("E102", "sources")
    elif sum(counts) + row["othersCount"] != row["resolveReq"]:
        yield Problem("E502", "sources")


def _check_registrations(row: Row) -> Iterator[Problem]:
    if row["regTotal"] < row["regNew"]:
        yield Problem("E503", "regTotal")
    if row.get("rangeMinted", 0) > row["regNew"]:
        yield Problem("E503", "rangeMinted")


def _check_enterprises(row: Row) -> Iterator[Problem]:
    if row["entTotal"] < row["entNew"]:
        yield Problem("E504", "entTotal")


def _check_route(row: Row) -> Iterator[Problem]:
    if not any(row.get(protocol) for protocol in ("tcp", "udp", "http")):
        yield Problem("E513", "tcp")
    if not (row.get("ip") or row.get("domain")):
        yield Problem("E101", "ip")
    elif row.get("ip") and (ip_address(row["ip"]).version == 6) != (row["ipType"] == "v6"):
        yield Problem("E512", "ipType")


def _check_organisation(row: Row) -> Iterator[Problem]:
    if row["crtType"] == 1 and not _is_uscc(row["crtCode"]):
        yield Problem("E506", "crtCode")
    if not _is_text(row["orgAddr"].get("province")):
        yield Problem("E101", "orgAddr.province")
    if not _is_text(row["industry"].get("category")):
        yield Problem("E101", "industry.category")


def _check_verification(row: Row) -> Iterator[Problem]:
    """verify{method, result, at, by}: what the real-name check came to; when and by whom, once it was taken."""
    verify = row["verify"]
    if verify.get("result") not in ("none", "pending", "pass", "fail", "unavailable"):
        yield Problem("E508", "verify.result")
    for name, form in (("method", "text"), ("at", "instant"), ("by", "text")):
        if verify.get(name) is not None and not _FORMS[form](verify[name]):
            yield Problem("E102", f"verify.{name}")


def _check_items(row: Row) -> Iterator[Problem]:
    """Every item has a name, a kind and a length."""
    for item in row["items"]:
        if not (_is_text(item.get("en")) and _is_text(item.get("type")) and _is_count(item.get("length"))):
            yield Problem("E102", "items")
            return


def _check_range(row: Row) -> Iterator[Problem]:
    """A range is one row: first and last handle, and how many there are."""
    if ("handleLast" in row) != ("count" in row):
        yield Problem("E509", "handleLast")
    elif "count" in row and (not _is_handle(row["handleLast"]) or not _is_count(row["count"]) or not row["count"]):
        yield Problem("E509", "count")


def _check_recovery(row: Row) -> Iterator[Problem]:
    if row["type"] == "恢复" and not row.get("relatedEventId"):
        yield Problem("E101", "relatedEventId")


def _check_recursion(row: Row) -> Iterator[Problem]:
    """Address and port of the recursive node say where together."""
    for name, other in (("recursionIp", "recursionPort"), ("recursionPort", "recursionIp")):
        if row.get(name) is None and row.get(other) is not None:
            yield Problem("E101", name)


def _check_monitor(row: Row) -> Iterator[Problem]:
    """Figures and the times of their extremes come together or not at all; nothing measured is nothing said."""
    for group in _MONITOR_GROUPS:
        given = [name for name in group if row.get(name) is not None]
        if given and len(given) < len(group):
            yield Problem("E101", next(name for name in group if name not in given))
            continue
        if len(given) == 5 and not row[group[3]] <= row[group[0]] <= row[group[1]]:
            yield Problem("E515", group[0])
        times = [name for name in given if name.endswith("At")]
        for name in times:
            if get_day(datetime.fromisoformat(row[name])).isoformat() != row["day"]:
                yield Problem("E516", name)


REPORT_DUE = 10  # working days after the month
REPORTED_MONTHS = 6
MAX_REPORT_BYTES = 10 * 1024 * 1024
MAX_REPORT_TEXT = 4_000
REPORT_FIGURES = {"registerAvgMs", "resolveAvgMs", "effectiveHours"}
REPORT_TYPES = ("application/pdf", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")


def _check_service_level(row: Row) -> Iterator[Problem]:
    """Six months that end with the one reported, and their mean; what was not measured is left out."""
    months = [entry.get("month") for entry in row["sla"]]
    if months != list_months(row["month"], REPORTED_MONTHS):
        yield Problem("E517", "sla")
    figures = [entry[name] for entry in (*row["sla"], row["average"]) for name in REPORT_FIGURES & entry.keys()]
    if not all(map(_is_milliseconds, figures)):
        yield Problem("E102", "sla")


def _check_operating(row: Row) -> Iterator[Problem]:
    """Hours of service of the month beside how many it has; without hours nobody measured them."""
    for entry in row["operating"]:
        of, hours = entry.get("of"), entry.get("hours", 0)
        if not (_is_text(entry.get("service")) and _is_milliseconds(of) and _is_milliseconds(hours) and hours <= of):
            yield Problem("E518", "operating")
            return


def _check_works(row: Row) -> Iterator[Problem]:
    """Maintenance and emergencies: from, to, what. An empty list says that there were none."""
    for name in ("maintenance", "emergencies"):
        for entry in row.get(name) or ():
            span = [entry.get("from"), entry.get("to")]
            is_span = all(map(_is_instant, span)) and _read_instant(span[0]) <= _read_instant(span[1])
            if not (is_span and _is_text(entry.get("what")) and len(entry["what"]) <= MAX_REPORT_TEXT):
                yield Problem("E519", name)
                break


def _read_instant(value: object) -> datetime:
    return datetime.fromisoformat(str(value))


def _check_file(row: Row) -> Iterator[Problem]:
    """What the document beside it must be: a name, PDF or DOCX, its size and SHA-256."""
    named = row["file"]
    is_named = _is_text(named.get("name")) and named.get("type") in REPORT_TYPES
    if not (is_named and _is_count(named.get("size")) and _FORMS["sha256"](named.get("sha256"))):
        yield Problem("E520", "file")


# Columns --------------------------------------------------------------------------------------------------------

_ROUTE = (
    Column("prefix", "prefix"), Column("encodingType", ENCODINGS), Column("ipType", ("v4", "v6")),
    Column("ip", "address", False), Column("domain", "host", False), Column("tcp", "port", False),
    Column("udp", "port", False), Column("http", "port", False),
)  # fmt: skip
_ANSWERS = (
    Column("prefix", "prefix"), Column("day", "day"), Column("resolveReq", "count"), Column("resolveOk", "count"),
    Column("sources", "objects"), Column("othersCount", "count"),
)  # fmt: skip
_FIRM = (
    Column("orgName", "text"), Column("crtType", (1, 2)), Column("crtCode", "text", True, 32),
    Column("orgAddr", "object"), Column("industry", "object"), Column("orgNature", (1, 2, 3, 4, 5), False),
    Column("intro", "text", False, 1_024), Column("website", "text", False), Column("regAuthority", "text", False),
    Column("regCapital", "count", False), Column("establishDate", "day", False), Column("validTo", "day", False),
    Column("licences", "objects", False), Column("build", "object", False), Column("operate", "object", False),
    Column("systems", "objects", False), Column("dataHosting", "object", False),
    Column("serviceHosting", "object", False), Column("serveIndustries", "texts", False),
    Column("extSites", "objects", False), Column("realName", "object", False),
)  # fmt: skip
_TEMPLATE = (
    Column("handle", "handle"), Column("code", "text", True, 128), Column("version", "text", True, 128),
    Column("industry", "texts"), Column("activeCarrier", "flag"), Column("items", "objects"),
)  # fmt: skip
# What is said of goods and of terminals in T9; as long as the values of an identifier may be.
_GOODS = (
    "productType", "brand", "productName", "manufacturer", "productionTime", "expiry", "terminalType", "owner", "usage",
    "imei", "netLicenceNo", "netLicenceCode", "netLicenceSn",
)  # fmt: skip
_APPLICATION = (
    Column("name", "text"), Column("type", (1, 2, 3, 4, 5)), Column("intro", "text", False, 1_024),
    Column("users", "count", False), Column("recursion", "text", False), Column("developer", "text", False),
)  # fmt: skip
# Items 1 to 12 of M1 and M2: what belongs together stands together. A day without a request has no figures.
_MONITOR_GROUPS: tuple[tuple[str, ...], ...] = (
    ("resolveAvgMs", "resolveMaxMs", "resolveMaxAt", "resolveMinMs", "resolveMinAt"),
    ("maxQps", "maxQpsAt"),
    ("registerAvgMs", "registerMaxMs", "registerMaxAt", "registerMinMs", "registerMinAt"),
)
MONITOR_ITEMS = tuple(name for group in _MONITOR_GROUPS for name in group)


def _choose_form(name: str) -> str:
    return "instant" if name.endswith("At") else "milliseconds" if name.endswith("Ms") else "count"


_MONITOR = (
    Column("prefix", "prefix"), Column("day", "day"),
    *(Column(name, _choose_form(name), False) for name in MONITOR_ITEMS),
)  # fmt: skip

_VERIFIED = (
    Column("verify", "object"), Column("prefixes", "prefixes"), Column("connectedAt", "day", False),
    Column("town", "text", False), Column("namingCompliance", "flag", False),
)  # fmt: skip

# What every message and every heartbeat says beside what tells it apart.
ENVELOPE = (Column("batchId", "uuid"), Column("watermark", "count", False))
HEARTBEAT = (
    Column("version", "text"), Column("uptimeSec", "count"), Column("queueDepth", "count"),
    Column("lastClosedDay", "day", False), Column("clockMs", "count"), Column("routesHash", "text"),
    Column("health", "text"),
)  # fmt: skip

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("T1", "PUT", "/entities/self", 1, ("crtCode",),
              (*_FIRM, Column("contact", "object"), Column("legal", "object"), Column("namingCompliance", "flag"),
               Column("crtPhotoIds", "texts", False)), (_check_organisation,)),
        Table("T2", "PUT", "/routes/self", 50, ("prefix", "encodingType", "ipType", "ip"), _ROUTE, (_check_route,)),
        Table("T3", "POST", "/stats/node", 1, ("prefix",),
              (*_ANSWERS, Column("entNew", "count"), Column("entTotal", "count")),
              (_check_answers, _check_enterprises), daily=True, own=True),
        Table("T4", "POST", "/metadata/node", 500, ("handle",), _TEMPLATE, (_check_items,)),
        Table("T5", "POST", "/apps/node", 1_000, ("name",), _APPLICATION, monthly=True),
        Table("T6", "POST", "/entities/enterprises", 500, ("crtCode",), (*_FIRM, *_VERIFIED),
              (_check_organisation, _check_verification)),
        Table("T6H", "POST", "/entities/enterprises", 500, ("crtCode",),
              (Column("crtCode", "text", True, 32), Column("sha256", "sha256"))),
        Table("T7", "POST", "/routes/enterprises", 1_000, ("prefix", "encodingType", "ipType", "ip"), _ROUTE,
              (_check_route,), below=True),
        Table("T8", "POST", "/stats/enterprises", 2_000, ("prefix",),
              (*_ANSWERS, Column("regNew", "count"), Column("regTotal", "count"), Column("liveTotal", "count", False),
               Column("rangeMinted", "count", False), Column("resolveSuspect", "count", False)),
              (_check_answers, _check_registrations), daily=True, below=True),
        Table("T9", "POST", "/master", 50_000, ("handle", "op"),
              (Column("handle", "handle", True, 600), Column("created", "day"), Column("metadata", "handle", False),
               Column("op", (1, 2, 3)), *(Column(name, "text", False, MAX_TEXT_CHARACTERS) for name in _GOODS)),
              (_check_range,), daily=True, lines=True),
        Table("T10", "POST", "/apps/enterprises", 1_000, ("prefix", "name"),
              (Column("prefix", "prefix"), *_APPLICATION, Column("recursionIp", "address", False),
               Column("recursionPort", "port", False)), (_check_recursion,), monthly=True, below=True),
        Table("T11", "POST", "/metadata/enterprises", 500, ("handle",), _TEMPLATE, (_check_items,)),
        Table("M1", "POST", "/monitor/daily", 1, ("prefix",), _MONITOR, (_check_monitor,), daily=True, own=True),
        Table("M2", "POST", "/monitor/daily", 2_000, ("prefix",), _MONITOR, (_check_monitor,), daily=True,
              below=True),
        Table("M3", "POST", "/monitor/events", 1, ("eventId",),
              (Column("eventId", "text", True, 64), Column("type", ("异常", "恢复")), Column("at", "instant"),
               Column("class", (1, 2, 3, 4)), Column("cause", "text", False), Column("item", "text", False),
               Column("relatedEventId", "text", False, 64)),
              (_check_recovery,), daily=True),
        Table("MR", "POST", "/reports/monthly", 1, ("month",),
              (Column("month", "month"), Column("sla", "objects"), Column("average", "object"),
               Column("operating", "objects"), Column("maintenance", "objects", False),
               Column("emergencies", "objects", False), Column("remarks", "text", False, MAX_REPORT_TEXT),
               Column("file", "object")),
              (_check_service_level, _check_operating, _check_works, _check_file), monthly=True, form=True),
        Table("PREFIXES", "POST", "/prefixes", 100, ("prefix",),
              (Column("prefix", "prefix"), Column("uscc", "text", True, 32), Column("encodingType", ENCODINGS),
               Column("formerUsccs", "texts", False)),
              below=True),
        Table("STATE", "PATCH", "/prefixes/{prefix}", 1, ("prefix",),
              (Column("prefix", "prefix"), Column("state", (0, 1, 2)), Column("reason", "text", False)), below=True),
    )
}  # fmt: skip


# Judging --------------------------------------------------------------------------------------------------------


def judge_row(table: Table, row: object, shr_prefix: str, period: str) -> list[Problem]:
    """What is wrong with one row; forms first, and only rows of good form are judged by the rules."""
    if not isinstance(row, dict):
        return [Problem("E102", "row")]
    problems = judge_columns(table.columns, row)
    if problems:
        return problems
    problems = [problem for rule in table.rules for problem in rule(row)]
    prefix = row.get("prefix") or (row["handle"].partition("/")[0] if "handle" in row else "")
    if prefix and not (prefix.startswith(f"{shr_prefix}.") or (prefix == shr_prefix and not table.below)):
        problems.append(Problem("E302", "prefix"))
    elif table.own and prefix != shr_prefix:
        problems.append(Problem("E303", "prefix"))
    for name, is_of in (("day", table.daily), ("month", table.monthly)):
        if is_of and name in row and row[name] != period:
            problems.append(Problem("E505", name))
    return problems


def judge_columns(columns: Iterable[Column], row: Row) -> list[Problem]:
    return [problem for column in columns if (problem := _judge_column(column, row))]


def _judge_column(column: Column, row: Row) -> Problem | None:
    value = row.get(column.name)
    if value is None:
        return Problem("E101", column.name) if column.required else None
    if isinstance(column.kind, tuple):
        return None if type(value) in (str, int) and value in column.kind else Problem("E102", column.name)
    if not _FORMS[column.kind](value):
        return Problem("E102", column.name)
    return Problem("E103", column.name) if isinstance(value, str) and len(value) > column.longest else None


def judge_rows(table: Table, rows: Sequence[object], shr_prefix: str, period: str) -> list[tuple[int, Problem]]:
    """(number of the row from 0, problem) for all rows; a second row of the same key is E109."""
    found: list[tuple[int, Problem]] = []
    seen: set[str] = set()
    for number, row in enumerate(rows):
        problems = judge_row(table, row, shr_prefix, period)
        if not problems and isinstance(row, dict):
            key = format_row_key(table, row)
            problems = [Problem("E109", table.key[0])] if key in seen else []
            seen.add(key)
        found += ((number, problem) for problem in problems)
    return found


def judge_period(table: Table, period: object, today: date) -> Problem | None:
    """Daily tables have a day that has begun, monthly ones such a month, or one that is over; others say `current`."""
    if table.monthly:
        if not _is_month(period):
            return Problem("E107", "period")
        running = today.isoformat()[:7]
        return Problem("E514", "period") if str(period) > running or (table.form and period == running) else None
    if not table.daily:
        return None if period == CURRENT else Problem("E107", "period")
    if not _is_day(period):
        return Problem("E107", "period")
    return Problem("E514", "period") if date.fromisoformat(str(period)) > today else None


def format_row_key(table: Table, row: Row) -> str:
    """What tells the row apart within its table and period."""
    return "|".join(str(row.get(name, "")) for name in table.key)


def find_overdue_month(today: date) -> str:
    """The last month whose report must be there."""
    before, last = list_months(today.isoformat()[:7], 3)[:2]
    return last if today > get_working_day(last, REPORT_DUE) else before


# Reconciliation -------------------------------------------------------------------------------------------------

# What is summed beside the count of rows, where there is anything to sum.
SUMMED = {"T3": "resolveReq", "T8": "resolveReq", "T9": "count"}


class Reconciled(NamedTuple):
    """How many rows one side has for a period, the sum of their main figure, and the Merkle root over them."""

    rows: int
    sum: int
    root: str


class Tally:
    """Reconciles a table piece by piece: of each row its hash alone is kept. Order plays no part."""

    def __init__(self, table_name: str) -> None:
        self._summed = SUMMED.get(table_name)
        self._sum, self._hashes = 0, array("B")

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._sum += row.get(self._summed, 1) if self._summed else 0
            self._hashes.frombytes(_hash_leaf(encode_canonical(row)))

    def finish(self) -> Reconciled:
        hashes = self._hashes.tobytes()
        leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
        return Reconciled(len(leaves), self._sum, _make_root(leaves))


def reconcile(table_name: str, rows: Iterable[Row]) -> Reconciled:
    tally = Tally(table_name)
    tally.add(rows)
    return tally.finish()


def _hash_leaf(leaf: bytes) -> bytes:
    return sha256(b"\0" + leaf).digest()


def _make_root(hashes: Iterable[bytes]) -> str:
    """SHA-256 tree as of RFC 9162 §2.1.1 over the sorted leaf hashes, as hexadecimal digits."""
    level = sorted(hashes)
    if not level:
        return sha256(b"").hexdigest()
    while len(level) > 1:
        pairs = [sha256(b"\1" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0].hex()
