"""Walking the console as a reader does: the links and forms of a page, and every page that links lead to."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

from tests.registry.console_world import ROOT, Page, Visitor


@dataclass(slots=True)
class Control:
    """A field of a form; `options` of a select, radio buttons of one name are one control."""

    name: str
    kind: str
    value: str = ""
    options: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FoundForm:
    """`address` is where it is sent to, below the console; `page` where it stands."""

    page: str
    method: str
    address: str
    controls: dict[str, Control] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, str]:
        """What a browser sends if nothing is touched; files and the token apart."""
        return {
            name: one.value for name, one in self.controls.items() if one.kind != "file" and name not in ("", "token")
        }

    @property
    def shape(self) -> tuple[str, ...]:
        return (hide_numbers(urlsplit(self.address).path), *sorted(self.controls))


class PageReader(HTMLParser):
    """Links and forms of one page, addresses resolved."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at, self.links, self.forms = ROOT + at, [], []
        self._form: FoundForm | None = None
        self._select: Control | None = None
        self._area: Control | None = None

    links: list[str]
    forms: list[FoundForm]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and given.get("href"):
            self.links.append(urljoin(self.at, given["href"]))
        elif tag == "form":
            address = urljoin(self.at, given.get("action") or self.at)
            self._form = FoundForm(self.at, given.get("method", "get").upper(), address)
            self.forms.append(self._form)
        elif self._form is not None and tag in ("input", "textarea", "select", "button"):
            self._add_control(self._form, tag, given)
        elif tag == "option" and self._select is not None:
            self._select.options.append(given.get("value", ""))
            if "selected" in given or len(self._select.options) == 1:
                self._select.value = given.get("value", "")

    def _add_control(self, form: FoundForm, tag: str, given: dict[str, str]) -> None:
        name, kind = given.get("name", ""), given.get("type", "text") if tag == "input" else tag
        if not name:
            return
        found = form.controls.setdefault(name, Control(name, kind, attributes=given))
        if kind in ("checkbox", "radio"):
            found.options.append(given.get("value", "on"))
            found.value = given.get("value", "on") if "checked" in given else found.value
        elif kind != "button":
            found.value = given.get("value", "")
        self._select, self._area = (found if tag == "select" else None), (found if tag == "textarea" else None)

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area.value += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None


def read_page(page: Page, at: str) -> PageReader:
    reader = PageReader(at)
    reader.feed(page.text)
    return reader


def slug(name: str) -> str:
    """What the element of a field is called."""
    return "f-" + name.replace(".", "-").replace("[", "-").replace("]", "")


def list_problems(page: Page) -> set[str]:
    """Elements of the fields beside which something is said to be wrong."""
    return set(re.findall(r'<p class="problem" id="([^"]*)-problem"', page.text))


def hide_numbers(path: str) -> str:
    """The path with numbers and ids taken out of it: what pages of one kind have in common."""
    return "/".join("{}" if part.isdigit() or len(part) == 36 else part for part in path.split("/"))


def is_ours(link: str) -> bool:
    """A page of the console, and not the same one in the other language."""
    return link.startswith(f"{ROOT}/") and "lang" not in dict(parse_qsl(urlsplit(link).query))


def list_links(page: Page, at: str) -> Iterator[str]:
    """Paths below the console that a page leads to, without those within it."""
    for link in read_page(page, at).links:
        if is_ours(link):
            yield link.removeprefix(ROOT).partition("#")[0]


def shape_link(path: str) -> str:
    """What links of one kind have in common: the path without numbers, the names asked for, and actions."""
    split = urlsplit(path)
    asked = sorted(f"{name}={text if name in ('action', 'by') else ''}" for name, text in parse_qsl(split.query))
    return f"{hide_numbers(split.path)}?{'&'.join(asked)}"


async def walk(visitor: Visitor, *starts: str, of_a_kind: int = 2) -> dict[str, tuple[Page, str]]:
    """Path → (page, the path that led there), of what links lead to; a few of each kind."""
    found: dict[str, tuple[Page, str]] = {}
    kinds: Counter[str] = Counter()
    waiting = [(start, "") for start in starts]
    while waiting:
        path, origin = waiting.pop(0)
        kind = shape_link(path)
        if path in found or kinds[kind] >= of_a_kind:
            continue
        kinds[kind] += 1
        page = await visitor.get(path)
        found[path] = (page, origin)
        if page.headers.get("Content-Type", "").startswith("text/html"):
            waiting += [(link, path) for link in list_links(page, path) if link not in found]
    return found
