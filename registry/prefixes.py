"""Decisions on prefixes: requests, states, hosting, ownership (domain.md §b.2 W3, §c.12)."""

from dataclasses import dataclass
from datetime import date

from asyncpg import Connection

from registry.principals import Order, Principal, Scope
from registry.store.changes import append_change
from registry.store.enterprises import (
    EnterpriseRow,
    fetch_enterprise,
    find_applicant,
    insert_decision,
    set_connected,
)
from registry.store.grants import revoke_grants
from registry.store.late_days import lock_rollups, mark_late_days
from registry.store.placements import begin_placements_by
from registry.store.prefixes import (
    NewPrefix,
    PrefixRow,
    delete_unused_prefix,
    fetch_prefixes,
    find_free_number,
    find_prefix,
    insert_prefixes,
    replace_owner,
    update_hosting,
    update_prefix_state,
)
from schemas.changes import ChangeKind
from schemas.enterprises import ACTIVE_STATES, EnterpriseState
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound
from schemas.handle_bytes import MalformedMessage
from schemas.handle_values import (
    ADMIN_AND_QUERY,
    HTTP,
    QUERY_INTERFACE,
    TCP,
    UDP,
    Interface,
    Server,
    Site,
    decode_site,
    encode_site,
    parse_address,
)
from schemas.identifiers import shorten
from schemas.prefixes import Hosting, PrefixState, check_new_prefix, decide_prefix_state
from schemas.sealing import KeyRing


@dataclass(frozen=True, slots=True)
class NodeRules:
    """What holds for this node: its secondary prefixes, the keys that seal, and whether the node above must agree."""

    node_prefixes: tuple[str, ...]
    key_ring: KeyRing
    toplevel_approval_required: bool = False


async def get_prefix(conn: Connection, principal: Principal, prefix: str) -> PrefixRow:
    """A prefix the caller may know of; raises NotFound."""
    return _check_known(principal, prefix, await find_prefix(conn, prefix) if prefix.isprintable() else None)


async def lock_prefix(conn: Connection, principal: Principal, prefix: str, *others: int) -> PrefixRow:
    """As `get_prefix`, locked; enterprises are always locked before prefixes, in order of their numbers."""
    row = await get_prefix(conn, principal, prefix)
    if row.is_sandbox:
        raise Conflict("sandbox_is_fixed", field="prefix", prefix=prefix)
    for enterprise_id in sorted({row.enterprise_id, *others}):
        await fetch_enterprise(conn, enterprise_id, for_update=True)
    return _check_known(principal, prefix, await find_prefix(conn, prefix, for_update=True))


async def lock_own_prefix(conn: Connection, order: Order, prefix: str) -> PrefixRow:
    """For what the owner's administrator decides: raises Forbidden for others of his, NotFound for anyone else."""
    order.principal.check_scope("manage")
    order.principal.check_prefix(prefix)
    return await lock_prefix(conn, order.principal, prefix)


def _check_known(principal: Principal, prefix: str, row: PrefixRow | None) -> PrefixRow:
    if row is None or (not principal.sees_all and row.enterprise_id != principal.enterprise_id):
        raise NotFound("prefix_not_found", field="prefix", prefix=shorten(prefix))
    return row


async def get_writable_prefix(conn: Connection, principal: Principal, prefix: str, scope: Scope = "write") -> PrefixRow:
    """A prefix under which the caller may register now, or change `templates`; raises NotFound or Conflict."""
    principal.check_scope(scope)
    row = await get_prefix(conn, principal, prefix)
    if row.enterprise_state not in ACTIVE_STATES:
        raise Conflict("enterprise_not_active", field="prefix", enterprise=row.enterprise_name)
    if row.state is not PrefixState.ENABLED:
        raise Conflict("prefix_not_enabled", field="prefix", prefix=prefix)
    if row.hosting is not Hosting.HOSTED:
        raise Conflict("prefix_not_hosted", field="prefix", prefix=prefix)
    return row


async def list_prefixes(
    conn: Connection, principal: Principal, enterprise_id: int | None = None, after: int = 0, limit: int = 100
) -> list[PrefixRow]:
    """Those the caller may know of, in order of `prefix_id`; `after` is the last one of the page before."""
    if not principal.sees_all:
        if principal.enterprise_id is None or enterprise_id not in (None, principal.enterprise_id):
            return []
        enterprise_id = principal.enterprise_id
    return await fetch_prefixes(conn, enterprise_id, after, limit)


async def suggest_prefix(conn: Connection, rules: NodeRules, node_prefix: str | None = None) -> str:
    """The next free prefix under a secondary prefix of the node, the first one by default."""
    own = node_prefix or rules.node_prefixes[0]
    if own not in rules.node_prefixes:
        raise InvalidInput(
            "prefix_not_ours", field="prefix", prefix=shorten(own), node_prefixes="、".join(rules.node_prefixes)
        )
    return f"{own}.{await find_free_number(conn, own)}"


async def request_prefix(
    conn: Connection, rules: NodeRules, order: Order, enterprise_id: int, prefix: str | None = None
) -> PrefixRow:
    """Ask for a prefix, or for the next free one, on behalf of an approved enterprise; it waits for approval."""
    order.principal.check_enterprise(enterprise_id)
    async with conn.transaction():
        enterprise = await get_enterprise_row(conn, enterprise_id, for_update=True)
        check_active(enterprise)
        wanted = await allot_prefix(conn, rules, order, enterprise_id, prefix)
        await insert_decision(conn, enterprise_id, "applied", order.act, wanted)
    return await get_prefix(conn, order.principal, wanted)


async def allot_prefix(conn: Connection, rules: NodeRules, order: Order, enterprise_id: int, prefix: str | None) -> str:
    """Write a pending prefix for an enterprise that is locked; raises InvalidInput, or Conflict if it is taken.

    A secondary prefix itself owns identifiers, too (domain.md §d.9); the operator alone asks for it, by name.
    """
    numbers: dict[str, int] = {}
    while True:
        wanted = check_new_prefix(prefix or await suggest_prefix(conn, rules), rules.node_prefixes)
        if wanted in rules.node_prefixes and not order.principal.is_operator:
            raise InvalidInput("prefix_reserved", field="prefix", prefix=wanted)
        numbers = await insert_prefixes(
            conn, [NewPrefix(wanted, enterprise_id, PrefixState.PENDING, order.day)], order.at
        )
        if wanted in numbers:
            break
        if prefix:
            suggestion = await suggest_prefix(conn, rules)
            raise Conflict("prefix_taken", field="prefix", prefix=wanted, suggestion=suggestion)
        # The suggested one was given to another enterprise meanwhile: the next one is asked for.
    await append_change(conn, ChangeKind.PREFIX, numbers[wanted], order.act)
    return wanted


async def approve_prefix(conn: Connection, rules: NodeRules, order: Order, prefix: str) -> PrefixRow:
    """Enable a prefix that was asked for; if the node above must agree, our approval makes it wait for that."""
    async with conn.transaction():
        row = await _get_for_review(conn, order, prefix)
        await enable_prefix(conn, rules, order, row)
    return await get_prefix(conn, order.principal, prefix)


async def enable_prefix(conn: Connection, rules: NodeRules, order: Order, row: PrefixRow) -> None:
    """As `approve_prefix`, for a row that is locked and a reviewer who was checked."""
    state = decide_prefix_state(row.prefix, row.state, "approved")
    # The node above gave us our own and is not asked again.
    waits = rules.toplevel_approval_required and row.prefix not in rules.node_prefixes
    if waits and order.principal.kind != "toplevel":
        state = PrefixState.REVIEWING
    await _store_state(conn, order, row, state, "approved")


async def refuse_prefix(conn: Connection, order: Order, prefix: str) -> PrefixRow:
    """Refuse a prefix that was asked for, with a reason."""
    check_reason(order)
    async with conn.transaction():
        row = await _get_for_review(conn, order, prefix)
        await _store_state(conn, order, row, decide_prefix_state(prefix, row.state, "refused"), "refused")
    return await get_prefix(conn, order.principal, prefix)


async def resubmit_prefix(conn: Connection, order: Order, prefix: str) -> PrefixRow:
    """Ask again for a prefix that was refused."""
    async with conn.transaction():
        order.principal.check_scope("manage")
        row = await lock_prefix(conn, order.principal, prefix)
        await _store_state(conn, order, row, decide_prefix_state(prefix, row.state, "resubmitted"), "resubmitted")
    return await get_prefix(conn, order.principal, prefix)


async def change_prefix_state(conn: Connection, order: Order, prefix: str, decision: str) -> PrefixRow:
    """`decision`: reviewing, stopped, resumed, deletion or deletion_withdrawn. Raises Conflict if it does not fit."""
    order.principal.check_operator()
    if decision not in {"reviewing", "stopped", "resumed", "deletion", "deletion_withdrawn"}:
        raise InvalidInput("prefix_decision_unknown", field="decision", decision=shorten(decision))
    async with conn.transaction():
        row = await lock_prefix(conn, order.principal, prefix)
        await _store_state(conn, order, row, decide_prefix_state(prefix, row.state, decision), decision)
    return await get_prefix(conn, order.principal, prefix)


async def release_prefix(conn: Connection, order: Order, row: PrefixRow) -> None:
    """Give back a prefix that was asked for and never enabled."""
    await append_change(conn, ChangeKind.PREFIX, row.prefix_id, order.act)
    await delete_unused_prefix(conn, row.prefix_id)


async def _get_for_review(conn: Connection, order: Order, prefix: str) -> PrefixRow:
    if order.principal.kind != "toplevel":
        order.principal.check_reviewer()
    row = await lock_prefix(conn, order.principal, prefix)
    await check_not_own(conn, order, row.enterprise_id, prefix)
    return row


async def _store_state(conn: Connection, order: Order, row: PrefixRow, state: PrefixState, decision: str) -> None:
    if state is PrefixState.ENABLED:
        check_active(await get_enterprise_row(conn, row.enterprise_id))
        await set_connected(conn, row.enterprise_id, order.day)
    await update_prefix_state(conn, row.prefix_id, state, order.day, order.at)
    await insert_decision(conn, row.enterprise_id, decision, order.act, row.prefix)
    await append_change(conn, ChangeKind.PREFIX, row.prefix_id, order.act)


def make_site(address: str, ports: dict[str, int], serial: int = 1) -> bytes:
    """An HS_SITE record of one server; `ports`: at least one of tcp, udp, http. Raises InvalidInput."""
    protocols = {"tcp": TCP, "udp": UDP, "http": HTTP}
    if not ports or not ports.keys() <= protocols.keys():
        raise InvalidInput("site_ports", field="ports")
    for name, port in ports.items():
        if not 1 <= port <= 65_535:
            raise InvalidInput("site_ports", field=f"{name}_port")
    try:
        packed = parse_address(address.strip())
    except ValueError as error:
        raise InvalidInput("site_address", field="address", address=shorten(address)) from error
    # Handle administration goes over TCP and HTTP; UDP answers questions only.
    interfaces = tuple(
        Interface(QUERY_INTERFACE if name == "udp" else ADMIN_AND_QUERY, protocols[name], port)
        for name, port in sorted(ports.items())
    )
    return encode_site(Site(serial=serial % 65_536, servers=(Server(1, packed, interfaces=interfaces),)))


async def host_prefix(conn: Connection, order: Order, prefix: str, site: bytes | None) -> PrefixRow:
    """Keep the identifiers of a prefix here (`site` None), or refer to the enterprise's own server."""
    async with conn.transaction():
        row = await lock_own_prefix(conn, order, prefix)
        if row.state is not PrefixState.ENABLED:
            raise Conflict("prefix_not_enabled", field="prefix", prefix=prefix)
        if site is not None:
            _check_site(site)
        hosting = Hosting.HOSTED if site is None else Hosting.NOT_HOSTED
        await update_hosting(conn, row.prefix_id, hosting, site, order.at)
        await insert_decision(conn, row.enterprise_id, "hosting", order.act, prefix)
        await append_change(conn, ChangeKind.PREFIX, row.prefix_id, order.act)
    return await get_prefix(conn, order.principal, prefix)


def _check_site(site: bytes) -> None:
    try:
        servers = decode_site(site).servers
    except MalformedMessage as error:
        raise InvalidInput("site_malformed", field="site") from error
    if not servers:
        raise InvalidInput("site_malformed", field="site")


async def transfer_prefix(conn: Connection, order: Order, prefix: str, enterprise_id: int, day: date) -> PrefixRow:
    """Give a prefix to another approved enterprise from `day` on; what was counted before stays with the old owner."""
    order.principal.check_operator()
    async with conn.transaction():
        row = await lock_prefix(conn, order.principal, prefix, enterprise_id)
        receiver = await get_enterprise_row(conn, enterprise_id)
        check_active(receiver)
        if enterprise_id == row.enterprise_id:
            raise Conflict("prefix_owned_already", field="enterprise", prefix=prefix, enterprise=receiver.name)
        check_day(order, day, row.owned_from)
        await replace_owner(conn, row.prefix_id, enterprise_id, day)
        await revoke_grants(conn, row.prefix_id, order.at)  # partners are whom the owner has named
        await append_change(conn, ChangeKind.GRANT, row.prefix_id, order.act)
        if row.state is PrefixState.ENABLED:
            await set_connected(conn, enterprise_id, day)
        await insert_decision(conn, row.enterprise_id, "transferred", order.act, prefix)
        await insert_decision(conn, enterprise_id, "transferred", order.act, prefix)
        await append_change(conn, ChangeKind.PREFIX, row.prefix_id, order.act)
        if day < order.day:
            await begin_placements_by(conn, enterprise_id, day)
            await lock_rollups(conn)
            await mark_late_days(conn, "enterprises", since=day)
    return await get_prefix(conn, order.principal, prefix)


def check_day(order: Order, day: date, not_before: date) -> None:
    """The day of a move or transfer lies between the beginning of the present state and today."""
    if not not_before <= day <= order.day:
        raise InvalidInput("day_out_of_bounds", field="day", day=day, first=not_before, last=order.day)


def check_reason(order: Order) -> None:
    """Refusals, suspensions and the like are explained."""
    if not 1 <= len(order.reason.strip()) <= 1_000:
        raise InvalidInput("reason_missing", field="reason")


async def check_not_own(conn: Connection, order: Order, enterprise_id: int, prefix: str | None) -> None:
    """Nobody decides on an application of his own."""
    own = order.principal.enterprise_id == enterprise_id
    if own or await find_applicant(conn, enterprise_id, prefix) == order.principal.actor:
        raise Forbidden("decision_on_own_application")


async def get_enterprise_row(conn: Connection, enterprise_id: int, *, for_update: bool = False) -> EnterpriseRow:
    """Raises NotFound."""
    row = await fetch_enterprise(conn, enterprise_id, for_update=for_update)
    if row is None:
        raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)
    return row


def check_active(enterprise: EnterpriseRow) -> None:
    """Raises Conflict."""
    if EnterpriseState(enterprise.state) not in ACTIVE_STATES:
        raise Conflict("enterprise_not_active", field="enterprise", enterprise=enterprise.name)
