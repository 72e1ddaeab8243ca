"""A plan as the sheet of its annex: its units in its order, one block of columns for each indicator, with totals.

Below it, or on a second sheet: what else the plan aims at, period, day, status and seal, definitions, checks of sums.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.definitions import DEFINITIONS, define_counters
from node.plan_progress import Group, PlanView, Progress, find_counter
from node.plan_views import name_indicator, name_measure, name_source, say_yes
from node.plans import MEASURED
from node.statistics_files import describe_status, format_time, guard_formula
from node.wording import say
from schemas.texts.plans import LABELS
from schemas.texts.statistics import LABELS as FIGURE_LABELS

Cell = str | int
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
_SIGNS = {">=": "≥", ">": ">"}
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Annex:
    """`read_at`: when the figures were read; `status`: as node.closing.find_status gives it."""

    view: PlanView
    read_at: datetime
    status: dict[str, Any]


def make_annex(annex: Annex, file_format: str, language: str) -> bytes:
    """The whole file; `file_format`: a key of FORMATS. Raises Unavailable where a PDF lacks its font."""
    if file_format == "pdf":
        from node.annex_pdf import make_annex_pdf  # slow to import, and seldom needed

        return make_annex_pdf(annex, language)
    table, notes = list_rows(annex.view, language), list_notes(annex, language)
    return _make_csv(table, notes) if file_format == "csv" else _make_xlsx(table, notes, language)


def name_annex(view: PlanView, file_format: str) -> str:
    """Such as annex-2024-12-31.csv: names of plans are Chinese as a rule, headers of HTTP are not."""
    return f"annex-{view.as_of}.{file_format}"


def list_rows(view: PlanView, language: str) -> list[list[Cell]]:
    """Header, one row for each unit in the order of the plan, the units' sums, what is in none of them, the division.

    Each indicator has three columns: target, actual, met. What is not known is said so, never 0.
    """
    groups = [group for group in view.groups if group.units]
    head: list[Cell] = [say(LABELS["area"], language)]
    for group in groups:
        head += _head(group, groups, language)
    rows = [head]
    for area in dict.fromkeys(one.target.area for group in groups for one in group.units):
        row: list[Cell] = [area]
        for group in groups:
            row += _cells(group, next((one for one in group.units if one.target.area == area), None), language)
        rows.append(row)
    if not groups:
        return rows
    rows.append([say(LABELS["units_sum"], language), *(cell for group in groups for cell in _sums(group, language))])
    if any(group.elsewhere for group in groups):
        elsewhere = (cell for group in groups for cell in ("", _say_elsewhere(group, language), ""))
        rows.append([say(LABELS["elsewhere"], language), *elsewhere])
    divisions = list(dict.fromkeys(group.division.target.area for group in groups if group.division is not None))
    for area in divisions:
        row = [area]
        for group in groups:
            own = group.division if group.division and group.division.target.area == area else None
            row += _cells(group, own, language)
        rows.append(row)
    return rows


def _head(group: Group, groups: Sequence[Group], language: str) -> list[Cell]:
    first = group.first
    name = f"{name_indicator(first.indicator, language)} [{name_measure(first.counted_in, language)}]"
    if sum(other.first.indicator == first.indicator for other in groups) > 1:
        name += f" {first.period_start or ''}–{first.deadline}"
    sign = f" {_SIGNS[first.comparison]}" if _is_uniform(group) else ""
    return [f"{name} {say(LABELS['target'], language)}{sign}", f"{name} {say(LABELS['actual'], language)}",
            f"{name} {say(LABELS['met'], language)}"]  # fmt: skip


def _is_uniform(group: Group) -> bool:
    """Whether one sign in the header says how all targets of the columns compare."""
    return len({one.target.comparison for one in group.rows}) == 1


def _cells(group: Group, progress: Progress | None, language: str) -> list[Cell]:
    """A target is a number, with its sign before it where the header cannot say it for all."""
    if progress is None:
        return ["", "", ""]
    one = progress.target
    target = one.target if _is_uniform(group) else f"{one.comparison} {one.target}"
    return [target, say_value(progress, language), say_yes(progress.met, language)]


def say_value(progress: Progress, language: str) -> Cell:
    """The figure, or why there is none."""
    if progress.value is not None:
        return progress.value
    return say(LABELS["not_begun" if progress.state == "not_begun" else "not_measured"], language)


def _sums(group: Group, language: str) -> list[Cell]:
    """The sum is as little known as any of the units."""
    unknown = next((one for one in group.units if one.value is None), None)
    return [group.units_target, (group.units_value or 0) if unknown is None else say_value(unknown, language), ""]


def _say_elsewhere(group: Group, language: str) -> Cell:
    """What of the division is in none of its units: measured, or not known, or not asked for."""
    if group.elsewhere is not None:
        return group.elsewhere
    if group.division is None:
        return ""
    return say(LABELS["not_begun" if group.division.state == "not_begun" else "not_measured"], language)


def list_notes(annex: Annex, language: str) -> list[list[Cell]]:
    """What stands beside the sheet."""
    view = annex.view
    notes: list[list[Cell]] = [
        [say(LABELS["plan"], language), view.plan.name],
        [say(LABELS["of_day"], language), view.as_of.isoformat()],
        [say(FIGURE_LABELS["as_of"], language), format_time(annex.read_at)],
        [say(FIGURE_LABELS["status"], language), describe_status(annex.status, language)],
    ]
    notes += [[say(FIGURE_LABELS["seal"], language), f"{s['node_prefix']} {s['day']} r{s['revision']}", s["seal"]]
              for s in annex.status["seals"]]  # fmt: skip
    for group in view.groups:
        notes += _describe_group(group, language)
    used = {find_counter(row.target) for row in view.rows if row.target.indicator in MEASURED}
    for one in define_counters(language):
        if one["counter"] in used:
            notes.append(
                [f"{say(FIGURE_LABELS['definitions'], language)} {one['code']}", one["name"], one["definition"]]
            )
    return notes


def _describe_group(group: Group, language: str) -> list[list[Cell]]:
    """Period and definition of an indicator, check of its sums, who entered figures; targets without units."""
    first = group.first
    name = name_indicator(first.indicator, language)
    if first.indicator in MEASURED:
        name += f" [{DEFINITIONS[find_counter(first)].code}]"
    begin = first.period_start.isoformat() if first.period_start else say(LABELS["since_beginning"], language)
    notes: list[list[Cell]] = [[say(LABELS["period"], language), name, begin, first.deadline.isoformat()]]
    if group.units and group.division is not None:
        holds = group.units_target == group.division.target.target
        text = say(LABELS["sum_holds" if holds else "sum_differs"], language, units=group.units_target,
                   district=group.division.target.target)  # fmt: skip
        notes.append([say(LABELS["sum_check"], language), name, text])
    shown = [group.division] if group.division is not None and not group.units else []
    for one in shown:
        notes.append(
            [say(LABELS["other_targets"], language), one.target.area, name,
             f"{_SIGNS[one.target.comparison]} {one.target.target}", say_value(one, language),
             say_yes(one.met, language), say(LABELS[f"state_{one.state}"], language)]
        )  # fmt: skip
    for one in group.rows:
        if one.entry is not None:
            notes.append(
                [say(LABELS["source"], language), one.target.area, name, name_source(one, language), one.entry.note]
            )
    return notes


def _make_csv(table: Sequence[Sequence[Cell]], notes: Sequence[Sequence[Cell]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in (*table, [], *notes):
        writer.writerow([guard_formula(cell) if isinstance(cell, str) else cell for cell in row])
    return (_BOM + text.getvalue()).encode()


def _make_xlsx(table: Sequence[Sequence[Cell]], notes: Sequence[Sequence[Cell]], language: str) -> bytes:
    target = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    import xlsxwriter  # slow to import, and seldom needed

    book = xlsxwriter.Workbook(target, options)
    bold, number = book.add_format({"bold": True, "text_wrap": True}), book.add_format({"num_format": "#,##0"})
    for name, rows in (("annex", table), ("definitions", notes)):
        labels = LABELS if name in LABELS else FIGURE_LABELS
        sheet = book.add_worksheet(say(labels[name], language))
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, int):
                    sheet.write_number(at, column, cell, number)
                elif cell != "":
                    sheet.write_string(at, column, cell, bold if at == 0 and name == "annex" else None)
        sheet.set_column(0, max((len(row) for row in rows), default=1), 18)
        if name == "annex":
            sheet.freeze_panes(1, 1)
    book.close()
    return target.getvalue()
