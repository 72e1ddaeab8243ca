"""A dossier in the published members (§d.6): read into ours, and written back whole.

Each table says how a member is called there, where it stands in our dossier, of what kind it is and whether it is
compulsory. Both directions are made from it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple

from registry.snms import texts
from registry.snms.fields import Fields, Refusal
from schemas.enterprises import Dossier, check_divisions, check_ip_ports, parse_dossier
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.industries import check_industry, check_industry_path

MAX_FILE_ID = 2**63 - 1
MAX_ENTRIES = 50
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T]\d{2}:\d{2}(?::\d{2})?)?", re.ASCII)

BASIC, REGISTER, SERVE = "entBasicInfo", "entRegisterManageInfo", "entHostingAndIdentifyServeInfo"
LOCAL, CLOUD = 1, 2
OWN, ENTRUSTED = 1, 2
SYSTEMS_NEEDED = (1, 2, 3, 4)


class Column(NamedTuple):
    """`limit`: characters of a text, or the highest of the choices 1, 2, …"""

    name: str
    path: str
    kind: Literal["text", "choice", "file", "date", "number"]
    limit: int = 0
    required: bool = False


_BASIC = (
    Column("orgName", "name", "text", 255, True),
    Column("orgNature", "nature", "choice", 5, True),
    Column("orgAddr", "address", "text", 255, True),
    Column("orgAddrProvince", "province", "text", 8, True),
    Column("orgAddrCity", "city", "text", 8, True),
    Column("orgAddrCounty", "county", "text", 8),
    Column("orgCrtType", "certificate_type", "choice", 2, True),
    Column("orgCrtCode", "certificate_code", "text", 32, True),
    Column("orgCrtImgRid", "certificate_image_id", "file", 0, True),
    Column("orgDesc", "description", "text", 1_024),
    Column("website", "website", "text", 255),
    Column("regAuthority", "registration_authority", "text", 255),
    Column("regCapital", "registered_capital_yuan", "number"),
    Column("establishDate", "established_on", "date"),
    Column("periodValidity", "valid_until", "date"),
    Column("contactName", "contact.name", "text", 128, True),
    Column("contactCrtType", "contact.certificate_type", "choice", 3, True),
    Column("contactCrtNo", "contact.certificate_number", "text", 32, True),
    Column("contactEmail", "contact.email", "text", 128, True),
    Column("contactPhone", "contact.phone", "text", 16, True),
    Column("contactCrtFrontImgRid", "contact.front_image_id", "file"),
    Column("contactCrtBackImgRid", "contact.back_image_id", "file"),
    Column("legalName", "legal_person.name", "text", 128, True),
    Column("legalCrtType", "legal_person.certificate_type", "choice", 3, True),
    Column("legalCrtNo", "legal_person.certificate_number", "text", 32, True),
    Column("legalCrtFrontImgRid", "legal_person.front_image_id", "file", 0, True),
    Column("legalCrtBackImgRid", "legal_person.back_image_id", "file", 0, True),
    Column("legalEmail", "legal_person.email", "text", 128),
    Column("legalFax", "legal_person.fax", "text", 255),
    Column("legalPhone", "legal_person.phone", "text", 16),
    Column("entPrefix", "prefix", "text", 64, True),
)
_SYSTEM = (
    Column("sysType", "kind", "choice", 5, True),
    Column("deployMode", "deployment", "choice", 2, True),
    Column("province", "province", "text", 8),
    Column("city", "city", "text", 8),
    Column("county", "county", "text", 8),
    Column("address", "address", "text", 255),
    Column("name", "provider", "text", 255),
    Column("ipPort", "ip_ports", "text", 255),
)
# Who builds and who operates; name and contract are compulsory if it is entrusted.
_CHARGES = (
    Column("servSysBuildType", "build.type", "choice", 2, True),
    Column("servSysBuildName", "build.name", "text", 255),
    Column("servSysBuildContractFileRid", "build.contract_file_id", "file"),
    Column("servSysOperType", "operation.type", "choice", 2, True),
    Column("servSysOperName", "operation.name", "text", 255),
    Column("servSysOperContractFileRid", "operation.contract_file_id", "file"),
)
_SERVE = (
    Column("extWebName", "site_name", "text", 255),
    Column("extDomain", "site_domain", "text", 255),
    Column("extIpAddr", "site_addresses", "text", 255),
    Column("dataHostingOrg", "data_hosting.name", "text", 255),
    Column("dataHostingContractFileRid", "data_hosting.contract_file_id", "file"),
    Column("servHostingOrg", "service_hosting.name", "text", 255),
    Column("servHostingContractFileRid", "service_hosting.contract_file_id", "file"),
)
_LICENCE = (
    Column("licenceNo", "number", "text", 255, True),
    Column("licenceType", "type", "choice", 4, True),
)
_INDUSTRY = (("industryCategory", 8), ("industrySpecific", 8), ("industryTrade", 8), ("industrySubclass", 8))
_NAMES = {
    **{column.path: f"{BASIC}.{column.name}" for column in _BASIC},
    **{column.path: f"{REGISTER}.{column.name}" for column in _CHARGES},
    **{column.path: f"{SERVE}.{column.name}" for column in _SERVE},
    "industry": f"{BASIC}.industryCategory",
    "contact": f"{BASIC}.contactName",
    "legal_person": f"{BASIC}.legalName",
    "systems": f"{REGISTER}.entInfoSyses",
    "serve_industries": f"{SERVE}.entInfoSerIndustries",
    "licences": f"{SERVE}.entInfoLicenses",
}


def read_dossier(fields: Fields) -> Dossier:
    """From the three objects of an application; raises Refusal that names the member. Check digits are not judged
    here (§d.9): a wrong one is accepted and stands in the enterprise's to-do list."""
    basic, register = fields.get_object(BASIC), fields.get_object(REGISTER)
    serve = fields.find_object(SERVE)
    document = _read(basic, _BASIC)
    codes = [basic.get_text(name, limit) for name, limit in _INDUSTRY[:2]]
    with naming({"industry": f"{basic.path}industrySpecific"}):
        document["industry"] = "/".join(check_industry_path("/".join(codes)))
    with naming({"province": _NAMES["province"], "city": _NAMES["city"], "county": _NAMES["county"]}):
        check_divisions(document["province"], document["city"], document.get("county", ""))
    document |= _read_register(register)
    if serve is not None:
        document |= _read_serve(serve)
    with naming(_NAMES):
        return parse_dossier(document, strict=False)


def format_dossier(document: Mapping[str, Any]) -> dict[str, Any]:
    """The three objects again. `document`: public and personal parts, place, industry and prefix together."""
    industry = document.get("industry") or []
    # What is stored leaves out what goes without saying.
    charges = {part: {"type": OWN} | document[part] for part in ("build", "operation") if part in document}
    return {
        BASIC: _format(document, _BASIC) | dict(zip(("industryCategory", "industrySpecific"), industry, strict=False)),
        REGISTER: {
            "entInfoSyses": [_format(system, _SYSTEM) for system in document.get("systems", ())],
            **_format(charges, _CHARGES),
        },
        SERVE: {
            **_format(document, _SERVE),
            "entInfoSerIndustries": [
                dict(zip((name for name, _ in _INDUSTRY), text.split("/"), strict=False))
                for text in document.get("serve_industries", ())
            ],
            "entInfoLicenses": [_format(licence, _LICENCE) for licence in document.get("licences", ())],
        },
    }


@contextmanager
def naming(names: Mapping[str, str] = _NAMES) -> Iterator[None]:
    """What is refused inside is said with the published name of the member, not with ours."""
    try:
        yield
    except (InvalidInput, NotFound, Conflict) as error:
        name = _find_name(error.field or "", names)
        if name is None:
            raise
        message = texts.say(type(error)(error.code, field=name, **{**error.details, "name": name}))
        raise Refusal(texts.OF_FIELD.format(name=name, message=message)) from None


def _find_name(field: str, names: Mapping[str, str]) -> str | None:
    """The member itself, or the one it stands in."""
    while field:
        if field in names:
            return names[field]
        field = field.rpartition(".")[0]
    return None


def _read_register(register: Fields) -> dict[str, Any]:
    document = _read(register, _CHARGES)
    for part, title in (("build", "servSysBuild"), ("operation", "servSysOper")):
        if document[part]["type"] == ENTRUSTED:
            register.get_text(f"{title}Name", 255)
            register.get_number(f"{title}ContractFileRid", 1, MAX_FILE_ID)
    systems = register.get_objects("entInfoSyses", MAX_ENTRIES)
    document["systems"] = [_read_system(system) for system in systems]
    kinds = {system["kind"] for system in document["systems"]}
    missing = [str(kind) for kind in SYSTEMS_NEEDED if kind not in kinds]
    if missing:
        raise Refusal(texts.SYSTEMS_MISSING.format(name=f"{register.path}entInfoSyses", kinds="、".join(missing)))
    return document


def _read_system(fields: Fields) -> dict[str, Any]:
    """Local: province, city, county and address; in a cloud: its provider; addresses and ports for kind 1 alone."""
    system = _read(fields, _SYSTEM)
    needed = ("province", "city", "county", "address") if system["deployment"] == LOCAL else ("name",)
    for name in needed:
        fields.get_text(name, 255)
    if system["kind"] != 1 and "ip_ports" in system:
        raise Refusal(texts.PORTS_UNWANTED.format(name=f"{fields.path}ipPort"))
    with naming({"ip_ports": f"{fields.path}ipPort", **{n: fields.path + n for n in ("province", "city", "county")}}):
        check_divisions(*(system.get(name, "") for name in ("province", "city", "county")))
        check_ip_ports(system.get("ip_ports", ""))
    return system


def _read_serve(serve: Fields) -> dict[str, Any]:
    document = _read(serve, _SERVE)
    for address in filter(None, (part.strip(" []") for part in document.get("site_addresses", "").split(";"))):
        try:
            ip_address(address)
        except ValueError:
            raise Refusal(texts.ADDRESS_WRONG.format(name=f"{serve.path}extIpAddr", text=address[:60])) from None
    for part, title in (("data_hosting", "dataHosting"), ("service_hosting", "servHosting")):
        if part in document:
            serve.get_text(f"{title}Org", 255)
    document["serve_industries"] = []
    for industry in serve.find_objects("entInfoSerIndustries", MAX_ENTRIES) or ():
        codes = [industry.get_text(name, limit) for name, limit in _INDUSTRY]
        with naming({"industry": f"{industry.path}industryCategory"}):
            document["serve_industries"].append("/".join(check_industry("/".join(codes))))
    licences = serve.find_objects("entInfoLicenses", MAX_ENTRIES) or ()
    document["licences"] = [_read(licence, _LICENCE) for licence in licences]
    return document


def _read(fields: Fields, columns: Sequence[Column]) -> dict[str, Any]:
    """The members that are there, at their places in our document."""
    document: dict[str, Any] = {}
    for column in columns:
        value = _read_one(fields, column)
        if value is not None:
            part, _, name = column.path.rpartition(".")
            (document.setdefault(part, {}) if part else document)[name] = value
    return document


def _read_one(fields: Fields, column: Column) -> object:
    name, required = column.name, column.required
    if column.kind == "text":
        text = fields.get_text(name, column.limit) if required else fields.find_text(name, column.limit)
        return text.strip() if text is not None else None
    if column.kind == "choice":
        choices = dict.fromkeys(range(1, column.limit + 1))
        return fields.get_choice(name, choices) if required else fields.find_choice(name, choices)
    if column.kind == "file":
        return fields.get_number(name, 1, MAX_FILE_ID) if required else fields.find_number(name, 1, MAX_FILE_ID)
    if column.kind == "number":
        return fields.find_number(name, 0, 10**15 - 1)
    return read_day(fields, name)


def read_day(fields: Fields, name: str) -> str | None:
    """yyyy-MM-dd; a time behind it is left out."""
    text = fields.find_text(name, 32)
    if text is None or not text.strip():
        return None
    found = _DAY.fullmatch(text.strip())
    try:
        return date.fromisoformat(found[1] if found else "").isoformat()
    except ValueError:
        raise Refusal(texts.DAY_WRONG.format(name=f"{fields.path}{name}", text=text[:40])) from None


def _format(document: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """All members of a table; what is not known is null, an unknown text is empty."""
    shown: dict[str, Any] = {}
    for column in columns:
        part, _, name = column.path.rpartition(".")
        held = (document.get(part) or {}) if part else document
        value = held.get(name)
        shown[column.name] = ("" if column.kind == "text" else None) if value is None else value
    return shown
