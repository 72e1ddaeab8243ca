"""Identifiers for measurements: a firm and templates by the command line, rows by COPY as the registry packs them."""

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import xlsxwriter

from loadtests.processes import ROOT, Node
from schemas.identifiers import format_suffix_key
from schemas.records import pack_texts

WHEN = datetime(2026, 1, 5, 8, tzinfo=UTC)
PRODUCTS = ROOT / "data" / "products-pump-works.csv"
PRODUCTS_TEMPLATE = ROOT / "data" / "products-pump-works.template.json"
PRODUCTS_COLUMN = "产品编码"
COLUMNS = ("created", "changed", "prefix_id", "template_id", "suffix_key", "packed")
COPY_ROWS = 50_000
FIVE: dict[str, Any] = {
    "name": {"zh": "五个短值", "en": "Five short values"},
    "version": "five-1",
    "items": [
        {"index": 2000, "type": "model", "name": {"zh": "型号", "en": "Model"}},
        {"index": 2001, "type": "batch", "name": {"zh": "批次", "en": "Batch"}},
        {"index": 2002, "type": "produced_on", "name": {"zh": "生产日期", "en": "Produced on"}, "data": "date"},
        {"index": 2003, "type": "inspection", "name": {"zh": "检验结果", "en": "Inspection"}},
        {"index": 2004, "type": "flow", "name": {"zh": "额定流量", "en": "Rated flow"}, "data": "number"},
    ],
}


@dataclass(frozen=True, slots=True)
class Firm:
    """Who owns the prefix that is measured; `key` goes into Authorization."""

    prefix: str
    prefix_id: int
    template_id: int
    key: str


def make_values(number: int) -> dict[str, str]:
    """Type → text: five short values, as a factory's label has them."""
    return {
        "model": f"WQ{number % 37 + 10}-7-1.1",
        "batch": f"B24{number % 12 + 1:02d}{number % 28 + 1:02d}",
        "produced_on": f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}",
        "inspection": "合格",
        "flow": f"{number % 60 + 5}.5",
    }


def make_suffix(number: int) -> str:
    return f"SN{number:010d}"


async def add_firm(node: Node, place: Path, code: str) -> Firm:
    """An approved firm with a prefix, the template of five values and an access key; `code`: its credit code."""
    arguments = ["enterprise", "add", "--name", f"Bench {code}", "--uscc", code, "--area", "321302"]
    added = node.run(*arguments, "--industry", "C/34/344/3441", "--approve")
    document = place / "five.template.json"
    document.write_text(json.dumps(FIVE, ensure_ascii=False))
    node.run("template", "add", str(document), "--prefix", added["prefix"])
    conn = await asyncpg.connect(node.dsn)
    try:
        (row,) = await conn.fetch(
            "SELECT p.prefix_id, t.template_id FROM prefixes p JOIN templates t USING (prefix_id)"
            " WHERE p.prefix = $1 AND t.version = $2",
            added["prefix"], FIVE["version"],
        )  # fmt: skip
    finally:
        await conn.close()
    key = f"{added['access_key']}.{added['secret_key']}"
    return Firm(added["prefix"], row["prefix_id"], row["template_id"], key)


def make_credit_code(body: str) -> str:
    """Seventeen characters and their check digit (GB 32100)."""
    letters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    total = sum(letters.index(letter) * pow(3, place, 31) for place, letter in enumerate(body))
    return body + letters[-total % 31]


async def copy_rows(conn: Any, firm: Firm, first: int, count: int) -> None:
    """Rows with five short values straight into `records`, in the order of their serial numbers."""
    types = [(item["index"], item["type"]) for item in FIVE["items"]]
    for start in range(first, first + count, COPY_ROWS):
        numbers = range(start, min(start + COPY_ROWS, first + count))
        await conn.copy_records_to_table("records", columns=COLUMNS, records=_make_rows(firm, types, numbers))


def _make_rows(firm: Firm, types: list[tuple[int, str]], numbers: range) -> Iterator[tuple[Any, ...]]:
    for number in numbers:
        values = make_values(number)
        packed = pack_texts(firm.template_id, [(index, name, values[name]) for index, name in types])
        suffix_key = format_suffix_key(make_suffix(number), True)
        yield WHEN, WHEN, firm.prefix_id, firm.template_id, suffix_key, packed


def choose_numbers(count: int, of: int, seed: int = 1) -> list[int]:
    """`count` distinct serial numbers below `of`, in random order."""
    return random.Random(seed).sample(range(of), count)


def format_path(prefix: str, number: int) -> str:
    return f"/api/handles/{quote(prefix)}/{quote(make_suffix(number))}"


def write_products(target: Path, count: int) -> None:
    """The pump works' products again and again, each time under other codes, as CSV."""
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        for row in _list_products(count):
            writer.writerow(row)


def write_products_sheet(target: Path, count: int) -> None:
    """The same as a workbook, all cells text."""
    book = xlsxwriter.Workbook(target, {"constant_memory": True, "strings_to_urls": False})
    sheet = book.add_worksheet()
    for number, row in enumerate(_list_products(count)):
        sheet.write_row(number, 0, row)
    book.close()


def _list_products(count: int) -> Iterator[list[str]]:
    with PRODUCTS.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    at = header.index(PRODUCTS_COLUMN)
    yield header
    for number in range(count):
        again, row = divmod(number, len(rows))
        yield [f"{again}-{text}" if place == at else text for place, text in enumerate(rows[row])]
