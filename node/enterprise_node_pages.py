"""The pages of enterprises' own nodes: whether they live, where they are, and what they say beside what we counted."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any

import orjson
from asyncpg import Record
from fastapi import Query, Response

from node.enterprise_node_probes import NO_ANSWER, NOT_ITS_OWN, NOT_PUBLIC, OURSELVES, PROTOCOLS
from node.enterprise_nodes import SILENT_AFTER
from node.statistics import check_day
from node.statistics_api import find_limits
from node.statistics_pages import parse_day
from node.store import enterprise_node_pages as store
from registry.console.sections import Entry, Section
from registry.console.visits import Visit, Visiting, find_number
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.days import ZONE, get_day
from schemas.errors import NotFound
from schemas.identifiers import shorten
from schemas.texts.enterprise_node_pages import PAGES

SHOWN_DAYS, SHOWN_EVENTS, SHOWN_SOURCES = 14, 50, 20


def _manages(principal: Principal) -> bool:
    return principal.kind == "enterprise" and "manage" in principal.scopes


def _runs_node(principal: Principal) -> bool:
    return principal.sees_all_figures


def _oversees(principal: Principal) -> bool:
    return principal.kind == "regulator"


router = LateRouter()
SECTION = Section(
    router,
    (
        Entry("/nodes", "own_nodes", "group_firm", _manages), Entry("/nodes", "own_nodes", "group_node", _runs_node),
        Entry("/nodes", "own_nodes", "group_figures", _oversees),
    ),
    labels=PAGES,
)  # fmt: skip
Text = Annotated[str, Query(max_length=40)]
TONES = {"active": "good", "failed": "bad", "proposed": "info"}


@router.get("/nodes")
async def show_nodes(visit: Visiting, day: Text = "") -> Response:
    principal = visit.get_principal()
    principal.check_scope("statistics")
    wanted = _choose_day(visit, day)
    own, area = _find_bounds(principal)
    async with visit.connect() as conn:
        rows = [_show(visit, row) for row in await store.fetch_nodes(conn, wanted, own, area)]
    return visit.page("enterprise_nodes.html", rows=rows, day=wanted, is_firm=principal.kind == "enterprise")


def _choose_day(visit: Visit, day: str) -> date:
    """Yesterday if none is given; raises InvalidInput."""
    asked = parse_day(day, "day")
    return get_day(visit.state.now()) - timedelta(days=1) if asked is None else check_day(asked, "day")


def _find_bounds(principal: Principal) -> tuple[list[str] | None, tuple[str, int | None] | None]:
    """Whose nodes somebody sees: a regulator those of his area, the node's people all, others their own."""
    if _oversees(principal):
        limits = find_limits(principal)
        head = limits.division_code
        while head.endswith("00"):
            head = head[:-2]
        return None, (head, limits.unit_id)
    return (None if principal.sees_all_figures else list(principal.prefixes)), None


def _show(visit: Visit, row: Record) -> dict[str, Any]:
    route = {} if row["route"] is None else orjson.loads(row["route"])
    state = row["route_state"] if route else "none"
    ports = [f"{name} {route[name]}" for name in PROTOCOLS if route.get(name)]
    return dict(row) | {
        "route": route.get("ip", ""), "ports": ", ".join(ports), "state": f"own_route_{state}",
        "trouble": _explain(visit, row["trouble"]), "tone": TONES.get(state, ""),
        "silent": visit.state.now() - row["seen"] > SILENT_AFTER,
    }  # fmt: skip


_TROUBLES = {NOT_PUBLIC: "own_trouble_private", OURSELVES: "own_trouble_ourselves"}
_TROUBLES_OF_PORT = {NO_ANSWER: "own_trouble_silent", NOT_ITS_OWN: "own_trouble_foreign"}


def _explain(visit: Visit, trouble: str) -> str:
    """Why a probe failed, in the reader's words; what a decision refused stays as it was noted."""
    protocol, _, of_port = trouble.partition(": ")
    if of_port in _TROUBLES_OF_PORT:
        return visit.say(_TROUBLES_OF_PORT[of_port], protocol=protocol)
    return visit.say(_TROUBLES[trouble]) if trouble in _TROUBLES else trouble


# One node -------------------------------------------------------------------------------------------------------


@router.get("/nodes/{prefix}")
async def show_node(visit: Visiting, prefix: str, day: Text = "") -> Response:
    """What a node told of the days until one, and its last events."""
    principal = visit.get_principal()
    principal.check_scope("statistics")
    last = _choose_day(visit, day)
    async with visit.connect() as conn:
        node = await _get_node(conn, principal, prefix)
        since = node["since"] or date.min
        period, key = (max(last - timedelta(days=SHOWN_DAYS - 1), since), last), node["prefix_id"]
        begin = datetime.combine(max(since, date(1970, 1, 2)), time(), ZONE)
        days = [_show_day(row) for row in await store.fetch_days(conn, key, period)]
        monitors = [dict(row) | {"said": orjson.loads(row["document"])}
                    for row in await store.fetch_monitors(conn, key, period)]  # fmt: skip
        events = [_show_event(row) for row in await store.fetch_events(conn, key, begin, SHOWN_EVENTS)]
        templates = [orjson.loads(row["document"]) for row in await store.fetch_templates(conn, key)]
        parts = await store.fetch_parts(conn, key, last) if last >= since else []
    may_fetch = _may_fetch(principal, prefix)
    return visit.page(
        "enterprise_node.html", node=_show(visit, node), day=last, monitors=monitors, events=events,
        days=[row for row in days if row["revision"] is not None or any(row[name] for name in _OF_DAYS)],
        files=[row for row in days if any(row[name] is not None for name in _OF_FILES)],
        templates=templates, parts=parts, days_shown=SHOWN_DAYS, most_events=SHOWN_EVENTS,
        may_fetch=may_fetch, sources=_list_sources(days[0]) if may_fetch and days else [],
    )  # fmt: skip


async def _get_node(conn: Any, principal: Principal, prefix: str) -> Record:
    """One the caller may know of; raises NotFound."""
    own, area = _find_bounds(principal)
    is_known = "\0" not in prefix and (own is None or prefix in own)
    node = await store.find_node(conn, prefix, area) if is_known else None
    if node is None:
        raise NotFound("enterprise_node_not_found", field="prefix", prefix=shorten(prefix))
    return node


_OF_DAYS = ("registered_new", "resolutions")
_OF_FILES = ("resolve_lines", "register_lines", "master_rows")


def _show_day(row: Record) -> dict[str, Any]:
    """With what does not fit: a total that does not follow from the day before, logs that differ from the figures."""
    new, total, before = row["node_registered_new"], row["node_registered_total"], row["total_before"]
    lines, told = row["resolve_lines"], row["node_resolutions"]
    return dict(row) | {
        "breaks": None not in (new, total, before) and total != before + new,
        "differs": None not in (lines, told) and lines != told,
    }


def _show_event(row: Record) -> dict[str, Any]:
    said = orjson.loads(row["document"])
    kind = "end" if said["type"] == "恢复" else "over" if row["is_over"] else "fault"
    lacks = "relatedEventId" in said and not row["begun"]
    return dict(row) | {
        "kind": kind, "said": said, "tone": {"end": "good", "over": "", "fault": "bad"}[kind],
        "what": " · ".join(text for text in (said.get("item"), said.get("cause")) if text),
        "up": "told" if row["told"] else "lacks" if lacks else "waits",
    }  # fmt: skip


def _list_sources(row: dict[str, Any]) -> list[tuple[str, int]]:
    """Who asked the node most on a day, as it says; all others last, with an empty name."""
    named = sorted(orjson.loads(row["sources"] or "[]"), key=lambda one: -one[1])[:SHOWN_SOURCES]
    others = (row["node_resolutions"] or 0) - sum(count for _, count in named)
    return [(address, count) for address, count in named] + ([("", others)] if named and others else [])


def _may_fetch(principal: Principal, prefix: str) -> bool:
    """Logs and sources name client addresses: for whom they are and for the operator."""
    return principal.sees_all or prefix in principal.prefixes


@router.get("/nodes/{prefix}/logs/{day}/{kind}/{part}")
async def fetch_log(visit: Visiting, prefix: str, day: str, kind: str, part: str) -> Response:
    """A part of a log as it was sent."""
    principal = visit.get_principal()
    principal.check_scope("statistics")
    asked, number = parse_day(day, "day"), find_number(part, 4)
    async with visit.connect() as conn:
        node = await _get_node(conn, principal, prefix)
        is_seen = _may_fetch(principal, prefix) and asked is not None and asked >= (node["since"] or date.min)
        place = (asked or date.min, kind if kind.isalpha() else "", number or 0)
        body = await store.find_log_body(conn, node["prefix_id"], place) if is_seen else None
    if body is None:
        raise NotFound("prefix_not_found", field="prefix", prefix=shorten(prefix))
    name = f"{prefix}-{asked}-{kind}-{number}.ndjson.gz"
    return Response(
        body, media_type="application/gzip", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
