"""The page of alarms: what is wrong now, what to do about it, and what was wrong before."""

import json
from typing import Any

from asyncpg import Record
from fastapi import Response
from jinja2 import PackageLoader

from node.alarms import Alarm, describe
from node.store.alarms import fetch_alarms
from node.store.monitoring import delete_fact
from node.watching import RESTORED_FACT
from registry.audit import note
from registry.console.sections import Entry, Section
from registry.console.visits import Posting, Visit, Visiting
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.errors import Forbidden, NotFound
from schemas.texts.alarm_pages import PAGES

SHOWN = 200


def _sees_alarms(principal: Principal) -> bool:
    return principal.kind in ("operator", "engineer")


router = LateRouter(prefix="/alarms")
SECTION = Section(
    router, (Entry("/alarms", "alarms", "group_running", _sees_alarms),), PackageLoader("node", "pages"), PAGES
)


@router.get("")
async def show_alarms(visit: Visiting) -> Response:
    principal = visit.get_principal()
    if not _sees_alarms(principal):
        raise Forbidden("operator_only")
    async with visit.connect() as conn:
        rows = await fetch_alarms(conn, SHOWN)
    shown = [_show(visit, row) for row in rows]
    return visit.page(
        "alarms.html", opened=[one for one in shown if not one["cleared"]],
        over=[one for one in shown if one["cleared"]], acknowledged=RESTORED_FACT if principal.is_operator else "",
        machines=len({row["machine"] for row in rows}),
    )  # fmt: skip


def _show(visit: Visit, row: Record) -> dict[str, Any]:
    """What the message by webhook or mail says, in the reader's language; the guide's page in it, too."""
    alarm = Alarm(row["cause"], row["subject"], json.loads(row["details"]), 0, 0, 0)
    said = describe("raised", alarm, "", 0)
    page, _, paragraph = said["paragraph"].partition("#")
    if visit.language == "zh":
        page = page.replace(".md", ".zh-CN.md")
    return {
        "cause": row["cause"], "machine": row["machine"], "raised": row["raised"], "sent": row["sent"],
        "cleared": row["cleared"], "message": said["message"][visit.language],
        "remedy": said["remedy"][visit.language], "paragraph": f"{page}#{paragraph}",
    }  # fmt: skip


@router.post("/acknowledge")
async def acknowledge(post: Posting) -> Response:
    """The one that no cause takes away: that the node was made from a backup."""
    principal = post.get_principal()
    principal.check_operator()
    principal.check_scope("manage")
    async with post.write() as conn:
        if not await delete_fact(conn, RESTORED_FACT):
            raise NotFound("alarm_nothing_to_acknowledge", field="cause", cause=RESTORED_FACT)
        await note(conn, post.order(), "alarm_acknowledged", RESTORED_FACT)
    return post.redirect("/alarms", "alarm_acknowledged")
