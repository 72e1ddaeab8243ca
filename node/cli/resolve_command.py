"""`idnode resolve`: ask a resolver as a partner would, over the Handle protocol."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.frame import AsJson, get_language, load, print_json
from node.wording import say
from schemas.errors import InvalidInput, NotFound, ServiceError, Unavailable
from schemas.texts.commands import LABELS

if TYPE_CHECKING:
    from node.handle_client import Reply
    from schemas.values import Value

NOT_NOW = (2, 3, 7)
PROTOCOLS = {0: "UDP", 1: "TCP", 2: "HTTP", 3: "HTTPS"}


def add_to(app: typer.Typer) -> None:
    app.command()(resolve)


def resolve(
    identifier: Annotated[str, typer.Argument(metavar="ID")],
    server: Annotated[
        str | None, typer.Option("--server", metavar="HOST:PORT", help="缺省为本节点 / this node")
    ] = None,
    index: Annotated[
        list[int] | None,
        typer.Option("--index", min=1, max=2**31 - 1, help="只要这些索引 / only these indexes"),
    ] = None,
    value_type: Annotated[list[str] | None, typer.Option("--type", help="只要这些类型 / only these types")] = None,
    udp: Annotated[bool, typer.Option("--udp", help="UDP")] = False,
    as_json: AsJson = False,
) -> None:
    """解析一个标识 / Resolve an identifier over the Handle protocol"""
    from node.handle_client import REFERRALS, ask
    from schemas.handle_bodies import ResolutionRequest
    from schemas.handle_bytes import MalformedMessage

    host, port = _parse_server(server)
    where = f"{host}:{port} {'UDP' if udp else 'TCP'}"
    question = ResolutionRequest(identifier.encode("utf-8", "surrogateescape"), index or [], value_type or [])
    try:
        reply = ask(question, (host, port), udp=udp)
    except (OSError, MalformedMessage) as error:
        raise Unavailable("resolve_not_answered", server=where, problem=str(error) or type(error).__name__) from error
    if reply.code != 1 and reply.code not in REFERRALS:
        raise _explain(reply, identifier, where)
    if as_json:
        values = [_format(value) for value in reply.values]
        print_json({"identifier": identifier, "server": where, "code": reply.code, "values": values})
        return
    label = LABELS["resolved" if reply.code == 1 else "referred"]
    print(say(label, get_language(), identifier=identifier, server=where))
    for value in reply.values:
        print(f"  {value.index}  {value.type}: {_show(value)}")


def _parse_server(server: str | None) -> tuple[str, int]:
    if server is None:
        settings = load()
        return settings.site_address, settings.handle_port
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdecimal() or not host:
        raise InvalidInput("server_malformed", field="server", text=server)
    try:
        host.encode("idna")
    except UnicodeError:  # no name of a machine
        raise InvalidInput("server_malformed", field="server", text=server) from None
    return host.strip("[]"), int(port)


def _explain(reply: "Reply", identifier: str, where: str) -> ServiceError:
    from schemas.handle_messages import ResponseCode

    if reply.code == ResponseCode.HANDLE_NOT_FOUND:
        return NotFound("identifier_not_found", field="identifier", identifier=identifier)
    names = {int(code): code.name for code in ResponseCode}
    kind = Unavailable if reply.code in NOT_NOW else NotFound
    return kind(
        "resolve_refused", field="identifier", server=where, response=reply.code,
        name=names.get(reply.code, ""), text=reply.text,
    )  # fmt: skip


def _show(value: "Value") -> str:
    """Text as it is; HS_SITE as addresses and ports; other bytes in hex."""
    from schemas.handle_values import decode_site, format_address

    if value.type.startswith("HS_SITE"):
        return "; ".join(
            " ".join(
                [
                    format_address(server.address),
                    *(f"{PROTOCOLS.get(i.protocol, '?')}:{i.port}" for i in server.interfaces),
                ]
            )
            for server in decode_site(value.data).servers
        )
    try:
        return value.data.decode()
    except UnicodeDecodeError:
        return value.data.hex()


def _format(value: "Value") -> dict[str, Any]:
    return {"index": value.index, "type": value.type, "data": _show(value), "ttl_seconds": value.ttl_seconds}
