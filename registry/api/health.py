"""Whether this process can do its work."""

from importlib.metadata import PackageNotFoundError, version

from fastapi import Response

from registry.api.calls import JSON, Reading
from registry.api.problems import dump_json, translate
from registry.late_routes import LateRouter
from registry.store import takes_writes
from registry.store.jobs import fetch_open_job_ids
from schemas.bodies import HealthBody
from schemas.errors import Unavailable

router = LateRouter(tags=["node"])


@router.get("/health", response_model=HealthBody, summary="State of the registry")
async def get_health(call: Reading) -> Response:
    """503 while the database does not answer; one that takes no writes, as a standby does, is `read_only`."""
    database, jobs_open = "ok", None
    try:
        async with call.connect() as conn:
            jobs_open = len(await fetch_open_job_ids(conn))
            if not await takes_writes(conn):
                database = "read_only"
    except Exception as error:
        if not isinstance(translate(error), Unavailable):
            raise
        database = "unavailable"
    missing = call.state.segments.missing
    content = {
        "status": "ok" if database == "ok" and not missing else "degraded",
        "version": find_version(),
        "database": database,
        "jobs_open": jobs_open,
        "log_missing": missing,
    }
    status = 503 if database == "unavailable" else 200
    return Response(dump_json(content), status, {"Cache-Control": "no-store"}, JSON)


def find_version() -> str:
    try:
        return version("idnode")
    except PackageNotFoundError:
        return "unknown"
