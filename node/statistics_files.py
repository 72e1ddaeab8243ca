"""Tables of figures as files: CSV (UTF-8 with a byte order mark), XLSX, PDF and JSON. No database, no clock.

Each file names period, time of the figures, whether they are sealed and by which seal, the check of the sums, and the
definitions. A text from outside never becomes a formula.
"""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from node.charts import Bar, draw_rank
from node.definitions import DEFINITIONS, define_counters, name_column
from node.statistics_tables import Table
from node.wording import say
from schemas.days import ZONE
from schemas.templates import STAGES
from schemas.texts.console_node import NODE_LABELS
from schemas.texts.figure_pages import PAGES
from schemas.texts.statistics import LABELS
from schemas.texts.written import describe_written

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "json": "application/json",
}
# What spreadsheets take for the beginning of a formula, also in the width of Chinese signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_BOM = "\ufeff"
_WORDS = {("standing", state): PAGES[f"standing_{state}"] for state in ("connected", "suspended", "departed")}
_WORDS |= {("stage", stage): PAGES[f"fig_stage_{stage}"] for stage in STAGES}
_WORDS |= {("kind", kind): NODE_LABELS[f"tag_{kind}"] for kind in ("above_scale", "industrial_chain", "pilot_batch")}
_NOBODY = dict.fromkeys(("unit", "area", "industry_name", "tag"), PAGES["fig_not_assigned"])
_RANKED = {"industry": ("industry_name",), "template": ("version", "prefix")}  # what names a row in a chart


def make_file(table: Table, file_format: str, language: str, days: Table | None = None) -> bytes:
    """The whole file; `file_format`: a key of FORMATS. `days`: the same by day, for the trend of a PDF.

    Raises Unavailable where a PDF lacks its font.
    """
    if file_format == "csv":
        return make_csv(table, language)
    if file_format == "xlsx":
        return make_xlsx(table, language)
    if file_format == "pdf":
        from node.statistics_pdf import make_pdf  # slow to import, and seldom needed

        return make_pdf(table, days, language)
    return json.dumps(table.format(language), ensure_ascii=False, indent=1).encode()


def name_file(table: Table, file_format: str) -> str:
    """Such as statistics-unit-2024-01-01-2024-06-30-sealed.csv."""
    first = table.question.first.isoformat() if table.question.first else "all"
    return f"statistics-{table.question.by}-{first}-{table.question.last}-{table.status['status']}.{file_format}"


def guard_formula(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would compute it."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def list_notes(table: Table, language: str) -> list[tuple[str, ...]]:
    """What stands beside the figures in every file: rows of texts."""
    label = say(LABELS["definitions"], language)
    explained = [(f"{label} {code}", name, definition) for code, name, definition in list_definitions(table, language)]
    return [*list_facts(table, language), *explained]


def list_facts(table: Table, language: str) -> list[tuple[str, ...]]:
    """Period, time of the figures, seals, revisions, limits, check of the sums."""
    status, question = table.status, table.question
    first = question.first.isoformat() if question.first else say(LABELS["since_beginning"], language)
    notes: list[tuple[str, ...]] = [
        (say(LABELS["period"], language), first, question.last.isoformat()),
        (say(LABELS["as_of"], language), format_time(table.as_of)),
        (say(LABELS["status"], language), describe_status(status, language)),
        (say(LABELS["sealed_until"], language), status["sealed_until"] or "–"),
    ]
    notes += [(say(LABELS["seal"], language), f"{s['node_prefix']} {s['day']} r{s['revision']}", s["seal"])
              for s in status["seals"]]  # fmt: skip
    notes += [
        (say(LABELS["revisions"], language), f"{r['node_prefix']} {r['day']} r{r['revision']}",
         describe_written(r["reason"], language)) for r in status["revisions"]
    ]  # fmt: skip
    if table.limits_text:
        notes.append((say(LABELS["limited_to"], language), table.limits_text))
    notes.append((say(LABELS["check"], language), describe_check(table, language)))
    return notes


def list_definitions(table: Table, language: str) -> list[tuple[str, str, str]]:
    """What each figure of the table counts: its code, its name and in words."""
    return [
        (one["code"], one["name"], one["definition"])
        for one in define_counters(language)
        if one["counter"] in table.figure_columns
    ]


def describe_status(status: dict[str, Any], language: str) -> str:
    """Provisional, or sealed with the seals, in words."""
    if status["status"] == "provisional":
        return say(LABELS["provisional"], language)
    if not status["seals"]:
        return say(LABELS["sealed_before"], language)
    seals = ", ".join(f"{seal['node_prefix']} {seal['seal'][:16]}…" for seal in status["seals"])
    return say(LABELS["sealed"], language, seal=seals)


def describe_check(table: Table, language: str) -> str:
    """Whether the rows sum to the figures of the whole."""
    if table.differing is None:
        return say(LABELS["check_not_for_tags"], language)
    if table.differing:
        return say(LABELS["check_fails"], language, columns=", ".join(table.differing))
    return say(LABELS["check_holds"], language)


def list_rows(table: Table, language: str) -> Iterator[list[Any]]:
    """Heading, rows and the row of sums; numbers are numbers, what has no name is empty."""
    yield [_head(column, language) for column in table.columns]
    for row in table.rows:
        yield [say_cell(table.question.by, column, row[column], language) for column in table.columns]
    named = len(table.columns) - len(table.figure_columns)
    yield [say(LABELS["sum"], language), *[""] * (named - 1), *(table.sums[name] for name in table.figure_columns)]


def say_cell(by: str, column: str, value: Any, language: str) -> Any:
    """States, stages, kinds of tags and what belongs to no group in words; JSON has their names."""
    if value is None:
        without = column == "version" or by == column == "stage"
        text = PAGES["fig_without_template"] if without else _NOBODY.get(column)
        return "" if text is None else say(text, language)
    text = _WORDS.get((column, value))
    return value if text is None else say(text, language)


def rank_rows(table: Table, measure: str, language: str) -> list[tuple[str, int, Bar]]:
    """Bars of a chart; none of days, which the trend shows, and none where the figure does not exist."""
    by = table.question.by
    if by == "day" or measure not in table.figure_columns or len(table.rows) < 2:
        return []
    names = _RANKED.get(by, (by,))
    return draw_rank(
        [
            (" · ".join(str(say_cell(by, name, row[name], language) or "—") for name in names), row[measure])
            for row in table.rows
        ]
    )


def format_time(at: datetime) -> str:
    """At UTC+8, as the days of the figures are."""
    return at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S (UTC+8)")


def _head(column: str, language: str) -> str:
    name = name_column(column, language)
    return f"{name} [{DEFINITIONS[column].code}]" if column in DEFINITIONS else name


def make_csv(table: Table, language: str) -> bytes:
    """The table, an empty line, and the notes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in list_rows(table, language):
        writer.writerow([guard_formula(cell) if isinstance(cell, str) else cell for cell in row])
    writer.writerow([])
    for note in list_notes(table, language):
        writer.writerow([guard_formula(cell) for cell in note])
    return (_BOM + text.getvalue()).encode()


def make_xlsx(table: Table, language: str) -> bytes:
    """One sheet of figures and one of notes; texts are written as texts, whatever they begin with."""
    target = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    import xlsxwriter  # slow to import, and seldom needed

    book = xlsxwriter.Workbook(target, options)
    bold, number = book.add_format({"bold": True}), book.add_format({"num_format": "#,##0"})
    sheet = book.add_worksheet(say(LABELS["figures"], language))
    last = len(table.rows) + 1
    for at, row in enumerate(list_rows(table, language)):
        for column, cell in enumerate(row):
            if isinstance(cell, int):
                sheet.write_number(at, column, cell, number)
            elif cell != "":
                sheet.write_string(at, column, cell, bold if at in (0, last) else None)
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(table.columns) - 1, 16)
    notes = book.add_worksheet(say(LABELS["definitions"], language))
    for at, note in enumerate(list_notes(table, language)):
        for column, cell in enumerate(note):
            notes.write_string(at, column, cell)
    notes.set_column(0, 1, 24)
    notes.set_column(2, 2, 100)
    book.close()
    return target.getvalue()
