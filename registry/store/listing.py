"""SQL of the list of enterprises."""

from dataclasses import dataclass
from datetime import date, datetime

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class EnterpriseFilter:
    """What a list is narrowed to; None means any. `division_code` takes all divisions below it."""

    text: str | None = None  # part of the name, a certificate code, or a prefix
    state: int | None = None
    division_code: str | None = None
    unit_id: int | None = None
    industry: str | None = None  # a code of any level
    tag: str | None = None  # a name of the dictionary
    connected_from: date | None = None
    connected_to: date | None = None  # inclusive
    incomplete: bool | None = None


@dataclass(frozen=True, slots=True)
class ListedEnterprise:
    """One line of the list, with its present place and prefixes."""

    enterprise_id: int
    name: str
    certificate_type: int
    certificate_code: str
    state: int
    connected_on: date | None
    missing: list[str]
    created: datetime
    division_code: str
    unit_id: int | None
    unit: str
    industry: list[str]
    prefixes: list[str]


async def fetch_enterprise_page(
    conn: Connection, wanted: EnterpriseFilter, own: int | None, after: int, limit: int
) -> list[ListedEnterprise]:
    """Those that fit, in order of their numbers; `own` narrows to one enterprise."""
    rows = await conn.fetch(
        "SELECT e.enterprise_id, e.name, e.certificate_type, e.certificate_code, e.state, e.connected_on, e.missing,"
        " e.created, coalesce(p.division_code, '') AS division_code, p.unit_id, coalesce(u.name, '') AS unit,"
        " coalesce(p.industry, '{}') AS industry,"
        " ARRAY(SELECT x.prefix FROM prefix_owners o JOIN prefixes x USING (prefix_id)"
        "  WHERE o.enterprise_id = e.enterprise_id AND o.to_day IS NULL ORDER BY x.prefix_id) AS prefixes"
        " FROM enterprises e LEFT JOIN placements p ON p.enterprise_id = e.enterprise_id AND p.to_day IS NULL"
        " LEFT JOIN units u USING (unit_id)"
        " WHERE e.enterprise_id > $1 AND ($2::int4 IS NULL OR e.enterprise_id = $2)"
        " AND ($3::text IS NULL OR position(lower($3) IN lower(e.name)) > 0 OR e.certificate_code = upper($3)"
        "  OR e.enterprise_id IN (SELECT o.enterprise_id FROM prefix_owners o JOIN prefixes x USING (prefix_id)"
        "   WHERE x.prefix = $3 AND o.to_day IS NULL))"
        " AND ($4::int2 IS NULL OR e.state = $4)"
        " AND ($5::text IS NULL OR starts_with(p.division_code, $5))"
        " AND ($6::int4 IS NULL OR p.unit_id = $6)"
        " AND ($7::text IS NULL OR $7 = ANY(p.industry))"
        " AND ($8::text IS NULL OR EXISTS (SELECT FROM enterprise_tags t JOIN tags USING (tag_id)"
        "  WHERE t.enterprise_id = e.enterprise_id AND tags.name = $8))"
        " AND ($9::date IS NULL OR e.connected_on >= $9) AND ($10::date IS NULL OR e.connected_on <= $10)"
        " AND ($11::bool IS NULL OR (cardinality(e.missing) > 0) = $11)"
        " ORDER BY e.enterprise_id LIMIT $12",
        after,
        own,
        wanted.text,
        wanted.state,
        trim_division(wanted.division_code) if wanted.division_code is not None else None,
        wanted.unit_id,
        wanted.industry,
        wanted.tag,
        wanted.connected_from,
        wanted.connected_to,
        wanted.incomplete,
        limit,
    )
    return [ListedEnterprise(**row) for row in rows]


def trim_division(division_code: str) -> str:
    """320000 → 32, 321300 → 3213: what the codes of all divisions below it begin with."""
    for zeros in ("0000", "00"):
        if division_code.endswith(zeros):
            return division_code.removesuffix(zeros)
    return division_code
