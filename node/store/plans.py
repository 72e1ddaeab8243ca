"""SQL of plans, their targets and the figures entered by hand; the caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class Plan:
    plan_id: int
    name: str
    actor: str
    loaded: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """`unit_id` None: of the whole division. `period_start` None: a state on the deadline."""

    area: str
    division_code: str
    unit_id: int | None
    indicator: str
    comparison: str
    counted_in: str
    period_start: date | None
    deadline: date
    target: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A figure entered by hand: the value of a day, by whom and when."""

    division_code: str
    unit_id: int | None
    indicator: str
    day: date
    value: int
    note: str
    actor: str
    at: datetime


async def fetch_plans(conn: Connection) -> list[Plan]:
    rows = await conn.fetch("SELECT plan_id, name, actor, loaded FROM plans ORDER BY plan_id")
    return [Plan(**row) for row in rows]


async def find_plan(conn: Connection, name: str) -> Plan | None:
    row = await conn.fetchrow("SELECT plan_id, name, actor, loaded FROM plans WHERE name = $1", name)
    return None if row is None else Plan(**row)


async def lock_plans(conn: Connection) -> None:
    """Two loads of one name wait for each other; reading goes on."""
    await conn.execute("LOCK TABLE plans IN SHARE ROW EXCLUSIVE MODE")


async def save_plan(conn: Connection, name: str, actor: str, now: datetime) -> int:
    """A new plan, or who loaded an old one again; its number."""
    plan_id: int = await conn.fetchval(
        "INSERT INTO plans (name, actor, loaded) VALUES ($1, $2, $3)"
        " ON CONFLICT (name) DO UPDATE SET actor = $2, loaded = $3 RETURNING plan_id",
        name,
        actor,
        now,
    )
    return plan_id


async def replace_targets(conn: Connection, plan_id: int, targets: Sequence[Target]) -> None:
    await conn.execute("DELETE FROM plan_targets WHERE plan_id = $1", plan_id)
    await conn.executemany(
        "INSERT INTO plan_targets (plan_id, position, area, division_code, unit_id, indicator, comparison, counted_in,"
        " period_start, deadline, target) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        [
            (plan_id, at, t.area, t.division_code, t.unit_id, t.indicator, t.comparison, t.counted_in, t.period_start,
             t.deadline, t.target)
            for at, t in enumerate(targets, 1)
        ],
    )  # fmt: skip


async def fetch_targets(conn: Connection, plan_id: int) -> list[Target]:
    """In the order of the file."""
    rows = await conn.fetch(
        "SELECT area, division_code, unit_id, indicator, comparison, counted_in, period_start, deadline, target"
        " FROM plan_targets WHERE plan_id = $1 ORDER BY position",
        plan_id,
    )
    return [Target(**row) for row in rows]


async def insert_entry(conn: Connection, plan_id: int, entry: Entry) -> None:
    await conn.execute(
        "INSERT INTO plan_entries (plan_id, division_code, unit_id, indicator, day, value, note, actor, at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        plan_id, entry.division_code, entry.unit_id, entry.indicator, entry.day, entry.value, entry.note, entry.actor,
        entry.at,
    )  # fmt: skip


async def fetch_entries(conn: Connection, plan_id: int) -> list[Entry]:
    """Oldest first: by the day they are of, then as they were entered."""
    rows = await conn.fetch(
        "SELECT division_code, unit_id, indicator, day, value, note, actor, at FROM plan_entries WHERE plan_id = $1"
        " ORDER BY day, entry_id",
        plan_id,
    )
    return [Entry(**row) for row in rows]
