"""What the commands on data share: a connection in one transaction, who acts, templates, and printing records."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.frame import COMMAND, load, open_database, read_actor
from schemas.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from asyncpg import Connection

    from node.settings import NodeSettings
    from registry.prefixes import NodeRules
    from registry.principals import Order, Principal
    from registry.records import Located
    from registry.store.changes import Act
    from schemas.templates import Template

Values = Annotated[
    list[str] | None,
    typer.Option("--value", metavar="TYPE=TEXT", help="模板项的值，可重复 / a value of a template item; repeat it"),
]


def parse_values(texts: list[str] | None) -> dict[str, str]:
    """`type=text` → values by type; raises InvalidInput."""
    values: dict[str, str] = {}
    for text in texts or []:
        item_type, equals, value = text.partition("=")
        if not equals or not item_type.strip():
            raise InvalidInput("value_option_malformed", field="value", text=text)
        if item_type.strip() in values:
            raise InvalidInput("value_given_twice", field="value", item=item_type.strip())
        values[item_type.strip()] = value
    return values


@dataclass(frozen=True, slots=True)
class Desk:
    """One command at work: its connection, in a transaction, and the operator who sits at it."""

    conn: "Connection"
    settings: "NodeSettings"

    @property
    def public_url(self) -> str:
        return self.settings.scan_url

    @property
    def rules(self) -> "NodeRules":
        from node.secret_key import load_key_ring
        from registry.prefixes import NodeRules

        return NodeRules(
            self.settings.prefixes,
            load_key_ring(self.settings.secret_key_path),
            self.settings.toplevel_approval == "required",
        )

    @property
    def principal(self) -> "Principal":
        from registry.principals import Principal

        return Principal("operator", read_actor())

    def order(self, reason: str = "") -> "Order":
        from registry.principals import Order

        return Order(self.principal, datetime.now(UTC), reason)

    def act(self, reason: str = "") -> "Act":
        return self.order(reason).act

    async def note_command(self) -> None:
        await note_command(self.conn)

    async def get_template(self, prefix: str, version: str) -> "Template":
        from registry.templates import get_template

        return await get_template(self.conn, self.principal, prefix, version)

    async def find_template(self, template_id: int) -> "Template | None":
        from registry.templates import find_template_by_id

        return await find_template_by_id(self.conn, template_id)

    async def get_template_of(self, located: "Located") -> "Template":
        template = await self.find_template(located.stored.template_id)
        if template is None:
            raise NotFound("record_without_template", field="identifier", identifier=located.identifier)
        return template

    async def format(self, located: "Located") -> dict[str, Any]:
        from registry.record_views import format_record
        from schemas.viewing import Viewer

        template = await self.find_template(located.stored.template_id)
        return format_record(located, template, Viewer.OWNER, self.public_url)


async def note_command(conn: "Connection", outcome: str = "ok") -> None:
    """In the audit trail. In a transaction it stands if what the command writes stands; what writes in steps says
    `begun` before the first of them, so that none is without its entry."""
    from registry.audit import note
    from registry.principals import Order, Principal

    order = Order(Principal("operator", read_actor()), datetime.now(UTC))
    await note(conn, order, "idnode", COMMAND.get(), outcome)


@asynccontextmanager
async def open_desk(*, writing: bool = False, noted: bool = True) -> AsyncIterator[Desk]:
    """A transaction of its own, committed only if the command writes and nothing was raised.

    What writes is noted in the audit trail, unless it only keeps the trail itself in order (`noted`).
    """
    settings = load()
    async with open_database(settings) as conn:
        transaction = conn.transaction()
        await transaction.start()
        try:
            desk = Desk(conn, settings)
            yield desk
            if writing and noted:
                await desk.note_command()
        except BaseException:
            await transaction.rollback()
            raise
        if writing:
            await transaction.commit()
        else:
            await transaction.rollback()


def print_record(view: dict[str, Any], language: str) -> None:
    """A record or a revision for people: one value a line, by its name."""
    head = [view.get("identifier", ""), view["state"], f"r{view['revision']}", view.get("since") or view["changed"]]
    print("  ".join(str(part) for part in head if part))
    for note in ("notice", "successor"):
        if view.get(note):
            print(f"  ! {view[note]}")
    for value in view["values"]:
        print(f"  {value['index']}  {value['name'][language]}: {value['data']}")
