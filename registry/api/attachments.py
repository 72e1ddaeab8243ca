"""Attachments over HTTP: sent up as multipart, sent back as a download that no browser runs or shows."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Query, Request, Response
from starlette.datastructures import UploadFile
from starlette.types import Message, Receive

from registry.api.calls import Answer, Reading, Writing, check_limit
from registry.api.idempotency import make_digest
from registry.api.targets import check_texts
from registry.attachments import Upload, get_attachment, keep_attachment, list_attachments, read_attachment
from registry.enterprise_views import MAX_PAGE
from registry.late_routes import LateRouter
from registry.store.attachments import Attachment
from schemas.attachments import KINDS, MAX_PDF_BYTES
from schemas.enterprise_bodies import AttachmentBody, AttachmentPage
from schemas.errors import InvalidInput, TooLarge

router = LateRouter(prefix="/api/v1/attachments", tags=["attachments"])

MAX_REQUEST_BYTES = MAX_PDF_BYTES + 64 * 1024  # room for boundaries and the heads of the parts
_FORM = {"required": True, "content": {"multipart/form-data": {
    "schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}},
    "example": {"file": "(file)"},
}}}  # fmt: skip
# What was uploaded is never content of ours: not run, not shown in a page, not guessed to be something else.
DOWNLOAD_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@router.post(
    "", status_code=201, response_model=AttachmentBody, summary="Upload a file of a dossier",
    openapi_extra={"requestBody": _FORM},
)  # fmt: skip
async def post_attachment(call: Writing) -> Response:
    """JPEG, PNG or BMP up to 1 MB, PDF up to 5 MB. Its number goes into one member of one dossier within a day."""
    principal = call.get_principal()
    upload = await read_upload(call.request)

    async def effect(conn: Any) -> Answer:
        order, storage = call.order(), call.state.config.attachments
        stored = await keep_attachment(conn, storage, order, upload, dry_run=call.dry_run)
        return Answer(format_attachment(stored), 201, {"Location": f"/api/v1/attachments/{stored.attachment_id}"})

    return await call.write(effect, make_digest(upload.name.encode(), upload.content, principal.actor.encode()))


@router.get("", response_model=AttachmentPage, summary="List attachments")
async def list_all(
    call: Reading,
    after: Annotated[int, Query(description="`next` of the page before.")] = 0,
    limit: Annotated[int, Query(description="1 to 1,000.")] = 100,
) -> Response:
    """An enterprise sees its own, operator and reviewers all."""
    principal = call.get_principal()
    check_limit(limit, MAX_PAGE)
    if not 0 <= after < 2**63:
        raise InvalidInput("cursor_unknown", field="after")
    async with call.connect() as conn:
        rows = await list_attachments(conn, principal, after, limit + 1)
    following = rows[limit - 1].attachment_id if len(rows) > limit else None
    return call.reply({"attachments": [format_attachment(row) for row in rows[:limit]], "next": following})


@router.get("/{attachment_id}", response_model=AttachmentBody, summary="What is known of an attachment")
async def get_one(call: Reading, attachment_id: int) -> Response:
    async with call.connect() as conn:
        return call.reply(format_attachment(await get_attachment(conn, call.get_principal(), attachment_id)))


@router.get(
    "/{attachment_id}/content", summary="Download an attachment", response_class=Response,
    responses={200: {"description": "The file", "content": {
        kind.media_type: {"schema": {"type": "string", "format": "binary"}, "example": "(file)"}
        for kind in KINDS.values()
    }}},
)  # fmt: skip
async def get_content(
    call: Reading,
    attachment_id: int,
    reason: Annotated[str, Query(description="The operator's, for identity documents; it is recorded.")] = "",
) -> Response:
    """As a file to save, never to be shown or run in the browser."""
    check_texts(reason=reason)
    call.get_principal()
    async with call.connect() as conn, conn.transaction():
        storage = call.state.config.attachments
        row, content = await read_attachment(conn, storage, call.order(reason), attachment_id)
    return make_download(row, content)


def make_download(row: Attachment, content: bytes) -> Response:
    kind = KINDS[row.kind]
    disposition = (
        f"attachment; filename=\"{row.attachment_id}{kind.endings[0]}\"; filename*=UTF-8''{quote(row.name, '')}"
    )
    return Response(content, 200, DOWNLOAD_HEADERS | {"Content-Disposition": disposition}, kind.media_type)


def format_attachment(row: Attachment) -> dict[str, Any]:
    return {
        "attachment_id": row.attachment_id,
        "name": row.name,
        "kind": row.kind,
        "bytes": row.size_bytes,
        "sha256": row.sha256.hex(),
        "enterprise_id": row.enterprise_id,
        "bound_as": row.bound_as,
        "created": row.created,
    }


async def read_upload(request: Request) -> Upload:
    """The part `file` of a form that is not larger than any file may be; raises InvalidInput, TooLarge."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_REQUEST_BYTES:
        raise TooLarge("attachment_upload_too_large", field="file", limit=MAX_REQUEST_BYTES)
    limited = Request(request.scope, _limit(request.receive))
    # Starlette raises HTTPException (400) for a form it cannot read, which the edge answers as it does others.
    async with limited.form(max_files=1, max_fields=10, max_part_size=64 * 1024) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput("attachment_missing", field="file")
        name = (file.filename or "").encode("utf-8", "replace").decode().replace("\0", "")
        return Upload(name, await file.read())


def _limit(receive: Receive) -> Receive:
    """A body of unknown length is refused as soon as it is too long."""
    received = 0

    async def receive_within_limit() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_REQUEST_BYTES:
            raise TooLarge("attachment_upload_too_large", field="file", limit=MAX_REQUEST_BYTES)
        return message

    return receive_within_limit
