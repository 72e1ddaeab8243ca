"""Accounts of the node's people, or of an enterprise by its administrator."""

from dataclasses import replace
from typing import Annotated

from asyncpg import Connection
from fastapi import Query, Response

from registry.accounts import (
    NewAccount,
    add_account,
    check_may_manage,
    check_named_enterprise,
    check_organisation,
    check_roles,
    check_user_name,
    disable_account,
    enable_account,
    find_named_area,
    get_known_account,
    list_accounts,
    set_password,
)
from registry.console.sections import Entry, Section
from registry.console.visits import Post, Posting, Problem, Visit, Visiting, collect
from registry.enterprises import get_enterprise_id
from registry.late_routes import LateRouter
from registry.passwords import make_password
from registry.principals import ROLES, Principal
from registry.store.accounts import AccountRow
from registry.store.placements import fetch_units
from schemas.errors import InvalidInput
from schemas.industries import format_division


def _may(principal: Principal) -> bool:
    return principal.is_operator or (principal.kind == "enterprise" and principal.has_role("enterprise_admin"))


router = LateRouter(prefix="/accounts")
SECTION = Section(router, (Entry("/accounts", "accounts", "group_people", _may),))

Text = Annotated[str, Query(max_length=4_096)]
ENTERPRISE_ROLES = ("enterprise_user", "enterprise_admin")
ACTIONS = ("disable", "enable", "password")
PAGE_ROWS = 100


@router.get("")
async def list_all(visit: Visiting, text: Text = "", after: int = 0) -> Response:
    return await _show_list(visit, {}, {}, text.strip(), after)


async def _show_list(
    visit: Visit, fields: dict[str, str], problems: dict[str, Problem], text: str = "", after: int = 0
) -> Response:
    """By pages; `text` is part of a user name or of whom an account stands for."""
    principal = visit.get_principal()
    async with visit.connect() as conn:
        known = await list_accounts(conn, principal)
        found = [row for row in known if row.account_id > after and _names(row, text.casefold())]
        rows = found[:PAGE_ROWS]
        units = {unit.unit_id: unit.name for unit in await fetch_units(conn)} if principal.is_operator else {}
    areas = {row.user_name: format_division(row.division_code) + units.get(row.unit_id or 0, "") for row in rows}
    roles = ROLES if principal.is_operator else ENTERPRISE_ROLES
    return visit.page(
        "accounts.html", status=400 if problems else 200, rows=rows, roles=roles, areas=areas, fields=fields,
        problems=problems, text=text, after=after, are_many=len(known) > PAGE_ROWS,
        next_after=rows[-1].account_id if len(found) > PAGE_ROWS else None,
    )  # fmt: skip


def _names(row: AccountRow, text: str) -> bool:
    return any(text in told.casefold() for told in (row.user_name, row.enterprise_name, row.organisation))


@router.post("")
async def add(post: Posting) -> Response:
    """The first password is made here and shown once: it is handed over with the name."""
    problems, of_standing = dict[str, Problem](), dict[str, Problem]()
    password = make_password()
    async with post.connect() as conn:
        new = await read_standing(conn, post, of_standing)
        with collect(problems, post):
            await check_user_name(conn, post.form["user_name"], new.enterprise_id)
        problems |= of_standing  # in the order of the form
        if not problems:
            with collect(problems, post):
                new = replace(new, user_name=post.form["user_name"], password=password)
                row = await add_account(conn, post.state.config.rules.key_ring, post.order(), new)
    if problems:
        return await _show_list(post, post.form.to_dict(), problems)
    return post.page("account_made.html", title="account_made", user_name=row.user_name, password=password)


async def read_standing(conn: Connection, post: Post, problems: dict[str, Problem]) -> NewAccount:
    """Role, and for whom it stands; whoever has several things to mend is told of all of them at once."""
    form = post.form
    new = NewAccount("", [form["role"]], organisation=form["organisation"], area=form["area"])
    with collect(problems, post):
        roles = check_roles(new.roles)
        with collect(problems, post, {"enterprise": "enterprise_id"}):
            new = replace(new, enterprise_id=await read_enterprise_id(conn, post))
            await check_named_enterprise(conn, new, roles)
        with collect(problems, post, {"certificate_code": "organisation"}):
            check_organisation(new, roles)
        with collect(problems, post):
            await find_named_area(conn, new, roles)
    return new


async def read_enterprise_id(conn: Connection, post: Post) -> int | None:
    """The operator says which by code, prefix or name; for everybody else it is his own."""
    principal, text = post.get_principal(), post.form["enterprise_id"]
    if not principal.is_operator:
        return principal.enterprise_id
    return await get_enterprise_id(conn, text) if text else None


@router.get("/act")
async def show_act(visit: Visiting, user_name: Text, action: Text) -> Response:
    _check_manages(visit.get_principal())
    async with visit.connect() as conn:
        await get_known_account(conn, visit.get_principal(), user_name)
    return visit.page("account_act.html", user_name=user_name, action=_check_action(action))


def _check_manages(principal: Principal) -> None:
    """Raises Forbidden, whether there is such an account or not."""
    check_may_manage(principal, (), principal.enterprise_id)


def _check_action(action: str) -> str:
    if action not in ACTIONS:
        raise InvalidInput("field_not_a_choice", field="action", choices=", ".join(ACTIONS))
    return action


@router.post("/act")
async def act(post: Posting) -> Response:
    """Disable, enable, or make a new first password."""
    _check_manages(post.get_principal())
    user_name, action = post.form["user_name"], _check_action(post.form["action"])
    problems: dict[str, Problem] = {}
    password = make_password()
    with collect(problems, post):
        async with post.connect() as conn:
            if action == "disable":
                await disable_account(conn, post.order(), user_name)
            elif action == "enable":
                await enable_account(conn, post.order(), user_name)
            else:
                await set_password(conn, post.state.config.rules.key_ring, post.order(), user_name, password)
    if problems:
        return post.page("account_act.html", status=400, user_name=user_name, action=action, problems=problems)
    if action == "password":
        return post.page("account_made.html", title="new_password", user_name=user_name, password=password)
    return post.redirect("/accounts", f"account_{action}d")
