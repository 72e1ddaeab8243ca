"""Pages judged by axe, wide and at the width of a telephone; each kind of page once."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

from tests.browser.walking import NARROW, WIDE, Person

# Six rows of a table say what ninety would, and are judged in a fraction of the time.
_TRIM = """page => page.querySelectorAll('tbody tr:nth-child(n+7), .sheet .one:nth-child(n+4), option:nth-child(n+9)')
  .forEach(one => { if (!one.querySelector('[id]') && !one.selected) one.remove() })"""
# Status, where its links lead and its shape, without showing it; no shape if it is no page.
_READ = f"""async path => {{
  const answer = await fetch(path)
  if (!answer.headers.get('content-type').startsWith('text/html')) return [answer.status, [], null]
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
  const links = page.querySelectorAll('nav.side a[href], main a[href], .links a[href]')
  const hrefs = [...links].map(one => new URL(one.getAttribute('href'), answer.url).href);
  ({_TRIM})(page)
  const shape = [...page.querySelectorAll('main *')].map(one => one.tagName + '.' + one.className).join()
  return [answer.status, hrefs, shape]
}}"""
# Of what was not visible before, or has other colours or letters now: the whole page at first.
_RUN = """async (where) => {
  const before = window.judged || new Map(), now = new Map()
  for (const one of document.querySelectorAll(where + ' *')) {
    const { color, backgroundColor, opacity, fontSize, fontWeight } = getComputedStyle(one)
    if (one.checkVisibility()) now.set(one, [color, backgroundColor, opacity, fontSize, fontWeight].join())
  }
  window.judged = new Map([...before, ...now])
  const fresh = [...now.keys()].filter(one => before.get(one) !== now.get(one))
  const width = document.documentElement.scrollWidth
  const found = width > innerWidth ? [width + ' wide'] : []
  if (!fresh.length) return found
  const grave = axe._audit.rules.filter(one => one.enabled && ['serious', 'critical'].includes(one.impact))
  const { violations } = await axe.run(before.size ? { include: fresh } : 'html', {
    resultTypes: ['violations'], runOnly: { type: 'rule', values: grave.map(one => one.id) } })
  return found.concat(violations.map(one => one.id + ': ' + one.nodes[0].html.slice(0, 200)))
}"""


@dataclass(slots=True)
class Judge:
    """What was judged so far, and what was found: (who, path) → complaints."""

    seen: set[str] = field(default_factory=set)
    shapes: set[str] = field(default_factory=set)
    found: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    async def judge_all(self, person: Person, who: str, depth: int = 3, start: str = "/") -> None:
        """Every page that links lead to in so many steps; the person is at one of them or another."""
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
        status, links, shape = await person.page.evaluate(_READ, person.base + path)
        assert status < 500, path
        found = [f"status {status}"] * (status != 200)
        if shape is not None and shape not in self.shapes:
            self.shapes.add(shape)
            await person.page.goto(person.base + path)
            await person.page.evaluate(f"({_TRIM})(document)")
            found += await find_serious(person.page, is_first=path == "/")
        if found:
            self.found[who, path] = found
        return [link.removeprefix(person.base) for link in links if link.startswith(person.base)]


async def prepare(page: Page) -> None:
    """Every page that is opened from now on brings axe along."""
    await page.context.add_init_script(AXE_SCRIPT)


async def find_serious(page: Page, *, is_first: bool = True) -> list[str]:
    """At both widths; the navigation, which wide pages have, on the first of somebody's pages alone."""
    found = []
    for size in (NARROW, WIDE):
        where = "main" if size == WIDE and not is_first else "body"
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        found += [f"{size[0]}: {one}" for one in await page.evaluate(_RUN, where)]
    return found


def name_kind(path: str) -> str:
    """Pages that differ only in what they show are of one kind."""
    parts = urlsplit(path)
    words = [value if name in ("action", "by") else name for name, value in parse_qsl(parts.query) if name != "lang"]
    return re.sub(r"[0-9a-f-]{36}|\d+", "#", parts.path) + "?" + "&".join(sorted(words))
