"""Ten thousand questions about identifiers in one call; every one is counted like a single read (design 10)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from asyncpg import Connection
from fastapi import Response

from registry.api.calls import Call, Reading
from registry.api.reading import Count
from registry.api.targets import check_answering, get_viewer
from registry.api.views import Templates
from registry.issuing import find_members
from registry.late_routes import LateRouter
from registry.record_views import format_record
from registry.records import Located, is_storable, to_record
from registry.store.records import PrefixRule, StoredRecord, fetch_prefix_rules, fetch_records
from schemas.errors import NotFound
from schemas.identifiers import Identifier, format_suffix_key, parse_any_identifier, shorten
from schemas.native_bodies import Questions, ResolveBody
from schemas.records import RecordState
from schemas.resolution_log import Outcome
from schemas.templates import Template
from schemas.texts import format_message, format_remedy
from schemas.viewing import Verdict, answer_record

PER_TURN = 500  # other requests have their turn in between

router = LateRouter(prefix="/api/v1", tags=["identifiers"])

_OUTCOMES = {
    Verdict.FOUND: Outcome.FOUND,
    Verdict.NO_VALUES: Outcome.NO_VALUES,
    Verdict.RETIRED: Outcome.RETIRED,
    Verdict.DENIED: Outcome.DENIED,
}
_CODES = {Outcome.DENIED: "values_not_public", Outcome.RETIRED: "identifier_retired"}


@router.post("/identifiers/resolve", response_model=ResolveBody, summary="Resolve up to 10,000 identifiers")
async def resolve_many(call: Reading, body: Questions) -> Response:
    """Of any prefixes, as far as the caller may see each; every one is answered, and counted, by itself."""
    call.get_principal()
    asked = [parse_any_identifier(text) for text in body.identifiers]
    results: list[dict[str, Any]] = []
    async with call.connect() as conn:
        templates = Templates(conn)
        rules = await fetch_prefix_rules(conn, sorted({one.prefix for one in asked if is_storable(one.prefix)}))
        for start in range(0, len(asked), PER_TURN):
            part = asked[start : start + PER_TURN]
            stored = await _fetch(conn, rules, part)
            for n, (named, found) in enumerate(zip(part, stored, strict=True), start=start):
                count = Count(call, named, is_probe=False)
                count.place(rules.get(named.prefix))
                results.append({"index": n, **await _answer(call, templates, count, found, body)})
            await asyncio.sleep(0)
    found = sum(result["outcome"] == "found" for result in results)
    return call.reply({"asked": len(asked), "found": found, "results": results})


async def _fetch(conn: Connection, rules: Mapping[str, PrefixRule], part: Sequence[Identifier]) -> list[Located | None]:
    """Where each of them stands, one question for all of a prefix; a member of a range as its range says."""
    keys: dict[str, set[str]] = {}
    for named in part:
        if (rule := rules.get(named.prefix)) is not None and is_storable(named.suffix):
            keys.setdefault(named.prefix, set()).add(format_suffix_key(named.suffix, rule.folds_case))
    stored: dict[tuple[str, str], StoredRecord] = {}
    for prefix, wanted in keys.items():
        found = await fetch_records(conn, rules[prefix].prefix_id, sorted(wanted))
        found = await find_members(conn, rules[prefix], sorted(wanted - found.keys())) | found
        stored |= {(prefix, key): record for key, record in found.items()}
    return [_locate(rules.get(named.prefix), named, stored) for named in part]


def _locate(
    rule: PrefixRule | None, named: Identifier, stored: Mapping[tuple[str, str], StoredRecord]
) -> Located | None:
    if rule is None or not is_storable(named.suffix):
        return None
    found = stored.get((named.prefix, format_suffix_key(named.suffix, rule.folds_case)))
    return None if found is None else Located(rule, found)


async def _answer(
    call: Call, templates: Templates, count: Count, located: Located | None, body: Questions
) -> dict[str, Any]:
    """One answer, counted before it is sent."""
    named = count.named
    if located is None:
        count.append(Outcome.NOT_FOUND)
        return _refuse(call, named, "not_found", "identifier_not_found")
    count.locate(located)
    viewer = get_viewer(call, located.rule.prefix)
    try:
        check_answering(named, located.rule, viewer)
    except NotFound as error:
        count.append(Outcome.NOT_FOUND)
        return _refuse(call, named, "not_found", error.code)
    record = to_record(located.rule.prefix_id, located.stored)
    template: Template | None = await templates.find(record.template_id)
    answer = answer_record(record, template, viewer, list(body.index), list(body.type))
    outcome = _OUTCOMES[answer.verdict]
    count.append(outcome)
    if code := _CODES.get(outcome):
        successor = record.note if record.state is RecordState.RETIRED else None
        return _refuse(call, named, outcome.name.lower(), code, successor)
    view = format_record(located, template, viewer, call.state.config.public_url)
    shown = {value.index for value in answer.values}
    view["values"] = [value for value in view["values"] if value["index"] in shown]
    return {"identifier": str(named), "outcome": outcome.name.lower(), "record": view}


def _refuse(call: Call, named: Identifier, outcome: str, code: str, successor: str | None = None) -> dict[str, Any]:
    details = {"identifier": shorten(str(named)), "successor": successor or "—"}
    answer = {
        "identifier": str(named),
        "outcome": outcome,
        "code": code,
        "detail": format_message(code, call.language, **details),
        "remedy": format_remedy(code, call.language, **details),
    }
    return answer | ({"successor": successor} if successor else {})
