"""Pages of a PDF: headings, notes, tables that run over pages, charts; every page numbered. Measures are in points.

Every cell of a table is one text object, so that what reads the file finds the cells again.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from node.charts import PLOT_HEIGHT, Bar, Trend
from node.wording import say
from schemas.texts.statistics import LABELS

if TYPE_CHECKING:
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

Cell = str | float
A4, A3 = (841.89, 595.28), (1190.55, 841.89)  # across
MARGIN, FOOT = 34.0, 26.0
SIZE, LEADING, PAD = 7.0, 9.2, 3.0  # of tables
INK, MUTED, BRAND, PALE, LINE = 0x16202C, 0x5B6775, 0x0B5394, 0xF3F6F9, 0xD5DCE4
TONES = {"good": 0x1A6B3C, "bad": 0xA61B1B, "info": BRAND, "": 0x8593A3}
LEAST_TEXT, GOOD_TEXT = 44.0, 90.0  # how narrow a column of texts may become, and how wide it is read well
_WORD = re.compile(r"[!-~]+", re.ASCII)  # codes and names that are read in one piece
_CLOSING = frozenset("，。；：、）》」”！？,.;:)]}%")
_ESCAPES = str.maketrans({"\\": "\\\\", "(": "\\(", ")": "\\)"})
_ZEROS = str.maketrans("123456789", "0" * 9)


@dataclass(frozen=True, slots=True)
class Face:
    """A font that measures and breaks what it is asked to draw; it remembers widths, since cells repeat."""

    font: "TTFont"
    _widths: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.font.fontName)

    def clean(self, text: str) -> str:
        """Signs the font does not have are told by their numbers: a box says nothing."""
        known = self.font.face.charToGlyph
        if known.keys() >= {*map(ord, text)}:
            return text
        return "".join(s if ord(s) in known else " " if s.isspace() else f"[U+{ord(s):04X}]" for s in text)

    def measure(self, text: str, size: float) -> float:
        width = self._widths.get(text)
        if width is None:
            widths, missing = self.font.face.charWidths, self.font.face.defaultWidth
            width = self._widths[text] = sum([widths.get(ord(sign), missing) for sign in text]) / 1000.0
        return width * size

    def has_even_digits(self) -> bool:
        """Whether all are equally wide, and so all numbers of one length."""
        return len({self.font.face.charWidths.get(ord(digit)) for digit in "0123456789"}) == 1

    def wrap(self, text: str, width: float, size: float) -> list[str]:
        """Lines no wider than that; broken at blanks, between Chinese signs, and within a word only if it must be."""
        if self.measure(text, size) <= width:
            return [text]
        widths, missing = self.font.face.charWidths, self.font.face.defaultWidth
        lines, line, used, at = [], "", 0.0, 0  # at: where the line may be broken
        for sign in text:
            step = widths.get(ord(sign), missing) * size / 1000.0
            if line and used + step > width and sign not in _CLOSING:
                cut = at or len(line)
                lines.append(line[:cut].rstrip())
                line = line[cut:].lstrip()
                used, at = self.measure(line, size), 0
            line += sign
            used += step
            if sign in " /-_,·|" or ord(sign) > 0x2E7F or (sign in _CLOSING and at == len(line) - 1):
                at = len(line)
        return [*lines, line]


class Paper:
    """A document being drawn from above to below; `finish` gives its bytes."""

    def __init__(self, font: "TTFont", title: str, language: str, size: tuple[float, float] = A4) -> None:
        from reportlab.pdfgen.canvas import Canvas

        self._file = io.BytesIO()
        self.face, self.width, self.height = Face(font), *size
        self._canvas: Canvas = Canvas(self._file, pagesize=size, pageCompression=1, initialFontName=self.face.name)
        self._canvas.setTitle(title)
        self._canvas.setCreator("idnode")
        self._title, self._language, self._number = self.face.clean(title), language, 0
        font.splitString("", self._canvas._doc)
        self._ascii = font.getSubsetInternalName(0, self._canvas._doc)
        self._encoded: dict[tuple[float, str], str] = {}
        self.y = 0.0
        self._begin_page()

    @property
    def canvas(self) -> "Canvas":
        return self._canvas

    @property
    def inner(self) -> float:
        """The width between the margins."""
        return self.width - 2 * MARGIN

    def _begin_page(self) -> None:
        self._number += 1
        self.y = self.height - MARGIN

    def _end_page(self) -> None:
        """The number of all pages is known at the end: it is a form that is drawn later."""
        canvas = self._canvas
        self.write(MARGIN, FOOT - 8, self._title[:90], 6.5, MUTED)
        before, after = self._say_page()
        x = self.width - MARGIN - self.face.measure(f"{before}0000{after}", 6.5)
        self.write(x, FOOT - 8, before, 6.5, MUTED)
        canvas.saveState()
        canvas.translate(x + self.face.measure(before, 6.5), FOOT - 8)
        canvas.doForm("total")
        canvas.restoreState()
        canvas.showPage()

    def _say_page(self) -> tuple[str, str]:
        """What stands before and after the number of all pages."""
        before, _, after = say(LABELS["page"], self._language, number=self._number, total="\0").partition("\0")
        return before, after

    def new_page(self) -> None:
        self._end_page()
        self._begin_page()

    def need(self, height: float) -> bool:
        """Begin a page if so much does not fit on this one; whether it did."""
        if self.y - height >= MARGIN + 6 or self.y >= self.height - MARGIN:
            return False
        self.new_page()
        return True

    def finish(self) -> bytes:
        self._end_page()
        _, after = self._say_page()
        self._canvas.beginForm("total", 0, -3, 200, 12)
        self.write(0, 0, f"{self._number}{after}", 6.5, MUTED)
        self._canvas.endForm()
        self._canvas.save()
        return self._file.getvalue()

    def write(self, x: float, y: float, text: str, size: float, colour: int = INK) -> None:
        self.fill(colour)
        self.show(x, y, [text], size)

    def fill(self, colour: int) -> None:
        """The colour of all that follows."""
        self._canvas._code.append(_say_colour(colour))

    def show(self, x: float, y: float, lines: Sequence[str], size: float = SIZE) -> None:
        """One text object, in the colour that is set. Many times as fast as the canvas' own."""
        self._canvas._code.append(f"BT 1 0 0 1 {x:.2f} {y:.2f} Tm {self.say_lines(lines, size)} ET")

    def say_lines(self, lines: Sequence[str], size: float, to_right: bool = False) -> str:
        """The operators that show one line below the other, from the left or up to the right."""
        shown = [self._encode(lines[0], size)]
        for before, line in pairwise(lines):
            step = self.face.measure(before, size) - self.face.measure(line, size) if to_right else 0.0
            shown += [f"{step:.2f} {-LEADING:.2f} Td", self._encode(line, size)]
        return " ".join(shown)

    def _encode(self, text: str, size: float) -> str:
        """Operators that show a line; a font of many signs is embedded in several parts, each with a name.

        The first part has the signs of ASCII in their own places.
        """
        if text.isascii() and text.isprintable():
            return f"{self._ascii} {size:g} Tf ({text.translate(_ESCAPES)}) Tj"
        key = size, text
        if key not in self._encoded:
            font, canvas = self.face.font, self._canvas
            self._encoded[key] = " ".join(
                f"{font.getSubsetInternalName(part, canvas._doc)} {size:g} Tf ({canvas._escape(code)}) Tj"
                for part, code in font.splitString(text, canvas._doc)
            )
        return self._encoded[key]

    def write_right(self, x: float, y: float, text: str, size: float, colour: int = INK) -> None:
        self.write(x - self.face.measure(text, size), y, text, size, colour)

    def box(self, place: tuple[float, float, float, float], colour: int) -> None:
        """`place`: x and y of the lower left corner, width, height; one without width would still be a line."""
        if place[2] <= 0:
            return
        self.fill(colour)
        self._canvas._code.append("n {:.2f} {:.2f} {:.2f} {:.2f} re f".format(*place))

    def heading(self, text: str, size: float = 15.0) -> None:
        self.need(size * 3)
        self.y -= size
        self.write(MARGIN, self.y, self.face.clean(text), size, INK if size > 12 else BRAND)
        self.y -= size * 0.6

    def notes(self, rows: Iterable[Sequence[Cell]], labels_width: float = 150.0) -> None:
        """Rows of texts: the first one names, the others follow in one paragraph."""
        for row in rows:
            label, *rest = (self.face.clean(str(cell)) for cell in row)
            lines = self.face.wrap("  ·  ".join(part for part in rest if part), self.inner - labels_width - 8, 7.5)
            names = self.face.wrap(label, labels_width, 7.5)
            self.need(max(len(lines), len(names)) * 10.5 + 2)
            for at, line in enumerate(names):
                self.write(MARGIN, self.y - 8 - at * 10.5, line, 7.5, MUTED)
            for at, line in enumerate(lines):
                self.write(MARGIN + labels_width + 8, self.y - 8 - at * 10.5, line, 7.5)
            self.y -= max(len(lines), len(names)) * 10.5 + 2

    def table(self, cells: "Cells", last_is_sum: bool = False) -> None:
        """The first row is repeated on every page; numbers stand to the right, with commas."""
        table = _Table(self, cells, fit_columns(cells, self.inner))
        last = len(cells.body) - 1
        for number, row in enumerate(cells.body):
            table.draw(row, "sum" if last_is_sum and number == last else ("", "odd")[number % 2])
        self.y -= 6

    def trend(self, trend: Trend, title: str, place: tuple[float, float]) -> None:
        """A line over its days; `place`: x and width. The caller makes room of CHART_HEIGHT."""
        x, width = place
        canvas, top = self._canvas, self.y - 22
        plot_x, plot_width, height = x + 44, width - 50, CHART_HEIGHT - 44
        self.write(x, self.y - 10, self.face.clean(title), 8.5, BRAND)
        scale = height / PLOT_HEIGHT
        canvas.setLineWidth(0.4)
        for y, value in trend.grid:
            canvas.setStrokeColor(_colour(LINE))
            canvas.line(plot_x, top - y * scale, plot_x + plot_width, top - y * scale)
            self.write_right(plot_x - 4, top - y * scale - 2, f"{value:,}", 6.5, MUTED)
        points = [tuple(map(float, point.split(","))) for point in trend.points.split()]
        path = canvas.beginPath()
        for at, (px, py) in enumerate(points):
            (path.lineTo if at else path.moveTo)(plot_x + px * plot_width / 1000, top - py * scale)
        canvas.setStrokeColor(_colour(BRAND))
        canvas.setLineWidth(1.2)
        canvas.drawPath(path, stroke=1, fill=0)
        below = top - height - 10
        first, middle, last = trend.days
        self.write(plot_x, below, first, 6.5, MUTED)
        self.write(plot_x + plot_width / 2 - self.face.measure(middle, 6.5) / 2, below, middle, 6.5, MUTED)
        self.write_right(plot_x + plot_width, below, last, 6.5, MUTED)

    def rank(self, ranked: Sequence[tuple[str, int, Bar]], title: str, place: tuple[float, float]) -> None:
        """Bars with their names and values, as many as fit beside a trend."""
        x, width = place
        self.write(x, self.y - 10, self.face.clean(title), 8.5, BRAND)
        step = (CHART_HEIGHT - 22) / 10
        for at, (name, value, bar) in enumerate(ranked[:10]):
            y = self.y - 22 - at * step
            shown = self.face.wrap(self.face.clean(name), width * 0.36 - 4, 6.5)
            self.write(x, y - 6, shown[0] + ("…" if len(shown) > 1 else ""), 6.5)
            self.box((x + width * 0.36, y - 7, width * 0.46, 7), PALE)
            self.box((x + width * 0.36, y - 7, width * 0.46 * bar.width / 100, 7), BRAND)
            self.write_right(x + width, y - 6, f"{value:,}", 6.5)

    def progress(self, name: str, texts: tuple[str, str], bar: Bar, tone: str) -> None:
        """One target: its name, a bar with the target's mark, figure and state in words."""
        self.need(13)
        y, start, width = self.y - 10, MARGIN + self.inner * 0.3, self.inner * 0.36
        shown = self.face.wrap(self.face.clean(name), self.inner * 0.3 - 6, 7.0)
        self.write(MARGIN, y, shown[0] + ("…" if len(shown) > 1 else ""), 7.0)
        self.box((start, y, width, 7), PALE)
        if bar.expected is not None:
            self.box((start, y, width * bar.expected / 100, 7), 0xB3D1EE)
        self.box((start, y, width * bar.width / 100, 7), TONES[tone])
        self._canvas.setStrokeColor(_colour(INK))
        self._canvas.setLineWidth(1)
        self._canvas.line(start + width * bar.mark / 100, y - 1.5, start + width * bar.mark / 100, y + 8.5)
        self.write(start + width + 8, y, self.face.clean(texts[0]), 7.0)
        self.write(start + width + 8 + self.inner * 0.16, y, self.face.clean(texts[1]), 7.0, TONES[tone])
        self.y -= 13


CHART_HEIGHT = 150.0


@dataclass(frozen=True, slots=True)
class Cells:
    """What a table says: each text with its width in the table's size, measured once."""

    head: list[tuple[str, float]]
    body: list[list[tuple[str, float]]]
    numeric: list[bool]  # by column
    words: list[float]  # by column, the widest word


def lay_out(face: Face, rows: Sequence[Sequence[Cell]]) -> Cells:
    """The first row is the head."""
    alike = _ZEROS if face.has_even_digits() else {}
    head, *body = [[_measure_cell(cell, face, alike) for cell in row] for row in rows]
    numeric = [any(not isinstance(row[at], str) for row in rows[1:]) for at in range(len(head))]
    words = [0.0] * len(head)
    for at, is_number in enumerate(numeric):
        if not is_number:
            found = {word for text in {row[at][0] for row in body} for word in _WORD.findall(text)}
            words[at] = max((face.measure(word, SIZE) for word in found), default=0.0)
    return Cells(head, body, numeric, words)


def _measure_cell(cell: Cell, face: Face, alike: Mapping[int, int]) -> tuple[str, float]:
    """A number with commas, a text with signs the font has; `alike`: digits that need not be told apart."""
    if not isinstance(cell, str):
        text = f"{cell:,}" if isinstance(cell, int) else f"{cell:,.3f}"
        return text, face.measure(text.translate(alike), SIZE)
    text = face.clean(cell)
    return text, face.measure(text, SIZE)


@dataclass(slots=True)
class _Table:
    """Rows of one table, on as many pages as they take; its head stands above the first row of each."""

    paper: Paper
    cells: Cells
    widths: Sequence[float]
    begun: bool = False
    _places: dict[tuple[int, float], str] = field(default_factory=dict)  # they repeat

    def draw(self, row: Sequence[tuple[str, float]], kind: str) -> None:
        lines = self._break(row)
        if self.paper.need(max(map(len, lines)) * LEADING + 3 + (0 if self.begun else 4 * LEADING)) or not self.begun:
            self._put(self.cells.head, self._break(self.cells.head), "head")
        self.begun = True
        self._put(row, lines, kind)

    def _break(self, row: Sequence[tuple[str, float]]) -> list[list[str]]:
        wrap = self.paper.face.wrap
        return [
            [text] if wide <= width - 2 * PAD else wrap(text, width - 2 * PAD, SIZE)
            for (text, wide), width in zip(row, self.widths, strict=True)
        ]

    def _put(self, row: Sequence[tuple[str, float]], cells: Sequence[Sequence[str]], kind: str) -> None:
        paper = self.paper
        height = max(map(len, cells)) * LEADING + 3
        background = {"head": BRAND, "odd": PALE, "sum": 0xDDE7F1}.get(kind)
        if background is not None:
            paper.box((MARGIN, paper.y - height, sum(self.widths), height), background)
        paper.fill(0xFFFFFF if kind == "head" else INK)
        y, code = f"{paper.y - LEADING + 0.8:.2f}", paper.canvas._code
        for at, ((text, wide), lines) in enumerate(zip(row, cells, strict=True)):
            if text:
                is_number = self.cells.numeric[at]
                first = wide if len(lines) == 1 else paper.face.measure(lines[0], SIZE)
                x = self._place(at, first if is_number else 0.0)
                code.append(f"BT 1 0 0 1 {x} {y} Tm {paper.say_lines(lines, SIZE, is_number)} ET")
        paper.y -= height

    def _place(self, at: int, wide: float) -> str:
        """Where a text of a column begins: a number so wide, or any other text (0)."""
        if (at, wide) not in self._places:
            left = MARGIN + sum(self.widths[:at])
            self._places[at, wide] = f"{left + self.widths[at] - PAD - wide if wide else left + PAD:.2f}"
        return self._places[at, wide]


def fit_columns(cells: Cells, room: float) -> list[float]:
    """Widths that fill the room: numbers in one line, texts broken where there is not enough of it."""
    natural, least = measure_columns(cells)
    if sum(natural) <= room:
        spare = (room - sum(natural)) / len(natural)
        return [width + min(spare, 30.0) for width in natural]
    fixed = sum(width for width, is_number in zip(natural, cells.numeric, strict=True) if is_number)
    low = sum(least) - fixed
    if fixed + low > room:  # numbers stay whole as long as anything else can give way
        part = max(room - fixed, room / 10) / max(low, 1.0)
        cut = [width if is_number else width * part for width, is_number in zip(least, cells.numeric, strict=True)]
        return [width * min(1.0, room / sum(cut)) for width in cut]
    elastic = sum(natural) - sum(least)
    share = (room - sum(least)) / elastic if elastic else 0.0
    return [small + (wide - small) * share for small, wide in zip(least, natural, strict=True)]


def measure_columns(cells: Cells) -> tuple[list[float], list[float]]:
    """How wide each column would be without breaks, and how narrow it may become."""
    natural, least = [], []
    for at, (_, heading) in enumerate(cells.head):
        heading += 2 * PAD
        widest = max((row[at][1] for row in cells.body), default=0.0) + 2 * PAD
        is_number = cells.numeric[at]
        low = widest if is_number else min(widest, max(LEAST_TEXT, min(cells.words[at] + 2 * PAD, GOOD_TEXT)))
        low = max(low, min(heading, 30.0))
        wide = max(low, widest, min(heading, 64.0))
        natural.append(wide)
        least.append(wide if is_number else low)
    return natural, least


def choose_size(cells: Cells) -> tuple[float, float]:
    """A4 if all columns of a table fit there with few of their texts broken, else A3."""
    natural, _ = measure_columns(cells)
    return A4 if sum(min(width, GOOD_TEXT) for width in natural) <= A4[0] - 2 * MARGIN else A3


@lru_cache
def _colour(value: int) -> Any:
    from reportlab.lib.colors import HexColor

    return HexColor(value)


@lru_cache
def _say_colour(value: int) -> str:
    """The operator that fills with a colour."""
    return " ".join(f"{(value >> shift & 255) / 255:.4g}" for shift in (16, 8, 0)) + " rg"
