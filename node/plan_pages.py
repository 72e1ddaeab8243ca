"""Pages of plans: targets against actual figures, the firms behind a number, figures entered by hand."""

import asyncio
import tempfile
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Response

from node.annex import FORMATS, Annex
from node.charts import draw_progress
from node.plan_files import Line, parse_value, read_plan_file
from node.plan_progress import PlanView, Progress, list_firms
from node.plan_views import format_plan, format_refusal, name_indicator, name_measure, name_source
from node.plans import MEASURED, Figure, Loaded, check_name, enter_figure, load_plan
from node.plans_api import answer_annex, find_plan_limits, find_row, list_seen_plans, read_view
from node.statistics_pages import parse_day
from registry.console.sections import Entry, Section
from registry.console.visits import Post, Posting, Visit, Visiting, collect
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.errors import InvalidInput, NotFound, ServiceError
from schemas.industries import format_division

MAX_FILE_BYTES = 4 * 1024 * 1024


def _sees_plans(principal: Principal) -> bool:
    return principal.kind not in ("enterprise", "partner")


router = LateRouter()
SECTION = Section(router, (Entry("/plans", "plans", "group_figures", _sees_plans),))
Text = Annotated[str, Query(max_length=200)]


@router.get("/plans")
async def show_plans(visit: Visiting) -> Response:
    return await _show_list(visit, {}, None)


async def _show_list(visit: Visit, problems: dict[str, Any], loaded: Loaded | None) -> Response:
    limits = find_plan_limits(_check(visit))
    async with visit.connect() as conn:
        plans = await list_seen_plans(conn, limits)
    rows = [format_plan(plan, seen) | {"query": urlencode({"name": plan.name})} for plan, seen in plans]
    refused = [format_refusal(one, visit.language) for one in loaded.refused] if loaded else []
    return visit.page(
        "plans.html", status=400 if problems or refused else 200, rows=rows, problems=problems, refused=refused,
        may_load=visit.get_principal().is_operator, fields=visit.form.to_dict() if isinstance(visit, Post) else {},
    )  # fmt: skip


def _check(visit: Visit) -> Principal:
    principal = visit.get_principal()
    principal.check_scope("statistics")
    return principal


@router.post("/plans")
async def load(post: Posting) -> Response:
    """A file of targets: all rows or none."""
    post.get_principal().check_operator()
    post.get_principal().check_scope("manage")
    problems: dict[str, Any] = {}
    lines: list[Line] = []
    with collect(problems, post):
        check_name(post.form["name"])
    with collect(problems, post):
        lines = await _read_file(post)
    if problems:
        return await _show_list(post, problems, None)
    try:
        async with post.write() as conn:
            replace = bool(post.form["replace"])
            loaded = await load_plan(conn, post.order(), post.form["name"], lines, replace=replace)
    except ServiceError as error:
        return await _show_list(post, post.explain(error), None)
    if loaded.refused:
        return await _show_list(post, {}, loaded)
    return post.redirect("/plans/one", "plan_loaded" if loaded.written else "plan_unchanged", name=loaded.name)


async def _read_file(post: Post) -> list[Line]:
    upload = post.form.files.get("file")
    content = b"" if upload is None else await upload.read(MAX_FILE_BYTES + 1)
    if not content or upload is None:
        raise InvalidInput("upload_missing", field="file")
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInput("plan_file_too_long", field="file", limit=2_000)

    def read() -> list[Line]:
        with tempfile.TemporaryDirectory(prefix="plan-") as directory:
            path = Path(directory) / "targets"
            path.write_bytes(content)
            return read_plan_file(path, upload.filename or "")

    return await asyncio.to_thread(read)


@router.get("/plans/one")
async def show_plan(visit: Visiting, name: Text, as_of: Annotated[str, Query(max_length=4_096)] = "") -> Response:
    try:
        return await _show_one(visit, name, parse_day(as_of, "as_of"), {}, {})
    except InvalidInput as error:
        return await _show_one(visit, name, None, {"as_of": as_of}, visit.explain(error))


async def _show_one(
    visit: Visit, name: str, as_of: date | None, fields: dict[str, str], problems: dict[str, Any]
) -> Response:
    _check(visit)
    async with visit.connect() as conn:
        view, sealing = await read_view(conn, visit, name, as_of)
    asked = {"name": view.plan.name, "as_of": view.as_of.isoformat()}
    groups = [
        {
            "name": name_indicator(group.first.indicator, visit.language),
            "measure": name_measure(group.first.counted_in, visit.language),
            "first": group.first, "rows": [_show_row(visit, view, row) for row in group.rows], "group": group,
        }
        for group in view.groups
    ]  # fmt: skip
    by_hand = [(f"{at}", f"{format_division(row.target.area)} · {name_indicator(row.target.indicator, visit.language)}")
               for at, row in enumerate(view.rows) if row.target.indicator not in MEASURED]  # fmt: skip
    return visit.page(
        "plan.html", status=400 if problems else 200, plan=view.plan, asked=asked, query=urlencode(asked),
        groups=groups, sealing=sealing, by_hand=by_hand if visit.get_principal().is_operator else [],
        fields=fields, problems=problems, name_area=format_division,
    )  # fmt: skip


def _show_row(visit: Visit, view: PlanView, row: Progress) -> dict[str, Any]:
    """What the page shows of a target: its bar, its words, and where the number leads."""
    target, forecast = row.target, row.forecast
    known = "unknown" if row.met is None else "met" if row.met else "missed"
    state = "plan_not_begun" if row.state == "not_begun" else f"plan_{row.state}_{known}"
    tone = {"met": "good", "missed": "bad" if row.state == "ended" else "info"}.get(known, "")
    asked = {"name": view.plan.name, "area": target.area, "indicator": target.indicator,
             "deadline": target.deadline.isoformat(), "as_of": view.as_of.isoformat()}  # fmt: skip
    return {
        "row": row, "state": state, "tone": tone, "source": name_source(row, visit.language),
        "bar": draw_progress(target.target, row.value, None if forecast is None else forecast.value),
        "sign": "≥" if target.comparison == ">=" else ">",
        "firms": urlencode(asked) if row.source == "measured" else "",
        "forecast": "" if forecast is None else visit.say(f"plan_{forecast.method}"),
    }  # fmt: skip


@router.get("/plans/firms")
async def show_firms(
    visit: Visiting, name: Text, area: Text, indicator: Text, deadline: Text = "", as_of: Text = ""
) -> Response:
    _check(visit)
    async with visit.connect() as conn:
        view, _ = await read_view(conn, visit, name, parse_day(as_of, "as_of"))
        row = find_row(view, area, indicator, parse_day(deadline, "deadline"))
        firms = await list_firms(conn, row)
    asked = {"name": view.plan.name, "as_of": view.as_of.isoformat()}
    principal = visit.get_principal()
    return visit.page(
        "plan_firms.html", area=format_division(row.target.area), row=row, firms=firms,
        query=urlencode(asked), plan=view.plan,
        title=name_indicator(indicator, visit.language), links=principal.sees_all or principal.kind == "regulator",
    )  # fmt: skip


@router.get("/plans/annex")
async def export_annex(
    visit: Visiting, name: Text, as_of: Text = "", kind: Annotated[str, Query(alias="format")] = "csv"
) -> Response:
    _check(visit)
    if kind not in FORMATS:
        raise InvalidInput("annex_format_unknown", field="format", file=kind[:40])
    async with visit.connect() as conn:
        view, sealing = await read_view(conn, visit, name, parse_day(as_of, "as_of"))
    return await answer_annex(Annex(view, visit.state.now(), sealing), kind, visit.language)


@router.post("/plans/entry")
async def enter(post: Posting) -> Response:
    """A figure the node does not measure; the target is chosen by its place in the plan."""
    post.get_principal().check_operator()
    post.get_principal().check_scope("manage")
    form = post.form
    try:
        async with post.connect() as conn:
            view, _ = await read_view(conn, post, form["name"], None)
        place = form["target"]
        if not (place.isdecimal() and int(place[:6]) < len(view.rows)):
            raise NotFound("plan_target_not_found", field="target", name=view.plan.name, area="—", indicator="—")
        target = view.rows[int(place[:6])].target
        value = parse_value(form["value"], "value")
        figure = Figure(target.area, target.indicator, value, parse_day(form["day"], "day"), form["note"])
        async with post.write() as conn:
            await enter_figure(conn, post.order(), view.plan.name, figure)
    except ServiceError as error:
        return await _show_one(post, form["name"], None, form.to_dict(), post.explain(error))
    return post.redirect("/plans/one", "plan_entered", name=view.plan.name)
