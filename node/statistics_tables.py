"""Any statistics as a table that explains itself: period, time of the figures, seal, definitions, sums and their check.

Pages, exports and reports use `read_table`; `node.statistics_files` makes files of what it returns.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from asyncpg import Connection

from node.closing import find_status
from node.definitions import DEFINITIONS, define_counters, name_column
from node.statistics import AT_END, ENTERPRISE_MEASURES, EVERYTHING, Limits, stats_and_totals
from node.store.statistics import MEASURES, fetch_names
from schemas.industries import format_division, format_industry

# What names the groups, in order; the figures follow.
GROUP_COLUMNS: dict[str, tuple[str, ...]] = {
    "enterprise": (
        "enterprise_id", "enterprise", "certificate_code", "prefix", "unit_id", "unit", "division_code", "area",
        "industry", "industry_name", "connected_on", "standing",
    ),
    "unit": ("unit_id", "unit", "division_code", "area"),
    "area": ("division_code", "area"),
    "industry": ("industry", "industry_name"),
    "tag": ("kind", "tag"),
    "template": ("template_id", "version", "stage", "prefix"),
    "stage": ("stage",),
    "day": ("day",),
}  # fmt: skip
_MORE_FIGURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("unit", "area", "industry", "tag"), ENTERPRISE_MEASURES),
    "stage": ("templates",),
    "day": ("enterprises_new", "enterprises_connected"),
}
_FOREIGN = ("resolutions_foreign", "resolutions_foreign_ok")  # by day, of the node as a whole: nobody's in particular


@dataclass(frozen=True, slots=True)
class Question:
    """What a table answers: the figures of a period (None: since the beginning), grouped and limited."""

    by: str
    first: date | None
    last: date
    limits: Limits = EVERYTHING
    level: int | None = None

    @property
    def figure_columns(self) -> tuple[str, ...]:
        foreign = _FOREIGN if self.by == "day" and self.limits == EVERYTHING else ()
        return (*_MORE_FIGURES.get(self.by, ()), *MEASURES, *foreign)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by column name; `sums` of the figures; `differing`: figures whose sum is not the node's (None: enterprises
    stand in several rows, so nothing can be compared)."""

    question: Question
    as_of: datetime
    status: dict[str, Any]
    rows: list[dict[str, Any]]
    sums: dict[str, int]
    differing: list[str] | None
    limits_text: str = ""  # what the figures are limited to, as codes and names

    @property
    def columns(self) -> tuple[str, ...]:
        by = self.question.by
        return (*GROUP_COLUMNS[by], *self.figure_columns)

    @property
    def figure_columns(self) -> tuple[str, ...]:
        return self.question.figure_columns

    def format(self, language: str) -> dict[str, Any]:
        """Ready for JSON."""
        used = [one for one in define_counters(language) if one["counter"] in self.figure_columns]
        return {
            "by": self.question.by,
            "level": self.question.level,
            "from": self.question.first and self.question.first.isoformat(),
            "to": self.question.last.isoformat(),
            "as_of": self.as_of.isoformat(timespec="seconds"),
            "limited_to": self.limits_text,
            **self.status,
            "columns": [
                {
                    "column": column,
                    "name": name_column(column, language),
                    "definition": DEFINITIONS[column].code if column in DEFINITIONS else None,
                }
                for column in self.columns
            ],
            "rows": [{column: row[column] for column in self.columns} for row in self.rows],
            "sums": self.sums,
            "sum_check": {"holds": None if self.differing is None else not self.differing, "differing": self.differing},
            "definitions": used,
        }


async def read_table(conn: Connection, question: Question, now: datetime) -> Table:
    """Read in one snapshot, unless the caller's transaction is another; raises InvalidInput as `stats` does."""
    snapshot: AbstractAsyncContextManager[Any] = nullcontext()
    if not conn.is_in_transaction():
        snapshot = conn.transaction(isolation="repeatable_read", readonly=True)
    period = (question.first, question.last)
    async with snapshot:
        rows, expected = await stats_and_totals(conn, question.by, period, question.limits, question.level)
        status = await find_status(conn, period)
        limits_text = await _name_limits(conn, question.limits)
    columns = question.figure_columns
    sums = sum_rows(rows, columns, by_day=question.by == "day")
    differing = [name for name in columns if name in expected and sums[name] != expected[name]]
    return Table(question, now, status, rows, sums, None if question.by == "tag" else differing, limits_text)


async def _name_limits(conn: Connection, limits: Limits) -> str:
    division, industry = limits.division_code, limits.industry
    parts = list(limits.prefixes or ())
    parts += [f"{division} {format_division(division)}"] if division else []
    parts += await fetch_names(conn, limits.enterprise_id, limits.unit_id)
    parts += [f"{industry} {format_industry(industry)}"] if industry else []
    return ", ".join(parts)


async def read_export(
    conn: Connection, question: Question, now: datetime, file_format: str
) -> tuple[Table, Table | None]:
    """The table of a file and, for a PDF, the same by day, of one snapshot."""
    if file_format != "pdf" or question.by == "day":
        return await read_table(conn, question, now), None
    days = replace(question, by="day", level=None)
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        return await read_table(conn, question, now), await read_table(conn, days, now)


def sum_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, by_day: bool = False) -> dict[str, int]:
    """Sums of figures; over days, what stands at the end of the last one."""
    if by_day and rows:
        return {name: rows[-1][name] if name in AT_END else sum(row[name] for row in rows) for name in columns}
    return {name: sum(row[name] for row in rows) for name in columns}
