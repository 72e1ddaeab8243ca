"""Enterprises: one's own with its to-do list and dossier; for the node the list, one, and the decisions on it."""

from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry import enterprises as decisions
from registry.api.problems import InvalidBody
from registry.areas import get_area
from registry.attachments import Upload, keep_attachment
from registry.console.dossier_changes import list_differences, list_proposed
from registry.console.dossier_form import list_form, merge_form
from registry.console.sections import Entry, Section, is_enterprise
from registry.console.visits import Post, Posting, Problem, Visit, Visiting
from registry.enterprise_views import EnterpriseDetail, format_detail, format_listed, get_enterprise, list_enterprises
from registry.enterprises import reveal_personal
from registry.late_routes import LateRouter
from registry.prefixes import request_prefix
from registry.principals import Order, Principal
from registry.store.enterprises import find_applicant
from registry.store.listing import EnterpriseFilter
from schemas.attachments import MAX_PDF_BYTES
from schemas.enterprises import (
    Dossier,
    EnterpriseState,
    decide_enterprise_state,
    list_problems,
    parse_dossier,
    split_division,
)
from schemas.errors import Forbidden, InvalidInput, NotFound, ServiceError
from schemas.industries import format_industry

router = LateRouter()


def _sees_firms(principal: Principal) -> bool:
    """The node's people; a regulator those of his area."""
    return principal.sees_all or principal.kind == "regulator"


SECTION = Section(
    router,
    (
        Entry("/enterprise", "my_enterprise", "group_firm", is_enterprise),
        Entry("/enterprises", "enterprises", "group_node", _sees_firms),
    ),
)
Text = Annotated[str, Query(max_length=4_096)]
PAGE_ROWS = 50
IMAGE_FIELDS = ("certificate_image_id", "legal_person.front_image_id", "legal_person.back_image_id")


@router.get("/enterprise")
async def show_own(visit: Visiting) -> Response:
    return await _show(visit, _get_own_id(visit))


def _get_own_id(visit: Visit) -> int:
    enterprise_id = visit.get_principal().enterprise_id
    if enterprise_id is None:
        raise NotFound("enterprise_not_found", field="enterprise", enterprise="—")
    return enterprise_id


async def _show(
    visit: Visit, enterprise_id: int, problems: dict[str, Any] | None = None, asked_prefix: str = ""
) -> Response:
    async with visit.connect() as conn:
        detail = await get_enterprise(conn, visit.get_principal(), enterprise_id)
        applicant = await find_applicant(conn, enterprise_id, None)
    firm = format_detail(detail, visit.language)
    actions = _list_actions(visit, firm["state"])
    open_to_others = [one for one in actions if one in _REVIEWS and applicant == visit.get_principal().actor]
    return visit.page(
        "enterprise.html", status=400 if problems else 200, firm=firm,
        actions=[one for one in actions if one not in open_to_others], open_to_others=open_to_others,
        is_own=visit.get_principal().enterprise_id == enterprise_id, problems=problems or {},
        fields=list_form(detail.row.dossier), asked_prefix=asked_prefix,
        differences=list_differences(visit.state.config.rules, visit.get_principal(), detail),
        proposed=list_proposed(visit.state.config.rules, detail),
    )  # fmt: skip


@router.get("/enterprise/edit")
async def show_edit(visit: Visiting) -> Response:
    """The dossier in force, with what only the enterprise itself may see of it."""
    visit.get_principal().check_scope("manage")
    async with visit.connect() as conn:
        row = (await get_enterprise(conn, visit.get_principal(), _get_own_id(visit))).row
        if row.state != EnterpriseState.REFUSED:  # a form that would be refused is not shown
            decide_enterprise_state(row.name, EnterpriseState(row.state), "change_proposed")
        document = await _load_document(conn, visit, row.enterprise_id)
    refused = row.state == EnterpriseState.REFUSED
    return visit.page(
        "enterprise_edit.html", fields=list_form(document), firm_name=document["name"], refused=refused
    )  # fmt: skip


async def _load_document(conn: Connection, visit: Visit, enterprise_id: int) -> dict[str, Any]:
    """The whole dossier as a document, placement and persons among it; as proposed where a change of it waits.

    The last proposal counts: a form that began with the dossier in force would take back the one before.
    """
    detail = await get_enterprise(conn, visit.get_principal(), enterprise_id)
    personal = await reveal_personal(conn, visit.state.config.rules, visit.order(), enterprise_id)
    row, present = detail.row, detail.placements[-1]
    public, area = row.dossier, present.unit or present.division_code
    if row.state == EnterpriseState.CHANGE_PENDING:
        _, proposed = decisions.open_change(visit.state.config.rules, row)
        public = {name: value for name, value in proposed.items() if value is not None}
        area = next((public[name] for name in ("unit", "county", "city", "province") if public.get(name)), area)
        area = area.rpartition("/")[2]  # a unit is written `<division>/<name>`
    industry = public.get("industry") or "/".join(present.industry)
    return {**personal, **public, "area": area, "industry": industry}


@router.post("/enterprise/edit")
async def edit(post: Posting) -> Response:
    """A change waits for approval; after a refusal the application is filed again."""
    post.get_principal().check_scope("manage")
    enterprise_id, rules = _get_own_id(post), post.state.config.rules
    async with post.connect() as conn:
        document = await _load_document(conn, post, enterprise_id)
        row = (await get_enterprise(conn, post.get_principal(), enterprise_id)).row
        refused = row.state == EnterpriseState.REFUSED
    try:
        merged = merge_form(document, post.form)
        async with post.write() as conn:
            await keep_files(conn, post, post.order(), merged)
            dossier = await read_dossier(conn, merged)
            file = decisions.resubmit if refused else decisions.propose_change
            await file(conn, rules, post.order(), enterprise_id, dossier)
    except ServiceError as error:
        fields = list_form(document) | post.form.to_dict()
        return post.page(
            "enterprise_edit.html", status=400, fields=fields, firm_name=document["name"], refused=refused,
            problems=post.explain(error),
        )  # fmt: skip
    return post.redirect("/enterprise", "dossier_filed")


async def keep_files(conn: Connection, post: Post, order: Order, document: dict[str, Any]) -> None:
    """Images that came with the form become attachments, their numbers go into the document."""
    for field in IMAGE_FIELDS:
        file = post.form.files.get(field)
        if file is None or not file.filename:
            continue
        upload = Upload(file.filename, await file.read(MAX_PDF_BYTES + 1))
        try:
            stored = await keep_attachment(conn, post.state.config.attachments, order, upload)
        except ServiceError as error:
            error.field = field
            raise
        part, _, name = field.rpartition(".")
        holder = document.setdefault(part, {}) if part else document
        holder[name] = stored.attachment_id


async def read_dossier(conn: Connection, document: dict[str, Any]) -> Dossier:
    """The document of the form as a dossier: what people write for an area becomes division and unit.

    Raises InvalidBody that names every field at fault, in the order of the form.
    """
    wrong: list[ServiceError] = []
    area_text = str(document.pop("area", ""))
    if area_text:
        try:
            area = await get_area(conn, area_text)
        except ServiceError as error:
            wrong.append(error)
        else:
            province, city, county = split_division(area.division_code)
            document |= {"province": province, "city": city, "county": county}
            document["unit"] = f"{area.division_code}/{area.unit}" if area.unit else ""
    wrong += list_problems(document)
    if wrong:
        order = list(list_form({}))
        wrong.sort(key=lambda error: order.index(error.field) if error.field in order else len(order))
        raise InvalidBody([(error.code, error.field or "", error.details) for error in wrong])
    return parse_dossier(document)


@router.post("/enterprise/prefixes")
async def ask_for_prefix(post: Posting) -> Response:
    """One more prefix, which waits for approval."""
    post.get_principal().check_scope("manage")
    enterprise_id = _get_own_id(post)
    try:
        async with post.write() as conn:
            await request_prefix(
                conn, post.state.config.rules, post.order(), enterprise_id, post.form["prefix"] or None
            )
    except ServiceError as error:
        return await _show(post, enterprise_id, post.explain(error), post.form["prefix"])
    return post.redirect("/enterprise", "prefix_asked")


# For the node ------------------------------------------------------------------------------------------------------


@router.get("/enterprises")
async def list_all(visit: Visiting, text: Text = "", state: Text = "", division: Text = "", after: int = 0) -> Response:
    principal = visit.get_principal()
    if not _sees_firms(principal):
        raise Forbidden("operator_only")
    states = {one.name.lower(): int(one) for one in EnterpriseState}
    wanted = EnterpriseFilter(text.strip() or None, states.get(state), division.strip() or None)
    async with visit.connect() as conn:
        page = await list_enterprises(conn, principal, wanted, max(0, min(after, 2**31 - 1)), PAGE_ROWS)
    rows = [format_listed(item) | {"industry_name": format_industry("/".join(item.industry))} for item in page.items]
    return visit.page(
        "enterprises.html", rows=rows, next_after=page.next_after, after=after,
        asked={"text": text, "state": state, "division": division}, states=list(states),
    )  # fmt: skip


@router.get("/enterprises/{enterprise_id}")
async def show_one(visit: Visiting, enterprise_id: int) -> Response:
    return await _show(visit, _check_id(enterprise_id))


def _check_id(enterprise_id: int) -> int:
    if not 0 < enterprise_id < 2**31:
        raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)
    return enterprise_id


_REVIEWS = ("review", "approve", "refuse")
# state → what can be decided there
_ACTIONS = {
    "pending": ("review", "approve", "refuse"),
    "reviewing": ("approve", "refuse"),
    "change_pending": ("approve", "refuse", "suspend"),
    "approved": ("suspend",),
    "suspended": ("resume", "close"),
}


def _list_actions(visit: Visit, state: str) -> tuple[str, ...]:
    principal = visit.get_principal()
    return tuple(
        action
        for action in _ACTIONS.get(state, ())
        if (principal.has_role("reviewer") if action in _REVIEWS else principal.is_operator)
    )


@router.get("/enterprises/{enterprise_id}/act")
async def show_act(visit: Visiting, enterprise_id: int, action: Text) -> Response:
    async with visit.connect() as conn:
        detail = await get_enterprise(conn, visit.get_principal(), _check_id(enterprise_id))
    _check_action(visit.get_principal(), action)
    return _show_act(visit, detail, action, {}, {})


def _show_act(
    visit: Visit, detail: EnterpriseDetail, action: str, fields: dict[str, str], problems: dict[str, Problem]
) -> Response:
    return visit.page(
        "enterprise_act.html", status=400 if problems else 200, firm=format_detail(detail, visit.language),
        action=action, fields=fields, problems=problems,
        differences=list_differences(visit.state.config.rules, visit.get_principal(), detail),
    )  # fmt: skip


def _check_action(principal: Principal, action: str) -> None:
    """Raises InvalidInput, or Forbidden for who may never do it."""
    if action in _REVIEWS:
        principal.check_role("reviewer")
    elif action in ("suspend", "resume", "close"):
        principal.check_operator()
    else:
        raise InvalidInput("field_not_a_choice", field="action", choices="approve, refuse")


@router.post("/enterprises/{enterprise_id}/act")
async def act(post: Posting, enterprise_id: int) -> Response:
    """Nobody decides on an application of his own: the decision itself refuses it."""
    action, rules = post.form["action"], post.state.config.rules
    _check_action(post.get_principal(), action)
    try:
        order = post.order(post.form.get_reason())
        async with post.write() as conn:
            await _decide(conn, action, rules, order, _check_id(enterprise_id))
    except ServiceError as error:
        async with post.connect() as conn:
            detail = await get_enterprise(conn, post.get_principal(), enterprise_id)
        return _show_act(post, detail, action, post.form.to_dict(), post.explain(error))
    return post.redirect(f"/enterprises/{enterprise_id}", f"{action}_enterprise")


async def _decide(conn: Connection, action: str, rules: Any, order: Order, enterprise_id: int) -> None:
    if action == "approve":
        await decisions.approve(conn, rules, order, enterprise_id)
    elif action == "review":
        await decisions.begin_review(conn, order, enterprise_id)
    elif action == "refuse":
        await decisions.refuse(conn, order, enterprise_id)
    elif action == "suspend":
        await decisions.suspend(conn, order, enterprise_id)
    elif action == "resume":
        await decisions.resume(conn, order, enterprise_id)
    else:
        await decisions.close(conn, order, enterprise_id)


@router.get("/enterprises/{enterprise_id}/personal")
async def show_reveal(visit: Visiting, enterprise_id: int) -> Response:
    """Asks for the reason, which is recorded."""
    visit.get_principal().check_enterprise(enterprise_id)
    async with visit.connect() as conn:
        detail = await get_enterprise(conn, visit.get_principal(), _check_id(enterprise_id))
    return visit.page("enterprise_personal.html", firm=format_detail(detail, visit.language), personal=None, reason="")


@router.post("/enterprises/{enterprise_id}/personal")
async def reveal(post: Posting, enterprise_id: int) -> Response:
    principal, personal, problems = post.get_principal(), None, {}
    principal.check_enterprise(enterprise_id)
    async with post.connect() as conn:
        detail = await get_enterprise(conn, principal, _check_id(enterprise_id))
    try:
        async with post.write() as conn:
            order = post.order(post.form.get_reason())
            personal = await reveal_personal(conn, post.state.config.rules, order, enterprise_id)
    except ServiceError as error:
        problems = post.explain(error)
    return post.page(
        "enterprise_personal.html", status=400 if problems else 200, firm=format_detail(detail, post.language),
        personal=personal, problems=problems, reason=post.form["reason"],
    )  # fmt: skip
