"""Plans as JSON, and what their parts are called in both languages."""

from typing import Any

from node.definitions import DEFINITIONS, name_column
from node.plan_files import Refusal
from node.plan_progress import Forecast, Group, PlanView, Progress, find_counter
from node.plans import MEASURED
from node.store.plans import Entry, Plan
from node.wording import say
from schemas.days import ZONE
from schemas.texts import format_message, format_remedy
from schemas.texts.plans import COUNTED_IN, INDICATORS, LABELS


def name_indicator(indicator: str, language: str) -> str:
    """Its name; one that nobody has named is its own."""
    if indicator in INDICATORS:
        return say(INDICATORS[indicator], language)
    return name_column(indicator, language) if indicator in DEFINITIONS else indicator


def name_measure(counted_in: str, language: str) -> str:
    return say(COUNTED_IN[counted_in], language) if counted_in in COUNTED_IN else counted_in


def name_source(progress: Progress, language: str) -> str:
    """Where a figure comes from; of one entered by hand who entered it when."""
    entry = progress.entry
    if entry is None:
        return say(LABELS[f"source_{progress.source}"], language)
    at = entry.at.astimezone(ZONE).strftime("%Y-%m-%d")
    return say(LABELS["source_entered"], language, actor=entry.actor.partition(":")[2] or entry.actor, at=at)


def say_yes(met: bool | None, language: str) -> str:
    return "–" if met is None else say(LABELS["yes" if met else "no"], language)


def format_plan(plan: Plan, targets: int | None = None) -> dict[str, Any]:
    """Without its targets."""
    shown = {"name": plan.name, "loaded": plan.loaded.isoformat(), "actor": plan.actor}
    return shown if targets is None else shown | {"targets": targets}


def format_view(view: PlanView, status: dict[str, Any], language: str) -> dict[str, Any]:
    """Ready for JSON: the rows in the order of the file, then their totals by indicator and period."""
    return {
        **format_plan(view.plan),
        "as_of": view.as_of.isoformat(),
        "status": status["status"],
        "sealed_until": status["sealed_until"],
        "seals": status["seals"],
        "targets": [format_progress(row, language) for row in view.rows],
        "totals": [format_group(group, language) for group in view.groups],
    }


def format_progress(row: Progress, language: str) -> dict[str, Any]:
    """A null value is one that nobody knows: it is never 0."""
    target = row.target
    return {
        "area": target.area,
        "division_code": target.division_code,
        "unit_id": target.unit_id,
        "indicator": target.indicator,
        "name": name_indicator(target.indicator, language),
        "definition": DEFINITIONS[find_counter(target)].code if target.indicator in MEASURED else None,
        "comparison": target.comparison,
        "unit": target.counted_in,
        "period_start": target.period_start and target.period_start.isoformat(),
        "deadline": target.deadline.isoformat(),
        "target": target.target,
        "actual": row.value,
        "actual_on": row.day.isoformat(),
        "source": row.source,
        "state": row.state,
        "met": row.met,
        "forecast": _format_forecast(row.forecast, language),
        "entry": _format_entry(row.entry),
    }


def _format_forecast(forecast: Forecast | None, language: str) -> dict[str, Any] | None:
    if forecast is None:
        return None
    method = forecast.method
    described = say(LABELS[f"forecast_{method}"], language)
    return {"value": forecast.value, "will_meet": forecast.will_meet, "method": method, "description": described}


def _format_entry(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {"day": entry.day.isoformat(), "value": entry.value, "author": entry.actor, "at": entry.at.isoformat(),
            "note": entry.note}  # fmt: skip


def format_entry(entry: Entry, area: str) -> dict[str, Any]:
    """What was entered, for who entered it."""
    return {"area": area, "indicator": entry.indicator, **(_format_entry(entry) or {})}


def format_group(group: Group, language: str) -> dict[str, Any]:
    first, division = group.first, group.division
    return {
        "indicator": first.indicator,
        "name": name_indicator(first.indicator, language),
        "period_start": first.period_start and first.period_start.isoformat(),
        "deadline": first.deadline.isoformat(),
        "units": len(group.units),
        "units_target": group.units_target if group.units else None,
        "units_actual": group.units_value if group.units else None,
        "in_no_unit": group.elsewhere,
        "division": division and division.target.area,
        "division_target": division and division.target.target,
        "division_actual": division and division.value,
    }


def format_refusal(refusal: Refusal, language: str) -> dict[str, Any]:
    """A row that was refused: row, field, code, reason, remedy."""
    error = refusal.error
    details = {"field": error.field or "", **error.details}
    return {
        "row": refusal.row,
        "field": error.field or "",
        "code": error.code,
        "reason": format_message(error.code, language, **details),
        "remedy": format_remedy(error.code, language, **details),
    }
