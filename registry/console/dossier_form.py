"""The dossier as a form: the fields of schemas/enterprises.py people fill in, and what they become."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from registry.api.problems import InvalidBody
from registry.console.visits import Form

PLAIN = (  # in the form's order, as the others
    "name", "certificate_code", "nature", "industry", "area", "address", "registered_capital_yuan",
    "registration_authority", "established_on", "valid_until", "main_products", "website", "description",
)  # fmt: skip
PERSONS = ("contact", "legal_person")
PERSON_FIELDS = ("name", "certificate_type", "certificate_number", "email", "phone")
_NUMBERS = frozenset({"nature", "registered_capital_yuan", "certificate_type"})
_OPTIONAL = frozenset({"nature", "registered_capital_yuan", "established_on", "valid_until"})


def list_form(document: dict[str, Any]) -> dict[str, str]:
    """A dossier → the texts of the form; images show as their numbers."""
    fields = {name: _to_text(document.get(name)) for name in (*PLAIN, "certificate_image_id")}
    for person in PERSONS:
        held = document.get(person) or {}
        for name in (*PERSON_FIELDS, "front_image_id", "back_image_id"):
            fields[f"{person}.{name}"] = _to_text(held.get(name))
    return fields


def _to_text(value: object) -> str:
    return "" if value is None else str(value)


def check_filled(form: Form, names: Iterable[str]) -> None:
    """Whoever left several fields empty is told of all of them at once; raises InvalidBody."""
    missing: list[tuple[str, str, dict[str, Any]]] = [("field_missing", name, {}) for name in names if not form[name]]
    if missing:
        raise InvalidBody(missing)


def merge_form(document: dict[str, Any], form: Form) -> dict[str, Any]:
    """The document with what the form says; what it does not ask for stays."""
    merged = deepcopy(document)
    for name in PLAIN:
        merged[name] = _read(name, form[name])
        if merged[name] is None:
            del merged[name]
    for person in PERSONS:
        given = {name: form[f"{person}.{name}"] for name in PERSON_FIELDS}
        if not any(text for name, text in given.items() if name != "certificate_type") and person not in merged:
            continue
        held = merged.setdefault(person, {})
        held |= {name: _read(name, text) for name, text in given.items() if name != "certificate_type" or text}
    return merged


def _read(name: str, text: str) -> str | int | None:
    """Numbers as numbers, so that what is none is refused beside its field; empty optional ones as nothing."""
    if name in _OPTIONAL and not text:
        return None
    plain = text.replace(",", "").replace("，", "")
    if name in _NUMBERS and plain.isascii() and plain.isdigit() and len(plain) <= 16:
        return int(plain)
    return text
