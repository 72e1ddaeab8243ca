"""The dossier of an enterprise (domain.md §d.6), its states, and what is still missing in it.

A dossier that exists is legal: lengths, certificate numbers, division codes and industry were checked when it was
read. Only name and certificate are compulsory; `list_missing` says what else a complete dossier needs.
"""

import re
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from enum import IntEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated, Any, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.certificates import check_resident_id, check_uscc
from schemas.errors import Conflict, InvalidInput, list_refusals
from schemas.identifiers import shorten
from schemas.industries import check_industry, check_industry_path, load_divisions, load_industries
from schemas.texts import format_message, format_remedy

CERTIFICATE_USCC = 1
RESIDENT_ID = 1
PERSONAL_FIELDS = ("contact", "legal_person")
# Kept in tables of their own, because they have a history or a dictionary.
PLACED_FIELDS = ("unit", "industry", "tags", "prefix")
TAG_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


class EnterpriseState(IntEnum):
    """domain.md §c.12. A changed dossier waits in CHANGE_PENDING beside the approved one, which stays in force."""

    DRAFT = 0
    PENDING = 1
    REVIEWING = 2
    APPROVED = 3
    REFUSED = 4
    SUSPENDED = 5
    CLOSED = 6
    CHANGE_PENDING = 7


class Verification(IntEnum):
    """The real-name check of an enterprise."""

    NONE = 0
    PENDING = 1
    PASS = 2
    FAIL = 3
    UNAVAILABLE = 4


_S = EnterpriseState
# decision → {state it may be taken in: state it leads to}
ENTERPRISE_DECISIONS: dict[str, dict[EnterpriseState, EnterpriseState]] = {
    "applied": {_S.DRAFT: _S.PENDING},
    "reviewing": {_S.PENDING: _S.REVIEWING},
    "approved": {_S.PENDING: _S.APPROVED, _S.REVIEWING: _S.APPROVED, _S.CHANGE_PENDING: _S.APPROVED},
    "refused": {_S.PENDING: _S.REFUSED, _S.REVIEWING: _S.REFUSED, _S.CHANGE_PENDING: _S.APPROVED},
    "resubmitted": {_S.REFUSED: _S.PENDING},
    "change_proposed": {_S.APPROVED: _S.CHANGE_PENDING, _S.CHANGE_PENDING: _S.CHANGE_PENDING},
    "suspended": {_S.APPROVED: _S.SUSPENDED, _S.CHANGE_PENDING: _S.SUSPENDED},
    "resumed": {_S.SUSPENDED: _S.APPROVED},
    "closed": dict.fromkeys(set(_S) - {_S.CLOSED}, _S.CLOSED),
}
# An enterprise that may own enabled prefixes and write under them.
ACTIVE_STATES = frozenset({_S.APPROVED, _S.CHANGE_PENDING})


def decide_enterprise_state(name: str, state: EnterpriseState, decision: str) -> EnterpriseState:
    """The state a decision leads to; raises Conflict if it cannot be taken now."""
    following = ENTERPRISE_DECISIONS[decision].get(state)
    if following is None:
        raise Conflict("enterprise_state_forbids", enterprise=name, state=state.name.lower(), decision=decision)
    return following


# Tab and line breaks are content; other controls are not.
_PLAIN = StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")
Plain = Annotated[str, _PLAIN]
Text8 = Annotated[Plain, Field(max_length=8)]
Text32 = Annotated[Plain, Field(max_length=32)]
Text64 = Annotated[Plain, Field(max_length=64)]
Text128 = Annotated[Plain, Field(max_length=128)]
Text255 = Annotated[Plain, Field(max_length=255)]
Text1024 = Annotated[Plain, Field(max_length=1_024)]
Phone = Annotated[str, StringConstraints(max_length=16, strip_whitespace=True, pattern=r"^[0-9+() \-]*$")]
Email = Annotated[str, StringConstraints(max_length=128, strip_whitespace=True, pattern=r"^([^@\s]+@[^@\s]+)?$")]
FileId = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Person(_Part):
    """Personal throughout: kept sealed, shown to the enterprise itself and, with a reason, to the operator."""

    name: Text128 = ""
    certificate_type: Annotated[int, Field(ge=1, le=3)] = RESIDENT_ID  # 1 resident ID, 2 passport, 3 other
    certificate_number: Text32 = ""
    email: Email = ""
    phone: Phone = ""
    fax: Text255 = ""
    front_image_id: FileId | None = None
    back_image_id: FileId | None = None


class System(_Part):
    """Where one of the five systems stands (entInfoSyses)."""

    kind: Annotated[int, Field(ge=1, le=5)]  # 1 registration, 2 registration data, 3 backup, 4 resolution, 5 standby
    deployment: Annotated[int, Field(ge=1, le=2)]  # 1 local, 2 cloud
    province: Text8 = ""
    city: Text8 = ""
    county: Text8 = ""
    address: Text255 = ""
    provider: Text255 = ""
    ip_ports: Text255 = ""

    @model_validator(mode="after")
    def _check(self) -> "System":
        if self.deployment == 2 and not self.provider:
            raise InvalidInput("dossier_system_provider", field="systems")
        if self.deployment == 1 and not (self.county and self.address):
            raise InvalidInput("dossier_system_address", field="systems")
        if self.ip_ports and self.kind != 1:
            raise InvalidInput("dossier_system_ports", field="systems")
        check_divisions(self.province, self.city, self.county)
        check_ip_ports(self.ip_ports)
        return self


class Charge(_Part):
    """Who builds or operates: 1 the enterprise itself, 2 another by contract."""

    type: Annotated[int, Field(ge=1, le=2)] = 1
    name: Text255 = ""
    contract_file_id: FileId | None = None

    @model_validator(mode="after")
    def _check(self) -> "Charge":
        if self.type == 2 and not (self.name and self.contract_file_id):
            raise InvalidInput("dossier_charge_contract", field="contract_file_id")
        return self


class HostingOrganisation(_Part):
    """Who keeps data or runs the service for the enterprise."""

    name: Text255
    contract_file_id: FileId | None = None


class Licence(_Part):
    """type: 1 root of the domain system, 2 registry, 3 registrar, 4 value-added telecommunication."""

    number: Text255
    type: Annotated[int, Field(ge=1, le=4)]


class Dossier(_Part):
    """Codes of GB/T 2260 in province, city, county; industry as C/34/344/3441; capital in whole yuan."""

    name: Text255
    certificate_type: Annotated[int, Field(ge=1, le=2)] = CERTIFICATE_USCC
    certificate_code: Text32
    certificate_image_id: FileId | None = None
    # 1 state, 2 private, 3 foreign, 4 institution, 5 non-profit
    nature: Annotated[int, Field(ge=1, le=5)] | None = None
    description: Text1024 = ""
    main_products: Text255 = ""
    address: Text255 = ""
    province: Text8 = ""
    city: Text8 = ""
    county: Text8 = ""
    unit: Text255 = ""
    industry: Text32 = ""
    website: Text255 = ""
    registration_authority: Text255 = ""
    registered_capital_yuan: Annotated[int, Field(ge=0, lt=10**15)] | None = None
    established_on: date | None = None
    valid_until: date | None = None
    contact: Person | None = None
    legal_person: Person | None = None
    systems: Annotated[tuple[System, ...], Field(max_length=50)] = ()
    build: Charge | None = None
    operation: Charge | None = None
    site_name: Text255 = ""
    site_domain: Text255 = ""
    site_addresses: Text255 = ""
    data_hosting: HostingOrganisation | None = None
    service_hosting: HostingOrganisation | None = None
    serve_industries: Annotated[tuple[Text32, ...], Field(max_length=50)] = ()
    licences: Annotated[tuple[Licence, ...], Field(max_length=50)] = ()
    tags: dict[Text64, Text64] = {}
    prefix: Text64 = ""

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        for kind, name in tags.items():
            if not TAG_KIND.fullmatch(kind) or not name:
                raise InvalidInput("tag_malformed", field="tags", kind=shorten(kind, 40))
        return tags

    @model_validator(mode="before")
    @classmethod
    def _capitals(cls, document: Any, info: ValidationInfo) -> Any:
        if isinstance(document, dict) and document.get("certificate_type", 1) == CERTIFICATE_USCC:
            code = document.get("certificate_code")
            if isinstance(code, str) and code.strip():
                return document | {"certificate_code": check_uscc(code) if _is_strict(info) else code.strip().upper()}
        return document

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> "Dossier":
        if not self.name:
            raise InvalidInput("dossier_field_missing", field="name", name="name")
        if not self.certificate_code:
            raise InvalidInput("dossier_field_missing", field="certificate_code", name="certificate_code")
        check_divisions(self.province, self.city, self.county)
        for industry in filter(None, self.serve_industries):
            check_industry(industry)
        if self.industry:
            (check_industry if _is_strict(info) else check_industry_path)(self.industry)
        for field in PERSONAL_FIELDS if _is_strict(info) else ():
            person: Person | None = getattr(self, field)
            if person and person.certificate_type == RESIDENT_ID and person.certificate_number:
                check_resident_id(person.certificate_number, f"{field}.certificate_number")
        if self.established_on and self.valid_until and self.valid_until < self.established_on:
            raise InvalidInput("dossier_dates", field="valid_until")
        return self

    @property
    def division_code(self) -> str:
        """The most precise division given, or empty."""
        return self.county or self.city or self.province


def _is_strict(info: ValidationInfo) -> bool:
    return info.context is None or bool(info.context["strict"])


def parse_dossier(document: object, *, strict: bool = True) -> Dossier:
    """Read a dossier document; raises InvalidInput that names the field.

    What is not `strict`, because another interface has taken it or it is stored already, may have wrong check
    characters and an industry of fewer levels; `list_missing` names them then.
    """
    try:
        return Dossier.model_validate(document, context={"strict": strict})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "dossier"
        context = first.get("ctx", {})
        raise InvalidInput(
            _find_problem(first["type"]), field=field, name=field, limit=context.get("max_length", ""),
            least=context.get("ge", ""), most=context.get("le", context.get("lt", "")),
        ) from None  # fmt: skip


# What stands for a compulsory field that is refused while the others are looked at.
_STAND_INS = {"name": "—", "certificate_code": "0" * 18}


def list_problems(document: dict[str, Any]) -> list[InvalidInput]:
    """What `parse_dossier` refuses, each field once: what it names is left out for the next look at the rest."""
    rest = deepcopy(document)
    return list_refusals(lambda: parse_dossier(rest), lambda field: _leave_out(rest, field))


def _leave_out(document: dict[str, Any], field: str) -> None:
    part, _, name = field.partition(".")
    if name and isinstance(document.get(part), dict):
        document[part].pop(name, None)
    elif part in _STAND_INS:
        document[part] = _STAND_INS[part]
    else:
        document.pop(part, None)


# What the kinds of pydantic's errors begin with, the first that fits.
_PROBLEMS = (
    ("missing", "dossier_field_missing"),
    ("extra_forbidden", "dossier_field_unknown"),
    ("string_too_long", "dossier_field_too_long"),
    ("too_long", "dossier_field_too_many"),
    ("greater_than", "dossier_field_bounds"),
    ("less_than", "dossier_field_bounds"),
    ("int_", "dossier_field_number"),
    ("date_", "dossier_field_date"),
    ("string_type", "dossier_field_text"),
    ("string_", "dossier_field_characters"),
)


def _find_problem(kind: str) -> str:
    return next((code for start, code in _PROBLEMS if kind.startswith(start)), "dossier_field")


def format_public(dossier: Dossier) -> dict[str, Any]:
    """What the dossier column keeps: neither personal parts nor what stands in tables of its own."""
    return dossier.model_dump(mode="json", exclude={*PERSONAL_FIELDS, *PLACED_FIELDS}, exclude_defaults=True) | {
        "name": dossier.name,
        "certificate_type": dossier.certificate_type,
        "certificate_code": dossier.certificate_code,
    }


def format_personal(dossier: Dossier) -> dict[str, Any]:
    """What is sealed: contact and legal person. Empty if neither is given."""
    return dossier.model_dump(mode="json", include=set(PERSONAL_FIELDS), exclude_none=True)


def check_divisions(province: str, city: str, county: str) -> None:
    """Each code must be known, of its level, and belong to the one before it; later ones may be absent."""
    table, parent = load_divisions(), ""
    for field, code in (("province", province), ("city", city), ("county", county)):
        if not code:
            parent = "missing"
            continue
        if code not in table:
            raise InvalidInput("division_unknown", field=field, division=shorten(code, 20))
        if table[code][0] != parent:
            raise InvalidInput("division_wrong_parent", field=field, division=code, parent=parent)
        parent = code


def split_division(code: str) -> tuple[str, str, str]:
    """Province, city, county codes of any known division code; those below it are empty."""
    table, chain = load_divisions(), []
    while code in table:
        chain.append(code)
        code = table[code][0]
    province, city, county, *_ = [*reversed(chain), "", "", ""]
    return province, city, county


def check_ip_ports(text: str) -> None:
    """`[v4]:port` or `[v6]:port`, separated by `;` (brackets are compulsory)."""
    for part in filter(None, text.split(";")):
        found = re.fullmatch(r"\[([^\]]+)\]:(\d{1,5})", part.strip())
        if not found or not _is_address(found[1]) or not 1 <= int(found[2]) <= 65_535:
            raise InvalidInput("dossier_ip_ports", field="ip_ports", text=shorten(part, 60))


def _is_address(text: str) -> bool:
    for form in (IPv4Address, IPv6Address):
        try:
            form(text)
        except AddressValueError:
            continue
        return True
    return False


class TodoItem(NamedTuple):
    """Something a complete dossier needs; `code` is the key of its texts."""

    field: str
    code: str

    def format(self, language: str) -> tuple[str, str]:
        """What is missing, and what to do."""
        return format_message(self.code, language), format_remedy(self.code, language)


# What the interface to the node above demands of a dossier (§d.6, compulsory fields), in the order of the form.
_TODOS = (
    TodoItem("nature", "todo_nature"),
    TodoItem("address", "todo_address"),
    TodoItem("city", "todo_division"),
    TodoItem("industry", "todo_industry"),
    TodoItem("certificate_image_id", "todo_licence_image"),
    TodoItem("contact", "todo_contact"),
    TodoItem("legal_person", "todo_legal_person"),
    TodoItem("certificate_code", "todo_certificate_code"),
    TodoItem("contact.certificate_number", "todo_contact_certificate"),
    TodoItem("legal_person.certificate_number", "todo_legal_person_certificate"),
)
_TODOS_BY_FIELD = {item.field: item for item in _TODOS}
_CONTACT_NEEDS = ("name", "certificate_number", "email", "phone")
_LEGAL_PERSON_NEEDS = ("name", "certificate_number", "front_image_id", "back_image_id")


def list_missing(dossier: Dossier) -> list[TodoItem]:
    """The to-do list of a dossier; empty if it is complete."""
    return [item for item in _TODOS if _is_missing(dossier, item.field)]


def get_todo(field: str) -> TodoItem:
    """The item of a stored to-do list."""
    return _TODOS_BY_FIELD[field]


def _is_missing(dossier: Dossier, field: str) -> bool:
    if field == "certificate_code":
        return dossier.certificate_type == CERTIFICATE_USCC and not _passes(check_uscc, dossier.certificate_code)
    if field.endswith(".certificate_number"):
        person: Person | None = getattr(dossier, field.partition(".")[0])
        number = person.certificate_number if person and person.certificate_type == RESIDENT_ID else ""
        return bool(number) and not _passes(lambda text: check_resident_id(text, field), number)
    if field == "industry":
        return dossier.industry.count("/") != 3
    value = getattr(dossier, field)
    if isinstance(value, Person):
        needs = _CONTACT_NEEDS if field == "contact" else _LEGAL_PERSON_NEEDS
        return not all(getattr(value, need) for need in needs)
    return not value


def _passes(check: Callable[[str], object], text: str) -> bool:
    try:
        check(text)
    except InvalidInput:
        return False
    return True


def format_industry(codes: tuple[str, ...] | list[str]) -> str:
    """The Chinese names of the four levels, such as 制造业/通用设备制造业/…."""
    table = load_industries()
    return "/".join(table[code][1] for code in codes if code in table)
