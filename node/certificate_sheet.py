"""The sheet of a connection certificate as a PDF, in both languages, not signed yet. Slow to import."""

import io

import segno
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from node.pdf_font import load_font
from node.pdf_paper import Face
from node.store.connection_certificates import Certificate
from schemas.days import get_day
from schemas.texts.connection_certificates import SHEET

WIDTH, HEIGHT = A4
LEFT, RIGHT = 76.0, WIDTH - 76.0
INK, MUTED, BRAND, LINE = HexColor(0x16202C), HexColor(0x5B6775), HexColor(0x0B5394), HexColor(0xB9C6D4)
LABEL_WIDTH = 132.0
CODE_SIZE = 104.0


def draw_sheet(one: Certificate, address: str) -> bytes:
    """`address`: where it can be verified. Raises Unavailable where there is no font."""
    font, file = load_font(), io.BytesIO()
    canvas = Canvas(file, pagesize=A4, pageCompression=1, initialFontName=font.fontName)
    canvas.setTitle(f"{SHEET['title'][0]} {one.number}")
    canvas.setCreator("idnode")
    sheet = _Sheet(canvas, Face(font))
    sheet.frame()
    sheet.centre(HEIGHT - 132, SHEET["of_node"][0], 13, MUTED)
    sheet.centre(HEIGHT - 182, SHEET["title"][0], 34, BRAND)
    sheet.centre(HEIGHT - 204, SHEET["title"][1], 12, MUTED)
    y = sheet.paragraph(HEIGHT - 246, SHEET["statement"][0], 11.5, INK)
    y = sheet.paragraph(y - 2, SHEET["statement"][1], 8.5, MUTED) - 14
    for name, value in _list_facts(one):
        y = sheet.fact(y, SHEET[name], value)
    sheet.foot(address)
    canvas.save()
    return file.getvalue()


def _list_facts(one: Certificate) -> list[tuple[str, str]]:
    return [
        ("number", one.number),
        ("firm", one.enterprise),
        ("code", one.certificate_code),
        ("prefixes", ", ".join(one.prefixes)),
        ("node", one.node_name),
        ("connected_on", one.connected_on.isoformat()),
        ("issued_on", get_day(one.issued_at).isoformat()),
    ]


class _Sheet:
    """One page, drawn from above to below; every method answers where the next thing begins."""

    def __init__(self, canvas: Canvas, face: Face) -> None:
        self._canvas, self._face = canvas, face

    def frame(self) -> None:
        for inset, width in ((34, 2.2), (40, 0.6)):
            self._canvas.setStrokeColor(BRAND)
            self._canvas.setLineWidth(width)
            self._canvas.rect(inset, inset, WIDTH - 2 * inset, HEIGHT - 2 * inset, stroke=1, fill=0)

    def write(self, place: tuple[float, float], text: str, size: float, colour: HexColor) -> None:
        self._canvas.setFillColor(colour)
        self._canvas.setFont(self._face.name, size)
        self._canvas.drawString(*place, text)

    def centre(self, y: float, text: str, size: float, colour: HexColor) -> None:
        self.write(((WIDTH - self._face.measure(text, size)) / 2, y), text, size, colour)

    def paragraph(self, y: float, text: str, size: float, colour: HexColor, width: float = RIGHT - LEFT) -> float:
        for line in self._face.wrap(self._face.clean(text), width, size):
            self.write((LEFT, y), line, size, colour)
            y -= size * 1.55
        return y

    def fact(self, y: float, label: tuple[str, str], value: str) -> float:
        """A line of the table: its name in both languages, and what it says."""
        self.write((LEFT, y), label[0], 10.5, MUTED)
        self.write((LEFT, y - 11), label[1], 7, MUTED)
        width = RIGHT - LEFT - LABEL_WIDTH
        size = 12.5 if len(self._face.wrap(value, width, 12.5)) <= 3 else 7.5  # scores of prefixes
        at = y
        for line in self._face.wrap(self._face.clean(value), width, size):
            self.write((LEFT + LABEL_WIDTH, at - 2), line, size, INK)
            at -= size * 1.36
        y = min(at + size * 1.36, y - 11) - 9
        self._canvas.setStrokeColor(LINE)
        self._canvas.setLineWidth(0.5)
        self._canvas.line(LEFT, y, RIGHT, y)
        return y - 19

    def foot(self, address: str) -> None:
        """Code and address, and what the certificate does not say."""
        self._code(address, RIGHT - CODE_SIZE, 128)
        width = RIGHT - LEFT - CODE_SIZE - 26
        y = self.paragraph(216, " / ".join(SHEET["verify"]), 8.5, MUTED, width)
        self._canvas.linkURL(address, (LEFT, y - 3, LEFT + width, y + 9))
        y = self.paragraph(y, address, 8.5, BRAND, width) - 4
        y = self.paragraph(y, SHEET["limits"][0], 8, INK, width)
        y = self.paragraph(y, SHEET["limits"][1], 6.5, MUTED, width) - 3
        for text in SHEET["signed"]:
            y = self.paragraph(y, text, 6.5, MUTED, width)

    def _code(self, text: str, x: float, y: float) -> None:
        modules = [list(row) for row in segno.make_qr(text, error="m").matrix]
        step = CODE_SIZE / len(modules)
        self._canvas.setFillColor(INK)
        path = self._canvas.beginPath()
        for down, row in enumerate(modules):
            for across, dark in enumerate(row):
                if dark:
                    path.rect(x + across * step, y + CODE_SIZE - (down + 1) * step, step, step)
        self._canvas.drawPath(path, stroke=0, fill=1)
