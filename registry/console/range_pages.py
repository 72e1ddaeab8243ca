"""Whole ranges: the list; one with its history; changing, freezing, retiring and restoring all its members at once."""

from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.problems import InvalidBody
from registry.api.targets import check_known_prefix, get_rule, get_rule_for_state, get_rule_for_writing
from registry.api.views import Templates
from registry.console.sections import Section
from registry.console.visits import Post, Posting, Problem, Visit, Visiting, find_number, needs
from registry.issuing import Outcome
from registry.late_routes import LateRouter
from registry.range_changes import (
    LocatedRange,
    change_range,
    check_not_held,
    check_range_revision,
    freeze_range,
    get_range,
    is_held,
    list_range_revisions,
    restore_range,
    retire_range,
    unfreeze_range,
)
from registry.range_views import format_cursor, format_range_revision, format_range_state, parse_cursor
from registry.ranges import list_ranges
from registry.store.records import RangeCursor
from schemas.errors import InvalidInput, ServiceError
from schemas.identifiers import parse_any_identifier
from schemas.records import RecordState
from schemas.templates import Template, check_text, is_blank

router = LateRouter(prefix="/ranges")
SECTION = Section(router)

Text = Annotated[str, Query(max_length=4_096)]
PAGE_ROWS = 100
ACTIONS = ("freeze", "unfreeze", "retire", "restore")


@router.get("")
async def list_all(visit: Visiting, prefix: Text, after: Text = "") -> Response:
    """In order of head and first serial, by cursor."""
    check_known_prefix(visit, prefix)
    cursor = parse_cursor(after) if after else None
    async with visit.connect() as conn:
        rows, following = await read_page(conn, visit, prefix, cursor, PAGE_ROWS)
    return visit.page("ranges.html", prefix=prefix, rows=rows, after=after, next_after=following)


async def read_page(
    conn: Connection, visit: Visit, prefix: str, cursor: RangeCursor | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Ranges as pages list them, and the cursor of what follows."""
    found = await list_ranges(conn, await get_rule(conn, visit, prefix), cursor, limit + 1)
    templates, shown = Templates(conn), []
    for one, row in found[:limit]:
        template = await templates.find(row["template_id"])
        shown.append({
            "first": one.format_first(), "last": one.format_last(), "members": one.members, "created": row["created"],
            "state": RecordState(row["state"]).name.lower(), "template": template.version if template else "",
        })  # fmt: skip
    return shown, format_cursor(found[limit - 1][1]) if len(found) > limit else None


async def _get_own(conn: Connection, visit: Visit, first: str) -> LocatedRange:
    """By its first serial, under one of the visitor's prefixes; raises NotFound for all others."""
    named = parse_any_identifier(first)
    check_known_prefix(visit, named.prefix)
    return await get_range(conn, await get_rule(conn, visit, named.prefix), named.suffix)


async def _find_template(conn: Connection, located: LocatedRange) -> Template | None:
    return await Templates(conn).find(located.row["template_id"])


def _format(visit: Visit, located: LocatedRange, template: Template | None) -> dict[str, Any]:
    """With `name`, the whole identifier of its first serial, and how many members stand for themselves."""
    view = format_range_state(located, template, visit.state.config.public_url)
    return view | {"name": located.first, "affected": located.range.members - located.own_records}


@router.get("/one")
async def show_range(visit: Visiting, first: Text) -> Response:
    async with visit.connect() as conn:
        located, templates = await _get_own(conn, visit, first), Templates(conn)
        template = await templates.find(located.row["template_id"])
        revisions = [
            format_range_revision(located, one, await templates.find(one.template_id))
            for one in await list_range_revisions(conn, located)
        ]
        held = await is_held(conn, located, visit.order().act)
    view = _format(visit, located, template)
    return visit.page("range.html", view=view, template=template, revisions=revisions, is_held=held)


def read_values(post: Post, template: Template) -> dict[str, str]:
    """Type → text of the form's fields `v.<type>`. Raises InvalidBody that names all that are missing or wrong."""
    texts = {item.type: post.form.get(f"v.{item.type}") for item in template.items if item.enabled}
    wrong = []
    for item_type, text in texts.items():
        item = template.get_item(item_type)
        try:
            if not is_blank(text):
                check_text(item, text)
            elif item.required:
                raise InvalidInput("value_missing", field=item.type, **item.names)
        except InvalidInput as error:
            wrong.append((error.code, item.type, error.details))
    if wrong:
        raise InvalidBody(wrong)
    return texts


def name_values(template: Template) -> dict[str, str]:
    """What an error calls a value → the form's field."""
    return {item.type: f"v.{item.type}" for item in template.items}


@router.get("/change", dependencies=[needs("write")])
async def show_change(visit: Visiting, first: Text) -> Response:
    async with visit.connect() as conn:
        located = await _get_own(conn, visit, first)
        template = await _find_template(conn, located)
    view = _format(visit, located, template)
    fields = {f"v.{value['type']}": value["data"] for value in view["values"]} | {"revision": str(located.revision)}
    return _show_change(visit, located, template, fields, {})


def _show_change(
    visit: Visit, located: LocatedRange, template: Template | None, fields: dict[str, str], problems: dict[str, Problem]
) -> Response:
    if template is None:
        raise InvalidInput("record_without_template", field="first", identifier=located.first)
    return visit.page(
        "range_change.html", status=400 if problems else 200, view=_format(visit, located, template),
        template=template, fields=fields, problems=problems,
    )  # fmt: skip


@router.post("/change", dependencies=[needs("write")])
async def change(post: Posting) -> Response:
    """The revision that was shown is the one that is changed; members with records of their own stay."""
    first = post.form["first"]
    async with post.connect() as conn:
        located = await _get_own(conn, post, first)
        template = await _find_template(conn, located)
    if template is None:
        return _show_change(post, located, None, {}, {})
    try:
        async with post.write() as conn:
            rule = await get_rule_for_writing(conn, post, located.rule.prefix)
            locked = await get_range(conn, rule, located.range.format_first(), for_update=True)
            check_range_revision(locked, find_number(post.form["revision"]) or 0)
            order = post.order(post.form.get_reason())
            outcome = await change_range(conn, locked, template, read_values(post, template), order.act)
    except ServiceError as error:
        problems = post.explain(error, name_values(template))
        return _show_change(post, located, template, post.form.to_dict(), problems)
    done = "nothing_changed" if outcome is Outcome.UNCHANGED else "range_changed"
    return post.redirect("/ranges/one", done, first=located.first)


@router.get("/act", dependencies=[needs("write")])
async def show_act(visit: Visiting, first: Text, action: Text) -> Response:
    """What will happen to how many identifiers, to be confirmed."""
    check_action(action)
    async with visit.connect() as conn:
        located = await _get_own(conn, visit, first)
        await check_not_held(conn, located, visit.order().act)
    return visit.page("range_act.html", view=_format(visit, located, None), action=action, fields={})


def check_action(action: str) -> None:
    """Of an identifier as of a range; raises InvalidInput."""
    if action not in ACTIONS:
        raise InvalidInput("field_not_a_choice", field="action", choices=", ".join(ACTIONS))


@router.post("/act", dependencies=[needs("write")])
async def act(post: Posting) -> Response:
    """All members or none."""
    action = post.form["action"]
    check_action(action)
    async with post.connect() as conn:
        shown = await _get_own(conn, post, post.form["first"])
    try:
        if post.form["members"].replace(",", "") != str(shown.range.members):
            raise InvalidInput("members_not_confirmed", field="members", members=f"{shown.range.members:,}")
        async with post.write() as conn:
            rule = await get_rule_for_state(conn, post, shown.rule.prefix)
            await _act(conn, post, action, await get_range(conn, rule, shown.range.format_first(), for_update=True))
    except ServiceError as error:
        return post.page(
            "range_act.html", status=400, view=_format(post, shown, None), action=action, fields=post.form.to_dict(),
            problems=post.explain(error),
        )  # fmt: skip
    return post.redirect("/ranges/one", f"range_{action}", first=shown.first)


async def _act(conn: Connection, post: Post, action: str, located: LocatedRange) -> None:
    act, successor = post.order(post.form.get_reason()).act, post.form["successor"]
    if action == "freeze":
        await freeze_range(conn, located, post.form["notice"], act)
    elif action == "unfreeze":
        await unfreeze_range(conn, located, act)
    elif action == "retire":
        await retire_range(conn, located, act, parse_any_identifier(successor) if successor else None)
    else:
        await restore_range(conn, located, act)
