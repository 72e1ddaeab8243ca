"""Reads PDFs in tests: the cells as they were drawn, one text object each, and whether the fonts are embedded."""

import io
from typing import Any

import pypdf


def read_cells(content: bytes) -> list[str]:
    """Text of every text object in its order, pages after each other; lines of one cell joined as they were broken."""
    cells: list[str] = []
    for page in pypdf.PdfReader(io.BytesIO(content)).pages:
        _read_page(page, cells)
    return [cell for cell in cells if cell]


def _read_page(page: pypdf.PageObject, cells: list[str]) -> None:
    def begin(operator: Any, arguments: Any, *_: Any) -> None:
        if operator == b"BT":
            cells.append("")

    def take(text: str, *_: Any) -> None:
        if cells:
            cells[-1] += text.replace("\n", "")

    page.extract_text(visitor_operand_before=begin, visitor_text=take)


def list_fonts(content: bytes) -> set[tuple[str, bool]]:
    """(name, whether it is embedded) of all fonts."""
    found = set()
    for page in pypdf.PdfReader(io.BytesIO(content)).pages:
        for font in page["/Resources"]["/Font"].values():
            descriptor = font.get_object().get("/FontDescriptor", {})
            found.add((str(font.get_object()["/BaseFont"]), "/FontFile2" in descriptor))
    return found
