"""Commands that run the node or parts of it, prepare its database, load the demonstration, and say what is wrong."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.data import note_command
from node.cli.frame import AsJson, load, open_database, print_json, run, show_progress
from node.wording import say
from schemas.errors import ServiceError

if TYPE_CHECKING:
    from node.migrations import Migration


def add_to(app: typer.Typer) -> None:
    for command in (up, registry, resolver, agent, migrate, demo, doctor, health, metrics):
        app.command()(command)


def up(
    with_demo: Annotated[bool, typer.Option("--demo", help="并导入演示数据 / with the demonstration data")] = False,
) -> None:
    """启动整个节点，Ctrl-C 停止 / Start the whole node; Ctrl-C stops it"""
    from node.supervisor import Supervisor

    raise typer.Exit(Supervisor(load(), with_demo=with_demo).run())


def registry() -> None:
    """只启动登记服务，数据库须已运行 / Start the registry alone; the database must be running"""
    from node.supervisor import Supervisor

    raise typer.Exit(Supervisor(load(), "registry").run())


def resolver() -> None:
    """只启动解析进程，数据库须已运行 / Start the resolver workers alone; the database must be running"""
    from node.supervisor import Supervisor

    raise typer.Exit(Supervisor(load(), "resolver").run())


def agent() -> None:
    """只启动统计进程，数据库须已运行 / Start the agent alone; the database must be running"""
    from node.supervisor import Supervisor

    raise typer.Exit(Supervisor(load(), "agent").run())


def migrate(as_json: AsJson = False) -> None:
    """使数据库结构与本程序一致 / Bring the schema of the database up to date"""
    from node.migrations import migrate as apply_migrations
    from node.postgres import get_dsn
    from schemas.texts.supervisor import LABELS

    settings = load()

    async def work() -> "list[Migration]":
        applied = await apply_migrations(get_dsn(settings.database_url, settings.data_dir))
        if applied:
            async with open_database(settings) as conn:  # the trail itself may have come with them
                await note_command(conn)
        return applied

    applied = run(work())
    if as_json:
        print_json({"applied": [{"number": m.number, "name": m.name} for m in applied]})
        return
    for migration in applied:
        print(f"{migration.number:04} {migration.name}")
    print(say(LABELS["migrated"], settings.language, count=len(applied)))


def demo(as_json: AsJson = False) -> None:
    """导入演示数据；已有真实企业的节点会拒绝 / Load the demonstration data into a node without real enterprises"""
    from node.demo import DemoCounts, load_demo
    from schemas.texts.supervisor import LABELS

    settings = load()

    async def work() -> DemoCounts:
        async with open_database(settings) as conn:
            await note_command(conn, "begun")
            with show_progress(say(LABELS["demo_title"], settings.language)) as report:
                return await load_demo(conn, settings, report)

    counts = run(work())
    if as_json:
        print_json(asdict(counts))
    else:
        print(say(LABELS["demo_loaded"], settings.language, **asdict(counts)))


def health(
    part: Annotated[str, typer.Argument(metavar="[PART]", help="node, registry, resolver, agent, toplevel")] = "node",
    as_json: AsJson = False,
) -> None:
    """只问本机的服务是否应答，供容器健康检查 / Whether the services of this machine answer; for health checks"""
    from node.health import examine_part

    problems = examine_part(load(), part)
    if as_json:
        print_json({"part": part, "problems": problems})
    else:
        print("\n".join(problems) or "ok")
    raise typer.Exit(1 if problems else 0)


def metrics() -> None:
    """监控指标，格式与 /metrics 相同 / What monitoring reads, as the registry's /metrics has it"""
    from node.metrics import collect
    from registry.store import DATABASE_AWAY

    settings = load()

    async def read() -> str:
        try:
            async with open_database(settings) as conn:
                return await collect(settings, conn)
        except (ServiceError, *DATABASE_AWAY):
            return await collect(settings, None)

    print(run(read()), end="")


def doctor(as_json: AsJson = False) -> None:
    """检查节点：哪里不对、该怎么办 / Say what is wrong with the node and what to do about it"""
    from node.doctor import examine, format_findings

    settings = load()
    findings = run(examine(settings))
    if as_json:
        print_json([finding.to_json(settings.language) for finding in findings])
    else:
        print(format_findings(findings, settings.language))
    raise typer.Exit(1 if any(finding.state == "error" for finding in findings) else 0)
