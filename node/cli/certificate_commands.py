"""`idnode certificate`: connection certificates of firms, signed PDFs that anybody can verify."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, load, open_database, print_json, read_actor, run
from node.table import format_table
from node.wording import say
from schemas.days import get_day
from schemas.texts.connection_certificates import LABELS, PAGES, STATES

if TYPE_CHECKING:
    from asyncpg import Connection

    from node.connection_certificates import Comparison, Draft, Office, Standing
    from node.store.connection_certificates import Certificate

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="证明编号 / number of the certificate")]

certificates = typer.Typer(no_args_is_help=True, help="企业接入证明 / Connection certificates of firms")


def add_to(app: typer.Typer) -> None:
    for name, command in (("issue", issue), ("list", list_all), ("file", write_file), ("revoke", revoke),
                          ("verify", verify)):  # fmt: skip
        certificates.command(name)(command)
    app.add_typer(certificates, name="certificate")


def _make_office() -> "Office":
    from node.connection_certificates import make_office
    from node.secret_key import load_key_ring

    settings = load()
    return make_office(settings, load_key_ring(settings.secret_key_path))


def issue(
    enterprise: Annotated[
        str, typer.Argument(metavar="E", help="编号、信用代码、前缀或名称 / number, code, prefix, name")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="缺省为 编号.pdf / default: <number>.pdf")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """出具带签名的接入证明（PDF）/ Issue a signed connection certificate (PDF)"""
    made = run(_issue(enterprise))
    one = made.certificate
    path = out or Path(f"{one.number}.pdf")
    path.write_bytes(made.file)
    if as_json:
        from node.connection_certificates import format_certificate

        print_json(format_certificate(one) | {"path": str(path)})
    else:
        print(say(LABELS["issued"], get_language(), number=one.number, path=path))


async def _issue(enterprise: str) -> "Draft":
    from node.connection_certificates import draft, keep
    from registry.enterprises import get_enterprise_id
    from registry.principals import Order, Principal

    order = Order(Principal("operator", read_actor()), datetime.now(UTC))
    async with _connect() as conn:
        enterprise_id = await get_enterprise_id(conn, enterprise)
    made = await draft(_connect, _make_office(), order, enterprise_id)
    async with open_desk(writing=True) as desk:
        await keep(desk.conn, order, made)
    return made


@asynccontextmanager
async def _connect() -> "AsyncIterator[Connection]":
    """A connection without a transaction: nothing waits while a file is drawn and signed."""
    async with open_database(load()) as conn:
        yield conn


def list_all(
    enterprise: Annotated[
        str | None, typer.Option("--enterprise", metavar="E", help="只看一家企业 / only of this firm")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """列出已出具的接入证明 / List what was issued"""
    from node.connection_certificates import MAX_LISTED, format_certificate
    from node.store.connection_certificates import fetch_certificates
    from registry.enterprises import get_enterprise_id

    async def read() -> "list[Certificate]":
        async with open_database(load()) as conn:
            number = await get_enterprise_id(conn, enterprise) if enterprise else None
            return await fetch_certificates(conn, number, MAX_LISTED)

    found, language = run(read()), get_language()
    if as_json:
        print_json({"certificates": [format_certificate(one) for one in found]})
    elif found:
        names = ("cert_number", "cert_firm", "cert_prefixes", "cert_issued", "cert_issued_by", "certv_state_revoked")
        rows = [
            (one.number, one.enterprise, ", ".join(one.prefixes), get_day(one.issued_at), one.issued_by,
             get_day(one.revoked_at) if one.revoked_at else "–") for one in found
        ]  # fmt: skip
        print(format_table(rows, header=[say(PAGES[name], language) for name in names]))
    else:
        print(say(LABELS["none"], language))


def write_file(
    number: Number,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".pdf")],
) -> None:
    """再次写出 PDF，与出具时逐字节相同 / Write its PDF again, byte for byte as issued"""
    from node.connection_certificates import get_certificate, get_file

    async def read() -> bytes:
        async with open_database(load()) as conn:
            return await get_file(conn, await get_certificate(conn, number))

    file.write_bytes(run(read()))
    print(say(LABELS["written"], get_language(), path=file))


def revoke(
    number: Number,
    reason: Annotated[
        str, typer.Option("--reason", metavar="R", help="查验时公开 / shown to whoever verifies it")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """撤销接入证明 / Revoke a connection certificate"""
    from node.connection_certificates import format_certificate
    from node.connection_certificates import revoke as revoke_one

    async def work() -> "Certificate":
        async with open_desk(writing=True) as desk:
            return await revoke_one(desk.conn, desk.order(reason), number)

    one = run(work())
    if as_json:
        print_json(format_certificate(one))
    else:
        print(say(LABELS["revoked"], get_language(), number=one.number))


def verify(
    what: Annotated[str, typer.Argument(metavar="NUMBER|FILE", help="编号或 PDF 文件 / a number, or the PDF itself")],
    as_json: AsJson = False,
) -> None:
    """查验编号或文件；不再有效或被改动则以 1 结束 / Verify a number or a file; ends with 1 if it does not hold"""
    from node.connection_certificates import format_verified

    path = Path(what)
    content = path.read_bytes() if not re.match(r"(?i)jr\d{4}-?[0-9a-z]{4}", what) or path.is_file() else None
    one, standing, compared = run(_verify(what, content))
    language = get_language()
    intact = None if compared is None else compared.is_intact
    holds = intact is not False and standing is not None and standing.state == "valid"
    if as_json:
        print_json((format_verified(one, standing) if one and standing else {"state": "unknown"}) | {"intact": intact})
    else:
        if one is not None and standing is not None:
            print(f"{one.number}  {one.enterprise}  {', '.join(one.prefixes)}")
            print(f"{say(PAGES['cert_state'], language)}: {say(STATES[standing.state], language)}")
        if intact is not None:
            print(say(LABELS["intact" if intact else "altered"], language))
    raise typer.Exit(0 if holds else 1)


async def _verify(what: str, content: bytes | None) -> "tuple[Certificate | None, Standing | None, Comparison | None]":
    from node.connection_certificates import compare, get_certificate, judge

    compared = None if content is None else await compare(_connect, content)
    if compared is not None and compared.certificate is None:
        return None, None, compared
    async with open_database(load()) as conn:
        one = compared.certificate if compared and compared.certificate else await get_certificate(conn, what)
        return one, await judge(conn, one), compared
