"""Prefixes: asked for, decided on, hosted here or elsewhere, given to another enterprise."""

from typing import Annotated

from asyncpg import Connection
from fastapi import Query, Response

from registry import prefixes as decisions
from registry.api.calls import Answer, Changing, PathText, Reading, Writing, check_limit
from registry.api.enterprises import check_cursor
from registry.api.etags import check_etag, make_etag
from registry.api.targets import check_known_prefix, check_texts, get_enterprise_id
from registry.enterprise_views import MAX_PAGE, format_ownership, format_prefixes
from registry.late_routes import LateRouter
from registry.store.prefixes import PrefixRow, fetch_ownerships
from schemas.enterprise_bodies import (
    Hosting,
    NewPrefix,
    PrefixBody,
    PrefixDecision,
    PrefixDetailBody,
    PrefixPage,
    Transfer,
)

router = LateRouter(prefix="/api/v1/prefixes", tags=["prefixes"])


def _show(row: PrefixRow, status: int = 200) -> Answer:
    view = format_prefixes([row])[0]
    return Answer(view, status, {"ETag": make_etag(view)})


async def _check_unchanged(conn: Connection, call: Changing, prefix: str, *enterprises: int) -> None:
    if call.if_match is not None:
        row = await decisions.lock_prefix(conn, call.get_principal(), prefix, *enterprises)
        check_etag(call.if_match, format_prefixes([row])[0])


@router.post("", status_code=201, response_model=PrefixBody, summary="Ask for a prefix")
async def request_prefix(call: Writing, body: NewPrefix) -> Response:
    """It waits for approval. An enterprise asks for itself, the operator for any."""
    enterprise_id = get_enterprise_id(call, body.enterprise_id)
    check_texts(prefix=body.prefix or "")

    async def effect(conn: Connection) -> Answer:
        rules = call.state.config.rules
        return _show(await decisions.request_prefix(conn, rules, call.order(), enterprise_id, body.prefix), 201)

    return await call.write(effect)


@router.get("", response_model=PrefixPage, summary="List prefixes")
async def list_prefixes(
    call: Reading,
    enterprise_id: Annotated[int | None, Query(description="Only those of this enterprise.")] = None,
    after: Annotated[int, Query(description="`next` of the page before.")] = 0,
    limit: Annotated[int, Query(description="1 to 1,000.")] = 100,
) -> Response:
    """An enterprise sees its own, the operator all."""
    principal = call.get_principal()
    check_limit(limit, MAX_PAGE)
    check_cursor(enterprise_id or 0)
    async with call.connect() as conn:
        rows = await decisions.list_prefixes(conn, principal, enterprise_id, check_cursor(after), limit + 1)
    following = rows[limit - 1].prefix_id if len(rows) > limit else None
    return call.reply({"prefixes": format_prefixes(rows[:limit]), "next": following})


@router.get("/{prefix}", response_model=PrefixDetailBody, summary="One prefix with its owners")
async def get_prefix(call: Reading, prefix: PathText) -> Response:
    check_known_prefix(call, prefix)
    async with call.connect() as conn:
        row = await decisions.get_prefix(conn, call.get_principal(), prefix)
        owners = [format_ownership(owned) for owned in await fetch_ownerships(conn, row.prefix_id)]
        shown = _show(row)
        return call.reply(shown.content | {"owners": owners}, shown.headers)


@router.post("/{prefix}/decisions", response_model=PrefixBody, summary="Decide on a prefix")
async def decide(call: Changing, prefix: PathText, body: PrefixDecision) -> Response:
    """Only `resubmitted` is open to the enterprise; nobody approves what he asked for himself."""
    if body.decision in ("approved", "refused"):
        call.get_reviewer()
    elif body.decision != "resubmitted":
        call.get_operator()
    check_known_prefix(call, prefix)
    check_texts(reason=body.reason)

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, prefix)
        order = call.order(body.reason)
        if body.decision == "approved":
            return _show(await decisions.approve_prefix(conn, call.state.config.rules, order, prefix))
        if body.decision == "refused":
            return _show(await decisions.refuse_prefix(conn, order, prefix))
        if body.decision == "resubmitted":
            return _show(await decisions.resubmit_prefix(conn, order, prefix))
        return _show(await decisions.change_prefix_state(conn, order, prefix, body.decision))

    return await call.write(effect)


@router.put("/{prefix}/hosting", response_model=PrefixBody, summary="Keep a prefix here, or refer to its own server")
async def host(call: Changing, prefix: PathText, body: Hosting) -> Response:
    check_known_prefix(call, prefix)
    ports = {"tcp": body.tcp_port, "udp": body.udp_port, "http": body.http_port}
    given = {name: port for name, port in ports.items() if port is not None}
    site = decisions.make_site(body.address, given) if body.address or given else None

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, prefix)
        return _show(await decisions.host_prefix(conn, call.order(), prefix, site))

    return await call.write(effect)


@router.post("/{prefix}/transfer", response_model=PrefixBody, summary="Give a prefix to another enterprise")
async def transfer(call: Changing, prefix: PathText, body: Transfer) -> Response:
    call.get_operator()
    check_known_prefix(call, prefix)
    check_texts(reason=body.reason)

    async def effect(conn: Connection) -> Answer:
        await _check_unchanged(conn, call, prefix, body.enterprise_id)
        order = call.order(body.reason)
        day = body.day or order.day
        return _show(await decisions.transfer_prefix(conn, order, prefix, body.enterprise_id, day))

    return await call.write(effect)
