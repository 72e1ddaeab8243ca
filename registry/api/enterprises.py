"""Enterprises: applications, review, and everything the operator decides about one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any

from asyncpg import Connection
from fastapi import Body, File, Query, Response, UploadFile

from registry import enterprises as decisions
from registry.api.calls import Answer, Call, Changing, Reading, Writing, check_limit, make_file_digest
from registry.api.etags import check_etag, make_etag
from registry.api.targets import check_texts
from registry.enterprise_file import format_outcome, load_enterprises, read_enterprise_file
from registry.enterprise_views import (
    MAX_PAGE,
    EnterpriseDetail,
    format_detail,
    format_listed,
    get_enterprise,
    list_enterprises,
)
from registry.late_routes import LateRouter
from registry.principals import Order
from registry.store.enterprises import fetch_enterprise
from registry.store.listing import EnterpriseFilter
from schemas.bodies import Reason
from schemas.enterprise_bodies import (
    DOSSIER_EXAMPLE,
    AddedEnterpriseBody,
    EnterpriseBody,
    EnterprisePage,
    Explained,
    FileBody,
    Move,
    NewEnterprise,
    PersonalBody,
    Tags,
    Verified,
)
from schemas.enterprises import EnterpriseState, Verification, parse_dossier
from schemas.errors import InvalidInput, NotFound

router = LateRouter(prefix="/api/v1/enterprises", tags=["enterprises"])

Document = Annotated[dict[str, Any], Body(examples=[DOSSIER_EXAMPLE])]
LARGEST_ID = 2**31 - 1
ARRIVING = "arriving-"  # names of files that are being received begin with it


def _check_id(call: Call, enterprise_id: int) -> int:
    """Raises NotFound for what is not the caller's own, and for numbers no enterprise can have."""
    call.get_principal().check_enterprise(enterprise_id)
    return _check_number(enterprise_id)


def _check_number(enterprise_id: int) -> int:
    if not 0 < enterprise_id <= LARGEST_ID:
        raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)
    return enterprise_id


async def _show(conn: Connection, call: Call, enterprise_id: int, status: int = 200) -> Answer:
    detail = await get_enterprise(conn, call.get_principal(), enterprise_id)
    return Answer(format_detail(detail, call.language), status, {"ETag": make_etag(_make_tagged(detail))})


def _make_tagged(detail: EnterpriseDetail) -> dict[str, Any]:
    """What its ETag stands for: looks at personal data, which are decisions too, change nothing."""
    return format_detail(replace(detail, decisions=[]), "zh")


@router.post("/applications", status_code=201, response_model=EnterpriseBody, summary="Apply for an enterprise")
async def apply(call: Writing, document: Document) -> Response:
    """Files a dossier with the prefix wanted. Somebody else decides on it."""
    call.get_operator()
    dossier = parse_dossier(document)

    async def effect(conn: Connection) -> Answer:
        enterprise_id = await decisions.apply(conn, call.state.config.rules, call.order(), dossier)
        return await _show(conn, call, enterprise_id, 201)

    return await call.write(effect)


@router.post("", status_code=201, response_model=AddedEnterpriseBody, summary="Enter an enterprise with its key")
async def add(call: Writing, body: NewEnterprise) -> Response:
    """Enterprise, prefix and access key in one step, with `approve` approved on the record."""
    call.get_operator()
    check_texts(name=body.name, area=body.area, prefix=body.prefix or "")
    wanted = decisions.Registration(body.name, body.certificate_code, body.area, body.industry, body.prefix)

    async def effect(conn: Connection) -> Answer:
        added = await decisions.add_enterprise(
            conn, call.state.config.rules, call.order(), wanted, approve=body.approve
        )
        kept = None if call.dry_run else added  # a key that was rolled back opens nothing
        content = {
            "enterprise_id": added.enterprise_id,
            "prefix": added.prefix,
            "access_key": kept and kept.access_key,
            "secret_key": kept and kept.secret_key,
        }
        return Answer(content, 201)

    return await call.write(effect)


@router.post("/file", response_model=FileBody, summary="Connect the enterprises of a file")
async def load_file(call: Writing, file: Annotated[UploadFile, File(description="CSV or XLSX")]) -> Response:
    """Checked wholly before anything is written, answered row by row; all or none."""
    call.get_operator()
    async with keep_upload(call, file) as path:
        rows = await asyncio.to_thread(read_enterprise_file, path, file.filename or "")
        digest = await make_file_digest(path)

    async def effect(conn: Connection) -> Answer:
        loaded = await load_enterprises(conn, call.state.config.rules, call.order(), rows, dry_run=call.dry_run)
        return Answer(
            {
                "rows": len(loaded.outcomes),
                **{name: loaded.count(name) for name in ("connected", "unchanged", "refused")},
                "written": loaded.written,
                "results": [format_outcome(outcome, call.language) for outcome in loaded.outcomes],
            }
        )

    return await call.write(effect, digest)


@asynccontextmanager
async def keep_upload(call: Call, file: UploadFile) -> AsyncIterator[Path]:
    """The file under a name of ours, deleted afterwards."""
    call.state.config.jobs_dir.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=call.state.config.jobs_dir, prefix=ARRIVING) as kept:
        while block := await file.read(1 << 20):
            await asyncio.to_thread(kept.write, block)
        await asyncio.to_thread(kept.flush)
        yield Path(kept.name)


@router.get("", response_model=EnterprisePage, summary="List enterprises")
async def list_all(
    call: Reading,
    text: Annotated[str | None, Query(description="Part of the name, a certificate code or a prefix.")] = None,
    state: Annotated[str | None, Query(examples=["approved"])] = None,
    division: Annotated[str | None, Query(description="Code; takes all below it.", examples=["321300"])] = None,
    tag: Annotated[str | None, Query(description="A name of the dictionary.")] = None,
    incomplete: Annotated[bool | None, Query(description="Those whose dossier lacks something.")] = None,
    after: Annotated[int, Query(description="`next` of the page before.")] = 0,
    limit: Annotated[int, Query(description="1 to 1,000.")] = 100,
) -> Response:
    """An enterprise sees itself, a regulator those of his area, operator and reviewers all."""
    principal = call.get_principal()
    check_limit(limit, MAX_PAGE)
    check_texts(text=text or "", division=division or "", tag=tag or "")
    wanted = EnterpriseFilter(text, _read_state(state), division, tag=tag, incomplete=incomplete)
    async with call.connect() as conn:
        page = await list_enterprises(conn, principal, wanted, check_cursor(after), limit)
    return call.reply({"enterprises": [format_listed(item) for item in page.items], "next": page.next_after})


def check_cursor(after: int) -> int:
    """Raises InvalidInput for a number no row has."""
    if not 0 <= after <= LARGEST_ID:
        raise InvalidInput("cursor_unknown", field="after")
    return after


def _read_state(name: str | None) -> int | None:
    if name is None:
        return None
    if name.upper() not in EnterpriseState.__members__:
        choices = ", ".join(member.name.lower() for member in EnterpriseState)
        raise InvalidInput("field_not_a_choice", field="state", choices=choices)
    return int(EnterpriseState[name.upper()])


@router.get("/{enterprise_id}", response_model=EnterpriseBody, summary="One enterprise with its to-do list")
async def get_one(call: Reading, enterprise_id: int) -> Response:
    call.get_principal()
    _check_number(enterprise_id)
    async with call.connect() as conn:
        shown = await _show(conn, call, enterprise_id)
    return call.reply(shown.content, shown.headers)


async def _decide(
    call: Changing, enterprise_id: int, reason: str, decide: Callable[[Connection, Order], Awaitable[object]]
) -> Response:
    """Take a decision on an enterprise and show what it is now. Who may take it, the decision itself checks."""
    call.get_principal().check_sees_enterprise(enterprise_id)
    _check_number(enterprise_id)
    check_texts(reason=reason)

    async def effect(conn: Connection) -> Answer:
        if call.if_match is not None:
            await fetch_enterprise(conn, enterprise_id, for_update=True)
            check_etag(call.if_match, _make_tagged(await get_enterprise(conn, call.get_principal(), enterprise_id)))
        await decide(conn, call.order(reason))
        return await _show(conn, call, enterprise_id)

    return await call.write(effect)


@router.post("/{enterprise_id}/review", response_model=EnterpriseBody, summary="Take an application for review")
async def begin_review(call: Changing, enterprise_id: int, body: Reason) -> Response:
    call.get_reviewer()
    return await _decide(call, enterprise_id, body.reason, lambda c, o: decisions.begin_review(c, o, enterprise_id))


@router.post("/{enterprise_id}/approve", response_model=EnterpriseBody, summary="Approve an application or a change")
async def approve(call: Changing, enterprise_id: int, body: Reason) -> Response:
    """With its prefix. Nobody approves what he applied for himself."""
    call.get_reviewer()
    rules = call.state.config.rules
    return await _decide(call, enterprise_id, body.reason, lambda c, o: decisions.approve(c, rules, o, enterprise_id))


@router.post("/{enterprise_id}/refuse", response_model=EnterpriseBody, summary="Refuse an application or a change")
async def refuse(call: Changing, enterprise_id: int, body: Explained) -> Response:
    """A refused change leaves the approved dossier in force."""
    call.get_reviewer()
    return await _decide(call, enterprise_id, body.reason, lambda c, o: decisions.refuse(c, o, enterprise_id))


@router.post("/{enterprise_id}/resubmit", response_model=EnterpriseBody, summary="File a refused application again")
async def resubmit(call: Changing, enterprise_id: int, document: Document) -> Response:
    """With a better dossier; a prefix no longer wanted becomes free."""
    _check_id(call, enterprise_id)
    rules, dossier = call.state.config.rules, parse_dossier(document)
    return await _decide(call, enterprise_id, "", lambda c, o: decisions.resubmit(c, rules, o, enterprise_id, dossier))


@router.post("/{enterprise_id}/changes", response_model=EnterpriseBody, summary="Propose a changed dossier")
async def propose_change(call: Changing, enterprise_id: int, document: Document) -> Response:
    """It waits for approval; until then the approved one stays in force."""
    _check_id(call, enterprise_id)
    rules, dossier = call.state.config.rules, parse_dossier(document)
    return await _decide(
        call, enterprise_id, "", lambda c, o: decisions.propose_change(c, rules, o, enterprise_id, dossier)
    )


@router.post("/{enterprise_id}/suspend", response_model=EnterpriseBody, summary="Suspend an enterprise")
async def suspend(call: Changing, enterprise_id: int, body: Explained) -> Response:
    """No more writing; what is printed on goods keeps resolving."""
    call.get_operator()
    return await _decide(call, enterprise_id, body.reason, lambda c, o: decisions.suspend(c, o, enterprise_id))


@router.post("/{enterprise_id}/resume", response_model=EnterpriseBody, summary="End a suspension")
async def resume(call: Changing, enterprise_id: int, body: Explained) -> Response:
    call.get_operator()
    return await _decide(call, enterprise_id, body.reason, lambda c, o: decisions.resume(c, o, enterprise_id))


@router.post("/{enterprise_id}/close", response_model=EnterpriseBody, summary="Close an enterprise for good")
async def close(call: Changing, enterprise_id: int, body: Explained) -> Response:
    """With its keys; its enabled prefixes have to be stopped or transferred before."""
    call.get_operator()
    return await _decide(call, enterprise_id, body.reason, lambda c, o: decisions.close(c, o, enterprise_id))


@router.post("/{enterprise_id}/verification", response_model=EnterpriseBody, summary="Record a real-name check")
async def verify(call: Changing, enterprise_id: int, body: Verified) -> Response:
    call.get_reviewer()
    result = Verification[body.result.upper()]
    return await _decide(
        call, enterprise_id, body.reason, lambda c, o: decisions.set_verification(c, o, enterprise_id, result)
    )


@router.post("/{enterprise_id}/move", response_model=EnterpriseBody, summary="Move to another unit or industry")
async def move(call: Changing, enterprise_id: int, body: Move) -> Response:
    """What was counted before the day stays where it was."""
    call.get_operator()
    check_texts(area=body.area, industry=body.industry)

    async def decide(conn: Connection, order: Order) -> object:
        day = body.day or order.day
        return await decisions.move(conn, order, enterprise_id, day, area=body.area, industry=body.industry)

    return await _decide(call, enterprise_id, body.reason, decide)


@router.put("/{enterprise_id}/tags", response_model=EnterpriseBody, summary="Give an enterprise exactly these tags")
async def set_tags(call: Changing, enterprise_id: int, body: Tags) -> Response:
    """Names that are new join the node's dictionary."""
    call.get_operator()
    check_texts(tags="".join(body.tags.values()))
    return await _decide(
        call, enterprise_id, body.reason, lambda c, o: decisions.set_tags(c, o, enterprise_id, body.tags)
    )


@router.post("/{enterprise_id}/personal", response_model=PersonalBody, summary="Show contact and legal person")
async def reveal_personal(call: Writing, enterprise_id: int, body: Reason) -> Response:
    """To the enterprise itself; to the operator with a reason, which is recorded."""
    _check_id(call, enterprise_id)
    check_texts(reason=body.reason)

    async def effect(conn: Connection) -> Answer:
        rules = call.state.config.rules
        return Answer(await decisions.reveal_personal(conn, rules, call.order(body.reason), enterprise_id))

    return await call.write(effect)
