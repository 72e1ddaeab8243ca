"""Loads the demonstration: the firms of Sucheng, the district's plan, a pump works' products, a tofu works' batches.

By the same functions as the command line and the API; what is there already is left, so a load that was cut off is
finished by the next one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import orjson
from asyncpg import Connection

from node.demo_files import DEMO_FACT, DemoImport, find_demo_files, read_demo_state
from node.plan_files import read_plan_file
from node.plans import load_plan
from node.secret_key import load_key_ring
from node.settings import NodeSettings
from registry.enterprise_file import load_enterprises, read_enterprise_file
from registry.import_plan import ImportOptions
from registry.jobs import create_import, run_import
from registry.prefixes import NodeRules
from registry.principals import Order, Principal
from registry.records import get_rule
from registry.store.jobs import Job, try_lock_job
from registry.templates import add_template
from schemas.errors import SetupError

Report = Callable[[int, int | None], None]
ACTOR = "cli:demo"
PLAN = "宿城区 2022–2024（演示）"


@dataclass(frozen=True, slots=True)
class DemoCounts:
    enterprises: int
    identifiers: int


async def load_demo(conn: Connection, settings: NodeSettings, report: Report = lambda done, total: None) -> DemoCounts:
    """What the node holds of it afterwards; `report` gets (identifiers done, all). Raises Conflict on a real node."""
    files = find_demo_files(settings.demo_dir)
    if await read_demo_state(conn) != "loaded":
        await _begin(conn)
        reason = "演示数据" if settings.language == "zh" else "demonstration"
        order = Order(Principal("operator", ACTOR), datetime.now(UTC), reason)
        rules = NodeRules(settings.prefixes, load_key_ring(settings.secret_key_path))
        result = await load_enterprises(conn, rules, order, read_enterprise_file(files.enterprises))
        if result.count("refused"):
            raise next(outcome.error for outcome in result.outcomes if outcome.error is not None)
        plan = await load_plan(conn, order, PLAN, read_plan_file(files.targets))
        if plan.refused:
            raise plan.refused[0].error
        done, total = 0, sum(part.identifiers for part in files.imports)
        for part in files.imports:
            await _load(conn, settings, order, part, partial(_report_rows, report, done, total))
            done += part.identifiers
        await conn.execute("UPDATE node_facts SET value = 'loaded' WHERE name = $1", DEMO_FACT)
    enterprises = await conn.fetchval("SELECT count(*) FROM enterprises")
    return DemoCounts(enterprises, sum(part.identifiers for part in files.imports))


def _report_rows(report: Report, before: int, total: int, job: Job) -> None:
    report(min(before + job.rows_done, total), total)


async def _begin(conn: Connection) -> None:
    """Mark the node before the first enterprise, unless a real one came between."""
    async with conn.transaction():
        await conn.execute("LOCK TABLE node_facts IN EXCLUSIVE MODE")
        if await read_demo_state(conn) is None:
            await conn.execute("INSERT INTO node_facts (name, value) VALUES ($1, 'loading')", DEMO_FACT)


async def _load(
    conn: Connection, settings: NodeSettings, order: Order, part: DemoImport, report: Callable[[Job], None]
) -> None:
    """Template and identifiers of one firm; raises SetupError if not all of them came in."""
    template, _ = await add_template(conn, order, part.prefix, orjson.loads(part.template.read_bytes()))
    target = (await get_rule(conn, part.prefix), template)
    options = ImportOptions(identifier_column=part.identifier_column, identifier=part.identifier)
    async with conn.transaction():
        job_id = await create_import(conn, settings.jobs_dir, part.file, target, part.file.name, order.act, options)
        await try_lock_job(conn, job_id)  # before others can see it: the registry takes it only if we die
    job = await run_import(conn, settings.jobs_dir, job_id, report)
    held = job.counts.get("registered", 0) + job.counts.get("unchanged", 0) if job is not None else 0
    if job is None or job.state != "done" or held < part.identifiers:
        counts = str(job.counts) if job is not None else "-"
        raise SetupError("demo_incomplete", file=part.file.name, counts=counts)
