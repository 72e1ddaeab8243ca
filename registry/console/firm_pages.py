"""What the node does with one enterprise beside its application: real-name check, place, tags, files, prefixes."""

import re
from datetime import date
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.attachments import make_download
from registry.attachments import read_attachment
from registry.console.sections import Section
from registry.console.visits import Post, Posting, Problem, Visit, Visiting
from registry.enterprise_views import format_detail, get_enterprise
from registry.enterprises import get_enterprise_id, move, set_tags, set_verification
from registry.late_routes import LateRouter
from registry.prefixes import get_prefix, transfer_prefix
from registry.store.enterprises import fetch_tag_dictionary
from schemas.enterprises import Verification
from schemas.errors import InvalidInput, ServiceError

router = LateRouter()
SECTION = Section(router)

Text = Annotated[str, Query(max_length=4_096)]
RESULTS = ("pass", "fail", "unavailable", "pending")


@router.get("/enterprises/{enterprise_id}/manage")
async def show_manage(visit: Visiting, enterprise_id: int) -> Response:
    return await _show(visit, enterprise_id, {}, {})


async def _show(visit: Visit, enterprise_id: int, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    visit.get_principal().check_sees_enterprise(enterprise_id)
    async with visit.connect() as conn:
        detail = await get_enterprise(conn, visit.get_principal(), enterprise_id)
        known: dict[str, list[str]] = {}
        for kind, name, _ in await fetch_tag_dictionary(conn):
            known.setdefault(kind, []).append(name)
    firm = format_detail(detail, visit.language)
    filled = {
        "area": firm["unit"] or firm["division_code"],
        "industry": firm["industry"],
        "result": firm["verification"],
        "tags": "",
    }
    filled |= {f"tag.{kind}": firm["tags"].get(kind, "") for kind in known}
    return visit.page(
        "enterprise_manage.html", status=400 if problems else 200, firm=firm, results=RESULTS, fields=filled | fields,
        tags=known, problems=problems,
    )  # fmt: skip


@router.post("/enterprises/{enterprise_id}/manage")
async def manage(post: Posting, enterprise_id: int) -> Response:
    """One form at a time; who may do what is decided by the decisions."""
    post.get_principal().check_sees_enterprise(enterprise_id)
    try:
        if post.form["what"] == "transfer" and post.form["confirmed"] != "yes":
            return await _ask_transfer(post, enterprise_id)
        async with post.write() as conn:
            await _do(conn, post, enterprise_id, post.form["what"])
    except ServiceError as error:
        return await _show(
            post, enterprise_id, post.form.to_dict(), post.explain(error, {"enterprise": "enterprise_id"})
        )
    return post.redirect(f"/enterprises/{enterprise_id}", "firm_managed")


async def _ask_transfer(post: Post, enterprise_id: int) -> Response:
    """Names whose prefix passes to whom; nothing is done yet. Raises Forbidden, NotFound."""
    principal = post.get_principal()
    principal.check_operator()
    async with post.connect() as conn:
        row = await get_prefix(conn, principal, post.form["prefix"])
        giver = await get_enterprise(conn, principal, enterprise_id)
        receiver = await get_enterprise(conn, principal, await get_enterprise_id(conn, post.form["enterprise_id"]))
    return post.page(
        "enterprise_transfer.html", prefix=row.prefix, firm=format_detail(giver, post.language),
        receiver=format_detail(receiver, post.language),
    )  # fmt: skip


async def _do(conn: Connection, post: Post, enterprise_id: int, what: str) -> None:
    form, order = post.form, post.order(post.form.get_reason())
    if what == "verification":
        if form["result"] not in RESULTS:
            raise InvalidInput("choice_missing", field="result")
        await set_verification(conn, order, enterprise_id, Verification[form["result"].upper()])
    elif what == "move":
        await move(conn, order, enterprise_id, _read_day(post), area=form["area"], industry=form["industry"])
    elif what == "tags":
        await set_tags(conn, order, enterprise_id, _read_tags(post))
    elif what == "transfer":
        await transfer_prefix(
            conn, order, form["prefix"], await get_enterprise_id(conn, form["enterprise_id"]), _read_day(post)
        )
    else:
        raise InvalidInput("field_not_a_choice", field="what", choices="verification, move, tags, transfer")


def _read_day(post: Post) -> date:
    text = post.form["day"]
    try:
        return date.fromisoformat(text) if text else post.order().day
    except ValueError:
        raise InvalidInput("day_malformed", field="day", text=text[:40]) from None


def _read_tags(post: Post) -> dict[str, str]:
    """One of each known kind by choice, and new ones as `kind=name` in lines."""
    text = post.form["tags"]
    lines: list[Any] = [re.split("[=＝]", line, maxsplit=1) for line in text.split("\n") if line.strip()]
    if any(len(parts) != 2 for parts in lines):
        raise InvalidInput("tag_malformed", field="tags", kind=text[:40])
    chosen = {key.removeprefix("tag."): name for key, name in post.form.items if key.startswith("tag.") and name}
    return chosen | {kind.strip(): name.strip() for kind, name in lines}


@router.get("/files/{attachment_id}")
async def download(visit: Visiting, attachment_id: int, reason: Text = "") -> Response:
    """A file of a dossier, to be saved; of identity documents with a reason, which is recorded."""
    async with visit.write() as conn:
        storage = visit.state.config.attachments
        row, content = await read_attachment(conn, storage, visit.order(reason[:1_000]), attachment_id)
    return make_download(row, content)
