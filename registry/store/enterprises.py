"""SQL of enterprises, their decisions and tags."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson
from asyncpg import Connection, Record

from registry.store.changes import Act


@dataclass(frozen=True, slots=True)
class EnterpriseRow:
    """An enterprise without its placement, tags and prefixes. `dossier` is the public part."""

    enterprise_id: int
    certificate_type: int
    certificate_code: str
    name: str
    state: int
    verification: int
    connected_on: date | None
    dossier: dict[str, Any]
    personal: bytes | None
    proposed: bytes | None
    missing: list[str]
    created: datetime
    changed: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class NewEnterprise:
    """What an enterprise is made of before it has a number."""

    certificate_type: int
    certificate_code: str
    name: str
    state: int
    connected_on: date | None
    dossier: dict[str, Any]
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on an application; `prefix` is None where the enterprise itself is meant."""

    decision: str
    actor: str
    at: datetime
    reason: str = ""
    prefix: str | None = None


_COLUMNS = (
    "enterprise_id, certificate_type, certificate_code, name, state, verification, connected_on,"
    " dossier::text AS dossier, personal, proposed, missing, created, changed, revision"
)


def _to_row(row: Record) -> EnterpriseRow:
    return EnterpriseRow(**{**dict(row), "dossier": orjson.loads(row["dossier"])})


async def insert_enterprises(
    conn: Connection, new: Sequence[NewEnterprise], at: datetime
) -> dict[tuple[int, str], int]:
    """Certificate (type, code) → number, of those that were written; certificates that exist are left out."""
    rows = await conn.fetch(
        "INSERT INTO enterprises (certificate_type, certificate_code, name, state, connected_on, dossier, missing,"
        " registered_capital_yuan, created, changed)"
        " SELECT type, code, name, state, connected_on, dossier::jsonb, string_to_array(missing, ','),"
        " (dossier::jsonb ->> 'registered_capital_yuan')::bigint, $8, $8"
        " FROM unnest($1::int2[], $2::text[], $3::text[], $4::int2[], $5::date[], $6::text[], $7::text[])"
        " AS n(type, code, name, state, connected_on, dossier, missing)"
        " ON CONFLICT DO NOTHING RETURNING certificate_type, certificate_code, enterprise_id",
        [n.certificate_type for n in new],
        [n.certificate_code for n in new],
        [n.name for n in new],
        [n.state for n in new],
        [n.connected_on for n in new],
        [orjson.dumps(n.dossier).decode() for n in new],
        [",".join(n.missing) for n in new],
        at,
    )
    return {(row["certificate_type"], row["certificate_code"]): row["enterprise_id"] for row in rows}


async def fetch_enterprise(conn: Connection, enterprise_id: int, *, for_update: bool = False) -> EnterpriseRow | None:
    lock = " FOR UPDATE" if for_update else ""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM enterprises WHERE enterprise_id = $1{lock}", enterprise_id)  # noqa: S608
    return _to_row(row) if row else None


async def find_meant(conn: Connection, text: str, number: int | None) -> list[Record]:
    """The enterprises a text may mean (number, certificate_code, name): its number, certificate code, prefix owned now,
    or whole name. The first few of them."""
    return await conn.fetch(
        "SELECT enterprise_id AS number, certificate_code, name FROM enterprises WHERE enterprise_id IN ("
        " SELECT enterprise_id FROM enterprises WHERE certificate_code = upper($1) OR name = $1 OR enterprise_id = $2"
        " UNION SELECT o.enterprise_id FROM prefixes p JOIN prefix_owners o USING (prefix_id)"
        " WHERE p.prefix = $1 AND o.to_day IS NULL) ORDER BY 1 LIMIT 3",
        text,
        number,
    )


async def fetch_enterprises_by_codes(conn: Connection, codes: Sequence[str]) -> dict[str, EnterpriseRow]:
    """Enterprises by unified social credit code, locked for the transaction in order of their numbers."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM enterprises WHERE certificate_type = 1 AND certificate_code = ANY($1::text[])"  # noqa: S608
        " ORDER BY enterprise_id FOR UPDATE",
        list(codes),
    )
    return {row["certificate_code"]: _to_row(row) for row in rows}


async def update_state(conn: Connection, enterprise_id: int, state: int, at: datetime) -> None:
    await conn.execute(
        "UPDATE enterprises SET state = $2, changed = $3, revision = revision + 1 WHERE enterprise_id = $1",
        enterprise_id,
        state,
        at,
    )


async def update_verification(conn: Connection, enterprise_id: int, verification: int, at: datetime) -> None:
    await conn.execute(
        "UPDATE enterprises SET verification = $2, changed = $3, revision = revision + 1 WHERE enterprise_id = $1",
        enterprise_id,
        verification,
        at,
    )


async def update_dossier(conn: Connection, enterprise_id: int, new: NewEnterprise, at: datetime) -> bool:
    """Replace the public dossier; False if the certificate belongs to another enterprise."""
    taken = await conn.fetchval(
        "SELECT true FROM enterprises WHERE certificate_type = $1 AND certificate_code = $2 AND enterprise_id <> $3",
        new.certificate_type,
        new.certificate_code,
        enterprise_id,
    )
    if taken:
        return False
    await conn.execute(
        "UPDATE enterprises SET certificate_type = $2, certificate_code = $3, name = $4, dossier = $5::text::jsonb,"
        " missing = $6, registered_capital_yuan = $7, changed = $8, revision = revision + 1 WHERE enterprise_id = $1",
        enterprise_id,
        new.certificate_type,
        new.certificate_code,
        new.name,
        orjson.dumps(new.dossier).decode(),
        new.missing,
        new.dossier.get("registered_capital_yuan"),
        at,
    )
    return True


async def update_sealed(
    conn: Connection, enterprise_id: int, *, personal: bytes | None = None, proposed: bytes | None = None
) -> None:
    """Set the personal part where one is given; set or clear what waits for a decision."""
    await conn.execute(
        "UPDATE enterprises SET personal = coalesce($2, personal), proposed = $3 WHERE enterprise_id = $1",
        enterprise_id,
        personal,
        proposed,
    )


async def set_connected(conn: Connection, enterprise_id: int, day: date) -> None:
    """The day of the first enabled prefix; a day that is known already stays."""
    await conn.execute(
        "UPDATE enterprises SET connected_on = $2 WHERE enterprise_id = $1 AND connected_on IS NULL", enterprise_id, day
    )


async def insert_decision(
    conn: Connection, enterprise_id: int, decision: str, act: Act, prefix: str | None = None
) -> None:
    await insert_decisions(conn, [(enterprise_id, prefix)], decision, act)


async def insert_decisions(
    conn: Connection, subjects: Sequence[tuple[int, str | None]], decision: str, act: Act
) -> None:
    """One decision on many: pairs of enterprise and prefix."""
    await conn.execute(
        "INSERT INTO decisions (enterprise_id, prefix, decision, reason, actor, at)"
        " SELECT n.enterprise_id, n.prefix, $3, $4, $5, $6 FROM unnest($1::int4[], $2::text[])"
        " AS n(enterprise_id, prefix)",
        [enterprise_id for enterprise_id, _ in subjects],
        [prefix for _, prefix in subjects],
        decision,
        act.reason,
        act.actor,
        act.at,
    )


async def fetch_decisions(conn: Connection, enterprise_id: int) -> list[Decision]:
    """Oldest first."""
    rows = await conn.fetch(
        "SELECT decision, actor, at, reason, prefix FROM decisions WHERE enterprise_id = $1 ORDER BY decision_id",
        enterprise_id,
    )
    return [Decision(**row) for row in rows]


async def find_applicant(conn: Connection, enterprise_id: int, prefix: str | None) -> str | None:
    """Who last applied: for the enterprise itself, or for one of its prefixes."""
    applicant: str | None = await conn.fetchval(
        "SELECT actor FROM decisions WHERE enterprise_id = $1 AND prefix IS NOT DISTINCT FROM $2"
        " AND decision IN ('applied', 'resubmitted', 'change_proposed') ORDER BY decision_id DESC LIMIT 1",
        enterprise_id,
        prefix,
    )
    return applicant


async def replace_tags(conn: Connection, tags: Sequence[tuple[int, str, str]], enterprise_ids: Sequence[int]) -> None:
    """Give these enterprises exactly these tags: (enterprise, kind, name); names that are new join the dictionary."""
    await conn.execute("DELETE FROM enterprise_tags WHERE enterprise_id = ANY($1::int4[])", list(enterprise_ids))
    if not tags:
        return
    columns = [list(column) for column in zip(*tags, strict=True)]
    await conn.execute(
        "INSERT INTO tags (kind, name) SELECT DISTINCT kind, name FROM unnest($1::text[], $2::text[]) AS n(kind, name)"
        " ORDER BY kind, name ON CONFLICT DO NOTHING",
        columns[1],
        columns[2],
    )
    await conn.execute(
        "INSERT INTO enterprise_tags (enterprise_id, tag_id) SELECT n.enterprise_id, t.tag_id"
        " FROM unnest($1::int4[], $2::text[], $3::text[]) AS n(enterprise_id, kind, name)"
        " JOIN tags t USING (kind, name)",
        *columns,
    )


async def fetch_tags(conn: Connection, enterprise_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Enterprise → kind → name."""
    rows = await conn.fetch(
        "SELECT enterprise_id, kind, name FROM enterprise_tags JOIN tags USING (tag_id)"
        " WHERE enterprise_id = ANY($1::int4[]) ORDER BY kind, name",
        list(enterprise_ids),
    )
    tags: dict[int, dict[str, str]] = {}
    for row in rows:
        tags.setdefault(row["enterprise_id"], {})[row["kind"]] = row["name"]
    return tags


async def fetch_tag_dictionary(conn: Connection) -> list[tuple[str, str, int]]:
    """Kind, name, and how many enterprises carry it."""
    rows = await conn.fetch(
        "SELECT t.kind, t.name, count(e.enterprise_id) AS enterprises FROM tags t LEFT JOIN enterprise_tags e"
        " USING (tag_id) GROUP BY t.tag_id ORDER BY t.kind, t.name"
    )
    return [(row["kind"], row["name"], row["enterprises"]) for row in rows]
