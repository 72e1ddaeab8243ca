"""Every table as it stands in the catalogue: backups know none of them by name. The caller owns the transaction."""

from collections.abc import AsyncIterable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import Connection

# How values are written and read, whatever the server's own settings are.
TEXT_FORM = (
    "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 1;"
    " SET LOCAL bytea_output = 'hex'; SET LOCAL timezone = 'UTC'"
)


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` without generated ones. A partitioned table stands for its partitions."""

    name: str
    columns: tuple[str, ...]


def quote(name: str) -> str:
    """A name as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


async def fetch_tables(conn: Connection) -> list[Table]:
    """All tables of our schema, in order of name; those of extensions are not ours."""
    rows = await conn.fetch(
        "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '') AS columns"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"
        " GROUP BY c.relname ORDER BY c.relname"
    )
    return [Table(row["relname"], tuple(row["columns"])) for row in rows]


async def fetch_sequences(conn: Connection) -> dict[str, int]:
    """The last value each sequence gave; sequences never used are left out."""
    rows = await conn.fetch(
        "SELECT sequencename, last_value FROM pg_sequences"
        " WHERE schemaname = current_schema() AND last_value IS NOT NULL ORDER BY sequencename"
    )
    return {row["sequencename"]: row["last_value"] for row in rows}


async def copy_out(conn: Connection, table: Table, write: Callable[[bytes], Coroutine[Any, Any, None]]) -> int:
    """All rows in PostgreSQL's text format; how many there are."""
    columns = ", ".join(map(quote, table.columns))
    query = f"SELECT {columns} FROM {quote(table.name)}"  # noqa: S608 - names of the catalogue, quoted
    status = await conn.copy_from_query(query, output=write, format="text", encoding="utf-8")
    return int(status.rpartition(" ")[2])


async def copy_in(conn: Connection, table: Table, chunks: AsyncIterable[bytes]) -> int:
    """The reverse; identity columns take what is given."""
    status = await conn.copy_to_table(
        table.name, source=chunks, columns=list(table.columns), format="text", encoding="utf-8"
    )
    return int(status.rpartition(" ")[2])


async def set_sequence(conn: Connection, name: str, last_value: int) -> None:
    await conn.execute("SELECT setval($1::text::regclass, $2)", quote(name), last_value)


async def empty_tables(conn: Connection, tables: list[Table]) -> None:
    """Without what migrations have put in."""
    await conn.execute("TRUNCATE " + ", ".join(quote(table.name) for table in tables))


@dataclass(frozen=True, slots=True)
class Rule:
    """What stands in the way of rows that come table by table: how to take it away, and how to put it back."""

    take_away: str
    put_back: str


async def fetch_rules(conn: Connection) -> list[Rule]:
    """Triggers of ours, which would act on rows that have been acted on, then foreign keys."""
    triggers = await conn.fetch(
        "SELECT DISTINCT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND n.nspname = current_schema() ORDER BY c.relname"
    )
    keys = await conn.fetch(
        "SELECT c.relname, k.conname, pg_get_constraintdef(k.oid) AS definition FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = current_schema() ORDER BY c.relname, k.conname"
    )
    rules = [
        Rule(f"ALTER TABLE {quote(r['relname'])} DISABLE TRIGGER USER",
             f"ALTER TABLE {quote(r['relname'])} ENABLE TRIGGER USER")
        for r in triggers
    ]  # fmt: skip
    for row in keys:
        table, name = quote(row["relname"]), quote(row["conname"])
        add = f"ALTER TABLE {table} ADD CONSTRAINT {name} {row['definition']}"
        rules.append(Rule(f"ALTER TABLE {table} DROP CONSTRAINT {name}", add))
    return rules


async def change_log_id(conn: Connection) -> UUID:
    """Give the change log a new name (design 5.3), also where readers of this database have noted the old one.

    Their positions are of the same snapshot and still hold; readers elsewhere start again.
    """
    old: UUID = await conn.fetchval("SELECT log_id FROM change_log")
    new: UUID = await conn.fetchval("SELECT gen_random_uuid()")
    tables = await conn.fetch(
        "SELECT table_name FROM information_schema.columns c JOIN information_schema.tables t"
        " USING (table_schema, table_name) WHERE c.table_schema = current_schema() AND c.column_name = 'log_id'"
        " AND c.data_type = 'uuid' AND t.table_type = 'BASE TABLE'"
    )
    for row in tables:
        query = f"UPDATE {quote(row['table_name'])} SET log_id = $1 WHERE log_id = $2"  # noqa: S608 - quoted
        await conn.execute(query, new, old)
    return new
