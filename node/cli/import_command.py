"""`idnode import`: a file goes in as a job that this command itself runs, and that the node takes up if it dies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import Desk
from node.cli.frame import AsJson, get_language, load, open_database, print_json, run, show_progress, show_text
from node.wording import say
from schemas.texts.commands import LABELS
from schemas.texts.supervisor import LABELS as NODE_LABELS

if TYPE_CHECKING:
    from asyncpg import Connection

    from node.settings import NodeSettings
    from registry.import_plan import ImportOptions
    from registry.store.jobs import Job


def add_to(app: typer.Typer) -> None:
    app.command("import")(import_file)


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, NDJSON, .xlsx, .xls")],
    prefix: Annotated[str, typer.Option("--prefix", metavar="P")],
    template: Annotated[str, typer.Option("--template", metavar="V")],
    identifier_column: Annotated[
        str | None, typer.Option("--identifier-column", metavar="C", help="标识所在的列 / the column of the identifier")
    ] = None,
    identifier: Annotated[
        str | None, typer.Option("--identifier", metavar="PATTERN", help="{产品代码}-{生产日期:yyyyMMdd}-{批号}")
    ] = None,
    column_map: Annotated[
        list[str] | None, typer.Option("--map", metavar="COLUMN=TYPE", help="列对应的项 / the item of a column")
    ] = None,
    sheet: Annotated[
        str | None, typer.Option("--sheet", metavar="S", help="工作表 / name or number of the sheet")
    ] = None,
    header_row: Annotated[
        int | None, typer.Option("--header-row", metavar="N", min=1, help="表头所在行 / its row")
    ] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="utf-8, gb18030")] = None,
    separator: Annotated[str | None, typer.Option("--separator", help=", ; tab")] = None,
    update: Annotated[bool, typer.Option("--update", help="覆盖不同的值 / overwrite values that differ")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只检查，不写入 / check only, write nothing")] = False,
    receipt: Annotated[
        Path | None, typer.Option("--receipt", metavar="FILE", help="回执文件 / where the receipt goes")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """从文件登记标识，逐行给出回执 / Register identifiers from a file; a receipt answers every row"""
    from registry.import_plan import ImportOptions
    from registry.rows import parse_mapping

    options = ImportOptions(
        identifier_column, identifier, parse_mapping(column_map or []), sheet, header_row, encoding, separator, update,
        dry_run,
    )  # fmt: skip
    settings = load()
    target = receipt or Path(f"{file.stem}.receipt.csv")
    check_receipt(target, file)

    async def work() -> "Job":
        async with open_database(settings) as conn:
            with show_progress(say(LABELS["import_title"], settings.language, file=file.name)) as report:
                job = await _run_job(conn, settings, file, (prefix, template), options, report)
            await _write_receipt(conn, settings, job, target)
            return job

    job = run(work())
    summary = {"rows": sum(job.counts.values()), **_fill(job), "receipt": str(target), **_describe(job)}
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary, settings.language)
        if settings.public_url is None:
            print(say(NODE_LABELS["public_url_missing"], settings.language, url=settings.scan_url))
    if job.state != "done":
        from registry.jobs import format_job_error

        typer.echo(format_job_error(job, get_language()), err=True)
        raise typer.Exit(1)


def check_receipt(target: Path, file: Path) -> None:
    """Before anything is registered. Raises InvalidInput: it would overwrite the file itself, or cannot be written."""
    from schemas.errors import InvalidInput

    if target.exists() and file.exists() and target.samefile(file):
        raise InvalidInput("receipt_is_the_file", field="receipt", path=str(target))
    existed = target.exists()
    try:
        target.open("a").close()
        if not existed:
            target.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInput("receipt_place_unusable", field="receipt", path=str(target), problem=reason) from error


async def _run_job(
    conn: "Connection",
    settings: "NodeSettings",
    file: Path,
    target: tuple[str, str],
    options: "ImportOptions",
    report: Any,
) -> "Job":
    from registry.jobs import create_import, run_import
    from registry.records import get_rule
    from registry.store.jobs import try_lock_job

    desk = Desk(conn, settings)
    rule = await get_rule(conn, target[0])
    template = await desk.get_template(*target)
    async with conn.transaction():
        await desk.note_command()
        name = show_text(file.name)
        job_id = await create_import(conn, settings.jobs_dir, file, (rule, template), name, desk.act(), options)
        # Before others can see the job: the node's own runner takes it up only if this process dies.
        await try_lock_job(conn, job_id)
    job = await run_import(conn, settings.jobs_dir, job_id, lambda j: report(j.rows_done, j.rows_total))
    assert job is not None, "the job is locked by this connection"  # noqa: S101
    return job


async def _write_receipt(conn: "Connection", settings: "NodeSettings", job: "Job", target: Path) -> None:
    from registry.jobs import write_job_receipt
    from schemas.errors import InvalidInput

    try:
        with target.open("w", encoding="utf-8", newline="") as file:
            await write_job_receipt(conn, settings.jobs_dir, job, file, settings.language, settings.scan_url)
    except OSError as error:
        raise InvalidInput(
            "receipt_not_writable", field="receipt", path=str(target), problem=error.strerror or "", job=str(job.job_id)
        ) from error


def _fill(job: "Job") -> dict[str, int]:
    from registry.receipt import OUTCOMES

    return {outcome: job.counts.get(outcome, 0) for outcome in OUTCOMES}


def _describe(job: "Job") -> dict[str, Any]:
    return {
        "job_id": str(job.job_id),
        "state": job.state,
        "dry_run": job.options["dry_run"],
        "matched": job.summary.get("matched", {}),
        "left": job.summary.get("left", []),
        "sheet": job.summary.get("sheet"),
        "header_row": job.summary.get("header_row"),
        "remarks": job.summary.get("remarks", []),
    }


def _print_summary(summary: dict[str, Any], language: str) -> None:
    from schemas.texts import format_message

    print(say(LABELS["import_counts"], language, **summary))
    if summary["left"]:
        print(say(LABELS["import_left"], language, columns="、".join(summary["left"])))
    for remark in summary["remarks"]:
        print(format_message(remark["code"], language, **remark["details"]))
    if summary["dry_run"]:
        print(say(LABELS["import_dry"], language))
    print(say(LABELS["import_receipt"], language, receipt=summary["receipt"]))
