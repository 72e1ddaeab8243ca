"""`file/upload` (§d.6, N3): a picture or a page of a dossier, kept sealed; its number is bound once."""

from registry.api.attachments import read_upload
from registry.attachments import keep_attachment
from registry.snms.calls import SnmsCall
from registry.snms.edge import Route
from schemas.attachments import KINDS


async def upload(call: SnmsCall) -> object:
    """The number goes into an application; `path` is a name alone, under which nothing is served."""
    sent = await read_upload(call.request)
    async with call.write() as conn:
        stored = await keep_attachment(conn, call.state.config.attachments, call.order(), sent)
    return {"id": stored.attachment_id, "path": f"{stored.file_id}{KINDS[stored.kind].endings[0]}"}


ROUTES = {("POST", "/snms/api/file/upload"): Route(upload, scope="write", raw=True)}
