"""The start page: what waits for whoever signed in."""

from typing import Any

from asyncpg import Connection
from fastapi import Response

from registry.console.dossier_changes import list_proposed
from registry.console.search import count_waiting
from registry.console.sections import Entry, Section, is_anybody
from registry.console.visits import Visit, Visiting
from registry.enterprise_views import format_detail, get_enterprise, list_enterprises
from registry.late_routes import LateRouter
from registry.problem_reports import count_waiting as count_reports
from registry.store.jobs import fetch_jobs
from registry.store.listing import EnterpriseFilter
from registry.store.placements import fetch_units
from registry.store.prefixes import fetch_owner_names
from registry.templates import list_templates
from schemas.enterprises import EnterpriseState
from schemas.industries import format_division

router = LateRouter()
SECTION = Section(router, (Entry("/", "start", "group_work", is_anybody),))

SHOWN_JOBS = 5
_WAITING = (EnterpriseState.PENDING, EnterpriseState.REVIEWING, EnterpriseState.CHANGE_PENDING)


@router.get("/")
async def show_start(visit: Visiting) -> Response:
    """By what the visitor is."""
    principal = visit.get_principal()
    async with visit.connect() as conn:
        if principal.kind == "enterprise":
            return visit.page("start_firm.html", **await _describe_firm(conn, visit))
        if principal.sees_all:
            return visit.page("start_node.html", **await _describe_node(conn, visit))
        return visit.page("start_guest.html", **await _describe_guest(conn, visit))


async def _describe_guest(conn: Connection, visit: Visit) -> dict[str, Any]:
    """The places that are for him, in the words of their pages; who named a partner; a regulator's area."""
    principal = visit.get_principal()
    entries = [entry for lines in visit.frame.list_entries(principal).values() for entry in lines]
    units = {unit.unit_id: unit.name for unit in await fetch_units(conn)} if principal.unit_id else {}
    return {
        "places": [
            (one, visit.say(f"{one.label}_text")) for one in entries if visit.frame.find_label(f"{one.label}_text")
        ],
        "namers": await fetch_owner_names(conn, sorted(principal.partner_of)),
        "area": format_division(principal.division_code) + units.get(principal.unit_id or 0, ""),
    }


async def _describe_firm(conn: Connection, visit: Visit) -> dict[str, Any]:
    principal = visit.get_principal()
    detail = await get_enterprise(conn, principal, principal.enterprise_id or 0)
    prefixes = detail.prefixes
    enabled = [row.prefix for row in prefixes if row.state.name == "ENABLED"]
    templates = [template for prefix in enabled for template in await list_templates(conn, principal, prefix)]
    jobs = await fetch_jobs(conn, list(principal.prefixes.values()), None, SHOWN_JOBS)
    return {
        "firm": format_detail(detail, visit.language),
        "proposed": list_proposed(visit.state.config.rules, detail),
        "enabled": enabled,
        "templates": templates,
        "jobs": jobs,
        "reports": await count_reports(conn, principal),
        "has_public_url": is_final(visit),
    }


async def _describe_node(conn: Connection, visit: Visit) -> dict[str, Any]:
    principal = visit.get_principal()
    waiting = [
        item
        for state in _WAITING
        for item in (await list_enterprises(conn, principal, EnterpriseFilter(state=int(state)), 0, 20)).items
    ]
    jobs = await fetch_jobs(conn, None, None, SHOWN_JOBS)
    counts = await count_waiting(conn)
    return {
        "waiting": [
            (item, EnterpriseState(item.state).name.lower(), item.unit or format_division(item.division_code))
            for item in waiting
        ],
        "jobs": jobs,
        "counts": counts,
        "reports": await count_reports(conn, principal),
        "has_public_url": is_final(visit),
        "log_missing": visit.state.segments.missing,
    }


def is_final(visit: Visit) -> bool:
    """Whether the address on codes is one that may be printed."""
    return visit.state.config.public_url_is_set
