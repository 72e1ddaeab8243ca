"""Many enterprises in one call: a file checked wholly before anything is written, answered row by row.

All or nothing: if any row is wrong, nothing is written and every wrong row is named. A firm of the file is connected
on the day it gives, on the operator's word, with a to-do list for what the file does not hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from asyncpg import Connection

from registry.areas import check_unit_name
from registry.identifier_rule import parse_moment
from registry.prefixes import NodeRules
from registry.principals import Order
from registry.store.changes import append_change
from registry.store.enterprises import (
    EnterpriseRow,
    NewEnterprise,
    fetch_enterprises_by_codes,
    fetch_tags,
    insert_decisions,
    insert_enterprises,
    replace_tags,
    set_connected,
)
from registry.store.late_days import lock_rollups, mark_late_days
from registry.store.placements import (
    Placement,
    fetch_present_placements,
    fetch_units,
    insert_placements,
    insert_units,
)
from registry.store.prefixes import NewPrefix, append_prefix_changes, fetch_owners_of, insert_prefixes
from registry.tables import Row, RowProblem, TableOptions, Wanted, open_table
from registry.tables.headers import match_key
from schemas.certificates import check_uscc
from schemas.changes import ChangeKind
from schemas.enterprises import (
    ACTIVE_STATES,
    CERTIFICATE_USCC,
    EnterpriseState,
    format_public,
    list_missing,
    parse_dossier,
    split_division,
)
from schemas.errors import Conflict, InvalidInput, ServiceError, TooLarge
from schemas.identifiers import shorten
from schemas.industries import check_industry, find_division
from schemas.prefixes import PrefixState, check_new_prefix
from schemas.texts import format_message, format_remedy

MAX_ROWS = 10_000  # what one transaction may hold
Outcome = Literal["connected", "unchanged", "refused"]

# column → names it may have, in two languages
COLUMNS: dict[str, tuple[str, ...]] = {
    "name": ("单位名称", "企业名称", "name", "enterprise"),
    "certificate_code": ("统一社会信用代码", "certificate_code", "uscc", "unified social credit code"),
    "unit": ("所在乡镇或园区", "乡镇或园区", "unit", "town or park"),
    "division": ("行政区划代码", "行政区划", "division", "division_code", "division code"),
    "section": ("行业门类", "section", "industry section"),
    "industry_division": ("行业大类", "industry_division", "industry division"),
    "group": ("行业中类", "group", "industry group"),
    "class": ("行业小类", "class", "industry class"),
    "main_products": ("主要产品", "main_products", "main products"),
    "prefix": ("申请前缀", "企业前缀", "prefix"),
    "connected_on": ("接入日期", "connected_on", "connected on"),
    "above_scale": ("规模以上", "above_scale", "above scale"),
    "industrial_chain": ("重点产业链", "industrial_chain", "industrial chain"),
    "pilot_batch": ("试点批次", "pilot_batch", "pilot batch"),
}
NEEDED = ("name", "certificate_code", "division", "section", "industry_division", "group", "class", "prefix")
_BOOLEANS = {"是": True, "yes": True, "true": True, "1": True, "否": False, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Firm:
    """A row of the file, understood. `connected_on` None: today."""

    row: int
    name: str
    certificate_code: str
    unit: str
    division_code: str
    industry: tuple[str, str, str, str]
    main_products: str
    prefix: str
    connected_on: date | None
    tags: dict[str, str]


@dataclass(slots=True)
class RowOutcome:
    """What came of a row: `row` is its line in the file; `error` says why it was refused."""

    row: int
    outcome: Outcome
    name: str
    certificate_code: str
    prefix: str
    enterprise_id: int | None = None
    error: ServiceError | None = None


@dataclass(slots=True)
class LoadResult:
    """`written` is False for a dry run, and if any row was refused: then `connected` says what would have been."""

    outcomes: list[RowOutcome]
    written: bool

    def count(self, outcome: Outcome) -> int:
        return sum(o.outcome == outcome for o in self.outcomes)


@dataclass(slots=True)
class _Plan:
    """What the good rows ask for, against what the node knows already."""

    known: dict[str, EnterpriseRow]
    places: dict[int, Placement] = field(default_factory=dict)
    tags: dict[int, dict[str, str]] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    first: dict[str, Firm] = field(default_factory=dict)  # by certificate code, as the file gives it first
    prefixes: dict[str, Firm] = field(default_factory=dict)  # prefixes the file gives


def read_enterprise_file(path: Path, name: str = "", options: TableOptions = TableOptions()) -> list[Row]:  # noqa: B008
    """Rows with a text for each of COLUMNS, in that order; raises FileRefused, or InvalidInput for a missing column."""
    known = frozenset(match_key(alias) for aliases in COLUMNS.values() for alias in aliases)
    needed = {COLUMNS[column][0]: frozenset(map(match_key, COLUMNS[column])) for column in NEEDED}
    table = open_table(path, Wanted(known, needed), options, name)
    keys = [match_key(column) for column in table.columns]
    places: dict[str, int] = {}
    for column, aliases in COLUMNS.items():
        found = [keys.index(key) for key in map(match_key, aliases) if key in keys]
        if found:
            places[column] = found[0]
        elif column in NEEDED:
            raise InvalidInput("enterprise_file_column", field=aliases[0], column=aliases[0], row=table.header_row)
    rows: list[Row] = []
    for row in table.rows():
        if len(rows) == MAX_ROWS:
            raise TooLarge("enterprise_file_too_long", field="file", limit=MAX_ROWS)
        texts = [row.texts[places[column]].strip() if column in places else "" for column in COLUMNS]
        rows.append(row._replace(texts=texts, notes=None, problem=row.problem or _find_problem(row, places)))
    return rows


def _find_problem(row: Row, places: dict[str, int]) -> RowProblem | None:
    """An error of the spreadsheet in a cell that is needed, or a formula whose result is not in the file."""
    for column, place in places.items():
        note = (row.notes or {}).get(place)
        if note is not None and note.problem is not None:
            return RowProblem(note.problem, COLUMNS[column][0], {"text": shorten(row.texts[place], 40)})
    return None


async def load_enterprises(
    conn: Connection, rules: NodeRules, order: Order, rows: Sequence[Row], *, dry_run: bool = False
) -> LoadResult:
    """Connect the firms of a file, all or none; the same file again is unchanged."""
    order.principal.check_operator()
    firms, outcomes = _read_firms(rules, order, rows)
    async with conn.transaction():
        plan = await _make_plan(conn, firms)
        fresh: list[Firm] = []
        for firm in firms:
            outcome = _judge(plan, firm)
            outcomes.append(outcome)
            if outcome.outcome == "connected":
                fresh.append(firm)
        outcomes.sort(key=lambda o: o.row)
        result = LoadResult(outcomes, False)
        if dry_run or result.count("refused") or not fresh:
            return result
        numbers = await _write(conn, order, plan, fresh)
        for outcome in outcomes:
            outcome.enterprise_id = outcome.enterprise_id or numbers.get(outcome.certificate_code)
        result.written = True
    return result


def _read_firms(rules: NodeRules, order: Order, rows: Sequence[Row]) -> tuple[list[Firm], list[RowOutcome]]:
    firms: list[Firm] = []
    refused: list[RowOutcome] = []
    for row in rows:
        cells = dict(zip(COLUMNS, row.texts, strict=False)) if row.problem is None else {}
        try:
            if row.problem is not None:
                raise InvalidInput(row.problem.code, field=row.problem.column, **row.problem.details)
            firms.append(_read_firm(rules, order, row.number, cells))
        except ServiceError as error:
            name, code, prefix = (cells.get(column, "") for column in ("name", "certificate_code", "prefix"))
            refused.append(RowOutcome(row.number, "refused", name, code, prefix, error=error))
    return firms, refused


def _read_firm(rules: NodeRules, order: Order, number: int, cells: dict[str, str]) -> Firm:
    code = check_uscc(cells["certificate_code"])
    division = find_division(cells["division"])
    if division is None:
        raise InvalidInput("division_unknown", field=COLUMNS["division"][0], division=shorten(cells["division"], 20))
    industry = check_industry("/".join(cells[level] for level in ("section", "industry_division", "group", "class")))
    province, city, county = split_division(division)
    tags = _read_tags(cells)
    parse_dossier(
        {"name": cells["name"], "certificate_code": code, "main_products": cells["main_products"], "tags": tags,
         "province": province, "city": city, "county": county}
    )  # fmt: skip
    return Firm(
        number,
        cells["name"],
        code,
        check_unit_name(cells["unit"]) if cells["unit"] else "",
        division,
        industry,
        cells["main_products"],
        check_new_prefix(cells["prefix"], rules.node_prefixes),
        _read_day(order, cells["connected_on"]),
        tags,
    )


def _read_day(order: Order, text: str) -> date | None:
    if not text:
        return None
    moment = parse_moment(text)
    if moment is None:
        raise InvalidInput("day_malformed", field=COLUMNS["connected_on"][0], text=shorten(text, 40))
    if moment.date() > order.day:
        raise InvalidInput("day_in_future", field=COLUMNS["connected_on"][0], day=moment.date())
    return moment.date()


def _read_tags(cells: dict[str, str]) -> dict[str, str]:
    tags = {kind: cells[kind] for kind in ("industrial_chain", "pilot_batch") if cells[kind]}
    if cells["above_scale"]:
        above = _BOOLEANS.get(cells["above_scale"].lower())
        if above is None:
            text = shorten(cells["above_scale"], 40)
            raise InvalidInput("enterprise_file_yes_no", field=COLUMNS["above_scale"][0], text=text)
        if above:
            tags["above_scale"] = "规模以上"
    return tags


async def _make_plan(conn: Connection, firms: Sequence[Firm]) -> _Plan:
    plan = _Plan(await fetch_enterprises_by_codes(conn, [firm.certificate_code for firm in firms]))
    numbers = [row.enterprise_id for row in plan.known.values()]
    plan.places = await fetch_present_placements(conn, numbers)
    plan.tags = await fetch_tags(conn, numbers)
    plan.owners = await fetch_owners_of(conn, [firm.prefix for firm in firms])
    return plan


def _judge(plan: _Plan, firm: Firm) -> RowOutcome:
    """Against the node and against the rows before; a second prefix of a firm stands in a row of its own."""
    known = plan.known.get(firm.certificate_code)
    outcome = RowOutcome(
        firm.row, "connected", firm.name, firm.certificate_code, firm.prefix, known.enterprise_id if known else None
    )
    try:
        _check_same(plan, firm, known)
        rival = plan.prefixes.setdefault(firm.prefix, firm)
        if rival is not firm and rival.certificate_code != firm.certificate_code:
            raise Conflict("prefix_twice_in_file", field=COLUMNS["prefix"][0], prefix=firm.prefix, row=rival.row)
        owner = plan.owners.get(firm.prefix)
        if owner is not None and (known is None or owner != known.enterprise_id):
            raise Conflict("prefix_owned_by_other", field=COLUMNS["prefix"][0], prefix=firm.prefix)
        if owner is not None or rival is not firm:
            outcome.outcome = "unchanged"
    except ServiceError as error:
        outcome.outcome, outcome.error = "refused", error
    return outcome


def _check_same(plan: _Plan, firm: Firm, known: EnterpriseRow | None) -> None:
    first = plan.first.setdefault(firm.certificate_code, firm)
    if _describe(first) != _describe(firm):
        column = _find_difference(_describe(first), _describe(firm))
        raise Conflict("enterprise_twice_in_file", field=column, enterprise=firm.name, row=first.row, column=column)
    if known is None:
        return
    if EnterpriseState(known.state) not in ACTIVE_STATES:
        raise Conflict("enterprise_not_active", field=COLUMNS["name"][0], enterprise=known.name)
    place = plan.places[known.enterprise_id]
    stored: dict[str, Any] = {
        COLUMNS["name"][0]: known.name,
        COLUMNS["unit"][0]: place.unit,
        COLUMNS["division"][0]: place.division_code,
        COLUMNS["class"][0]: tuple(place.industry),
        COLUMNS["main_products"][0]: known.dossier.get("main_products", ""),
        COLUMNS["connected_on"][0]: known.connected_on if firm.connected_on else None,
        COLUMNS["industrial_chain"][0]: plan.tags.get(known.enterprise_id, {}),
    }
    if stored != _describe(firm):
        column = _find_difference(stored, _describe(firm))
        raise Conflict("enterprise_differs", field=column, enterprise=known.name, column=column)


def _describe(firm: Firm) -> dict[str, Any]:
    """What has to be equal for the same firm; labels are those of the columns."""
    return {
        COLUMNS["name"][0]: firm.name,
        COLUMNS["unit"][0]: firm.unit,
        COLUMNS["division"][0]: firm.division_code,
        COLUMNS["class"][0]: firm.industry,
        COLUMNS["main_products"][0]: firm.main_products,
        COLUMNS["connected_on"][0]: firm.connected_on,
        COLUMNS["industrial_chain"][0]: firm.tags,
    }


def _find_difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    return next(label for label in one if one[label] != other[label])


async def _write(conn: Connection, order: Order, plan: _Plan, fresh: Sequence[Firm]) -> dict[str, int]:
    """Certificate code → number of all firms of the file; one transaction, a handful of statements."""
    numbers = {code: row.enterprise_id for code, row in plan.known.items()}
    new = [plan.first[code] for code in dict.fromkeys(f.certificate_code for f in fresh) if code not in plan.known]
    await _write_enterprises(conn, order, new, numbers)
    prefixes = [
        NewPrefix(firm.prefix, numbers[firm.certificate_code], PrefixState.ENABLED, _get_day(order, plan, firm))
        for firm in fresh
    ]
    written = await insert_prefixes(conn, prefixes, order.at)
    missed = next((firm for firm in fresh if firm.prefix not in written), None)
    if missed is not None:  # allotted by another transaction since the check
        raise Conflict("prefix_owned_by_other", field=COLUMNS["prefix"][0], prefix=missed.prefix)
    for code in {firm.certificate_code for firm in fresh} & plan.known.keys():
        await set_connected(conn, numbers[code], order.day)
    subjects = [(prefix.enterprise_id, prefix.prefix) for prefix in prefixes]
    await insert_decisions(conn, subjects, "applied", order.act)
    await insert_decisions(conn, subjects, "approved", order.act)
    await append_prefix_changes(conn, list(written.values()), order.act)
    await append_change(conn, ChangeKind.ENTERPRISE, 0, order.act)
    return numbers


def _get_day(order: Order, plan: _Plan, firm: Firm) -> date:
    """A firm that is known gets a further prefix now, whatever day it was connected on."""
    return order.day if firm.certificate_code in plan.known else firm.connected_on or order.day


async def _write_enterprises(conn: Connection, order: Order, new: Sequence[Firm], numbers: dict[str, int]) -> None:
    if not new:
        return
    await insert_units(conn, sorted({(firm.division_code, firm.unit) for firm in new if firm.unit}))
    units = {(unit.division_code, unit.name): unit.unit_id for unit in await fetch_units(conn)}
    written = await insert_enterprises(conn, [_to_enterprise(order, firm) for firm in new], order.at)
    numbers |= {code: number for (_, code), number in written.items()}
    for firm in new:
        if firm.certificate_code not in numbers:  # applied by another transaction since the check
            raise Conflict("enterprise_taken", field="certificate_code", certificate_code=firm.certificate_code)
    await insert_placements(
        conn,
        [
            (
                numbers[firm.certificate_code],
                Placement(
                    firm.division_code,
                    units.get((firm.division_code, firm.unit)),
                    list(firm.industry),
                    firm.connected_on or order.day,
                ),
            )
            for firm in new
        ],
    )
    tags = [(numbers[firm.certificate_code], kind, tag) for firm in new for kind, tag in firm.tags.items()]
    await replace_tags(conn, tags, [numbers[firm.certificate_code] for firm in new])
    subjects = [(numbers[firm.certificate_code], None) for firm in new]
    await insert_decisions(conn, subjects, "applied", order.act)
    await insert_decisions(conn, subjects, "approved", order.act)
    since = min(firm.connected_on or order.day for firm in new)
    if since < order.day:
        await lock_rollups(conn)
        await mark_late_days(conn, "enterprises", since=since)


def _to_enterprise(order: Order, firm: Firm) -> NewEnterprise:
    province, city, county = split_division(firm.division_code)
    dossier = parse_dossier(
        {
            "name": firm.name,
            "certificate_code": firm.certificate_code,
            "main_products": firm.main_products,
            "industry": "/".join(firm.industry),
            "province": province,
            "city": city,
            "county": county,
        }
    )
    return NewEnterprise(
        CERTIFICATE_USCC,
        firm.certificate_code,
        firm.name,
        int(EnterpriseState.APPROVED),
        firm.connected_on or order.day,
        format_public(dossier),
        [item.field for item in list_missing(dossier)],
    )


def format_outcome(outcome: RowOutcome, language: str) -> dict[str, Any]:
    """The JSON of a row's outcome, the reason in the reader's language; `field` is the column at fault."""
    answer: dict[str, Any] = {
        "row": outcome.row,
        "outcome": outcome.outcome,
        "enterprise_id": outcome.enterprise_id,
        "name": outcome.name,
        "certificate_code": outcome.certificate_code,
        "prefix": outcome.prefix,
    }
    if outcome.error is not None:
        error = outcome.error
        column = _name_column(error.field or "")
        details = {"field": column, **error.details}
        answer["code"] = error.code
        answer["field"] = column or None
        answer["reason"] = format_message(error.code, language, **details)
        answer["remedy"] = format_remedy(error.code, language, **details)
    return answer


def _name_column(field: str) -> str:
    """The header of the column that holds a field of the dossier."""
    column = {"industry": "class", "county": "division", "tags": "industrial_chain"}.get(field, field)
    return COLUMNS[column][0] if column in COLUMNS else field
