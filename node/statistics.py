"""The figures people ask for, from the running totals of the counters. Definitions: `node.definitions`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from asyncpg import Connection, Record

from node.definitions import RECENT_DAYS
from node.standing import DECISIONS, Enterprise, count_connected, make_enterprises
from node.store import statistics as store
from node.store.statistics import MEASURES, Bounds
from schemas.errors import InvalidInput
from schemas.industries import format_division, format_industry
from schemas.templates import STAGES

LEVELS = {"area": (1, 2, 3), "industry": (1, 2, 3, 4)}  # the last is what is shown if none is named
GROUPINGS = ("enterprise", "unit", "area", "industry", "tag", "template", "stage", "day")
ENTERPRISE_MEASURES = (
    "enterprises_connected",
    "enterprises_with_identifiers",
    "enterprises_active",
    "enterprises_suspended",
    "enterprises_departed",
)
# Figures of the end of a period; all others are sums over its days.
AT_END = frozenset(("registered_total", "registered_live", "retired_total", *ENTERPRISE_MEASURES))


@dataclass(frozen=True, slots=True)
class Limits:
    """Whose figures: all if nothing is set. A division, and an industry such as C/34, stand for all below them, too."""

    prefixes: Sequence[str] | None = None
    enterprise_id: int | None = None
    division_code: str = ""
    unit_id: int | None = None
    industry: str = ""


EVERYTHING = Limits()
EARLIEST, LATEST = date(1900, 1, 1), date(2999, 12, 31)  # of days that figures are asked for


async def stats(
    conn: Connection,
    by: str,
    period: tuple[date | None, date],
    limits: Limits = EVERYTHING,
    level: int | None = None,
) -> list[dict[str, Any]]:
    """The counters of a period (first and last day; None: since the beginning), one dict per group, ready for JSON.

    Every dict has registered_new, range_minted (of these, members of ranges), registered_total, registered_live and
    retired_total (at the end of the period), resolutions, resolutions_ok, resolutions_uncounted (self and probe:
    not in resolutions). Foreign prefixes are shown by day only, in columns of their own. Beside that, by

    - enterprise: one for each enterprise and prefix: enterprise_id, enterprise, certificate_code, prefix, unit_id,
      unit, division_code, area, industry, connected_on, standing (connected, suspended, departed or null);
      enterprise_id is null for prefixes that nobody owned on some day;
    - unit: unit_id, unit, division_code, area, ENTERPRISE_MEASURES; the last, with null, is "not assigned";
    - area: division_code, area, ENTERPRISE_MEASURES; level 1 to 3: province, city, county; last as above;
    - industry: industry (as C/34/344/3441), industry_name, ENTERPRISE_MEASURES; level 1 to 4; last as above;
    - tag: kind, tag, ENTERPRISE_MEASURES; enterprises with several tags stand under each, the last have none;
    - template: template_id (null: none), version, stage, prefix;
    - stage: stage (null: without a template), templates;
    - day: day, resolutions_foreign, resolutions_foreign_ok, enterprises_new, enterprises_connected.

    Enterprises stand as on the last day. Raises InvalidInput for an unknown grouping, level or a reversed period.
    """
    _check_grouping(by, level)
    bounds = await _find_bounds(conn, limits)
    found = await _find_period(conn, period)
    if by in ("template", "stage"):
        return await _list_templates(conn, by, found, bounds)
    return await _list_rows(conn, await read_figures(conn, found, bounds), by, found, level)


async def stats_and_totals(
    conn: Connection,
    by: str,
    period: tuple[date | None, date],
    limits: Limits = EVERYTHING,
    level: int | None = None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What `stats` says, and of `totals` what can be compared with its columns, in one reading."""
    _check_grouping(by, level)
    bounds = await _find_bounds(conn, limits)
    found = await _find_period(conn, period)
    if by in ("template", "stage"):
        return await _list_templates(conn, by, found, bounds), _sum_shares(await _fetch_shares(conn, found, bounds))
    figures = await read_figures(conn, found, bounds)
    return await _list_rows(conn, figures, by, found, level), await _sum_figures(conn, figures, found)


async def totals(conn: Connection, period: tuple[date | None, date], limits: Limits = EVERYTHING) -> dict[str, Any]:
    """The figures of a period: from, to, the measures, ENTERPRISE_MEASURES, enterprises_new, and the resolutions of
    foreign prefixes where nothing is limited."""
    bounds = await _find_bounds(conn, limits)
    found = await _find_period(conn, period)
    return await _sum_figures(conn, await read_figures(conn, found, bounds), found)


async def _sum_figures(conn: Connection, figures: "Figures", period: tuple[date, date]) -> dict[str, Any]:
    summed: dict[str, Any] = {"from": period[0].isoformat(), "to": period[1].isoformat()}
    foreign = await _fetch_foreign(conn, period, figures.bounds)
    changes = count_connected(figures.members.values(), period)
    return {
        **summed,
        **_sum_shares(figures.shares),
        "resolutions_foreign": sum(row["resolutions"] for row in foreign.values()),
        "resolutions_foreign_ok": sum(row["resolutions_ok"] for row in foreign.values()),
        "enterprises_new": sum(new for _, new in changes.values()),
        **_sum_counts(figures.counts.values()),
    }


def _check_grouping(by: str, level: int | None) -> None:
    if by not in GROUPINGS:
        raise InvalidInput("statistics_grouping_unknown", field="by", by=by[:40], groupings=", ".join(GROUPINGS))
    if level is not None and level not in LEVELS.get(by, (level,)):
        raise InvalidInput("statistics_level_unknown", field="level", level=level, levels=LEVELS[by][-1])


async def _list_rows(
    conn: Connection, figures: "Figures", by: str, period: tuple[date, date], level: int | None
) -> list[dict[str, Any]]:
    if by == "day":
        return await _list_days(conn, figures, period)
    if by == "enterprise":
        return _list_enterprises(figures)
    return await _list_groups(conn, figures, by, level or LEVELS.get(by, (0,))[-1])


async def _list_templates(conn: Connection, by: str, period: tuple[date, date], bounds: Bounds) -> list[dict[str, Any]]:
    if by == "stage":
        return _list_stages(await store.fetch_stages(conn, period, bounds))
    return [dict(row) for row in await store.fetch_templates(conn, period, bounds)]


async def _find_bounds(conn: Connection, limits: Limits) -> Bounds:
    prefix_ids = None if limits.prefixes is None else await store.fetch_prefix_ids(conn, limits.prefixes)
    if limits.enterprise_id is not None:  # nothing else can be its own; it makes the statements short
        owned = await store.fetch_owned_ids(conn, limits.enterprise_id)
        prefix_ids = owned if prefix_ids is None else sorted({*owned} & {*prefix_ids})
    head = limits.division_code
    while head.endswith("00"):  # 321300 is a city: what lies below it begins with 3213
        head = head[:-2]
    industry = limits.industry.split("/") if limits.industry else None
    return Bounds(prefix_ids, limits.enterprise_id, head or None, limits.unit_id, industry)


def check_day(day: date, field: str) -> date:
    """Raise InvalidInput for a day at the ends of the calendar, which the database takes for infinity."""
    if not EARLIEST <= day <= LATEST:
        raise InvalidInput("statistics_day_out_of_bounds", field=field, day=day, earliest=EARLIEST, latest=LATEST)
    return day


async def _find_period(conn: Connection, period: tuple[date | None, date]) -> tuple[date, date]:
    """With the first day with figures instead of None."""
    first, last = period
    check_day(last, "to")
    first = min(await store.find_first_day(conn) or last, last) if first is None else check_day(first, "from")
    if first > last:
        raise InvalidInput("statistics_period_reversed", field="from", first=first, last=last)
    return first, last


# Whose the figures are ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a period, cut by whom they belong to.

    rows: all enterprises; within: those within the bounds; members: of these, the ones with a social credit code;
    counts: how each member counts, in the order of ENTERPRISE_MEASURES.
    """

    last: date
    shares: list[Record]
    rows: dict[int, Record]
    within: set[int]
    members: dict[int, Enterprise]
    counts: dict[int, tuple[int, ...]]
    ownerships: list[Record]
    units: dict[int, Record]
    prefixes: dict[int, str]
    bounds: Bounds


async def read_figures(conn: Connection, period: tuple[date, date], bounds: Bounds) -> Figures:
    """A few statements, none of which depends on the number of days."""
    last = period[1]
    shares = await _fetch_shares(conn, period, bounds)
    rows = {row["enterprise_id"]: row for row in await store.fetch_enterprises(conn, last)}
    ownerships = await store.fetch_ownerships(conn, bounds.prefix_ids)
    decisions = await store.fetch_state_decisions(conn, DECISIONS)
    units = {row["unit_id"]: row for row in await store.fetch_units(conn)}
    within = {key for key, row in rows.items() if _is_within(row, bounds)}
    known = make_enterprises(rows.values(), ownerships, decisions)
    members = {key: one for key, one in known.items() if key in within}
    moved = members.keys() & await store.fetch_outside(conn, bounds)
    own = [one["prefix_id"] for one in ownerships if one["enterprise_id"] in moved]
    # What a firm registered before it came to this place is not the place's, but the firm has registered something.
    elsewhere = await _fetch_shares(conn, period, Bounds(own, bounds.enterprise_id)) if own else []
    counts = _count_members(members, shares + elsewhere, last)
    prefixes = await store.fetch_prefix_names(conn)
    return Figures(last, shares, rows, within, members, counts, ownerships, units, prefixes, bounds)


async def _fetch_shares(conn: Connection, period: tuple[date, date], bounds: Bounds) -> list[Record]:
    return await store.fetch_shares(conn, period, bounds, period[1] - timedelta(days=RECENT_DAYS - 1))


def _is_within(row: Record, bounds: Bounds) -> bool:
    """Whether an enterprise stands within the bounds on the last day."""
    return (
        (bounds.enterprise_id is None or row["enterprise_id"] == bounds.enterprise_id)
        and (bounds.division_head is None or (row["division_code"] or "").startswith(bounds.division_head))
        and (bounds.unit_id is None or row["unit_id"] == bounds.unit_id)
        and (bounds.industry is None or (row["industry"] or [])[: len(bounds.industry)] == bounds.industry)
    )


def _count_members(members: dict[int, Enterprise], shares: list[Record], last: date) -> dict[int, tuple[int, ...]]:
    registered = {share["enterprise_id"] for share in shares if share["registered_total"] > 0}
    active = {share["enterprise_id"] for share in shares if share["resolutions_recent"] > 0}
    counts: dict[int, tuple[int, ...]] = {}
    for key, member in members.items():
        standing = member.stand(last)
        connected = standing == "connected"
        counts[key] = (
            int(connected),
            int(connected and key in registered),
            int(connected and key in active),
            int(standing == "suspended"),
            int(standing == "departed"),
        )
    return counts


def _sum_shares(shares: Iterable[Record]) -> dict[str, int]:
    sums = dict.fromkeys(MEASURES, 0)
    for share in shares:
        for name in MEASURES:
            sums[name] += share[name]
    return sums


def _sum_counts(counts: Iterable[tuple[int, ...]]) -> dict[str, int]:
    summed = [sum(column) for column in zip(*counts, strict=True)] or [0] * len(ENTERPRISE_MEASURES)
    return dict(zip(ENTERPRISE_MEASURES, summed, strict=True))


def _list_enterprises(figures: Figures) -> list[dict[str, Any]]:
    shares: dict[tuple[int | None, int], list[Record]] = {
        (own["enterprise_id"], own["prefix_id"]): []
        for own in figures.ownerships
        if own["enterprise_id"] in figures.within and own["from_day"] <= figures.last
    }
    for share in figures.shares:
        if share["enterprise_id"] is None and not any(share[name] for name in MEASURES):
            continue  # nobody's, and nothing of the period
        shares.setdefault((share["enterprise_id"], share["prefix_id"]), []).append(share)
    rows = []
    for (enterprise_id, prefix_id), own_shares in shares.items():
        row: Any = None if enterprise_id is None else figures.rows[enterprise_id]
        member = None if enterprise_id is None else figures.members.get(enterprise_id)
        connected_on = row and row["connected_on"]
        rows.append(
            {
                "enterprise_id": enterprise_id,
                "enterprise": row and row["name"],
                "certificate_code": row and row["certificate_code"],
                "prefix": figures.prefixes[prefix_id],
                **_show_unit(figures, row and row["unit_id"]),
                **_show_area(row and row["division_code"]),
                **_show_industry(row and row["industry"]),
                "connected_on": connected_on and connected_on.isoformat(),
                "standing": member and member.stand(figures.last),
                **_sum_shares(own_shares),
            }
        )
    return sorted(rows, key=lambda r: (r["enterprise_id"] is None, r["enterprise_id"] or 0, r["prefix"]))


# By what an enterprise belongs to -------------------------------------------------------------------------------


def _show_unit(figures: Figures, unit_id: int | None) -> dict[str, Any]:
    return {"unit_id": unit_id, "unit": None if unit_id is None else figures.units[unit_id]["name"]}


def _show_area(code: str | None) -> dict[str, Any]:
    return {"division_code": code, "area": format_division(code) if code else None}


def _show_industry(codes: Sequence[str] | None) -> dict[str, Any]:
    if not codes:
        return {"industry": None, "industry_name": None}
    path = "/".join(codes)
    return {"industry": path, "industry_name": format_industry(path)}


def cut_division(code: str | None, level: int) -> str | None:
    """The province (1), city (2) or county (3) that a division lies in."""
    return code and code[: 2 * level].ljust(6, "0")


# What of a share or of an enterprise's row names its group.
_KEYS: dict[str, Callable[[Record, int], Any]] = {
    "unit": lambda row, level: row["unit_id"],
    "area": lambda row, level: cut_division(row["division_code"], level),
    "industry": lambda row, level: tuple(row["industry"][:level]) if row["industry"] else None,
}


async def _list_groups(conn: Connection, figures: Figures, by: str, level: int) -> list[dict[str, Any]]:
    """Each share to its group of that day, each enterprise to its group of the last day."""
    shares: dict[Any, list[Record]] = {None: []}
    counts: dict[Any, list[tuple[int, ...]]] = {}
    if by == "tag":
        tags: dict[int | None, list[Any]] = {}
        for kind, name, enterprise_id in await store.fetch_tags(conn):
            tags.setdefault(enterprise_id, []).append((kind, name))
        share_keys = [tags.get(share["enterprise_id"], [None]) for share in figures.shares]
        member_keys = {key: tags.get(key, [None]) for key in figures.members}
    else:
        find = _KEYS[by]
        share_keys = [[find(share, level)] for share in figures.shares]
        member_keys = {key: [find(figures.rows[key], level)] for key in figures.members}
    if by == "unit":
        shares |= {unit_id: [] for unit_id, unit in figures.units.items() if _covers(figures.bounds, unit)}
    for share, keys in zip(figures.shares, share_keys, strict=True):
        for key in keys:
            shares.setdefault(key, []).append(share)
    for enterprise_id, keys in member_keys.items():
        for key in keys:
            shares.setdefault(key, [])
            counts.setdefault(key, []).append(figures.counts[enterprise_id])
    return [
        _name_group(figures, by, key) | _sum_counts(counts.get(key, [])) | _sum_shares(shares[key])
        for key in sorted(shares, key=lambda key: (key is None, key or 0))
    ]


def _covers(bounds: Bounds, unit: Record) -> bool:
    """Whether a unit is listed though it has no figures."""
    if bounds.enterprise_id is not None or bounds.industry is not None:
        return False
    if bounds.unit_id is not None and bounds.unit_id != unit["unit_id"]:
        return False
    code: str = unit["division_code"]
    return bounds.division_head is None or code.startswith(bounds.division_head)


def _name_group(figures: Figures, by: str, key: Any) -> dict[str, Any]:
    if by == "unit":
        code = None if key is None else figures.units[key]["division_code"]
        return _show_unit(figures, key) | _show_area(code)
    if by == "area":
        return _show_area(key)
    if by == "industry":
        return _show_industry(key)
    return {"kind": key and key[0], "tag": key and key[1]}


def _list_stages(rows: list[Record]) -> list[dict[str, Any]]:
    """All stages in their order, the last row is what has no template."""
    found = {row["stage"]: dict(row) for row in rows}
    empty = {"templates": 0, **dict.fromkeys(MEASURES, 0)}
    return [found.get(stage, {"stage": stage} | empty) for stage in (*STAGES, None)]


# By day ---------------------------------------------------------------------------------------------------------


async def _list_days(conn: Connection, figures: Figures, period: tuple[date, date]) -> list[dict[str, Any]]:
    first, last = period
    bounds = figures.bounds
    most = 2 * len(figures.within) > len(figures.rows)
    added = await store.fetch_days_added(conn, period, bounds, most)
    foreign = await _fetch_foreign(conn, period, bounds)
    changes = count_connected(figures.members.values(), period)
    at_end = _sum_shares(figures.shares)
    registered = at_end["registered_total"] - sum(row["registered"] for row in added.values())
    gone = at_end["retired_total"] - sum(row["gone"] for row in added.values())
    connected, rows = 0, []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        own, away = added.get(day, _NOTHING), foreign.get(day, _NOTHING)
        registered, gone = registered + own["registered"], gone + own["gone"]
        more, new = changes.get(day, (0, 0))
        connected += more
        rows.append(
            {
                "day": day.isoformat(),
                "registered_new": own["registered"],
                "range_minted": own["range_minted"],
                "registered_total": registered,
                "registered_live": registered - gone,
                "retired_total": gone,
                "resolutions": own["resolutions"],
                "resolutions_ok": own["resolutions_ok"],
                "resolutions_uncounted": own["uncounted"],
                "resolutions_foreign": away["resolutions"],
                "resolutions_foreign_ok": away["resolutions_ok"],
                "enterprises_new": new,
                "enterprises_connected": connected,
            }
        )
    return rows


_NOTHING: Any = dict.fromkeys(("registered", "range_minted", "gone", "resolutions", "resolutions_ok", "uncounted"), 0)


async def _fetch_foreign(conn: Connection, period: tuple[date, date], bounds: Bounds) -> dict[date, Record]:
    """Foreign prefixes are the node's as a whole, nobody's in particular."""
    return await store.fetch_foreign_days(conn, period) if bounds.are_none else {}
