"""What is registered for measurements is what a factory registers, and no identifier comes twice."""

import csv
from pathlib import Path

import openpyxl
import orjson
import pytest

from loadtests.importing import with_database
from loadtests.journey_run import take_weighted
from loadtests.reading import is_right
from loadtests.rows import (
    FIVE,
    PRODUCTS_COLUMN,
    choose_numbers,
    format_path,
    make_credit_code,
    make_suffix,
    make_values,
    write_products,
    write_products_sheet,
)
from schemas.certificates import check_uscc
from schemas.templates import parse_template

ROWS = 45_000  # more than twice what the demonstration's file has


@pytest.mark.parametrize("body", ["91321302MA1BENCH0", "91321302MA1BENCH1"])
def test_a_credit_code_has_its_check_digit(body: str) -> None:
    assert check_uscc(make_credit_code(body)) == make_credit_code(body)


def test_values_fit_their_template() -> None:
    template = parse_template(FIVE)
    for number in range(1_000):
        assert len(template.check_values(make_values(number))) == 5


def test_keys_are_distinct_and_in_random_order() -> None:
    numbers = choose_numbers(10_000, 100_000)
    assert len(set(numbers)) == 10_000
    assert numbers != sorted(numbers)
    assert numbers == choose_numbers(10_000, 100_000)  # the same in every run
    assert len({make_suffix(number) for number in numbers}) == 10_000


def test_products_never_repeat_a_code(tmp_path: Path) -> None:
    write_products(tmp_path / "products.csv", ROWS)
    with (tmp_path / "products.csv").open(encoding="utf-8-sig", newline="") as file:
        codes = [row[PRODUCTS_COLUMN] for row in csv.DictReader(file)]
    assert len(codes) == len(set(codes)) == ROWS


def test_a_workbook_has_the_same_rows(tmp_path: Path) -> None:
    write_products(tmp_path / "products.csv", 20)
    write_products_sheet(tmp_path / "products.xlsx", 20)
    with (tmp_path / "products.csv").open(encoding="utf-8-sig", newline="") as file:
        expected = list(csv.reader(file))
    sheet = openpyxl.load_workbook(tmp_path / "products.xlsx").active
    assert sheet is not None
    assert [[str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)] == expected


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({}, True),
        ({"handle": "88.101.5/SN0000000008"}, False),  # another identifier's answer
        ({"values": []}, False),
    ],
)
def test_a_checked_body_names_its_identifier_and_holds_its_values(change: dict[str, object], right: bool) -> None:
    values = [{"type": name, "data": {"format": "string", "value": text}} for name, text in make_values(7).items()]
    answer = {"responseCode": 1, "handle": "88.101.5/SN0000000007", "values": values} | change
    assert is_right(format_path("88.101.5", 7), orjson.dumps(answer)) is right


def test_another_database_of_the_same_server() -> None:
    dsn = "postgresql://idnode@/idnode?host=/run/idnode"
    assert with_database(dsn, "bench") == "postgresql://idnode@/bench?host=/run/idnode"


def test_percentiles_of_counted_times() -> None:
    times = [(10.0, 98), (20.0, 1), (500.0, 1)]
    assert [take_weighted(times, percent) for percent in (50, 98, 99, 100)] == [10.0, 10.0, 20.0, 500.0]
