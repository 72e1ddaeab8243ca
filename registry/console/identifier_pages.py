"""Identifiers of one's own prefixes: searching, one with its history and code, registering, changing, ending."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.targets import (
    check_known_prefix,
    get_rule,
    get_rule_for_state,
    get_rule_for_writing,
    get_template_for_writing,
)
from registry.api.views import Templates
from registry.console.codes import draw_code
from registry.console.range_pages import check_action, name_values, read_page, read_values
from registry.console.search import Search, search_records
from registry.console.sections import Entry, Section, is_registrar
from registry.console.start_pages import is_final
from registry.console.visits import ABOUT, Posting, Problem, Visit, Visiting, collect, find_number, needs
from registry.freezes import find_held
from registry.issuing import Outcome
from registry.late_routes import LateRouter
from registry.prefixes import list_prefixes
from registry.ranges import RangeRequest, create_range
from registry.record_views import format_record, format_revision
from registry.records import (
    Located,
    change,
    check_revision,
    freeze,
    get_stored,
    is_storable,
    list_revisions,
    make_held,
    register,
    restore,
    retire,
    unfreeze,
)
from registry.store.prefixes import PrefixRow
from registry.store.records import PrefixRule
from registry.templates import list_templates
from schemas.days import ZONE
from schemas.errors import InvalidInput, ServiceError
from schemas.identifiers import (
    Identifier,
    format_suffix_key,
    parse_any_identifier,
    parse_new_identifier,
    shorten,
)
from schemas.prefixes import PrefixState
from schemas.ranges import parse_range
from schemas.records import RecordState
from schemas.templates import Template
from schemas.viewing import Viewer

router = LateRouter(prefix="/identifiers")
SECTION = Section(router, (Entry("/identifiers", "identifiers", "group_work", is_registrar),))

PAGE_ROWS = 50
SEARCH_SECONDS = 1  # until a search that goes through everything asks for the next page
SHOWN_VALUES = 3
SHOWN_RANGES = 10
Text = Annotated[str, Query(max_length=4_096)]
VIEWERS = {"owner": Viewer.OWNER, "partner": Viewer.PARTNER, "public": Viewer.PUBLIC}


async def list_own_prefixes(conn: Connection, visit: Visit) -> list[PrefixRow]:
    """Those under which something was or can be registered."""
    rows = await list_prefixes(conn, visit.get_principal(), limit=1_000)
    return [row for row in rows if row.state in (PrefixState.ENABLED, PrefixState.STOPPED)]


def choose_prefix(asked: str, known: list[PrefixRow]) -> str:
    return asked or (known[0].prefix if known else "")


@router.get("")
async def list_identifiers(
    visit: Visiting, prefix: Text = "", text: Text = "", starts_with: Text = "", state: Text = "", since: Text = "",
    until: Text = "", after: Text = "", through: Text = "",
) -> Response:  # fmt: skip
    """By cursor; one page looks for a bounded time. `through`: pages with nothing go on by themselves."""
    asked = {"prefix": prefix, "text": text, "starts_with": starts_with, "state": state, "since": since, "until": until}
    problems: dict[str, Problem] = {}
    context: dict[str, Any] = {
        "asked": asked,
        "problems": problems,
        "found": None,
        "ranges": ([], None),
        "rows": [],
        "after": "",
        "next_address": "",
        "is_narrowed": any(asked[name] for name in asked if name != "prefix"),
    }
    async with visit.connect() as conn:
        context["prefixes"] = prefixes = await list_own_prefixes(conn, visit)
        asked["prefix"] = chosen = choose_prefix(prefix, prefixes)
        setattr(visit.request.state, ABOUT, {"prefix": chosen})
        if chosen:
            rule = await get_rule(conn, visit, chosen)
            with collect(problems, visit):
                wanted = replace(_read_search(asked, rule), goes_on=bool(through))
                cursor = format_suffix_key(after, rule.folds_case) if is_storable(after) else ""
                found = await search_records(conn, rule.prefix_id, wanted, cursor, PAGE_ROWS)
                templates = Templates(conn)
                context |= {
                    "found": found,
                    "after": after,
                    "rows": [await _format_row(visit, templates, Located(rule, stored)) for stored in found.rows],
                    "ranges": ([], None) if after or context["is_narrowed"]
                    else await read_page(conn, visit, chosen, None, SHOWN_RANGES),
                }  # fmt: skip
                on = {"after": found.next_after or "", "through": "yes"}
                context["next_address"] = f"?{urlencode(asked | on)}"
                if through and found.cut_at and not found.rows:
                    context |= {"refresh_seconds": SEARCH_SECONDS, "refresh_address": context["next_address"]}
    return visit.page("identifiers.html", status=400 if problems else 200, **context)


def _read_search(asked: dict[str, str], rule: PrefixRule) -> Search:
    for name, text in asked.items():
        if not is_storable(text):
            raise InvalidInput("text_not_unicode", field=name)
    states = {state.name.lower(): int(state) for state in RecordState}
    start, end = _read_day(asked["since"], "since"), _read_day(asked["until"], "until", 1)
    text = asked["text"].strip().removeprefix(f"{rule.prefix}/")
    return Search(
        format_suffix_key(asked["starts_with"].strip().removeprefix(f"{rule.prefix}/"), rule.folds_case),
        format_suffix_key(text, rule.folds_case),
        text,
        states.get(asked["state"]),
        start,
        end,
    )


def _read_day(text: str, field: str, days: int = 0) -> datetime | None:
    """The beginning of a day at UTC+8, or of so many days later."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date() + timedelta(days)
    except (ValueError, OverflowError):
        raise InvalidInput("day_malformed", field=field, text=shorten(text, 40)) from None
    return datetime.combine(day, time(), ZONE)


async def _format_row(visit: Visit, templates: Templates, located: Located) -> dict[str, Any]:
    template = await templates.find(located.stored.template_id)
    view = format_record(located, template, Viewer.OWNER, visit.state.config.public_url)
    return view | {"summary": [value["data"] for value in view["values"][:SHOWN_VALUES]]}


async def get_own(conn: Connection, visit: Visit, identifier: str, *, for_update: bool = False) -> Located:
    """An identifier under one of the visitor's prefixes; raises NotFound for all others."""
    named = parse_any_identifier(identifier)
    check_known_prefix(visit, named.prefix)
    return await get_stored(conn, named, for_update=for_update)


@router.get("/one")
async def show_identifier(
    visit: Visiting, identifier: Text, seen_by: Annotated[Text, Query(alias="as")] = "owner"
) -> Response:
    """As its owner sees it, or as a partner or anybody would; with its history and codes."""
    viewer = VIEWERS.get(seen_by, Viewer.OWNER)
    async with visit.connect() as conn:
        located, templates = await get_own(conn, visit, identifier), Templates(conn)
        template = await templates.find(located.stored.template_id)
        revisions = [
            format_revision(one, await templates.find(one.record.template_id), Viewer.OWNER)
            for one in await list_revisions(conn, located)
        ]
        is_held = await _is_held(conn, visit, located)
    view = format_record(located, template, viewer, visit.state.config.public_url)
    final, address = is_final(visit), view["scan_url"]
    return visit.page(
        "identifier.html", view=view, template=template, revisions=revisions, seen_by=viewer.name.lower(),
        qr=draw_code(address, "qr", is_final=final), matrix=draw_code(address, "matrix", is_final=final),
        is_final=final, is_template=located.stored.template_id == 0, is_held=is_held,
    )  # fmt: skip


@router.get("/new", dependencies=[needs("write")])
async def show_new(visit: Visiting, prefix: Text = "", template: Text = "", many: bool = False) -> Response:
    return await _show_form(visit, prefix, template, {}, {}, many=many)


async def _show_form(
    visit: Visit, prefix: str, version: str, fields: dict[str, str], problems: dict[str, Problem], *, many: bool
) -> Response:
    async with visit.connect() as conn:
        prefixes = [row for row in await list_own_prefixes(conn, visit) if row.state is PrefixState.ENABLED]
        chosen = choose_prefix(prefix, prefixes)
        templates = (
            [t for t in await list_templates(conn, visit.get_principal(), chosen) if t.enabled] if chosen else []
        )
    template = next((one for one in templates if one.version == version), templates[0] if templates else None)
    return visit.page(
        "identifier_new.html", status=400 if problems else 200, prefixes=prefixes, prefix=chosen, templates=templates,
        template=template, fields=fields, problems=problems, many=many,
    )  # fmt: skip


@router.post("/new", dependencies=[needs("write")])
async def create_identifier(post: Posting) -> Response:
    prefix, version, many = post.form["prefix"], post.form["template"], post.form["many"] == "yes"
    problems: dict[str, Problem] = {}
    fields = {"identifier": "suffix"}
    try:
        async with post.write() as conn:
            rule = await get_rule_for_writing(conn, post, prefix)
            template = await get_template_for_writing(conn, post, prefix, version)
            fields |= name_values(template)
            own, checked = f"{prefix}/", post.form["checked"] == "yes"
            # Whoever pastes a whole identifier means that one.
            first, last, suffix = (post.form[name].removeprefix(own) for name in ("first", "last", "suffix"))
            with collect(problems, post, fields):
                if many:
                    parse_range(first, last, checked)
                else:
                    parse_new_identifier(own + suffix)
            with collect(problems, post, fields):
                texts = read_values(post, template)
            if not problems and many:
                request = RangeRequest(first, last, texts, checked)
                made = await create_range(conn, rule, template, request, post.order().act)
                name = f"{prefix}/{made.format_first()}"
            elif not problems:
                name = (await register(conn, rule, template, suffix, texts, post.order().act)).identifier
    except ServiceError as error:
        problems = post.explain(error, fields)
    if problems:
        return await _show_form(post, prefix, version, post.form.to_dict(), problems, many=many)
    return post.redirect("/identifiers/one", "range_registered" if many else "registered", identifier=name)


@router.get("/change", dependencies=[needs("write")])
async def show_change(visit: Visiting, identifier: Text) -> Response:
    async with visit.connect() as conn:
        located = await get_own(conn, visit, identifier)
        template = await _get_template(conn, located)
    view = format_record(located, template, Viewer.OWNER, visit.state.config.public_url)
    fields = {f"v.{value['type']}": value["data"] for value in view["values"]} | {"revision": str(view["revision"])}
    return visit.page("identifier_change.html", view=view, template=template, fields=fields)


async def _get_template(conn: Connection, located: Located) -> Template:
    template = await Templates(conn).find(located.stored.template_id)
    if template is None:
        raise InvalidInput("record_without_template", field="identifier", identifier=located.identifier)
    return template


@router.post("/change", dependencies=[needs("write")])
async def change_identifier(post: Posting) -> Response:
    identifier = post.form["identifier"]
    async with post.connect() as conn:
        located = await get_own(conn, post, identifier)
        template = await _get_template(conn, located)
    try:
        async with post.write() as conn:
            await get_rule_for_writing(conn, post, located.rule.prefix)
            locked = await get_own(conn, post, identifier, for_update=True)
            check_revision(locked, find_number(post.form["revision"]) or 0)
            act = post.order(post.form.get_reason()).act
            outcome = await change(conn, locked, template, read_values(post, template), act)
    except ServiceError as error:
        view = format_record(located, template, Viewer.OWNER, post.state.config.public_url)
        return post.page(
            "identifier_change.html", status=400, view=view, template=template, fields=post.form.to_dict(),
            problems=post.explain(error, name_values(template)),
        )  # fmt: skip
    done = "nothing_changed" if outcome is Outcome.UNCHANGED else "changed"
    return post.redirect("/identifiers/one", done, identifier=identifier)


@router.get("/act", dependencies=[needs("write")])
async def show_act(visit: Visiting, identifier: Text, action: Text) -> Response:
    """What will happen, to be confirmed."""
    check_action(action)
    async with visit.connect() as conn:
        located = await get_own(conn, visit, identifier)
        if await _is_held(conn, visit, located):
            raise make_held(located)
    return visit.page("identifier_act.html", identifier=located.identifier, action=action, fields={})


async def _is_held(conn: Connection, visit: Visit, located: Located) -> bool:
    """Frozen by the operator, and the visitor is somebody else."""
    return bool(await find_held(conn, located.rule, [located.stored], visit.order().act))


@router.post("/act", dependencies=[needs("write")])
async def act(post: Posting) -> Response:
    """Freeze, unfreeze, retire or restore."""
    identifier, action = post.form["identifier"], post.form["action"]
    check_action(action)
    try:
        async with post.write() as conn:
            await get_rule_for_state(conn, post, parse_any_identifier(identifier).prefix)
            located = await get_own(conn, post, identifier, for_update=True)
            order = post.order(post.form.get_reason())
            if action == "freeze":
                await freeze(conn, located, post.form["notice"], order.act)
            elif action == "unfreeze":
                await unfreeze(conn, located, order.act)
            elif action == "retire":
                await retire(conn, located, order.act, _read_successor(post.form["successor"]))
            else:
                await restore(conn, located, order.act)
    except ServiceError as error:
        return post.page(
            "identifier_act.html", status=400, identifier=identifier, action=action, fields=post.form.to_dict(),
            problems=post.explain(error),
        )  # fmt: skip
    return post.redirect("/identifiers/one", f"{action}_done", identifier=identifier)


def _read_successor(text: str) -> Identifier | None:
    return parse_any_identifier(text) if text else None
