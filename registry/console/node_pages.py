"""For the node: prefixes with their state and hosting, units and tags, and whether all is well."""

from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.health import find_version
from registry.areas import add_unit
from registry.console.sections import Entry, Section
from registry.console.start_pages import is_final
from registry.console.visits import Post, Posting, Problem, Visit, Visiting, find_number
from registry.enterprise_views import format_prefixes
from registry.late_routes import LateRouter
from registry.prefixes import (
    approve_prefix,
    change_prefix_state,
    get_prefix,
    host_prefix,
    list_prefixes,
    make_site,
    refuse_prefix,
    resubmit_prefix,
)
from registry.principals import Principal
from registry.store.enterprises import fetch_tag_dictionary, find_applicant
from registry.store.jobs import fetch_jobs
from registry.store.placements import fetch_units
from registry.store.prefixes import PrefixRow, fetch_ownerships, fetch_waiting_prefixes
from schemas.errors import Forbidden, InvalidInput, ServiceError
from schemas.handle_bytes import MalformedMessage
from schemas.handle_values import HTTP, TCP, UDP, decode_site, format_address
from schemas.industries import format_division
from schemas.prefixes import PREFIX_DECISIONS, Hosting, PrefixState


def _sees_all(principal: Principal) -> bool:
    return principal.sees_all


def _runs_node(principal: Principal) -> bool:
    return principal.sees_all_figures


def _is_operator(principal: Principal) -> bool:
    return principal.is_operator


router = LateRouter()
SECTION = Section(
    router,
    (
        Entry("/prefixes", "prefixes", "group_node", _sees_all),
        Entry("/areas", "areas", "group_node", _is_operator),
        Entry("/health", "health", "group_running", _runs_node),
    ),
)
Text = Annotated[str, Query(max_length=4_096)]
PAGE_ROWS = 100
DECISIONS = ("reviewing", "approved", "refused", "stopped", "resumed", "resubmitted", "deletion", "deletion_withdrawn")
_REVIEWS = frozenset(("approved", "refused"))


@router.get("/prefixes")
async def list_all(visit: Visiting, after: int = 0) -> Response:
    principal = visit.get_principal()
    if not principal.sees_all:
        raise Forbidden("operator_only")
    async with visit.connect() as conn:
        rows = await list_prefixes(conn, principal, None, max(0, min(after, 2**31 - 1)), PAGE_ROWS + 1)
        waiting = [] if after else await fetch_waiting_prefixes(conn, PAGE_ROWS)
    following = rows[PAGE_ROWS - 1].prefix_id if len(rows) > PAGE_ROWS else None
    return visit.page(
        "prefixes.html", rows=format_prefixes(rows[:PAGE_ROWS]), waiting=format_prefixes(waiting),
        next_after=following, after=after,
    )  # fmt: skip


@router.get("/prefixes/one")
async def show_prefix(visit: Visiting, prefix: Text) -> Response:
    return await _show_prefix(visit, prefix, {}, {})


async def _show_prefix(visit: Visit, prefix: str, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    principal = visit.get_principal()
    async with visit.connect() as conn:
        row = await get_prefix(conn, principal, prefix)
        owners = await fetch_ownerships(conn, row.prefix_id)
        is_own = await find_applicant(conn, row.enterprise_id, prefix) == principal.actor
    site = _read_site(row)
    may_host = row.state is PrefixState.ENABLED and (principal.is_operator or "manage" in principal.scopes)
    return visit.page(
        "prefix.html", status=400 if problems else 200, row=format_prefixes([row])[0], owners=owners,
        actions=_list_decisions(principal, row.state, is_own), fields=fields or site, site=site, problems=problems,
        may_host=may_host and not principal.has_role("regulator"),
    )  # fmt: skip


def _read_site(row: PrefixRow) -> dict[str, str]:
    """Address and ports of the enterprise's own server as the form has them; of the first one if there are more."""
    if row.site is None or row.hosting is not Hosting.NOT_HOSTED:
        return {}
    try:
        server = decode_site(row.site).servers[0]
    except (MalformedMessage, IndexError):
        return {}
    names = {TCP: "tcp_port", UDP: "udp_port", HTTP: "http_port"}
    ports = {names[one.protocol]: str(one.port) for one in server.interfaces if one.protocol in names}
    return {"where": "own", "address": format_address(server.address), **ports}


def _list_decisions(principal: Principal, state: PrefixState, is_own: bool) -> list[str]:
    """What can be decided in this state, by this visitor: nobody reviews what he asked for himself."""
    possible = [name for name in DECISIONS if state in PREFIX_DECISIONS.get(name, (frozenset(), state))[0]]
    return [name for name in possible if _may_decide(principal, name) and not (is_own and name in _REVIEWS)]


def _may_decide(principal: Principal, action: str) -> bool:
    if action == "resubmitted":
        return principal.kind == "enterprise" and "manage" in principal.scopes
    return principal.has_role("reviewer") if action in _REVIEWS else principal.is_operator


@router.get("/prefixes/act")
async def show_act(visit: Visiting, prefix: Text, action: Text) -> Response:
    async with visit.connect() as conn:
        row = await get_prefix(conn, visit.get_principal(), prefix)
    if not _may_decide(visit.get_principal(), _check_action(action)):
        raise Forbidden("operator_only")
    return visit.page("prefix_act.html", row=format_prefixes([row])[0], action=action, fields={})


def _check_action(action: str) -> str:
    if action not in DECISIONS:
        raise InvalidInput("field_not_a_choice", field="action", choices=", ".join(DECISIONS))
    return action


@router.post("/prefixes/act")
async def act(post: Posting) -> Response:
    """The decisions themselves say who may take them."""
    prefix, action = post.form["prefix"], _check_action(post.form["action"])
    try:
        async with post.write() as conn:
            await _decide(conn, post, prefix, action)
    except ServiceError as error:
        async with post.connect() as conn:
            row = await get_prefix(conn, post.get_principal(), prefix)
        return post.page(
            "prefix_act.html", status=400, row=format_prefixes([row])[0], action=action, fields=post.form.to_dict(),
            problems=post.explain(error),
        )  # fmt: skip
    return post.redirect("/prefixes/one", "prefix_decided", prefix=prefix)


async def _decide(conn: Connection, post: Post, prefix: str, action: str) -> None:
    order, rules = post.order(post.form.get_reason()), post.state.config.rules
    if action == "approved":
        await approve_prefix(conn, rules, order, prefix)
    elif action == "refused":
        await refuse_prefix(conn, order, prefix)
    elif action == "resubmitted":
        await resubmit_prefix(conn, order, prefix)
    else:
        await change_prefix_state(conn, order, prefix, action)


@router.post("/prefixes/hosting")
async def host(post: Posting) -> Response:
    """Here, or by the enterprise's own server."""
    post.get_principal().check_scope("manage")
    form, prefix = post.form, post.form["prefix"]
    try:
        site = make_site(form["address"], _read_ports(post)) if form["where"] == "own" else None
        async with post.write() as conn:
            await host_prefix(conn, post.order(), prefix, site)
    except ServiceError as error:
        return await _show_prefix(post, prefix, form.to_dict(), post.explain(error, {"ports": "tcp_port"}))
    return post.redirect("/prefixes/one", "hosting_changed", prefix=prefix)


def _read_ports(post: Post) -> dict[str, int]:
    """Protocol → port; one that is no number is one no server has."""
    texts = {name: post.form[f"{name}_port"] for name in ("tcp", "udp", "http")}
    return {name: find_number(t, 5) or 0 for name, t in texts.items() if t}


@router.get("/areas")
async def show_areas(visit: Visiting) -> Response:
    return await _show_areas(visit, {}, {})


async def _show_areas(visit: Visit, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    visit.get_operator()
    async with visit.connect() as conn:
        units, tags = await fetch_units(conn), await fetch_tag_dictionary(conn)
    shown = [(unit, format_division(unit.division_code)) for unit in units]
    status = 400 if problems else 200
    return visit.page("areas.html", status=status, units=shown, tags=tags, fields=fields, problems=problems)


@router.post("/areas")
async def add(post: Posting) -> Response:
    """A town or park below a division."""
    try:
        async with post.write() as conn:
            await add_unit(conn, post.order(), post.form["division"], post.form["name"])
    except ServiceError as error:
        return await _show_areas(post, post.form.to_dict(), post.explain(error))
    return post.redirect("/areas", "unit_added")


@router.get("/health")
async def show_health(visit: Visiting) -> Response:
    """What this process knows of itself, with what to do; `idnode doctor` looks further."""
    if not visit.get_principal().sees_all_figures:
        raise Forbidden("operator_only")
    async with visit.connect() as conn:
        version = await conn.fetchval("SHOW server_version")
        failed = [job for job in await fetch_jobs(conn, None, None, 200) if job.state == "failed"][:10]
        waiting = await conn.fetchval("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')")
        alarms = await conn.fetchval("SELECT count(*) FROM alarms WHERE cleared IS NULL")
    checks: list[dict[str, Any]] = [
        {"name": "check_alarms", "ok": alarms == 0, "detail": str(alarms)},
        {"name": "check_database", "ok": True, "detail": f"PostgreSQL {version}"},
        {"name": "check_log", "ok": visit.state.segments.missing == 0, "detail": str(visit.state.segments.missing)},
        {"name": "check_address", "ok": is_final(visit), "detail": visit.state.config.public_url},
        {"name": "check_jobs", "ok": not failed, "detail": visit.say("jobs_waiting", count=waiting)},
    ]
    return visit.page("health.html", checks=checks, failed=failed, version=find_version())
