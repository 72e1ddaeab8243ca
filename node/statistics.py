"""The figures people ask for, from the counters. Definitions: `define_counters`."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from asyncpg import Connection, Record

from node.store import statistics as store
from schemas.errors import InvalidInput
from schemas.industries import format_division, load_industries
from schemas.texts import format_message

GROUPINGS = tuple(store.QUERIES)
INDUSTRY_LEVELS = (1, 2, 3, 4)

# Counter → code of its definition in the texts.
DEFINITIONS = {
    "registered_new": "counter_registered_new",
    "range_minted": "counter_range_minted",
    "registered_total": "counter_registered_total",
    "registered_live": "counter_registered_live",
    "retired_total": "counter_retired_total",
    "resolutions": "counter_resolutions",
    "resolutions_ok": "counter_resolutions_ok",
    "resolutions_uncounted": "counter_resolutions_uncounted",
    "resolutions_foreign": "counter_resolutions_foreign",
    "enterprises_connected": "counter_enterprises_connected",
}


async def stats(
    conn: Connection,
    by: str,
    period: tuple[date | None, date],
    prefixes: Sequence[str] | None = None,
    industry_level: int = 4,
) -> list[dict[str, Any]]:
    """The counters of a period (first and last day; None: since the beginning), one dict per group, ready for JSON.

    Every dict has registered_new, range_minted (of these, members of ranges), registered_total, registered_live and
    retired_total (at the end of the period), resolutions, resolutions_ok, resolutions_uncounted (self, probe,
    sandbox: not in resolutions). Foreign prefixes are shown by day only, in columns of their own. Beside that, by

    - enterprise: one for each enterprise and prefix: enterprise_id, enterprise, certificate_code, prefix, unit_id,
      unit, division_code, area, industry; enterprise_id is null for prefixes that nobody owned on some day;
    - unit: unit_id, unit, division_code, area, enterprises_connected; the last, with null, is "not assigned";
    - area: division_code, area, enterprises_connected; the last, with null, is "not assigned";
    - industry: industry (as C/34/344/3441, down to `industry_level`), industry_name, enterprises_connected; as above;
    - template: template_id (null: none), version, prefix;
    - day: day, resolutions_foreign, resolutions_foreign_ok, enterprises_new, enterprises_connected.

    `prefixes` limits everything to these, as a tenant must be. InvalidInput for an unknown grouping or level.
    """
    if by not in GROUPINGS:
        raise InvalidInput("statistics_grouping_unknown", field="by", by=by[:40], groupings=", ".join(GROUPINGS))
    if industry_level not in INDUSTRY_LEVELS:
        raise InvalidInput("statistics_level_unknown", field="industry_level", level=industry_level)
    first, last = period
    if first is None:
        first = min(await store.find_first_day(conn) or last, last)
    if first > last:
        raise InvalidInput("statistics_period_reversed", field="from", first=first, last=last)
    prefix_ids = None if prefixes is None else await store.fetch_prefix_ids(conn, prefixes)
    rows = await store.fetch_sums(conn, by, (first, last), prefix_ids, industry_level)
    return [_format_row(row) for row in rows]


def _format_row(row: Record) -> dict[str, Any]:
    shown: dict[str, Any] = dict(row)
    if "day" in shown:
        shown["day"] = shown["day"].isoformat()
    if "division_code" in shown:
        code = shown["division_code"]
        shown["area"] = format_division(code) if code else None
    if "industry" in shown:
        codes = shown["industry"]
        shown["industry"] = "/".join(codes) if codes else None
        shown["industry_name"] = load_industries().get(codes[-1], ("", codes[-1]))[1] if codes else None
    return shown


async def totals(
    conn: Connection, period: tuple[date | None, date], prefixes: Sequence[str] | None = None
) -> dict[str, Any]:
    """The sum of a period: the keys of `stats` by day, with from and to instead of day."""
    days = await stats(conn, "day", period, prefixes)
    at_end = ("registered_total", "registered_live", "retired_total", "enterprises_connected")
    summed: dict[str, Any] = {"from": days[0]["day"], "to": days[-1]["day"]}
    for name in days[-1].keys() - {"day"}:
        summed[name] = days[-1][name] if name in at_end else sum(day[name] for day in days)
    return summed


def define_counters(language: str) -> list[dict[str, str]]:
    """What each counter counts, in `zh` or `en`: counter, definition."""
    return [{"counter": name, "definition": format_message(code, language)} for name, code in DEFINITIONS.items()]
