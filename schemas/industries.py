"""GB/T 4754-2017 with its first amendment: section letter / division / group / class, such as C/34/344/3441."""

import csv
from functools import cache
from importlib.resources import files

from schemas.errors import InvalidInput


@cache
def load_industries() -> dict[str, tuple[str, str]]:
    """Code → (parent code, Chinese name)."""
    return _load_table("industries.csv")


@cache
def load_divisions() -> dict[str, tuple[str, str]]:
    """GB/T 2260: code of a province, city or county → (parent code, Chinese name)."""
    return _load_table("divisions.csv")


def check_industry(text: str) -> tuple[str, str, str, str]:
    """Read `C/34/344/3441`; raise InvalidInput for codes unknown or not below each other."""
    if text.count("/") != 3:
        raise InvalidInput("industry_malformed", field="industry", text=text[:80])
    section, division, group, class_code = check_industry_path(text)
    return section, division, group, class_code


def check_industry_path(text: str) -> list[str]:
    """As `check_industry`, for one to four levels: `C/34` is known to other interfaces."""
    codes = [code.strip() for code in text.split("/")]
    if len(codes) > 4:
        raise InvalidInput("industry_malformed", field="industry", text=text[:80])
    table, parent = load_industries(), ""
    for code in codes:
        if code not in table:
            raise InvalidInput("industry_unknown", field="industry", industry=code[:20])
        if table[code][0] != parent:
            raise InvalidInput("industry_wrong_parent", field="industry", industry=code, parent=parent)
        parent = code
    return codes


def format_industry(path: str) -> str:
    """The name of the last level of `C/34`; the code itself where it is unknown."""
    code = path.rpartition("/")[2]
    return load_industries().get(code, ("", code))[1]


def find_division(text: str) -> str | None:
    """The six-digit code of a division given by code or by name; None if unknown or if the name is shared."""
    table = load_divisions()
    if text in table:
        return text
    found = [code for code, (_, name) in table.items() if name == text]
    return found[0] if len(found) == 1 else None


def format_division(code: str) -> str:
    """The full name, such as 江苏省宿迁市宿城区; an unknown code shows as itself."""
    table, names = load_divisions(), []
    while code in table:
        parent, name = table[code]
        names.append(name)
        code = parent
    return "".join(reversed(names)) or code


def _load_table(name: str) -> dict[str, tuple[str, str]]:
    with (files("schemas") / "tables" / name).open(encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        return {code: (parent, label) for code, parent, label in rows}
