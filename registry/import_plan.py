"""What an import is asked to do, and what of it can be known before the first row."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.identifier_rule import parse_rule
from registry.rows import RowPlan, describe_wanted, plan_rows
from registry.tables import Table, TableOptions, open_table
from schemas.templates import Template


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the caller of an import decides; kept with the job as JSON."""

    identifier_column: str | None = None
    identifier: str | None = None
    mapping: dict[str, str] = field(default_factory=dict)
    sheet: str | None = None
    header_row: int | None = None
    encoding: str | None = None
    separator: str | None = None
    update: bool = False
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def open_plan(path: Path, template: Template, options: ImportOptions, file_name: str) -> tuple[Table, RowPlan]:
    """The opened file and what its columns mean; raises InvalidInput."""
    rule = parse_rule(options.identifier_column, options.identifier)
    wanted = describe_wanted(template, rule, options.mapping)
    table_options = TableOptions(options.sheet, options.header_row, options.encoding, options.separator)
    table = open_table(path, wanted, table_options, file_name)
    return table, plan_rows(template, table.columns, rule, options.mapping, template.prefix)
