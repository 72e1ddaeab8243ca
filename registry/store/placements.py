"""SQL of reporting units and of where enterprises belong: division, unit, industry, from day to day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class Unit:
    """A town or park below a division."""

    unit_id: int
    division_code: str
    name: str


@dataclass(frozen=True, slots=True)
class Placement:
    """`division_code` and `industry` may be empty, `unit_id` None; `to_day` is exclusive, None for the present."""

    division_code: str
    unit_id: int | None
    industry: list[str]
    from_day: date
    to_day: date | None = None
    unit: str = ""


async def insert_units(conn: Connection, units: Sequence[tuple[str, str]]) -> None:
    """Pairs of division code and name; those that exist are left alone."""
    await conn.execute(
        "INSERT INTO units (division_code, name) SELECT division, name FROM unnest($1::text[], $2::text[])"
        " AS n(division, name) ORDER BY division, name ON CONFLICT DO NOTHING",
        [division for division, _ in units],
        [name for _, name in units],
    )


async def fetch_units(conn: Connection, name: str | None = None) -> list[Unit]:
    """All units, or those of that name."""
    rows = await conn.fetch(
        "SELECT unit_id, division_code, name FROM units WHERE $1::text IS NULL OR name = $1 ORDER BY unit_id", name
    )
    return [Unit(**row) for row in rows]


async def insert_placements(conn: Connection, placements: Sequence[tuple[int, Placement]]) -> None:
    """The present place of enterprises that have none yet."""
    await conn.execute(
        "INSERT INTO placements (enterprise_id, from_day, division_code, unit_id, industry)"
        " SELECT enterprise_id, from_day, division, unit_id, string_to_array(industry, '/')"
        " FROM unnest($1::int4[], $2::date[], $3::text[], $4::int4[], $5::text[])"
        " AS n(enterprise_id, from_day, division, unit_id, industry)",
        [enterprise_id for enterprise_id, _ in placements],
        [placement.from_day for _, placement in placements],
        [placement.division_code for _, placement in placements],
        [placement.unit_id for _, placement in placements],
        ["/".join(placement.industry) for _, placement in placements],
    )


async def fetch_placements(conn: Connection, enterprise_id: int) -> list[Placement]:
    """Where an enterprise was and is, oldest first."""
    rows = await conn.fetch(
        "SELECT p.division_code, p.unit_id, p.industry, p.from_day, p.to_day, coalesce(u.name, '') AS unit"
        " FROM placements p LEFT JOIN units u USING (unit_id) WHERE enterprise_id = $1 ORDER BY from_day",
        enterprise_id,
    )
    return [Placement(**row) for row in rows]


async def fetch_present_placements(conn: Connection, enterprise_ids: Sequence[int]) -> dict[int, Placement]:
    rows = await conn.fetch(
        "SELECT p.enterprise_id, p.division_code, p.unit_id, p.industry, p.from_day, p.to_day,"
        " coalesce(u.name, '') AS unit FROM placements p LEFT JOIN units u USING (unit_id)"
        " WHERE enterprise_id = ANY($1::int4[]) AND to_day IS NULL",
        list(enterprise_ids),
    )
    return {row["enterprise_id"]: Placement(**dict(list(row.items())[1:])) for row in rows}


async def begin_placements_by(conn: Connection, enterprise_id: int, day: date) -> None:
    """Where an enterprise stood first it stood from `day` on: figures that become its own have a place."""
    await conn.execute(
        "UPDATE placements SET from_day = $2 WHERE enterprise_id = $1 AND from_day > $2"
        " AND from_day = (SELECT min(from_day) FROM placements WHERE enterprise_id = $1)",
        enterprise_id,
        day,
    )


async def replace_placement(conn: Connection, enterprise_id: int, new: Placement) -> None:
    """End the present place at `new.from_day` and begin the new one; on the same day, correct it."""
    await conn.execute(
        "DELETE FROM placements WHERE enterprise_id = $1 AND to_day IS NULL AND from_day = $2",
        enterprise_id,
        new.from_day,
    )
    await conn.execute(
        "UPDATE placements SET to_day = $2 WHERE enterprise_id = $1 AND to_day IS NULL", enterprise_id, new.from_day
    )
    await insert_placements(conn, [(enterprise_id, new)])
