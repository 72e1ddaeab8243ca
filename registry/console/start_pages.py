"""The start page: what waits for whoever signed in."""

from typing import Any

from asyncpg import Connection
from fastapi import APIRouter, Response

from registry.console.search import count_waiting
from registry.console.sections import Entry, Section, is_anybody
from registry.console.visits import Visit, Visiting
from registry.enterprise_views import format_detail, get_enterprise, list_enterprises
from registry.problem_reports import count_waiting as count_reports
from registry.store.jobs import fetch_jobs
from registry.store.listing import EnterpriseFilter
from registry.templates import list_templates
from schemas.enterprises import EnterpriseState

router = APIRouter()
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
    return visit.page("start_guest.html")


async def _describe_firm(conn: Connection, visit: Visit) -> dict[str, Any]:
    principal = visit.get_principal()
    detail = await get_enterprise(conn, principal, principal.enterprise_id or 0)
    prefixes = detail.prefixes
    enabled = [row.prefix for row in prefixes if row.state.name == "ENABLED"]
    templates = [template for prefix in enabled for template in await list_templates(conn, principal, prefix)]
    jobs = await fetch_jobs(conn, list(principal.prefixes.values()), None, SHOWN_JOBS)
    return {
        "firm": format_detail(detail, visit.language),
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
        "waiting": [(item, EnterpriseState(item.state).name.lower()) for item in waiting],
        "jobs": jobs,
        "counts": counts,
        "reports": await count_reports(conn, principal),
        "has_public_url": is_final(visit),
        "log_missing": visit.state.segments.missing,
    }


def is_final(visit: Visit) -> bool:
    """Whether the address on codes is one that may be printed."""
    return visit.state.config.public_url_is_set
