"""Rows as the registry writes them, for tests of readers."""

from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.changes import ChangeKind
from schemas.records import pack_texts
from schemas.templates import Template, bind_template, format_template, parse_template

WHEN = datetime(2026, 3, 1, 8, tzinfo=UTC)
PUMP_TEMPLATE = {
    "name": {"zh": "水泵", "en": "Pump"},
    "version": "1.0",
    "items": [
        {"index": 2000, "type": "product_name", "name": {"zh": "产品名称", "en": "Product name"}},
        {"index": 2001, "type": "model", "name": {"zh": "型号", "en": "Model"}},
        {"index": 2002, "type": "made_on", "name": {"zh": "生产日期", "en": "Made on"}, "data": "date"},
        {"index": 2003, "type": "URL", "name": {"zh": "网址", "en": "Address"}, "data": "url"},
        {"index": 2004, "type": "cost", "name": {"zh": "成本", "en": "Cost"}, "visibility": "private"},
    ],
}
PUMP = [(2000, "product_name", "离心泵"), (2001, "model", "IS80-65"), (2002, "made_on", "2026-02-28")]


async def empty_tables(conn: Any) -> None:
    await conn.execute(
        "TRUNCATE records, ranges, templates, prefixes, changes, changes_pending, prefix_owners, enterprises"
        " RESTART IDENTITY CASCADE"
    )


async def add_prefix(conn: Any, prefix: str, **columns: Any) -> int:
    row = {"state": 1, "hosting": 4, "folds_case": True, "site": None, "sandbox_of": None} | columns
    prefix_id: int = await conn.fetchval(
        "INSERT INTO prefixes (prefix, state, hosting, folds_case, site, created, changed, sandbox_of)"
        " VALUES ($1, $2, $3, $4, $5, $6, $6, $7) RETURNING prefix_id",
        prefix, row["state"], row["hosting"], row["folds_case"], row["site"], WHEN, row["sandbox_of"],
    )  # fmt: skip
    await add_change(conn, ChangeKind.PREFIX, prefix_id)
    return prefix_id


async def add_owner(conn: Any, prefix_id: int, name: str) -> None:
    enterprise_id = await conn.fetchval(
        "INSERT INTO enterprises (certificate_code, name, state, created, changed) VALUES ($1, $2, 3, $3, $3)"
        " RETURNING enterprise_id",
        f"code {prefix_id}", name, WHEN,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO prefix_owners (prefix_id, enterprise_id, from_day) VALUES ($1, $2, $3)",
        prefix_id, enterprise_id, WHEN.date(),
    )  # fmt: skip
    await add_change(conn, ChangeKind.ENTERPRISE, prefix_id)


async def add_template(conn: Any, prefix_id: int, prefix: str, document: dict[str, Any] = PUMP_TEMPLATE) -> Template:
    template = parse_template(document)
    template_id = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, $2, $3, $4, $5, $5) RETURNING template_id",
        prefix_id, template.version, template.handle_suffix, orjson.dumps(format_template(template)).decode(), WHEN,
    )  # fmt: skip
    return bind_template(template, prefix, template_id)


async def add_record(
    conn: Any, prefix_id: int, suffix_key: str, template_id: int = 0, texts: Any = PUMP, **columns: Any
) -> None:
    """`columns` may hold packed, state and note."""
    row = {"packed": pack_texts(template_id, texts), "state": 0, "note": None} | columns
    await conn.execute(
        "INSERT INTO records (created, changed, prefix_id, template_id, state, suffix_key, packed, note)"
        " VALUES ($1, $1, $2, $3, $4, $5, $6, $7)",
        WHEN, prefix_id, template_id, row["state"], suffix_key, row["packed"], row["note"],
    )  # fmt: skip
    await add_change(conn, ChangeKind.CREATED, prefix_id, [suffix_key])


async def change_record(conn: Any, prefix_id: int, suffix_key: str, texts: Any, template_id: int = 0) -> None:
    await conn.execute(
        "UPDATE records SET packed = $3 WHERE prefix_id = $1 AND suffix_key = $2",
        prefix_id, suffix_key, pack_texts(template_id, texts),
    )  # fmt: skip
    await add_change(conn, ChangeKind.CHANGED, prefix_id, [suffix_key])


async def add_range(
    conn: Any, prefix_id: int, head: str, width: int, bounds: tuple[int, int], texts: Any = PUMP
) -> None:
    await conn.execute(
        "INSERT INTO ranges (prefix_id, head_key, head, width, first, last, template_id, created, changed, packed)"
        " VALUES ($1, $2, $2, $3, $4, $5, 0, $6, $6, $7)",
        prefix_id, head, width, *bounds, WHEN, pack_texts(0, texts),
    )  # fmt: skip
    await add_change(conn, ChangeKind.RANGE_CREATED, prefix_id, [head])


async def add_change(
    conn: Any, kind: ChangeKind, prefix_id: int, suffix_keys: list[str] | None = None, template_id: int = 0
) -> None:
    await conn.execute(
        "INSERT INTO changes_pending (kind, prefix_id, template_id, suffix_keys, at, actor)"
        " VALUES ($1, $2, $3, $4, $5, 'test')",
        int(kind), prefix_id, template_id, suffix_keys or [], WHEN,
    )  # fmt: skip
