"""An enterprise takes everything it owns with it, in one call."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from registry.api.calls import Reading
from registry.api.enterprises import check_cursor
from registry.api.targets import check_texts, get_enterprise_id
from registry.exports import Source, export_enterprise
from registry.late_routes import LateRouter
from schemas.days import get_day

router = LateRouter(prefix="/api/v1", tags=["enterprises"])


@router.get(
    "/export", summary="Export everything an enterprise owns", response_class=Response,
    responses={200: {"description": "A ZIP of NDJSON, CSV and files, with a manifest", "content": {
        "application/zip": {"schema": {"type": "string", "format": "binary"}, "example": "(file)"}}}},
)  # fmt: skip
async def get_export(
    call: Reading,
    enterprise_id: Annotated[int | None, Query(description="For the operator: whose.")] = None,
    reason: Annotated[str, Query(description="For the operator: why; it is recorded.", max_length=1_000)] = "",
) -> Response:
    """Dossier, prefixes, templates, ranges, identifiers with private values, history and attachments.

    It goes out while it is read. An archive without `manifest.json` is not complete.
    """
    wanted = check_cursor(get_enterprise_id(call, enterprise_id))
    check_texts(reason=reason)
    config = call.state.config
    config.jobs_dir.mkdir(parents=True, exist_ok=True)
    pieces = export_enterprise(
        Source(call.state.connect, config.rules, config.attachments, config.jobs_dir, call.order(reason), wanted)
    )
    first = await anext(pieces)  # what is refused is refused with a status of its own
    name = f"export-{wanted}-{get_day(call.state.now()):%Y%m%d}.zip"
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_join(first, pieces), 200, headers, "application/zip")


async def _join(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        if piece:
            yield piece
