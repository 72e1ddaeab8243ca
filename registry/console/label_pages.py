"""Labels: which identifiers, which code, which paper; printed from the browser."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Query, Response

from registry.api.jobs import get_own_job
from registry.api.targets import get_rule
from registry.api.views import Templates
from registry.console.codes import draw_code
from registry.console.identifier_pages import choose_prefix, list_own_prefixes
from registry.console.search import Search, fetch_outcomes, search_records
from registry.console.sections import Entry, Section, is_registrar
from registry.console.start_pages import is_final
from registry.console.visits import Problem, Visit, Visiting, collect, find_number
from registry.issuing import find_members
from registry.late_routes import LateRouter
from registry.ranges import list_ranges
from registry.record_views import format_record
from registry.records import Located, get_stored
from registry.store.jobs import fetch_jobs
from registry.store.records import PrefixRule, StoredRecord, fetch_records
from schemas.errors import InvalidInput, NotFound
from schemas.identifiers import Identifier, format_suffix_key, parse_any_identifier
from schemas.ranges import format_member
from schemas.records import RecordState
from schemas.viewing import Viewer

router = LateRouter(prefix="/labels")
SECTION = Section(router, (Entry("/labels", "labels", "group_work", is_registrar),))

Text = Annotated[str, Query(max_length=4_096)]
# Name of a sheet → labels on it, as its grid in console.css has them.
SHEETS = {"a4-24": 24, "a4-40": 40, "a4-65": 65, "roll-40": 1, "roll-60": 1, "roll-100": 1}
CARRIERS = {"qr": ("qr",), "matrix": ("matrix",), "both": ("qr", "matrix")}
MAX_LABELS = 240  # on one page; the following ones are on the next
LINES = ("0", "1", "2", "3", "4")
PRINTED = frozenset({"registered", "unchanged", "updated"})


@router.get("")
async def choose(
    visit: Visiting, prefix: Text = "", job: Text = "", starts_with: Text = "", identifier: Text = ""
) -> Response:
    fields = {"prefix": prefix, "job": job, "starts_with": starts_with, "identifier": identifier}
    return await _show_choice(visit, fields, {})


async def _show_choice(visit: Visit, fields: dict[str, str], problems: dict[str, Problem]) -> Response:
    principal = visit.get_principal()
    async with visit.connect() as conn:
        prefixes = await list_own_prefixes(conn, visit)
        own = None if principal.is_operator else list(principal.prefixes.values())
        jobs = [j for j in await fetch_jobs(conn, own, None, 50) if not j.is_open and not j.options.get("dry_run")]
        chosen = fields.get("prefix") or choose_prefix("", prefixes)
        ranges = [one for one, _ in await list_ranges(conn, await get_rule(conn, visit, chosen))] if chosen else []
    return visit.page(
        "labels.html", status=400 if problems else 200, prefixes=prefixes, jobs=jobs, ranges=ranges,
        fields=fields | {"prefix": chosen}, sheets=list(SHEETS), carriers=list(CARRIERS), counts=LINES,
        problems=problems, is_final=is_final(visit),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to be printed but for retired ones, and how many of the source come before those of the next page."""

    found: list[StoredRecord]
    next_skip: int | None = None
    next_after: str = ""

    @property
    def records(self) -> list[StoredRecord]:
        return [stored for stored in self.found if stored.state != RecordState.RETIRED]

    @property
    def left_out(self) -> int:
        """How many are retired."""
        return len(self.found) - len(self.records)


@router.get("/sheet")
async def show_sheet(
    visit: Visiting, prefix: Text, sheet: Text = "a4-24", carrier: Text = "qr", lines: Text = "2", job: Text = "",
    starts_with: Text = "", identifier: Text = "", range_first: Text = "", copies: Text = "1", skip: int = 0,
    after: Text = "",
) -> Response:  # fmt: skip
    """Sheets as they come out of the printer. Only public values are printed on goods."""
    fields = {"prefix": prefix, "job": job, "starts_with": starts_with, "identifier": identifier, "sheet": sheet,
              "carrier": carrier, "lines": lines, "range_first": range_first, "copies": copies}  # fmt: skip
    problems: dict[str, Problem] = {}
    batch, labels, count = Batch([]), [], 1
    with collect(problems, visit):
        for name, known in (("sheet", SHEETS), ("carrier", CARRIERS), ("lines", LINES)):
            if fields[name] not in known:
                raise InvalidInput("choice_missing", field=name)
        count = _read_copies(copies)
        async with visit.connect() as conn:
            rule = await get_rule(conn, visit, prefix)
            batch = await _collect_batch(conn, visit, rule, fields, max(0, skip), after)
            if not (batch.records or batch.next_skip or batch.next_after):
                chosen = [name for name in ("identifier", "job", "range_first", "starts_with") if fields[name]]
                raise NotFound("labels_nothing", field=[*chosen, "prefix"][0])
            labels = await _describe_labels(conn, visit, rule, batch.records, int(lines))
    if problems:
        return await _show_choice(visit, fields, problems)
    labels *= count if len(labels) == 1 else 1
    await asyncio.to_thread(_draw, labels, CARRIERS[carrier], is_final(visit))
    size = SHEETS[sheet]
    return visit.page(
        "label_sheet.html", sheets=[labels[at : at + size] for at in range(0, len(labels), size)], sheet=sheet,
        carrier=carrier, count=len(labels), batch=batch, fields=fields, is_final=is_final(visit),
    )  # fmt: skip


def _read_copies(text: str) -> int:
    """Raises InvalidInput."""
    count = find_number(text.strip())
    if count is None or not 1 <= count <= MAX_LABELS:
        raise InvalidInput("label_copies", field="copies", limit=MAX_LABELS)
    return count


async def _collect_batch(
    conn: Connection, visit: Visit, rule: PrefixRule, fields: dict[str, str], skip: int, after: str
) -> Batch:
    if fields["identifier"]:
        named = parse_any_identifier(fields["identifier"])
        return Batch([(await get_stored(conn, Identifier(rule.prefix, named.suffix))).stored])
    if fields["job"]:
        suffixes, more = await _list_job(conn, visit, fields["job"], skip)
        return Batch(await _fetch(conn, rule, suffixes), skip + MAX_LABELS if more else None)
    if fields["range_first"]:
        suffixes, more = await _list_range(conn, rule, fields["range_first"], skip)
        return Batch(await _fetch(conn, rule, suffixes), skip + MAX_LABELS if more else None)
    starts_with = format_suffix_key(fields["starts_with"], rule.folds_case)
    found = await search_records(conn, rule.prefix_id, Search(starts_with=starts_with), after, MAX_LABELS)
    return Batch(found.rows, None, found.next_after or "")


async def _list_job(conn: Connection, visit: Visit, job_id: str, skip: int) -> tuple[list[str], bool]:
    """Suffixes that are issued now, after the first `skip`; whether there are more."""
    job = await get_own_job(conn, visit, job_id)
    chunk = 0
    suffixes: list[str] = []
    while (
        len(suffixes) <= skip + MAX_LABELS and (outcomes := await fetch_outcomes(conn, job.job_id, chunk)) is not None
    ):
        suffixes += [one.suffix for one in outcomes if one.outcome in PRINTED]
        chunk += 1
    return suffixes[skip : skip + MAX_LABELS], len(suffixes) > skip + MAX_LABELS


async def _list_range(conn: Connection, rule: PrefixRule, first: str, skip: int) -> tuple[list[str], bool]:
    for one, _ in await list_ranges(conn, rule):
        if one.format_first() == first:
            start = one.first + skip
            stop = min(one.last + 1, start + MAX_LABELS)
            members = [format_member(one.head, one.width, number, one.checked) for number in range(start, stop)]
            return members, stop <= one.last
    raise NotFound("labels_nothing", field="range_first")


async def _fetch(conn: Connection, rule: PrefixRule, suffixes: list[str]) -> list[StoredRecord]:
    """In the order given, without repetitions."""
    keys = [format_suffix_key(suffix, rule.folds_case) for suffix in suffixes]
    found = await find_members(conn, rule, keys)
    found |= await fetch_records(conn, rule.prefix_id, keys)
    return [found[key] for key in dict.fromkeys(keys) if key in found]


async def _describe_labels(
    conn: Connection, visit: Visit, rule: PrefixRule, records: list[StoredRecord], lines: int
) -> list[dict[str, Any]]:
    templates, labels = Templates(conn), []
    for stored in records:
        template = await templates.find(stored.template_id)
        view = format_record(Located(rule, stored), template, Viewer.PUBLIC, visit.state.config.public_url)
        texts = [(value["name"][visit.language], value["data"]) for value in view["values"][:lines]]
        labels.append({"identifier": view["identifier"], "address": view["scan_url"], "lines": texts})
    return labels


def _draw(labels: list[dict[str, Any]], kinds: tuple[str, ...], final: bool) -> None:
    for label in labels:
        if "codes" not in label:
            label["codes"] = [draw_code(label["address"], kind, is_final=final) for kind in kinds]
