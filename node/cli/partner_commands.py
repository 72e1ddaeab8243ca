"""Commands for partners: who sees what an enterprise has marked for partners."""

from typing import Annotated, Any

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, print_json, run
from node.table import format_table
from node.wording import say
from schemas.texts.accounts import LABELS

Prefix = Annotated[str, typer.Argument(metavar="PREFIX")]
Organisation = Annotated[
    str, typer.Argument(metavar="USCC", help="统一社会信用代码 / unified social credit code of the organisation")
]

partners = typer.Typer(no_args_is_help=True, help="合作方 / Partners")


def add_to(app: typer.Typer) -> None:
    for name, function in (("add", add), ("list", list_all), ("revoke", revoke)):
        partners.command(name)(function)
    app.add_typer(partners, name="partner")


def add(prefix: Prefix, organisation: Organisation, as_json: AsJson = False) -> None:
    """指定合作方，立即生效 / Name a partner of a prefix; takes effect at once"""
    from registry.partners import name_partner

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            grant, is_new = await name_partner(desk.conn, desk.order(), prefix, organisation)
            return {"prefix": grant.prefix, "organisation": grant.organisation, "name": grant.name, "new": is_new}

    _print("partner_named", run(work()), as_json)


def revoke(prefix: Prefix, organisation: Organisation, as_json: AsJson = False) -> None:
    """取消合作方，立即生效 / Revoke a partner; takes effect at once"""
    from registry.partners import revoke_partner

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            grant = await revoke_partner(desk.conn, desk.order(), prefix, organisation)
            return {"prefix": grant.prefix, "organisation": grant.organisation, "name": grant.name}

    _print("partner_revoked", run(work()), as_json)


def list_all(
    prefix: Annotated[str | None, typer.Option("--prefix", metavar="P")] = None, as_json: AsJson = False
) -> None:
    """合作方，包括已取消的 / Partners, revoked ones among them"""
    from registry.account_views import format_grant
    from registry.partners import list_partners
    from registry.record_views import format_instant

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            return [format_grant(grant) for grant in await list_partners(desk.conn, desk.principal, prefix)]

    found = run(read())
    for row in found:
        row |= {name: format_instant(row[name]) if row[name] else None for name in ("created", "revoked")}
    if as_json:
        print_json(found)
    else:
        columns = ("prefix", "organisation", "name", "created", "revoked")
        print(format_table([[row[c] or "–" for c in columns] for row in found], header=columns))


def _print(label: str, made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        print(say(LABELS[label], get_language(), **made))
