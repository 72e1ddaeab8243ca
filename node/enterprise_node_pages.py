"""The page of enterprises' own nodes: whether they live, where they are, and what they say beside what we counted."""

from datetime import timedelta
from typing import Annotated, Any

import orjson
from asyncpg import Record
from fastapi import APIRouter, Query, Response

from node.enterprise_node_probes import NO_ANSWER, NOT_ITS_OWN, NOT_PUBLIC, OURSELVES, PROTOCOLS
from node.enterprise_nodes import SILENT_AFTER
from node.statistics_pages import parse_day
from node.store.enterprise_nodes import fetch_nodes
from registry.console.sections import Entry, Section
from registry.console.visits import Visit, Visiting
from registry.principals import Principal
from schemas.days import get_day


def _manages(principal: Principal) -> bool:
    return principal.kind == "enterprise" and "manage" in principal.scopes


def _runs_node(principal: Principal) -> bool:
    return principal.sees_all_figures


router = APIRouter()
SECTION = Section(
    router,
    (Entry("/nodes", "own_nodes", "group_firm", _manages), Entry("/nodes", "own_nodes", "group_node", _runs_node)),
)
Text = Annotated[str, Query(max_length=40)]
TONES = {"active": "good", "failed": "bad", "proposed": "info"}


@router.get("/nodes")
async def show_nodes(visit: Visiting, day: Text = "") -> Response:
    principal = visit.get_principal()
    principal.check_scope("statistics")
    wanted = parse_day(day, "day") or get_day(visit.state.now()) - timedelta(days=1)
    async with visit.connect() as conn:
        own = None if principal.sees_all_figures else list(principal.prefixes)
        rows = [_show(visit, row) for row in await fetch_nodes(conn, wanted, own)]
    return visit.page("enterprise_nodes.html", rows=rows, day=wanted, is_firm=principal.kind == "enterprise")


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
