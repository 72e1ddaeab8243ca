"""The process of one job: `python -m registry.job_child PARENT_PID`, its order as JSON on stdin."""

import gc
import os
import sys
from pathlib import Path
from uuid import UUID

from registry.parent_process import die_with

NICE = 10  # whoever resolves or registers comes first


async def run(order: dict[str, str]) -> None:
    """Run the job to its end; raises if the database is lost, and is then run again."""
    import asyncpg

    from registry.jobs import run_import

    settings = {"application_name": "idnode job"}
    conn = await asyncpg.connect(order["database_url"], timeout=20, server_settings=settings)
    try:
        await run_import(conn, Path(order["jobs_dir"]), UUID(order["job_id"]))
    finally:
        await conn.close(timeout=5)


def main() -> None:
    die_with(int(sys.argv[1]))
    os.nice(NICE)
    gc.freeze()
    import orjson
    import uvloop

    uvloop.run(run(orjson.loads(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
