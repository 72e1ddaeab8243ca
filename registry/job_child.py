"""The process of one job: `python -m registry.job_child PARENT_PID`, its order as JSON on stdin."""

import errno
import gc
import os
import sys
from pathlib import Path
from uuid import UUID

from registry.parent_process import die_with

NICE = 10  # whoever resolves or registers comes first
TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h: the database is away or the disk is full; the job is not to blame


async def run(order: dict[str, str]) -> int:
    """Run the job to its end; the exit status. Raises what the job itself is to blame for."""
    import asyncpg

    from registry.jobs import run_import
    from registry.store import ANSWER_SECONDS, DATABASE_AWAY, is_passing

    settings = {"application_name": "idnode job"}
    try:
        conn = await asyncpg.connect(
            order["database_url"], timeout=20, command_timeout=ANSWER_SECONDS, server_settings=settings
        )
    except DATABASE_AWAY as error:
        if isinstance(error, OSError) or is_passing(error):
            return put_off(error)
        raise
    try:
        await run_import(conn, Path(order["jobs_dir"]), UUID(order["job_id"]))
    except DATABASE_AWAY as error:
        if is_passing(error) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
            return put_off(error)
        raise
    finally:
        conn.terminate()
    return 0


def put_off(error: Exception) -> int:
    print(f"the job waits: {error or type(error).__name__}", file=sys.stderr)
    return TRY_LATER


def main() -> None:
    die_with(int(sys.argv[1]))
    os.nice(NICE)
    gc.freeze()
    import orjson
    import uvloop

    sys.exit(uvloop.run(run(orjson.loads(sys.stdin.buffer.read()))))


if __name__ == "__main__":
    main()
