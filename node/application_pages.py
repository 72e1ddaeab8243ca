"""Pages of applications: an enterprise's own, and for the operator all, the node's among them."""

from dataclasses import asdict
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from node.applications import (
    KINDS,
    NAMES,
    add_application,
    change_application,
    find_reported_month,
    get_application,
    list_applications,
    parse_kind,
    retire_application,
)
from node.reporting import Reporter, report_applications
from node.store.applications import Application, Details
from registry.console.identifier_pages import list_own_prefixes
from registry.console.sections import Entry, Section
from registry.console.visits import Form, Post, Posting, Problem, Visit, Visiting, find_number
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.errors import Forbidden, ServiceError
from schemas.texts.applications import PAGES


def _manages(principal: Principal) -> bool:
    return principal.kind == "enterprise" and "manage" in principal.scopes


def _sees_all(principal: Principal) -> bool:
    return principal.sees_all


router = LateRouter(prefix="/applications")
SECTION = Section(
    router,
    (
        Entry("/applications", "applications", "group_firm", _manages),
        Entry("/applications", "applications", "group_node", _sees_all),
    ),
    labels=PAGES,
)
Text = Annotated[str, Query(max_length=100)]
# In the order of the form.
FIELDS = ("name", "kind", "prefix", "users", "developer", "intro", "recursion", "recursion_ip", "recursion_port")


@router.get("")
async def list_all(visit: Visiting, retired: Text = "") -> Response:
    principal = _check(visit)
    async with visit.connect() as conn:
        rows = await list_applications(conn, principal, retired=bool(retired))
        month = await find_reported_month(conn)
    own = [(prefix, visit.say("application_of_node", prefix=prefix)) for prefix in _list_node_prefixes(visit)]
    return visit.page(
        "applications.html", rows=rows, kinds=NAMES, month=month, retired=bool(retired), of_node=dict(own),
        may_tell=principal.is_operator, may_write=_may_write(principal),
    )  # fmt: skip


def _check(visit: Visit) -> Principal:
    principal = visit.get_principal()
    principal.check_scope("manage" if principal.kind == "enterprise" else "read")
    return principal


def _may_write(principal: Principal) -> bool:
    return principal.kind in ("enterprise", "operator") and "manage" in principal.scopes


def _list_node_prefixes(visit: Visit) -> tuple[str, ...]:
    """The node's own applications are the operator's."""
    return visit.state.config.rules.node_prefixes if visit.get_principal().is_operator else ()


@router.get("/new")
async def show_new(visit: Visiting) -> Response:
    visit.get_principal().check_scope("manage")
    async with visit.connect() as conn:
        return await _show_form(visit, conn, None, {"kind": "mini_program"}, {})


async def _show_form(
    visit: Visit, conn: Connection, present: Application | None, fields: dict[str, Any], problems: dict[str, Problem]
) -> Response:
    prefixes = [(one, visit.say("application_of_node", prefix=one)) for one in _list_node_prefixes(visit)]
    if present is None:
        prefixes += [(row.prefix, row.prefix) for row in await list_own_prefixes(conn, visit)]
    kinds = [(name, visit.say(f"application_kind_{name}")) for name in KINDS]
    problems = dict(sorted(problems.items(), key=lambda one: FIELDS.index(one[0]) if one[0] in FIELDS else len(FIELDS)))
    return visit.page(
        "application_edit.html", status=400 if problems else 200, present=present, fields=fields, problems=problems,
        prefixes=prefixes, kinds=kinds, names=FIELDS,
    )  # fmt: skip


def read_details(form: Form) -> Details:
    return Details(
        form["name"], parse_kind(form["kind"]), form["intro"], _parse_number(form, "users", 10**12), form["developer"],
        form["recursion"], form["recursion_ip"], _parse_number(form, "recursion_port", 65_535),
    )  # fmt: skip


def _parse_number(form: Form, name: str, most: int) -> int | None:
    text = form[name].replace(",", "")
    if not text:
        return None
    number = find_number(text, 20)
    return -1 if number is None or number > most else number  # which is refused with what else is wrong


@router.post("/new")
async def add(post: Posting) -> Response:
    post.get_principal().check_scope("manage")
    try:
        async with post.write() as conn:
            prefixes = post.state.config.rules.node_prefixes
            await add_application(conn, post.order(), post.form["prefix"], read_details(post.form), prefixes)
    except ServiceError as error:
        async with post.connect() as conn:
            return await _show_form(post, conn, None, post.form.to_dict(), post.explain(error))
    return post.redirect("/applications", "application_added")


@router.get("/one")
async def show_one(visit: Visiting, number: int) -> Response:
    principal = _check(visit)
    if not _may_write(principal):  # the list says what there is to see
        raise Forbidden("operator_only")
    async with visit.connect() as conn:
        present = await get_application(conn, principal, number)
        fields = asdict(present.details) | {"kind": NAMES[present.details.kind]}
        fields |= {name: "" for name in ("users", "recursion_port") if fields[name] is None}
        return await _show_form(visit, conn, present, {name: str(text) for name, text in fields.items()}, {})


@router.post("/one")
async def change(post: Posting) -> Response:
    post.get_principal().check_scope("manage")
    number = _parse_key(post)
    try:
        async with post.write() as conn:
            prefixes = post.state.config.rules.node_prefixes
            await change_application(conn, post.order(), number, read_details(post.form), prefixes)
    except ServiceError as error:
        async with post.connect() as conn:
            present = await get_application(conn, post.get_principal(), number)
            return await _show_form(post, conn, present, post.form.to_dict(), post.explain(error))
    return post.redirect("/applications", "application_changed")


def _parse_key(post: Post) -> int:
    return find_number(post.form["number"]) or 0


@router.post("/retire")
async def retire(post: Posting) -> Response:
    async with post.write() as conn:
        await retire_application(conn, post.order(), _parse_key(post), post.state.config.rules.node_prefixes)
    return post.redirect("/applications", "application_retired")


@router.post("/tell")
async def tell(post: Posting) -> Response:
    """Into the outbox, not waiting for the first of the month; the agent sends it."""
    post.get_principal().check_operator()
    post.get_principal().check_scope("manage")
    async with post.connect() as conn:
        await report_applications(conn, Reporter(post.state.config.rules.node_prefixes, ("", {})), post.state.now())
    return post.redirect("/applications", "applications_told")
