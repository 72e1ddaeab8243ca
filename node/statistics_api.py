"""Statistics on `/api/v1/statistics`: mounted into the registry by whoever starts it."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from node.statistics import define_counters, stats, totals
from registry.api.calls import Call, Reading
from schemas.days import get_day
from schemas.enterprise_bodies import CounterBody, StatisticsRow

router = APIRouter(prefix="/statistics", tags=["statistics"])

By = Literal["enterprise", "unit", "area", "industry", "template", "day"]
From = Annotated[date | None, Query(alias="from", description="First day; since the beginning if left out.")]
To = Annotated[date | None, Query(alias="to", description="Last day; today if left out.")]


def _prefixes(call: Call) -> list[str] | None:
    """A tenant's figures are those of its prefixes; the operator's those of the node."""
    principal = call.get_principal()
    return None if principal.is_operator else list(principal.prefixes)


@router.get("", response_model=list[StatisticsRow], summary="Registrations and resolutions of a period")
async def get_statistics(
    call: Reading,
    by: Annotated[By, Query(description="What a row stands for.")] = "enterprise",
    first: From = None,
    last: To = None,
    industry_level: Annotated[int, Query(description="1 to 4: section to class.")] = 4,
) -> Response:
    """Days are those at UTC+8; the running day is included."""
    prefixes = _prefixes(call)
    period = (first, last or get_day(call.state.now()))
    async with call.connect() as conn:
        return call.reply(await stats(conn, by, period, prefixes, industry_level))


@router.get("/totals", response_model=dict[str, Any], summary="The sums of a period")
async def get_totals(call: Reading, first: From = None, last: To = None) -> Response:
    """With states as they are at its end."""
    prefixes = _prefixes(call)
    period = (first, last or get_day(call.state.now()))
    async with call.connect() as conn:
        return call.reply(await totals(conn, period, prefixes))


@router.get("/definitions", response_model=list[CounterBody], summary="What each counter counts")
async def get_definitions(call: Reading) -> Response:
    """In the caller's language."""
    call.get_principal()
    return call.reply(define_counters(call.language))
