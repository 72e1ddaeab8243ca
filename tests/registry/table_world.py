"""Templates and files that the tests of tables and rows share."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from registry.tables import Row, Table, TableOptions, Wanted, open_table
from registry.tables.headers import match_key
from schemas.templates import Template, parse_template

DATA = Path(__file__).parents[2] / "data"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def make_template(**changes: object) -> Template:
    """Code (required), day (required date), quantity (number), count (integer), note."""
    return parse_template(
        {
            "version": "t-1",
            "items": [
                {"type": "code", "name": {"zh": "编码", "en": "Code"}, "required": True, "max_length": 20},
                {"type": "made_on", "name": {"zh": "生产日期", "en": "Made on"}, "data": "date", "required": True},
                {"type": "quantity", "name": {"zh": "数量（箱）", "en": "Quantity"}, "data": "number"},
                {"type": "count", "name": {"zh": "件数", "en": "Count"}, "data": "integer"},
                {"type": "note", "name": {"zh": "备注", "en": "Note"}},
            ],
            **changes,
        }
    )


def want(*names: str) -> Wanted:
    return Wanted(frozenset(map(match_key, names)), {name: frozenset({match_key(name)}) for name in names})


def write_bytes(folder: Path, content: bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def open_text(folder: Path, text: str, encoding: str = "utf-8", **options: object) -> Table:
    path = write_bytes(folder, text.encode(encoding))
    return open_table(path, want("编码"), TableOptions(**options))  # type: ignore[arg-type]


def read_texts(table: Table) -> list[tuple[int, list[str]]]:
    return [(row.number, row.texts) for row in table.rows()]


def read_one(table: Table) -> Row:
    (row,) = table.rows()
    return row


def write_xlsx(
    path: Path, sheets: dict[str, str], formats: Sequence[str | int] = ("General",), strings: Sequence[str] = (),
    is_1904: bool = False, merges: str = "",
) -> Path:  # fmt: skip
    """A workbook from the XML of its rows, as small as the format allows; style n has the n-th format."""
    numbers = [f if isinstance(f, int) else 164 + i for i, f in enumerate(formats)]
    texts = "".join(
        f'<numFmt numFmtId="{164 + i}" formatCode="{escape(f, {chr(34): "&quot;"})}"/>'
        for i, f in enumerate(formats) if isinstance(f, str)
    )  # fmt: skip
    styles = "".join(f'<xf numFmtId="{number}"/>' for number in numbers)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        sheet_tags = relations = ""
        for i, (name, rows) in enumerate(sheets.items(), 1):
            state = ' state="hidden"' if name.startswith("hidden") else ""
            sheet_tags += f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"{state}/>'
            relations += f'<Relationship Id="r{i}" Type="{RELATIONS}/worksheet" Target="worksheets/s{i}.xml"/>'
            body = f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{merges}</worksheet>'
            package.writestr(f"xl/worksheets/s{i}.xml", body)
        relations += f'<Relationship Id="rs" Type="{RELATIONS}/styles" Target="styles.xml"/>'
        relations += f'<Relationship Id="rt" Type="{RELATIONS}/sharedStrings" Target="sharedStrings.xml"/>'
        package.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><workbookPr date1904="{int(is_1904)}"/>'
            f"<sheets>{sheet_tags}</sheets></workbook>",
        )
        package.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}">{relations}</Relationships>')
        package.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{MAIN}"><numFmts>{texts}</numFmts><cellStyleXfs><xf numFmtId="9"/></cellStyleXfs>'
            f"<cellXfs>{styles}</cellXfs></styleSheet>",
        )
        package.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{"".join(strings)}</sst>')
    return path


def inline(*texts: str) -> str:
    return "".join(f'<c t="inlineStr"><is><t>{escape(text)}</t></is></c>' for text in texts)


def make_row(number: int, cells: str) -> str:
    return f'<row r="{number}">{cells}</row>'
