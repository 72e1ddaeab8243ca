"""What a spreadsheet shows for a number: the display formats of ECMA-376 part 1, §18.8.30–31.

Dates are not shown as displayed but as yyyy-MM-dd, with the time if there is one and the format shows it.
"""

import operator
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import NamedTuple

from registry.tables.model import CellNote

Shown = tuple[str, CellNote | None]
FIRST_ROUNDED = 10**15  # a spreadsheet keeps 15 digits; from the 16th on it writes zeros
MEMO_SIZE = 4_096
_LAST_SERIAL = 2_958_466  # the day after 9999-12-31
_WIDE = Context(prec=700)  # 1E+308 with every place a format can ask for

ERROR_NOTE = CellNote(problem="cell_error")
FORMULA_NOTE = CellNote(problem="cell_formula_without_value")
_ROUNDED_NOTE = CellNote(identifier_problem="number_rounded")

# The formats that have a number but no text in the file. 27–36 and 50–58 are the dates of Chinese Excel.
BUILTIN_FORMATS = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: "¥#,##0;-¥#,##0", 6: "¥#,##0;-¥#,##0",
    7: "¥#,##0.00;-¥#,##0.00", 8: "¥#,##0.00;-¥#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 14: "yyyy/m/d", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy/m/d h:mm", 37: "#,##0;-#,##0", 38: "#,##0;-#,##0",
    39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00", 41: "#,##0;-#,##0;-", 42: "¥#,##0;-¥#,##0;-",
    43: "#,##0.00;-#,##0.00;-", 44: "¥#,##0.00;-¥#,##0.00;-", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0",
    48: "##0.0E+0", 49: "@",
    **dict.fromkeys((27, 28, 29, 30, 31, 36, 50, 51, 52, 53, 54, 57, 58), "yyyy-m-d"),
    **dict.fromkeys((32, 33, 34, 35, 55, 56), "h:mm:ss"),
}  # fmt: skip

_GENERAL = re.compile(r"general|g/通用格式", re.IGNORECASE)
_TOKEN = re.compile(
    r'"([^"]*)"?|[\\!](.)|_(.)|\*(.)|\[([^\]]*)\]|(general|g/通用格式)|(e[+-])|(am/pm|a/p|上午/下午)|(.)',
    re.IGNORECASE | re.DOTALL,
)


_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)", re.ASCII)
_COMPARE: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "<>": operator.ne,
}  # fmt: skip


class _Token(NamedTuple):
    """`kind`: literal, general, exponent, elapsed, condition or symbol."""

    kind: str
    text: str


def compile_format(code: str, is_1904: bool = False) -> Callable[[str], Shown]:
    """A function from the number as it stands in the file to what is shown and what must be noted about it."""
    sections = _split_sections(code)
    show_number = _compile_dates(sections[0], is_1904) if _is_date(sections[0]) else _compile_numbers(sections)
    memo: dict[str, Shown] = {}

    def show(raw: str) -> Shown:
        shown = memo.get(raw)
        if shown is None:
            shown = _show(raw, show_number)
            if len(memo) < MEMO_SIZE:
                memo[raw] = shown
        return shown

    return show


@lru_cache(maxsize=1_024)
def compile_text_format(code: str) -> Callable[[str], str] | None:
    """What is shown for a text, such as 批A1 for A1 under `"批"@`; None where it is shown as it is."""
    sections = _split_sections(code)
    last = sections[-1]
    shown = [t for t in last if t.kind == "literal" or t == ("symbol", "@")]
    if shown == [("symbol", "@")] or (len(sections) < 4 and ("symbol", "@") not in last):
        return None
    return lambda text: "".join(text if t.kind == "symbol" else t.text for t in shown)


def _show(raw: str, show_number: Callable[[Decimal], Shown]) -> Shown:
    try:
        # A spreadsheet computes with 15 digits; what follows them in the file is binary noise.
        number = Decimal(f"{float(raw):.15g}")
    except ValueError:
        return raw, ERROR_NOTE
    if not number.is_finite():
        return raw, ERROR_NOTE
    return show_number(number)


def _split_sections(code: str) -> list[list[_Token]]:
    sections: list[list[_Token]] = [[]]
    for found in _TOKEN.finditer(code):
        quoted, escaped, _, _, bracket, general, exponent, clock, symbol = found.groups()
        if quoted is not None or escaped is not None:
            sections[-1].append(_Token("literal", quoted if quoted is not None else escaped))
        elif bracket is not None:
            sections[-1].extend(_read_bracket(bracket))
        elif general:
            sections[-1].append(_Token("general", general))
        elif exponent:
            sections[-1].append(_Token("exponent", exponent))
        elif clock:
            sections[-1].append(_Token("symbol", "h"))
        elif symbol == ";":
            sections.append([])
        elif symbol is not None:
            sections[-1].append(_Token("symbol", symbol))
    return sections


def _read_bracket(text: str) -> list[_Token]:
    """[h] counts hours on, [$¥-804] is a currency, [<100] a condition; [Red] and [DBNum1] show nothing themselves."""
    if text.lower().strip("hms") == "" and text:
        return [_Token("elapsed", text.lower()[0])]
    if text.startswith("$"):
        return [_Token("literal", text[1:].partition("-")[0])]
    return [_Token("condition", text)] if _CONDITION.fullmatch(text) else []


def _is_date(section: list[_Token]) -> bool:
    symbols = "".join(t.text.lower() for t in section if t.kind == "symbol")
    # aaa and aaaa are the weekday in Chinese.
    return any(t.kind == "elapsed" for t in section) or any(c in "ymdhs" for c in symbols) or "aaa" in symbols


def _compile_dates(section: list[_Token], is_1904: bool) -> Callable[[Decimal], Shown]:
    letters = {t.text.lower() for t in section if t.kind in ("symbol", "elapsed")}
    has_time = bool(letters & {"h", "s"})
    has_day = bool(letters & {"y", "d"}) or not has_time
    elapsed = any(t.kind == "elapsed" for t in section)

    def show(number: Decimal) -> Shown:
        if elapsed or not has_day:
            return _show_time(number, elapsed)
        moment = read_serial(float(number), is_1904)
        if moment is None:
            return "########", ERROR_NOTE
        if has_time and moment.time() != datetime.min.time():
            return moment.isoformat(timespec="seconds"), None
        return moment.date().isoformat(), None

    return show


def read_serial(serial: float, is_1904: bool) -> datetime | None:
    """The moment a spreadsheet means, to the second; None outside the years it can show. 1900 had no 29 February."""
    if not 0 <= serial < _LAST_SERIAL:
        return None
    first_day = date(1904, 1, 1) if is_1904 else date(1899, 12, 30)
    if not is_1904 and serial < 60:
        first_day = date(1899, 12, 31)
    seconds = round(serial * 86_400)
    moment = datetime(first_day.year, first_day.month, first_day.day) + timedelta(seconds=seconds)
    return moment if moment.year <= 9_999 else None


def _show_time(number: Decimal, elapsed: bool) -> Shown:
    if not 0 <= number < _LAST_SERIAL:
        return "########", ERROR_NOTE
    seconds = round(float(number) * 86_400)
    hours = seconds // 3_600 if elapsed else seconds // 3_600 % 24
    return f"{hours:02}:{seconds // 60 % 60:02}:{seconds % 60:02}", None


def _compile_numbers(sections: list[list[_Token]]) -> Callable[[Decimal], Shown]:
    conditions = [next((t.text for t in section if t.kind == "condition"), None) for section in sections[:2]]
    plain = [[t for t in section if t.kind != "condition"] for section in sections]
    choose = _choose_section if not any(conditions) else _make_chooser(conditions)

    def show(number: Decimal) -> Shown:
        section, shown_number = choose(plain, number)
        text = _format_section(section, shown_number).strip()
        return text, _note(number, text)

    return show


def _choose_section(sections: list[list[_Token]], number: Decimal) -> tuple[list[_Token], Decimal]:
    if number < 0 and len(sections) > 1:
        return sections[1], -number
    if number == 0 and len(sections) > 2:
        return sections[2], number
    return sections[0], number


def _make_chooser(
    conditions: list[str | None],
) -> Callable[[list[list[_Token]], Decimal], tuple[list[_Token], Decimal]]:
    """For formats such as `[<=9999999]000-0000;(000) 000-0000`: the first section whose condition holds."""
    tests = [_CONDITION.fullmatch(text or "<0") for text in conditions]

    def choose(sections: list[list[_Token]], number: Decimal) -> tuple[list[_Token], Decimal]:
        for section, test in zip(sections, tests, strict=False):
            if test and _COMPARE[test[1]](number, Decimal(test[2])):
                return section, number
        return sections[min(len(sections), 3) - 1], number

    return choose


def _note(number: Decimal, text: str) -> CellNote | None:
    if abs(number) >= FIRST_ROUNDED:
        return _ROUNDED_NOTE
    plain = f"{number:f}"
    whole = number == number.to_integral_value()
    if whole and text == plain:
        return None
    return CellNote(None, None if whole else "number_has_fraction", None if plain == text else plain)


def format_general(number: Decimal) -> str:
    """Eleven characters as on the screen, but whole numbers in full up to their 15 digits, as the input line shows."""
    if number == number.to_integral_value() and abs(number) < FIRST_ROUNDED:
        return f"{number:.0f}"
    magnitude = abs(number)
    if magnitude >= FIRST_ROUNDED or magnitude < Decimal("0.0001"):
        mantissa, _, exponent = f"{number:.14E}".partition("E")
        return f"{mantissa.rstrip('0').rstrip('.')}E{exponent[0]}{exponent[1:].zfill(2)}"
    places = max(10 - len(str(int(magnitude))), 0)
    text = f"{_round(number, places):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _round(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP, context=_WIDE)


def _format_section(section: list[_Token], number: Decimal) -> str:
    symbols = [t.text for t in section if t.kind == "symbol"]
    if not any(s in "0#?@" for s in symbols) or "/" in symbols:
        return _format_around_general(section, number)
    if any(t.kind == "exponent" for t in section):
        return _format_exponent(section, number)
    if "@" in symbols:
        return "".join(format_general(number) if t.text == "@" else t.text for t in section)
    return _format_places(section, number)


def _format_around_general(section: list[_Token], number: Decimal) -> str:
    """`General"件"`, plain literals, and fractions such as # ?/?, which are shown as decimals."""
    if any(t.kind == "symbol" and t.text in "0#?" for t in section):
        return format_general(number)
    if not section:
        return ""
    sign = "-" if number < 0 and not any(t.kind == "general" for t in section) else ""
    return sign + "".join(format_general(number) if t.kind == "general" else t.text for t in section)


def _format_exponent(section: list[_Token], number: Decimal) -> str:
    at = next(i for i, t in enumerate(section) if t.kind == "exponent")
    head = "".join(t.text for t in section[:at] if t.kind == "symbol")
    places = sum(c in "0#?" for c in head.partition(".")[2])
    width = sum(t.text in "0#?" for t in section[at:] if t.kind == "symbol")
    mantissa, _, exponent = f"{number:.{places}E}".partition("E")
    sign = "-" if exponent[0] == "-" else ("+" if "+" in section[at].text else "")
    return f"{mantissa}E{sign}{exponent[1:].zfill(width)}"


def _format_places(section: list[_Token], number: Decimal) -> str:
    point = next((i for i, t in enumerate(section) if t == ("symbol", ".")), len(section))
    places = sum(1 for t in section[point:] if _is_place(t))
    last_place = max(i for i, t in enumerate(section) if _is_place(t))
    commas = [i for i, t in enumerate(section) if t == ("symbol", ",")]
    scaling = sum(1 for i in commas if i > last_place or i == point - 1)
    first_place = min(i for i, t in enumerate(section) if _is_place(t))
    grouped = any(first_place < i < point - 1 and i < last_place for i in commas)
    percents = sum(1 for t in section if t == ("symbol", "%"))
    rounded = _round(abs(number).scaleb(2 * percents - 3 * scaling), places)
    whole, _, fraction = f"{rounded:f}".partition(".")
    head = _fill_whole(section[:point], "" if whole == "0" else whole, grouped)
    tail = _fill_fraction(section[point:], fraction)
    return ("-" if number < 0 and rounded != 0 else "") + head + tail


def _is_place(token: _Token) -> bool:
    return token.kind == "symbol" and token.text in "0#?"


def _fill_whole(tokens: list[_Token], digits: str, grouped: bool) -> str:
    """Digits go into the places from the right; the leftmost place takes all that remain."""
    out: list[str] = []
    left, emitted = digits, 0
    places_left = sum(map(_is_place, tokens))
    for token in reversed(tokens):
        if not _is_place(token):
            out.append("" if token == ("symbol", ",") else token.text)
            continue
        places_left -= 1
        take = max(len(left), 1) if places_left == 0 else 1
        for _ in range(take):
            digit = left[-1:] or {"0": "0", "?": " ", "#": ""}[token.text]
            left = left[:-1]
            if digit:
                out.append("," if grouped and emitted and emitted % 3 == 0 else "")
                out.append(digit)
                emitted += 1
    return "".join(reversed(out))


def _fill_fraction(tokens: list[_Token], fraction: str) -> str:
    out: list[str] = []
    position = 0
    for token in tokens:
        if _is_place(token):
            rest = fraction[position:]
            blank = not rest.strip("0")
            out.append(rest[0] if token.text == "0" or not blank else ("" if token.text == "#" else " "))
            position += 1
        elif token != ("symbol", ","):
            out.append(token.text)
    return "".join(out)
