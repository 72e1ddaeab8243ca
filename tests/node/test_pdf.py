"""PDFs say what CSVs say, cell by cell, with a font inside; where there is none, the package is named."""

import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest

from node.pdf_font import PLACES, find_font, load_font, read_font
from node.pdf_paper import Face, Paper, choose_size, fit_columns, lay_out
from node.statistics_files import make_file
from node.statistics_tables import Question, Table, sum_rows
from schemas.errors import Unavailable
from schemas.texts import format_message, format_remedy
from tests.node.pdf_reading import list_fonts, read_cells

ROOT = Path(__file__).parents[2]
EVIL = '=HYPERLINK("http://evil.example","x")'
STATUS = {
    "status": "sealed", "sealed_until": "2024-06-30", "late_days": [],
    "seals": [{"node_prefix": "88.101", "day": "2024-06-30", "revision": 1, "seal": "ab" * 32}],
    "revisions": [{"node_prefix": "88.101", "day": "2024-06-02", "revision": 2, "reason": "迟到的日志段"}],
}  # fmt: skip


def make_table(by: str, rows: list[dict[str, Any]]) -> Table:
    question = Question(by, date(2024, 6, 1), date(2024, 6, 30))
    blank = Table(question, datetime(2024, 7, 1, 4, tzinfo=UTC), STATUS, [], {}, [])
    whole = [dict.fromkeys(blank.columns) | dict.fromkeys(blank.figure_columns, 0) | row for row in rows]
    return Table(question, blank.as_of, STATUS, whole, sum_rows(whole, blank.figure_columns), [])


def make_firms(count: int) -> Table:
    return make_table("enterprise", [
        {"enterprise_id": n, "enterprise": EVIL if n == 7 else f"宿迁市第{n}泵业制造有限责任公司 Pump Works {n}",
         "certificate_code": f"91320000{n:010}", "prefix": f"88.101.{n}", "unit_id": 3, "unit": "运河宿迁港产业园",
         "division_code": "321302", "area": "江苏省宿迁市宿城区", "industry": "C/34/344/3441",
         "industry_name": "制造业/通用设备制造业/泵、阀门、压缩机及类似机械制造/泵及真空设备制造",
         "connected_on": "2023-05-06", "standing": "connected", "registered_new": n * 37,
         "registered_total": n * 12_345, "registered_live": n * 12_000, "retired_total": n * 345,
         "resolutions": n * n * 991, "resolutions_ok": n * 991}
        for n in range(1, count + 1)
    ])  # fmt: skip


def make_days(count: int) -> Table:
    return make_table("day", [
        {"day": f"2024-06-{n:02}", "resolutions": n * 1_000, "registered_new": n, "enterprises_connected": 5 + n}
        for n in range(1, count + 1)
    ])  # fmt: skip


def squeeze(text: str) -> str:
    """What a cell says, whatever it was broken into lines with."""
    return "".join(text.split())


def find_rows(cells: Sequence[str], expected: Sequence[Sequence[str]]) -> None:
    """The rows stand in the file, in their order, cell after cell and nothing between them but heads of pages."""
    shown = [squeeze(cell) for cell in cells]
    head = [squeeze(cell) for cell in expected[0]]
    at = next(n for n in range(len(shown)) if shown[n : n + len(head)] == head)
    for row in expected:
        wanted = [squeeze(cell) for cell in row if cell]
        if shown[at : at + len(wanted)] != wanted:  # the next page: foot, head again
            at = next(n for n in range(at, len(shown)) if shown[n : n + len(head)] == head) + len(head)
        assert shown[at : at + len(wanted)] == wanted
        at += len(wanted)


def read_csv(content: bytes) -> list[list[str]]:
    """The rows of figures, numbers with commas, texts without the guard against formulas."""
    rows = []
    for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))):
        if not row:
            break
        rows.append([f"{int(c):,}" if c.isdigit() and len(c) < 16 and c != "321302" else c.removeprefix("'")
                     for c in row])  # fmt: skip
    return rows


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("table", [make_firms(66), make_days(30)], ids=["firms", "days"])
def test_a_pdf_has_the_figures_of_the_csv_cell_by_cell(table: Table, language: str) -> None:
    content = make_file(table, "pdf", language, make_days(30))
    cells = read_cells(content)
    find_rows(cells, read_csv(make_file(table, "csv", language)))
    said = squeeze("".join(cells))
    for words in (("统计期", "封印", "ab" * 32, "合计核对", "相符", "统计口径", "迟到的日志段") if language == "zh"
                  else ("Period", "Seal", "ab" * 32, "Sumcheck", "holds", "Definitions")):  # fmt: skip
        assert words in said
    assert all(embedded for _, embedded in list_fonts(content))


def test_pages_are_numbered_and_thousands_of_firms_fit() -> None:
    table = make_firms(3_500)
    reader = pypdf.PdfReader(io.BytesIO(make_file(table, "pdf", "zh", make_days(30))))
    total = len(reader.pages)
    assert total > 50
    texts = {number: reader.pages[number - 1].extract_text() for number in (1, 2, total)}
    assert all(f"第 {number} 页，共" in text for number, text in texts.items())
    assert squeeze(texts[1]).endswith(f"第1页，共{total}页")
    assert f"{table.sums['resolutions']:,}" in texts[total] + reader.pages[total - 2].extract_text()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_missing_font_names_the_package(language: str) -> None:
    with pytest.raises(Unavailable) as caught:
        find_font(None, [Path("/nowhere/a.ttc")])
    error = caught.value
    assert "apt-get install fonts-wqy-microhei" in format_remedy(error.code, language, **error.details)
    assert "PDF" in format_message(error.code, language, **error.details)
    assert find_font(None) in PLACES


def test_a_font_that_cannot_be_embedded_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    latin = tmp_path / "latin.ttf"
    latin.write_bytes(b"OTTO" + bytes(200))
    for path in (latin, tmp_path / "none.ttf"):
        monkeypatch.setenv("IDNODE_PDF_FONT", str(path))
        with pytest.raises(Unavailable, match=str(path)) as caught:
            make_file(make_days(2), "pdf", "zh")
        assert caught.value.code == "pdf_font_unusable"


def test_signs_the_font_lacks_are_told_by_number() -> None:
    face = Face(read_font(find_font(None)))
    assert face.clean("甲\U0001f600乙") == "甲[U+1F600]乙"


@pytest.mark.parametrize(
    ("text", "width"),
    [("标识解析" * 30, 50.0), ("word " * 40, 60.0), ("x" * 300, 44.0), ("甲", 1.0), ("a，b" * 50, 30.0)],
)
def test_lines_fit_and_lose_nothing(text: str, width: float) -> None:
    face = Face(load_font())
    lines = face.wrap(text, width, 7.0)
    assert squeeze("".join(lines)) == squeeze(text)
    assert all(face.measure(line, 7.0) <= width + 8 or len(line) == 1 for line in lines)


def test_a_bracket_is_not_parted_from_what_it_closes() -> None:
    face = Face(load_font())
    for width in range(30, 100, 3):
        lines = face.wrap("智能化技术改造项目数 [个] 目标", float(width), 7.0)
        assert not [line for line in lines if line.startswith("]")], (width, lines)


def test_columns_fill_the_page_and_never_more() -> None:
    face = Face(load_font())
    narrow, wide = [["甲", "乙"], ["1", 2]], [[f"c{n}" for n in range(60)], [10**12] * 60]
    assert choose_size(lay_out(face, narrow))[0] < choose_size(lay_out(face, wide))[0]
    for rows in (narrow, wide):
        texts = [[str(cell) for cell in row] for row in rows]
        assert sum(fit_columns(lay_out(face, texts), 500.0)) <= 500.01


def test_an_empty_table_is_a_page() -> None:
    content = make_file(make_table("unit", []), "pdf", "en")
    assert len(pypdf.PdfReader(io.BytesIO(content)).pages) == 1
    assert isinstance(Paper(load_font(), "t", "en").finish(), bytes)


def test_nobody_pays_for_pdfs_before_one_is_asked_for() -> None:
    """The registry starts with these modules, a resolver with less."""
    code = (
        "import sys, node.certificate_pages, node.plan_pages, node.statistics_pages, node.doctor\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'reportlab', 'pyhanko', 'asn1crypto', 'lxml'})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")
