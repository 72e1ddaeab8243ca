"""What is shown of enterprises: a list by pages, and one with its to-do list, place, prefixes and decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from asyncpg import Connection

from registry.prefixes import get_enterprise_row
from registry.principals import Principal
from registry.store.enterprises import Decision, EnterpriseRow, fetch_decisions, fetch_tags
from registry.store.listing import EnterpriseFilter, ListedEnterprise, fetch_enterprise_page
from registry.store.placements import Placement, fetch_placements
from registry.store.prefixes import PrefixRow, fetch_prefixes
from schemas.enterprises import EnterpriseState, TodoItem, Verification, format_industry, get_todo
from schemas.industries import format_division

MAX_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """`next_after` is the cursor of the following page, None at the end."""

    items: list[ListedEnterprise]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class EnterpriseDetail:
    """Everything but the personal part. `placements` are oldest first, the last one is the present."""

    row: EnterpriseRow
    placements: list[Placement]
    prefixes: list[PrefixRow]
    tags: dict[str, str]
    decisions: list[Decision]
    todo: list[TodoItem] = field(default_factory=list)


async def list_enterprises(
    conn: Connection, principal: Principal, wanted: EnterpriseFilter, after: int = 0, limit: int = 100
) -> Page:
    """Enterprises in order of their numbers, after the one given; an enterprise sees itself."""
    limit = max(1, min(limit, MAX_PAGE))
    own = None if principal.is_operator else principal.enterprise_id or 0
    items = await fetch_enterprise_page(conn, wanted, own, after, limit + 1)
    return Page(items[:limit], items[limit - 1].enterprise_id if len(items) > limit else None)


async def get_enterprise(conn: Connection, principal: Principal, enterprise_id: int) -> EnterpriseDetail:
    """Raises NotFound, also for what the caller may not know of."""
    principal.check_enterprise(enterprise_id)
    row = await get_enterprise_row(conn, enterprise_id)
    return EnterpriseDetail(
        row,
        await fetch_placements(conn, enterprise_id),
        await fetch_prefixes(conn, enterprise_id),
        (await fetch_tags(conn, [enterprise_id])).get(enterprise_id, {}),
        await fetch_decisions(conn, enterprise_id),
        [get_todo(name) for name in row.missing],
    )


def format_listed(item: ListedEnterprise) -> dict[str, Any]:
    """The JSON of one line of a list."""
    return {
        "enterprise_id": item.enterprise_id,
        "name": item.name,
        "certificate_code": item.certificate_code,
        "state": EnterpriseState(item.state).name.lower(),
        "connected_on": _day(item.connected_on),
        "division_code": item.division_code,
        "division": format_division(item.division_code),
        "unit": item.unit,
        "industry": "/".join(item.industry),
        "prefixes": item.prefixes,
        "missing": item.missing,
        "created": _instant(item.created),
    }


def format_detail(detail: EnterpriseDetail, language: str) -> dict[str, Any]:
    """The JSON of one enterprise; the to-do list in the reader's language."""
    row, present = detail.row, detail.placements[-1]
    return {
        "enterprise_id": row.enterprise_id,
        "name": row.name,
        "certificate_type": row.certificate_type,
        "certificate_code": row.certificate_code,
        "state": EnterpriseState(row.state).name.lower(),
        "verification": Verification(row.verification).name.lower(),
        "connected_on": _day(row.connected_on),
        "division_code": present.division_code,
        "division": format_division(present.division_code),
        "unit": present.unit,
        "industry": "/".join(present.industry),
        "industry_names": format_industry(present.industry),
        "tags": detail.tags,
        "dossier": row.dossier,
        "todo": [_format_todo(item, language) for item in detail.todo],
        "prefixes": format_prefixes(detail.prefixes),
        "placements": [_format_placement(placement) for placement in detail.placements],
        "decisions": [_format_decision(decision) for decision in detail.decisions],
        "created": _instant(row.created),
        "changed": _instant(row.changed),
        "revision": row.revision,
    }


def format_prefixes(rows: Sequence[PrefixRow]) -> list[dict[str, Any]]:
    """The JSON of prefixes."""
    return [
        {
            "prefix": row.prefix,
            "state": row.state.name.lower(),
            "hosting": row.hosting.name.lower(),
            "enterprise_id": row.enterprise_id,
            "enterprise": row.enterprise_name,
            "owned_from": _day(row.owned_from),
            "enabled_on": _day(row.enabled_on),
            "created": _instant(row.created),
        }
        for row in rows
    ]


def _format_todo(item: TodoItem, language: str) -> dict[str, str]:
    missing, remedy = item.format(language)
    return {"field": item.field, "missing": missing, "remedy": remedy}


def _format_placement(placement: Placement) -> dict[str, Any]:
    return {
        "from": _day(placement.from_day),
        "to": _day(placement.to_day),
        "division_code": placement.division_code,
        "unit": placement.unit,
        "industry": "/".join(placement.industry),
    }


def _format_decision(decision: Decision) -> dict[str, Any]:
    return {
        "decision": decision.decision,
        "prefix": decision.prefix,
        "actor": decision.actor,
        "reason": decision.reason,
        "at": _instant(decision.at),
    }


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _instant(at: datetime) -> str:
    return at.isoformat()
