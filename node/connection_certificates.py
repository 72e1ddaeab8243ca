"""Connection certificates (接入证明): who gets one, what it says, and whether one still holds.

One says that this node allocated prefixes to a firm, and nothing beyond that. Only a firm that is connected gets one;
what became of it since is told by whoever verifies the number.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from asyncpg import Connection

from node.reporting import read_operator
from node.settings import RegistrySettings
from node.signing_identity import Identity, get_identity
from node.store import connection_certificates as store
from node.store.connection_certificates import Certificate
from registry.enterprise_views import get_enterprise
from registry.principals import Order, Principal
from schemas.days import get_day
from schemas.enterprises import CERTIFICATE_USCC, EnterpriseState
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, SlowDown
from schemas.identifiers import shorten
from schemas.prefixes import PrefixState
from schemas.sealing import KeyRing
from schemas.texts.connection_certificates import SHEET

State = Literal["valid", "revoked", "suspended", "departed", "prefix_changed"]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_LISTED = 5_000
MOST_A_DAY = 100  # of one firm: a program that repeats itself must not fill the database
_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none is taken for another
_ALIKE = str.maketrans("OIL", "011")
_NUMBER = re.compile(r"JR(\d{4})-?([0-9A-Z]{4})-?([0-9A-Z]{4})-?([0-9A-Z]{4})-?([0-9A-Z]{4})", re.ASCII)
_EVENTS = {"suspended": ("suspended",), "departed": ("closed",)}  # state → the decisions that lead to it


@dataclass(frozen=True, slots=True)
class Office:
    """What this node puts on its certificates, and signs them with. `signing`: certificate and key, PEM."""

    prefixes: tuple[str, ...]
    console_url: str
    ring: KeyRing
    signing: tuple[Path, Path] | None = None
    operator_file: Path | None = None

    @property
    def node_name(self) -> str:
        """The operator's name, if its dossier is there, and the node's prefixes. Raises SetupError."""
        operator = read_operator(self.operator_file) or {}
        name = str(operator.get("orgName") or SHEET["of_node"][0])
        return f"{name}（{', '.join(self.prefixes)}）"

    def format_address(self, number: str) -> str:
        return f"{self.console_url}/verify/{number}"


def make_office(settings: RegistrySettings, ring: KeyRing) -> Office:
    return Office(settings.prefixes, settings.console_url, ring, settings.signing, settings.operator_file)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a certificate says of a firm; `connected_on` None: it is not connected."""

    enterprise_id: int
    enterprise: str
    certificate_code: str
    prefixes: tuple[str, ...]
    connected_on: date | None
    standing: Literal["connected", "suspended", "departed", ""]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a certificate still holds, and since when it does not."""

    state: State
    since: datetime | None = None


def check_may_issue(principal: Principal, enterprise_id: int) -> None:
    """The operator and reviewers for any firm, a firm's administrator for his own. Raises Forbidden, NotFound."""
    if principal.kind == "enterprise":
        principal.check_scope("manage")
        principal.check_enterprise(enterprise_id)
    else:
        check_node_people(principal)


def check_node_people(principal: Principal) -> None:
    """The operator and reviewers; raises Forbidden."""
    if principal.is_operator:
        principal.check_scope("manage")
    elif principal.kind == "reviewer":
        principal.check_scope("review")
    else:
        raise Forbidden("operator_only")


def find_listed(principal: Principal, enterprise_id: int | None) -> int | None:
    """Whose certificates somebody sees of those asked for; None: all. Raises Forbidden, NotFound."""
    if principal.kind == "enterprise":
        principal.check_enterprise(enterprise_id or principal.enterprise_id or 0)
        return principal.enterprise_id
    if not principal.sees_all:
        raise Forbidden("operator_only")
    return enterprise_id


async def read_subject(conn: Connection, principal: Principal, enterprise_id: int) -> Subject:
    """As things stand now; raises NotFound."""
    detail = await get_enterprise(conn, principal, enterprise_id)
    row = detail.row
    enabled = tuple(one.prefix for one in detail.prefixes if one.state == PrefixState.ENABLED)
    standing: Literal["connected", "suspended", "departed", ""] = "connected"
    if row.certificate_type != CERTIFICATE_USCC or row.connected_on is None:
        standing = ""
    elif row.state == EnterpriseState.CLOSED or not detail.prefixes:
        standing = "departed"
    elif row.state == EnterpriseState.SUSPENDED or not enabled:
        standing = "suspended"
    return Subject(enterprise_id, row.name, row.certificate_code, enabled, row.connected_on, standing)


def check_connected(subject: Subject) -> date:
    """The day; raises Conflict for who is not connected."""
    if subject.standing != "connected" or subject.connected_on is None:
        raise Conflict("certificate_not_connected", field="enterprise", enterprise=subject.enterprise)
    return subject.connected_on


@dataclass(frozen=True, slots=True)
class Draft:
    """A signed file that is not in the books yet."""

    subject: Subject
    certificate: Certificate
    file: bytes


async def draft(connect: Connect, office: Office, order: Order, enterprise_id: int) -> Draft:
    """Draw and sign, outside of any transaction. Raises Conflict, Forbidden, NotFound, Unavailable, SetupError."""
    check_may_issue(order.principal, enterprise_id)
    async with connect() as conn:
        subject = await read_subject(conn, order.principal, enterprise_id)
        connected_on = check_connected(subject)
        if await store.count_since(conn, enterprise_id, order.at - timedelta(days=1)) >= MOST_A_DAY:
            raise SlowDown("certificate_slow_down", field="enterprise", limit=MOST_A_DAY, seconds=3_600)
        identity = await get_identity(conn, office.ring, office.signing, office.node_name, order.at)
    blank = Certificate(
        make_number(order.at), enterprise_id, subject.enterprise, subject.certificate_code, subject.prefixes,
        connected_on, office.node_name, order.at, order.act.actor, identity.fingerprint, b"",
    )  # fmt: skip
    file = await asyncio.to_thread(_make_file, blank, office, identity)
    digest = hashlib.sha256(file).digest()
    return Draft(subject, Certificate(**_fields(blank) | {"sha256": digest}), file)


def _fields(one: Certificate) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Certificate.__dataclass_fields__}


def _make_file(one: Certificate, office: Office, identity: Identity) -> bytes:
    from node.certificate_sheet import draw_sheet  # slow to import, and seldom needed
    from node.pdf_signature import sign_pdf

    content = draw_sheet(one, office.format_address(one.number))
    return sign_pdf(content, identity, f"{SHEET['title'][0]} {one.number}", one.node_name)


async def keep(conn: Connection, order: Order, made: Draft) -> Certificate:
    """Into the books, if the firm still is what the file says; raises Conflict."""
    now = await read_subject(conn, order.principal, made.subject.enterprise_id)
    check_connected(now)
    if now != made.subject:
        raise Conflict("certificate_not_connected", field="enterprise", enterprise=now.enterprise)
    await store.insert_certificate(conn, made.certificate, made.file)
    return made.certificate


def make_number(at: datetime) -> str:
    """Such as JR2026-7K3M-9QXR-0BCD-E1FG; nobody guesses one."""
    groups = ("".join(secrets.choice(_SIGNS) for _ in range(4)) for _ in range(4))
    return f"JR{get_day(at).year}-{'-'.join(groups)}"


def parse_number(text: str) -> str:
    """However it was typed; raises NotFound, as for one that was never given."""
    plain = text.strip().upper()
    found = _NUMBER.fullmatch("JR" + plain.removeprefix("JR").translate(_ALIKE))
    if found is None:
        raise NotFound("certificate_not_found", field="number", number=shorten(text.strip() or "–", 40))
    return f"JR{found[1]}-{'-'.join(found.groups()[1:])}"


async def get_certificate(conn: Connection, text: str, *, for_update: bool = False) -> Certificate:
    """Raises NotFound."""
    number = parse_number(text)
    one = await store.fetch_certificate(conn, number, for_update=for_update)
    if one is None:
        raise NotFound("certificate_not_found", field="number", number=number)
    return one


async def get_own_certificate(conn: Connection, principal: Principal, text: str) -> Certificate:
    """One that somebody may see in the lists; raises NotFound, Forbidden."""
    one = await get_certificate(conn, text)
    if find_listed(principal, None) not in (None, one.enterprise_id):
        raise NotFound("certificate_not_found", field="number", number=one.number)
    return one


async def get_file(conn: Connection, one: Certificate) -> bytes:
    content = await store.fetch_file(conn, one.number)
    if content is None:
        raise NotFound("certificate_not_found", field="number", number=one.number)
    return content


async def revoke(conn: Connection, order: Order, text: str) -> Certificate:
    """By the operator and reviewers, with a reason; raises Forbidden, NotFound, Conflict, InvalidInput."""
    check_node_people(order.principal)
    reason = " ".join(order.reason.split())[:1_000]
    if not reason:
        raise InvalidInput("certificate_reason_missing", field="reason")
    one = await get_certificate(conn, text, for_update=True)
    if one.revoked_at is not None:
        raise Conflict("certificate_revoked_already", field="number", number=one.number, at=get_day(one.revoked_at))
    await store.revoke_certificate(conn, one.number, (order.act.actor, order.at, reason))
    return await get_certificate(conn, one.number)


# Who verifies may be anybody: a certificate's number is what shows that he was given it.
_ANYBODY = Principal("operator", "verify")


async def judge(conn: Connection, one: Certificate) -> Standing:
    """Whether what it says still holds."""
    if one.revoked_at is not None:
        return Standing("revoked", one.revoked_at)
    now = await read_subject(conn, _ANYBODY, one.enterprise_id)
    if now.standing == "connected":
        return Standing("valid" if set(one.prefixes) <= set(now.prefixes) else "prefix_changed")
    state: Literal["suspended", "departed"] = "departed" if now.standing == "departed" else "suspended"
    return Standing(state, await store.fetch_since(conn, one.enterprise_id, _EVENTS[state]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a file is: the one that was issued, byte for byte, with its signature; `signature` None: not even that."""

    certificate: Certificate | None
    signature: bool | None = None

    @property
    def is_intact(self) -> bool:
        return self.certificate is not None and self.signature is True


async def compare(connect: Connect, content: bytes, number: str = "") -> Comparison:
    """A file that differs by one byte was not issued. Only the bytes we issued ourselves are ever parsed."""
    async with connect() as conn:
        one = await store.fetch_by_digest(conn, hashlib.sha256(content).digest())
        if one is None or (number and one.number != number):
            return Comparison(None)
        signing = await store.fetch_signing(conn, one.fingerprint)
    if signing is None:
        return Comparison(one, False)
    return Comparison(one, await asyncio.to_thread(_check, content, signing))


def _check(content: bytes, signing: bytes) -> bool:
    from node.pdf_signature import is_intact

    return is_intact(content, signing)


def format_certificate(one: Certificate) -> dict[str, Any]:
    """The JSON of one in a list."""
    return {
        "number": one.number,
        "enterprise_id": one.enterprise_id,
        "enterprise": one.enterprise,
        "certificate_code": one.certificate_code,
        "prefixes": list(one.prefixes),
        "connected_on": one.connected_on.isoformat(),
        "issued_at": one.issued_at.isoformat(),
        "issued_by": one.issued_by,
        "sha256": one.sha256.hex(),
        "signing_certificate_sha256": one.fingerprint,
        "revoked_at": one.revoked_at and one.revoked_at.isoformat(),
        "revoked_by": one.revoked_by,
        "reason": one.reason,
    }


def format_verified(one: Certificate, standing: Standing) -> dict[str, Any]:
    """What anybody who has the number is told."""
    shown = format_certificate(one)
    for name in ("enterprise_id", "issued_by", "revoked_by"):
        del shown[name]
    since = standing.since and standing.since.isoformat()
    return shown | {"node": one.node_name, "state": standing.state, "since": since}
