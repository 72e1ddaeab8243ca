"""A prefix with a template, made by SQL alone, for tests of issuing."""

from datetime import UTC, datetime

from asyncpg import Connection

from registry.records import get_rule
from registry.store.changes import Act
from registry.store.records import PrefixRule
from schemas.templates import Template, bind_template, parse_template

NOW = datetime(2024, 6, 4, 12, 0, tzinfo=UTC)
ACT = Act("test", NOW)

DOCUMENT = {
    "name": {"zh": "泵", "en": "Pump"},
    "version": "pump-1",
    "items": [
        {"index": 2000, "type": "model", "name": {"zh": "型号", "en": "Model"}, "required": True},
        {"index": 2001, "type": "flow", "name": {"zh": "流量", "en": "Flow"}, "data": "number"},
        {"index": 2002, "type": "line", "name": {"zh": "产线", "en": "Line"}, "visibility": "private"},
        {"index": 2003, "type": "price", "name": {"zh": "价格", "en": "Price"}, "visibility": "partner"},
    ],
}


async def make_prefix(conn: Connection, prefix: str = "88.101.5", *, folds_case: bool = True) -> PrefixRule:
    await conn.execute(
        "INSERT INTO prefixes (prefix, folds_case, state, hosting, created, changed) VALUES ($1, $2, 1, 4, $3, $3)",
        prefix,
        folds_case,
        NOW,
    )
    return await get_rule(conn, prefix)


async def make_template(conn: Connection, rule: PrefixRule) -> Template:
    template = parse_template(DOCUMENT, rule.prefix)
    template_id = await conn.fetchval(
        "INSERT INTO templates (prefix_id, version, suffix_key, document, created, changed)"
        " VALUES ($1, $2, upper('META_' || $2), '{}', $3, $3)"
        " RETURNING template_id",
        rule.prefix_id,
        template.version,
        NOW,
    )
    return bind_template(template, rule.prefix, template_id)
