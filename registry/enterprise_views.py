"""What is shown of enterprises: a list by pages, and one with its to-do list, place, prefixes and decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from asyncpg import Connection

from registry.prefixes import get_enterprise_row
from registry.principals import Principal
from registry.store.enterprises import Decision, EnterpriseRow, fetch_decisions, fetch_tags
from registry.store.listing import EnterpriseFilter, ListedEnterprise, fetch_enterprise_page, trim_division
from registry.store.placements import Placement, fetch_placements
from registry.store.prefixes import Ownership, PrefixRow, fetch_prefixes
from schemas.enterprises import EnterpriseState, TodoItem, Verification, format_industry, get_todo
from schemas.errors import NotFound
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
    own = None if principal.sees_all or principal.division_code else principal.enterprise_id or 0
    narrowed = narrow_to_area(principal, wanted)
    if narrowed is None:
        return Page([], None)
    wanted = narrowed
    items = await fetch_enterprise_page(conn, wanted, own, after, limit + 1)
    return Page(items[:limit], items[limit - 1].enterprise_id if len(items) > limit else None)


async def get_enterprise(conn: Connection, principal: Principal, enterprise_id: int) -> EnterpriseDetail:
    """Raises NotFound, also for what the caller may not know of."""
    if not principal.division_code:
        principal.check_sees_enterprise(enterprise_id)
    row = await get_enterprise_row(conn, enterprise_id)
    placements = await fetch_placements(conn, enterprise_id)
    if principal.division_code and not lies_in_area(principal, placements[-1]):
        raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)
    return EnterpriseDetail(
        row,
        placements,
        await fetch_prefixes(conn, enterprise_id),
        (await fetch_tags(conn, [enterprise_id])).get(enterprise_id, {}),
        await fetch_decisions(conn, enterprise_id),
        [get_todo(name) for name in row.missing],
    )


def lies_in_area(principal: Principal, placement: Placement) -> bool:
    """Whether a regulator may know of an enterprise that is there."""
    if principal.unit_id is not None:
        return placement.unit_id == principal.unit_id
    return placement.division_code.startswith(trim_division(principal.division_code))


def narrow_to_area(principal: Principal, wanted: EnterpriseFilter) -> EnterpriseFilter | None:
    """A regulator's list is that of his area, whatever he asks for; None: what he asks for lies outside of it."""
    if not principal.division_code:
        return wanted
    if principal.unit_id is not None:
        return None if wanted.unit_id not in (None, principal.unit_id) else replace(wanted, unit_id=principal.unit_id)
    own = trim_division(principal.division_code)
    asked = trim_division(wanted.division_code or principal.division_code)
    if asked.startswith(own):
        return wanted if wanted.division_code else replace(wanted, division_code=principal.division_code)
    return replace(wanted, division_code=principal.division_code) if own.startswith(asked) else None


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


def format_ownership(owned: Ownership) -> dict[str, Any]:
    """One owner of a prefix, present or former."""
    return {
        "enterprise_id": owned.enterprise_id,
        "enterprise": owned.enterprise_name,
        "from": _day(owned.from_day),
        "to": _day(owned.to_day),
    }


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
