"""What a proposed change of a dossier changes: old and new side by side, persons masked."""

from dataclasses import dataclass

from registry.console.dossier_form import PERSON_FIELDS, PERSONS, list_form
from registry.enterprise_views import EnterpriseDetail
from registry.enterprises import open_change
from registry.prefixes import NodeRules
from registry.principals import Principal
from schemas.enterprises import EnterpriseState, list_missing, parse_dossier
from schemas.industries import format_division
from schemas.texts.console_fields import FIELD_LABELS

_LABELS = FIELD_LABELS | {"name": "d_name", "area": "d_area", "industry": "industry", "address": "d_address"}
_KINDS = {"certificate_image_id": "file", "nature": "choice", "registered_capital_yuan": "amount"}
IMAGES = frozenset({"front_image_id", "back_image_id"})


@dataclass(frozen=True, slots=True)
class Difference:
    """`labels` are keys of words; old and new are texts or empty.

    `kind`: text, amount, file, choice, document or person.
    """

    labels: tuple[str, ...]
    old: str
    new: str
    kind: str = "text"


def list_differences(rules: NodeRules, principal: Principal, detail: EnterpriseDetail) -> list[Difference]:
    """Nothing where no change waits, or for those who neither filed it nor decide on it."""
    row = detail.row
    may = principal.is_operator or principal.has_role("reviewer") or principal.enterprise_id == row.enterprise_id
    if row.state != EnterpriseState.CHANGE_PENDING or not may:
        return []
    personal, proposed = open_change(rules, row)
    present = detail.placements[-1]
    in_force = {**row.dossier, **personal, "industry": "/".join(present.industry)}
    in_force["area"] = f"{format_division(present.division_code)}{present.unit or ''}"
    wanted = dict(proposed)
    # What a proposal leaves open stays as it is.
    for person in PERSONS:
        if not wanted.get(person):
            wanted[person] = personal.get(person)
    wanted["industry"] = wanted.get("industry") or in_force["industry"]
    wanted["area"] = _format_area(proposed) or in_force["area"]
    old, new = list_form(in_force), list_form(wanted)
    return [_make(name, old[name], new[name]) for name in old if old[name] != new[name]]


def list_proposed(rules: NodeRules, detail: EnterpriseDetail) -> list[str]:
    """Fields of the to-do list that a change which waits fills in."""
    if detail.row.state != EnterpriseState.CHANGE_PENDING:
        return []
    personal, proposed = open_change(rules, detail.row)
    wanted = personal | {name: value for name, value in proposed.items() if value is not None}
    missing = {item.field for item in list_missing(parse_dossier(wanted, strict=False))}
    return [item.field for item in detail.todo if item.field not in missing]


def _format_area(proposed: dict[str, object]) -> str:
    """Division and unit of a dossier; a unit is written `<division>/<name>`."""
    division, _, unit = str(proposed.get("unit") or "").rpartition("/")
    code = division or next((str(proposed[n]) for n in ("county", "city", "province") if proposed.get(n)), "")
    return f"{format_division(code)}{unit}" if code else unit


def _make(name: str, old: str, new: str) -> Difference:
    person, _, field = name.rpartition(".")
    if not person:
        return Difference((_LABELS[name],), old, new, _KINDS.get(name, "text"))
    labels = (person, _LABELS[f"{person}_{field}"])
    if field == "certificate_type":
        return Difference(labels, old, new, "document")
    if field in IMAGES or field not in PERSON_FIELDS:
        return Difference(labels, "*" if old else "", "*" if new else "", "person")
    return Difference(labels, mask(old), mask(new), "person")


def mask(text: str) -> str:
    """The first and the last character of a long text, the first of a short one, however long it is."""
    if len(text) < 8:
        return f"{text[:1]}***" if text else ""
    return f"{text[0]}***{text[-1]}"
