"""Commands for access keys."""

from datetime import datetime
from typing import Annotated, Any

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, print_json, run
from node.table import format_table
from node.wording import say
from schemas.errors import InvalidInput
from schemas.texts.commands import LABELS

keys = typer.Typer(no_args_is_help=True, help="访问密钥 / Access keys")


def add_to(app: typer.Typer) -> None:
    for name, function in (("add", add_key), ("list", list_keys), ("revoke", revoke_key)):
        keys.command(name)(function)
    app.add_typer(keys, name="key")


def add_key(
    enterprise: Annotated[
        str | None, typer.Option("--enterprise", metavar="E", help="代表一家企业 / for an enterprise")
    ] = None,
    operator: Annotated[bool, typer.Option("--operator", help="代表运营方 / for the operator")] = False,
    partner: Annotated[
        str, typer.Option("--partner", metavar="USCC", help="代表合作组织 / for a partner organisation")
    ] = "",
    note: Annotated[str, typer.Option("--note", help="用途 / what it is for")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="S", help="read, write, templates, statistics, manage, review; 缺省全部 / all"),
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option("--address", metavar="NET", help="只能从这些地址使用，可重复 / works from these networks only"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="T", help="失效时间 / 2027-01-01 or 2027-01-01T12:00:00+08:00")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """新建访问密钥；密钥只显示这一次 / Make an access key; its secret is shown this once"""
    from registry.enterprises import get_enterprise_id
    from registry.keys import KeyTerms
    from registry.keys import add_key as make

    if (enterprise is not None) + operator + bool(partner) != 1:
        raise InvalidInput("key_for_whom", field="enterprise")
    ends = _parse_time(expires) if expires else None

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            number = await get_enterprise_id(desk.conn, enterprise) if enterprise else None
            terms = KeyTerms(tuple(scope or ()), tuple(address or ()), ends, partner, desk.rules.key_ring)
            access_key, secret_key = await make(desk.conn, desk.order(), number, note, terms)
            return {"access_key": access_key, "secret_key": secret_key, "enterprise_id": number}

    made = run(work())
    if as_json:
        print_json(made)
    else:
        print(say(LABELS["key_added"], get_language(), **made))


def _parse_time(text: str) -> datetime:
    """ISO 8601; without an offset at UTC+8, a day alone is its beginning. Raises InvalidInput."""
    from schemas.days import parse_instant

    try:
        return parse_instant(text)
    except ValueError as error:
        raise InvalidInput("time_malformed", field="expires", text=text) from error


def list_keys(
    enterprise: Annotated[str | None, typer.Option("--enterprise", metavar="E")] = None, as_json: AsJson = False
) -> None:
    """访问密钥，不含密钥内容 / Access keys, without their secrets"""
    from registry.enterprises import get_enterprise_id
    from registry.keys import list_keys as fetch
    from registry.record_views import format_instant

    def show(at: datetime | None) -> str | None:
        return format_instant(at) if at else None

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            number = await get_enterprise_id(desk.conn, enterprise) if enterprise else None
            return [
                {
                    "access_key": key.access_key,
                    "enterprise_id": key.enterprise_id,
                    "enterprise": key.enterprise_name or None,
                    "organisation": key.organisation or None,
                    "note": key.note,
                    "scopes": key.scopes,
                    "networks": key.networks,
                    "created": show(key.created),
                    "expires": show(key.expires),
                    "revoked": show(key.revoked),
                }
                for key in await fetch(desk.conn, desk.principal, number)
            ]

    found = run(read())
    if as_json:
        print_json(found)
        return
    for row in found:
        row["enterprise"] = row["enterprise"] or row["organisation"]
        row["scopes"] = ", ".join(row["scopes"] or ())
    columns = ("access_key", "enterprise", "note", "scopes", "created", "expires", "revoked")
    print(format_table([[str(row[c] or "–") for c in columns] for row in found], header=columns))


def revoke_key(access_key: Annotated[str, typer.Argument(metavar="ACCESS_KEY")], as_json: AsJson = False) -> None:
    """吊销访问密钥，立即生效 / Revoke an access key at once"""
    from registry.keys import revoke_key as revoke

    async def work() -> None:
        async with open_desk(writing=True) as desk:
            await revoke(desk.conn, desk.order(), access_key)

    run(work())
    if as_json:
        print_json({"access_key": access_key, "revoked": True})
    else:
        print(say(LABELS["key_revoked"], get_language(), access_key=access_key))
