"""Pages judged by axe, wide and at the width of a telephone; each kind of page once."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Error, Page

from tests.browser.walking import NARROW, WIDE, Person

SERIOUS = ("serious", "critical")
# Six rows of a table say what ninety would, and are judged in a fraction of the time.
_TRIM = """() => document.querySelectorAll('tbody tr:nth-child(n+7), .sheet .one:nth-child(n+4), option:nth-child(n+9)')
  .forEach(one => { if (!one.querySelector('[id]') && !one.selected) one.remove() })"""
_RUN = """(where) => axe.run(where, {resultTypes: ['violations']}).then(found => found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .map(one => one.id + ': ' + one.nodes[0].html.slice(0, 200)))"""
_LINKS = "() => [...document.querySelectorAll('nav.side a, main a, .links a')].map(one => one.href)"
_SHAPE = "() => [...document.querySelectorAll('main *')].map(one => one.tagName + '.' + one.className).join(' ')"


@dataclass(slots=True)
class Judge:
    """What was judged so far, and what was found: (who, path) → complaints."""

    seen: set[str] = field(default_factory=set)
    shapes: set[str] = field(default_factory=set)
    found: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    async def judge_all(self, person: Person, who: str, depth: int = 3, start: str = "/") -> None:
        """Every page that links lead to in so many steps."""
        paths, mine = [start], set[str]()
        for step in range(depth + 1):
            following = list[str]()
            for path in paths:
                kind = name_kind(path)
                # Where navigation leads differs from person to person; what lies behind, hardly ever.
                if kind in mine or (step > 1 and kind in self.seen):
                    continue
                mine.add(kind)
                self.seen.add(kind)
                following += await self._judge(person, who, path)
            paths = following

    async def _judge(self, person: Person, who: str, path: str) -> list[str]:
        """Where it leads."""
        try:
            answer = await person.page.goto(person.base + path)
        except Error as error:
            if "Download" in str(error):
                return []
            raise
        assert answer is not None
        assert answer.status < 500, path
        links = [
            link.removeprefix(person.base)
            for link in await person.page.evaluate(_LINKS)
            if link.startswith(person.base)
        ]
        await person.page.evaluate(_TRIM)
        shape = await person.page.evaluate(_SHAPE)
        if shape not in self.shapes:
            self.shapes.add(shape)
            found = [f"status {answer.status}"] * (answer.status != 200)
            if found := found + await find_serious(person.page, is_first=path == "/"):
                self.found[who, path] = found
        return links


async def find_serious(page: Page, *, is_first: bool = True) -> list[str]:
    """At both widths; the navigation, which wide pages have, on the first of somebody's pages alone."""
    await page.evaluate(AXE_SCRIPT)
    found = []
    for size in (NARROW, WIDE):
        where = "main" if size == WIDE and not is_first else "html"
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        found += [f"{size[0]}: {one}" for one in await page.evaluate(_RUN, where)]
        width = await page.evaluate("document.documentElement.scrollWidth")
        found += [f"{size[0]}: {width} wide"] * (width > size[0])
    return found


def name_kind(path: str) -> str:
    """Pages that differ only in what they show are of one kind."""
    parts = urlsplit(path)
    words = [value if name in ("action", "by") else name for name, value in parse_qsl(parts.query) if name != "lang"]
    return re.sub(r"[0-9a-f-]{36}|\d+", "#", parts.path) + "?" + "&".join(sorted(words))
