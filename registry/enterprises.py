"""Decisions on enterprises: applications, review, changes, suspension, moves (domain.md §b.2 W2, §c.12).

Every function opens its own transaction, locks the enterprise first, and names what it touched in the change log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import orjson
from asyncpg import Connection

from registry.areas import Area, get_area
from registry.attachments import bind_dossier
from registry.audit import note
from registry.keys import KeyTerms, add_key, revoke_keys_of
from registry.prefixes import (
    NodeRules,
    allot_prefix,
    check_day,
    check_not_own,
    check_reason,
    enable_prefix,
    get_enterprise_row,
    release_prefix,
)
from registry.principals import Order
from registry.store.changes import append_change
from registry.store.enterprises import (
    EnterpriseRow,
    NewEnterprise,
    find_meant,
    insert_decision,
    insert_enterprises,
    replace_tags,
    update_dossier,
    update_sealed,
    update_state,
    update_verification,
)
from registry.store.placements import (
    Placement,
    fetch_present_placements,
    insert_placements,
    replace_placement,
)
from registry.store.prefixes import fetch_prefixes, update_prefix_state
from schemas.changes import ChangeKind
from schemas.enterprises import (
    PERSONAL_FIELDS,
    TAG_KIND,
    Dossier,
    EnterpriseState,
    Verification,
    decide_enterprise_state,
    format_personal,
    format_public,
    list_missing,
    parse_dossier,
)
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.identifiers import shorten
from schemas.industries import check_industry, check_industry_path
from schemas.prefixes import PrefixState
from schemas.sealing import seal, unseal


@dataclass(frozen=True, slots=True)
class Registration:
    """What the command line knows of a firm it adds; `industry` as C/34/344/3441, `area` a unit or division."""

    name: str
    certificate_code: str
    area: str
    industry: str
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class AddedEnterprise:
    """The secret is shown once: only its hash is kept."""

    enterprise_id: int
    prefix: str
    access_key: str
    secret_key: str


async def find_enterprise(conn: Connection, text: str) -> int | None:
    """The number of an enterprise given by its number, certificate code, prefix or whole name.

    Raises Conflict where it may mean several, such as the number of one and the name of another: nobody guesses.
    """
    text = text.strip()
    if not text.isprintable():
        return None
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    found = await find_meant(conn, text, int(text) if is_number else None)
    if len(found) > 1:
        meant = "; ".join(f"{row['number']} {shorten(row['name'], 40)} ({row['certificate_code']})" for row in found)
        raise Conflict("enterprise_ambiguous", field="enterprise", enterprise=shorten(text), meant=meant)
    return found[0]["number"] if found else None


async def get_enterprise_id(conn: Connection, text: str) -> int:
    """As `find_enterprise`, for one that exists; raises NotFound or Conflict."""
    found = await find_enterprise(conn, text)
    if found is None:
        raise NotFound("enterprise_not_found", field="enterprise", enterprise=shorten(text))
    return (await get_enterprise_row(conn, found)).enterprise_id


async def apply(conn: Connection, rules: NodeRules, order: Order, dossier: Dossier) -> int:
    """File the application of an enterprise with the prefix it wants; the number of the enterprise."""
    order.principal.check_operator()
    async with conn.transaction():
        enterprise_id = await _insert(conn, rules, order, dossier)
        await bind_dossier(conn, order, enterprise_id, dossier)
        await insert_decision(conn, enterprise_id, "applied", order.act)
        prefix = await allot_prefix(conn, rules, order, enterprise_id, dossier.prefix or None)
        await insert_decision(conn, enterprise_id, "applied", order.act, prefix)
        await append_change(conn, ChangeKind.ENTERPRISE, 0, order.act)
    return enterprise_id


async def add_enterprise(
    conn: Connection, rules: NodeRules, order: Order, registration: Registration, *, approve: bool
) -> AddedEnterprise:
    """Enter a firm for the operator: enterprise, placement, prefix, access key, and with `approve` its approval.

    An operator's own entry is no application of his own: it is approved by who enters it, on the record.
    """
    order.principal.check_operator()
    async with conn.transaction():
        area = await get_area(conn, registration.area)
        dossier = parse_dossier(
            {
                "name": registration.name,
                "certificate_code": registration.certificate_code,
                "industry": registration.industry,
            }
        )
        enterprise_id = await _insert(conn, rules, order, dossier, area)
        await insert_decision(conn, enterprise_id, "applied", order.act)
        prefix = await allot_prefix(conn, rules, order, enterprise_id, registration.prefix)
        await insert_decision(conn, enterprise_id, "applied", order.act, prefix)
        if approve:
            await _approve_first(conn, rules, order, await get_enterprise_row(conn, enterprise_id, for_update=True))
        access_key, secret_key = await add_key(
            conn, order, enterprise_id, "enterprise add", KeyTerms(key_ring=rules.key_ring)
        )
        await append_change(conn, ChangeKind.ENTERPRISE, 0, order.act)
    return AddedEnterprise(enterprise_id, prefix, access_key, secret_key)


async def begin_review(conn: Connection, order: Order, enterprise_id: int) -> None:
    """A reviewer takes an application; its prefix is under review with it."""
    order.principal.check_reviewer()
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id, for_update=True)
        await _decide(conn, order, row, "reviewing")
        for prefix in await fetch_prefixes(conn, enterprise_id):
            if prefix.state is PrefixState.PENDING:
                await update_prefix_state(conn, prefix.prefix_id, PrefixState.REVIEWING, order.day, order.at)
                await append_change(conn, ChangeKind.PREFIX, prefix.prefix_id, order.act)


async def approve(conn: Connection, rules: NodeRules, order: Order, enterprise_id: int) -> None:
    """Approve an application with its prefix, or a change of the dossier. Nobody approves what he applied for."""
    order.principal.check_reviewer()
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id, for_update=True)
        await check_not_own(conn, order, enterprise_id, None)
        if row.state == EnterpriseState.CHANGE_PENDING:
            await _approve_change(conn, rules, order, row)
        else:
            await _approve_first(conn, rules, order, row)


async def refuse(conn: Connection, order: Order, enterprise_id: int) -> None:
    """Refuse an application or a change, with a reason; a refused change leaves the approved dossier in force."""
    order.principal.check_reviewer()
    check_reason(order)
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id, for_update=True)
        await check_not_own(conn, order, enterprise_id, None)
        is_change = row.state == EnterpriseState.CHANGE_PENDING
        await _decide(conn, order, row, "refused")
        await update_sealed(conn, enterprise_id)
        for prefix in [] if is_change else await fetch_prefixes(conn, enterprise_id):
            if prefix.state in (PrefixState.PENDING, PrefixState.REVIEWING):
                await update_prefix_state(conn, prefix.prefix_id, PrefixState.REFUSED, order.day, order.at)
                await append_change(conn, ChangeKind.PREFIX, prefix.prefix_id, order.act)


async def resubmit(conn: Connection, rules: NodeRules, order: Order, enterprise_id: int, dossier: Dossier) -> None:
    """File a refused application again with a better dossier; a prefix no longer wanted becomes free."""
    order.principal.check_enterprise(enterprise_id)
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id, for_update=True)
        await _decide(conn, order, row, "resubmitted")
        await bind_dossier(conn, order, enterprise_id, dossier)
        await _store_dossier(conn, rules, order, row, dossier)
        kept = ""
        for prefix in await fetch_prefixes(conn, enterprise_id):
            if prefix.state is not PrefixState.REFUSED:
                continue
            if dossier.prefix in ("", prefix.prefix) and not kept:
                kept = prefix.prefix
                await update_prefix_state(conn, prefix.prefix_id, PrefixState.PENDING, order.day, order.at)
                await append_change(conn, ChangeKind.PREFIX, prefix.prefix_id, order.act)
            else:
                await release_prefix(conn, order, prefix)
        kept = kept or await allot_prefix(conn, rules, order, enterprise_id, dossier.prefix or None)
        await insert_decision(conn, enterprise_id, "resubmitted", order.act, kept)


async def propose_change(
    conn: Connection, rules: NodeRules, order: Order, enterprise_id: int, dossier: Dossier
) -> None:
    """A changed dossier waits for approval; until then the approved one stays in force. The last proposal counts."""
    order.principal.check_enterprise(enterprise_id)
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id, for_update=True)
        await _decide(conn, order, row, "change_proposed")
        await bind_dossier(conn, order, enterprise_id, dossier)
        document = orjson.dumps(dossier.model_dump(mode="json"))
        await update_sealed(
            conn, enterprise_id, proposed=seal(rules.key_ring, document, _context(enterprise_id, "proposed"))
        )


async def suspend(conn: Connection, order: Order, enterprise_id: int) -> None:
    """No more writing; what is printed on goods keeps resolving."""
    await _decide_with_reason(conn, order, enterprise_id, "suspended")


async def resume(conn: Connection, order: Order, enterprise_id: int) -> None:
    """End a suspension."""
    await _decide_with_reason(conn, order, enterprise_id, "resumed")


async def close(conn: Connection, order: Order, enterprise_id: int) -> None:
    """For good, with its keys; enabled prefixes have to be stopped or given to another enterprise before."""
    order.principal.check_operator()
    check_reason(order)
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id, for_update=True)
        enabled = [p.prefix for p in await fetch_prefixes(conn, enterprise_id) if p.state is PrefixState.ENABLED]
        if enabled:
            raise Conflict("enterprise_has_prefixes", enterprise=row.name, prefixes="、".join(enabled[:5]))
        await _decide(conn, order, row, "closed")
        await revoke_keys_of(conn, order, enterprise_id)


async def set_verification(conn: Connection, order: Order, enterprise_id: int, result: Verification) -> None:
    """Record what the real-name check of an enterprise came to."""
    order.principal.check_reviewer()
    async with conn.transaction():
        await get_enterprise_row(conn, enterprise_id, for_update=True)
        await check_not_own(conn, order, enterprise_id, None)
        await update_verification(conn, enterprise_id, int(result), order.at)
        await insert_decision(conn, enterprise_id, f"verification_{result.name.lower()}", order.act)
        await append_change(conn, ChangeKind.ENTERPRISE, 0, order.act)


async def move(
    conn: Connection, order: Order, enterprise_id: int, day: date, *, area: str = "", industry: str = ""
) -> Placement:
    """To another unit, division or industry from `day` on; what was counted before stays where it was."""
    order.principal.check_operator()
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id, for_update=True)
        present = (await fetch_present_placements(conn, [enterprise_id]))[enterprise_id]
        check_day(order, day, present.from_day)
        place = await get_area(conn, area) if area else Area(present.division_code, present.unit_id, present.unit)
        codes = list(check_industry(industry)) if industry else present.industry
        moved = Placement(place.division_code, place.unit_id, codes, day, unit=place.unit)
        if (moved.division_code, moved.unit_id, codes) == (present.division_code, present.unit_id, present.industry):
            raise Conflict("enterprise_there_already", enterprise=row.name, area=place.unit or place.division_code)
        await replace_placement(conn, enterprise_id, moved)
        await insert_decision(conn, enterprise_id, "moved", order.act)
        await append_change(conn, ChangeKind.ENTERPRISE, 0, order.act)
    return moved


async def set_tags(conn: Connection, order: Order, enterprise_id: int, tags: Mapping[str, str]) -> None:
    """Give an enterprise exactly these tags: kind → name."""
    order.principal.check_operator()
    for kind, name in tags.items():
        if not TAG_KIND.fullmatch(kind) or not 1 <= len(name.strip()) <= 64:
            raise InvalidInput("tag_malformed", field="tags", kind=shorten(kind, 40))
    async with conn.transaction():
        await get_enterprise_row(conn, enterprise_id, for_update=True)
        await replace_tags(conn, [(enterprise_id, k, n.strip()) for k, n in tags.items()], [enterprise_id])
        await insert_decision(conn, enterprise_id, "tags", order.act)
        await append_change(conn, ChangeKind.ENTERPRISE, 0, order.act)


async def reveal_personal(conn: Connection, rules: NodeRules, order: Order, enterprise_id: int) -> dict[str, Any]:
    """Contact and legal person: to the enterprise itself, to the operator with a reason, which is recorded."""
    order.principal.check_enterprise(enterprise_id)
    async with conn.transaction():
        row = await get_enterprise_row(conn, enterprise_id)
        if order.principal.is_operator:
            check_reason(order)
            await insert_decision(conn, enterprise_id, "revealed", order.act)
            await note(conn, order, "personal_revealed", f"enterprise:{enterprise_id}")
        if row.personal is None:
            return {}
        personal: dict[str, Any] = orjson.loads(
            unseal(rules.key_ring, row.personal, _context(enterprise_id, "personal"))
        )
        return personal


def open_change(rules: NodeRules, row: EnterpriseRow) -> tuple[dict[str, Any], dict[str, Any]]:
    """The personal part in force, and the proposed dossier; either may be empty. Not to be shown without masking."""

    def open_part(sealed: bytes | None, part: str) -> dict[str, Any]:
        text = b"{}" if sealed is None else unseal(rules.key_ring, sealed, _context(row.enterprise_id, part))
        return cast(dict[str, Any], orjson.loads(text))

    return open_part(row.personal, "personal"), open_part(row.proposed, "proposed")


def _context(enterprise_id: int, part: str) -> str:
    return f"enterprise/{enterprise_id}/{part}"


def _split(dossier: Dossier, state: int, division_code: str) -> NewEnterprise:
    """The public part; a division that came with the unit is no longer to be asked for."""
    missing = [item.field for item in list_missing(dossier) if not (item.field == "city" and division_code)]
    return NewEnterprise(
        dossier.certificate_type,
        dossier.certificate_code,
        dossier.name,
        state,
        None,
        format_public(dossier),
        missing,
    )


async def _insert(conn: Connection, rules: NodeRules, order: Order, dossier: Dossier, area: Area | None = None) -> int:
    """Enterprise, placement, tags and the sealed part; raises Conflict if the certificate is known."""
    place = area or await _find_place(conn, dossier)
    known = (dossier.certificate_type, dossier.certificate_code)
    new = _split(dossier, EnterpriseState.PENDING, place.division_code)
    numbers = await insert_enterprises(conn, [new], order.at)
    if known not in numbers:
        raise Conflict("enterprise_taken", field="certificate_code", certificate_code=dossier.certificate_code)
    enterprise_id = numbers[known]
    placement = Placement(place.division_code, place.unit_id, _codes(dossier), order.day)
    await insert_placements(conn, [(enterprise_id, placement)])
    await _seal_personal(conn, rules, enterprise_id, dossier)
    await replace_tags(conn, [(enterprise_id, kind, name) for kind, name in dossier.tags.items()], [enterprise_id])
    return enterprise_id


def _codes(dossier: Dossier) -> list[str]:
    return check_industry_path(dossier.industry) if dossier.industry else []


async def _find_place(conn: Connection, dossier: Dossier) -> Area:
    if dossier.unit:
        area = await get_area(conn, dossier.unit)
        if area.unit_id is None or (dossier.division_code and area.division_code != dossier.division_code):
            raise InvalidInput("unit_elsewhere", field="unit", unit=dossier.unit, division=dossier.division_code)
        return area
    return Area(dossier.division_code)


async def _seal_personal(conn: Connection, rules: NodeRules, enterprise_id: int, dossier: Dossier) -> None:
    personal = format_personal(dossier)
    sealed = seal(rules.key_ring, orjson.dumps(personal), _context(enterprise_id, "personal")) if personal else None
    await update_sealed(conn, enterprise_id, personal=sealed)


async def _store_dossier(
    conn: Connection, rules: NodeRules, order: Order, row: EnterpriseRow, dossier: Dossier
) -> None:
    """Replace the dossier of an enterprise that is locked; a person not given again is kept."""
    old: dict[str, Any] = {}
    if row.personal is not None:
        old = orjson.loads(unseal(rules.key_ring, row.personal, _context(row.enterprise_id, "personal")))
    kept = {f: old[f] for f in PERSONAL_FIELDS if f in old and getattr(dossier, f) is None}
    merged = parse_dossier(dossier.model_dump(mode="json") | kept, strict=False)  # both were checked when they came
    place = await _replace_placement(conn, order, row, merged)
    if not await update_dossier(conn, row.enterprise_id, _split(merged, row.state, place.division_code), order.at):
        raise Conflict("enterprise_taken", field="certificate_code", certificate_code=dossier.certificate_code)
    await _seal_personal(conn, rules, row.enterprise_id, merged)
    if merged.tags:
        tags = [(row.enterprise_id, kind, name) for kind, name in merged.tags.items()]
        await replace_tags(conn, tags, [row.enterprise_id])


async def _replace_placement(conn: Connection, order: Order, row: EnterpriseRow, dossier: Dossier) -> Area:
    """What the dossier leaves open stays as it is."""
    present = (await fetch_present_placements(conn, [row.enterprise_id]))[row.enterprise_id]
    place = Area(present.division_code, present.unit_id, present.unit)
    if dossier.division_code or dossier.unit:
        place = await _find_place(conn, dossier)
    codes = _codes(dossier) or present.industry
    if (place.division_code, place.unit_id, codes) != (present.division_code, present.unit_id, present.industry):
        new = Placement(place.division_code, place.unit_id, codes, max(order.day, present.from_day))
        await replace_placement(conn, row.enterprise_id, new)
    return place


async def _decide(conn: Connection, order: Order, row: EnterpriseRow, decision: str) -> None:
    state = decide_enterprise_state(row.name, EnterpriseState(row.state), decision)
    await update_state(conn, row.enterprise_id, int(state), order.at)
    await insert_decision(conn, row.enterprise_id, decision, order.act)
    await append_change(conn, ChangeKind.ENTERPRISE, 0, order.act)


async def _decide_with_reason(conn: Connection, order: Order, enterprise_id: int, decision: str) -> None:
    order.principal.check_operator()
    check_reason(order)
    async with conn.transaction():
        await _decide(conn, order, await get_enterprise_row(conn, enterprise_id, for_update=True), decision)


async def _approve_first(conn: Connection, rules: NodeRules, order: Order, row: EnterpriseRow) -> None:
    await _decide(conn, order, row, "approved")
    for prefix in await fetch_prefixes(conn, row.enterprise_id):
        if prefix.state in (PrefixState.PENDING, PrefixState.REVIEWING):
            await enable_prefix(conn, rules, order, prefix)


async def _approve_change(conn: Connection, rules: NodeRules, order: Order, row: EnterpriseRow) -> None:
    if row.proposed is None:
        raise Conflict("enterprise_no_change", enterprise=row.name)
    document = orjson.loads(unseal(rules.key_ring, row.proposed, _context(row.enterprise_id, "proposed")))
    await _store_dossier(conn, rules, order, row, parse_dossier(document, strict=False))
    await _decide(conn, order, row, "approved")
