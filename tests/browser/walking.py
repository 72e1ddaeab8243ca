"""People at a node that really runs, each in a browser of his own; what they see becomes the pictures of the guides."""

import io
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
from PIL import Image
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from registry.console.frame import ROOT
from schemas.days import get_day, get_start
from schemas.resolution_log import (
    ClientClass,
    LoggedAnswer,
    Outcome,
    SegmentHeader,
    Transport,
    encode_answer,
    encode_end,
    encode_header,
)
from schemas.texts.alarm_pages import PAGES as ALARMS
from schemas.texts.connection_certificates import PAGES as CERTIFICATES
from schemas.texts.console import LABELS
from schemas.texts.figure_pages import PAGES as FIGURES
from schemas.texts.outbox_pages import PAGES as OUTBOX
from tests import database
from tests.system.accounts import use_own
from tests.system.world import World, run_world

DATA = Path(__file__).parents[2] / "data"
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
WRITES_PICTURES = bool(os.environ.get("WRITE_PICTURES"))
LANGUAGES = ("zh", "en") if WRITES_PICTURES else ("zh",)  # the ways are the same; the guides' pictures are in both
LOCALES = {"zh": "zh-CN", "en": "en-GB"}
WIDE, NARROW = (1280, 800), (390, 844)
TALLEST = 1_300  # pixels; nobody reads a longer picture
COLOURS = 96
PASSWORD = "correct-horse-battery"
PUBLIC_URL = "https://id.example.cn"
TOFU = "88.101.10"  # of the demonstration, with its products
PAST_DAYS = 30
MOST_STEPS = 80  # of the tabulator on one page
WHERE = "[document.activeElement.innerText.trim(), getComputedStyle(document.activeElement).outlineStyle]"
PATIENCE_MS = 60_000  # a machine that is busy with other things
WORDS = LABELS | FIGURES | ALARMS | CERTIFICATES | OUTBOX


@dataclass(slots=True)
class Person:
    """Somebody in front of a browser. `base` is the console's address."""

    page: Page
    base: str
    language: str
    complaints: list[str] = field(default_factory=list)

    def say(self, key: str, **details: object) -> str:
        """A word of the console as this person reads it."""
        text = WORDS[key][0 if self.language == "zh" else 1]
        return text.format(**details) if details else text

    @property
    def main(self) -> Locator:
        return self.page.locator("main")

    async def open(self, path: str, status: int = 200) -> None:
        """A page of the console."""
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == status, path

    async def press(self, key: str) -> None:
        """A button or link of the page by its words."""
        words = re.compile(rf"^\s*{re.escape(self.say(key))}\s*$")
        await self.main.locator("button, a").filter(has_text=words).first.click()

    async def press_menu(self, key: str) -> None:
        """A line of the navigation."""
        await self.page.locator("nav.side a").get_by_text(self.say(key), exact=True).click()

    async def press_text(self, text: str) -> None:
        """A link whose words are not the console's own."""
        await self.main.locator("a", has_text=text).first.click()

    async def walk_to(self, words: str) -> None:
        """By the keyboard alone to the link or button with these words, and through it; the way is seen all along."""
        for _ in range(MOST_STEPS):
            await self.page.keyboard.press("Tab")
            at, outline = await self.page.evaluate(WHERE)
            assert outline != "none", f"nothing shows that the keyboard is at {at!r}"
            if at == words:
                async with self.page.expect_navigation():
                    await self.page.keyboard.press("Enter")
                return
        raise AssertionError(f"the keyboard never gets to {words!r}")

    async def fill(self, **fields: str) -> None:
        """Names of fields with `__` for a dot."""
        for name, text in fields.items():
            await self.main.locator(f"[name='{name.replace('__', '.')}']").fill(text)

    async def sees(self, text: str) -> None:
        """Waits until the page says so."""
        await expect(self.main).to_contain_text(text, timeout=PATIENCE_MS)

    async def sign_in(self, name: str, password: str = PASSWORD) -> None:
        await self.open("/sign-in")
        await self.fill(user_name=name, password=password)
        await self.press("sign_in")
        await self.page.wait_for_url(f"{self.base}/")

    async def picture(self, name: str) -> None:
        """The page from its top, for the guides; nothing unless pictures are asked for."""
        if not WRITES_PICTURES:
            return
        await self.page.mouse.move(0, 0)
        await self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        size = self.page.viewport_size
        assert size is not None
        height = min(await self.page.evaluate("document.documentElement.scrollHeight"), TALLEST)
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height}
        shot = await self.page.screenshot(full_page=True, clip=clip)
        write_picture(PICTURES / self.language / f"{name}.png", shot)


def write_picture(path: Path, shot: bytes) -> None:
    """As a small PNG with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(shot)) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


@dataclass(slots=True)
class Town:
    """A node with the demonstration, a browser, and those who come to it."""

    world: World
    browser: Browser
    language: str
    people: list[Person] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.world.registry_port}{ROOT}"

    async def invite(self, size: tuple[int, int] = WIDE, **options: object) -> Person:
        """Somebody with a browser of his own, who has not signed in."""
        context = await self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, locale=LOCALES[self.language], reduced_motion="reduce",
            **options,
        )  # type: ignore[arg-type]  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        person = Person(await context.new_page(), self.base, self.language)
        person.page.on(
            "console", lambda message: person.complaints.append(message.text) if message.type == "error" else None
        )
        self.people.append(person)
        return person

    async def let_in(self, name: str, password: str = PASSWORD, size: tuple[int, int] = WIDE) -> Person:
        person = await self.invite(size)
        await person.sign_in(name, password)
        return person

    async def dismiss(self) -> None:
        """Everybody goes home."""
        while self.people:
            await self.people.pop().page.context.close()

    def read_scanned(self, identifier: str, **headers: str) -> str:
        """The page of the resolver's port as a program reads it."""
        with self.world.connect_http() as client:
            answer = client.ask(f"/{identifier}", "GET", *(f"{name}: {text}" for name, text in headers.items()))
        return answer.body.decode()


@asynccontextmanager
async def open_town(language: str) -> AsyncIterator[Town]:
    with open_node() as world:
        await age(world)
        async with open_browser(language) as browser:
            yield Town(world, browser, language)


async def age(world: World) -> None:
    """The node has been there for as long as it was scanned, and its days are closed."""
    conn = await asyncpg.connect(world.dsn)
    await conn.execute("UPDATE prefixes SET created = created - make_interval(days => $1)", PAST_DAYS)
    await conn.close()
    world.command("close")


@contextmanager
def open_node() -> Iterator[World]:
    """`idnode up --demo` as it is after some weeks of scans; its public address is nobody's."""
    settings = {"PUBLIC_URL": PUBLIC_URL, "ADMIN_PASSWORD": PASSWORD, "RESOLVER_WORKERS": "1",
                "ALARM_LOOK_SECONDS": "1"}  # fmt: skip
    named = {f"IDNODE_{name}": text for name, text in settings.items()}
    with database.open_data_dir() as place, run_world(place / "node", use_own(), **named) as world:
        write_past(world.data_dir / "resolution-log", datetime.now(UTC))
        world.settings["REGISTRY_URL"] = f"http://127.0.0.1:{world.registry_port}"  # where scanned pages lead to
        world.start("--demo")
        yield world


def find_browser() -> str:
    """Debian's chromium: without windows it takes a third of the CPU; the whole one writes Chinese on buttons."""
    names = ["chromium"] if WRITES_PICTURES else ["chromium-headless-shell", "chromium"]
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"no browser: apt-get install {names[0]}"
    return found


@asynccontextmanager
async def open_browser(language: str = "zh", *flags: str) -> AsyncIterator[Browser]:
    locale = LOCALES[language]
    arguments = ["--no-sandbox", "--disable-gpu", f"--lang={locale}", *flags]
    environment = {**os.environ, "LANGUAGE": locale.replace("-", "_"), "LC_ALL": "C.UTF-8"}
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=find_browser(), args=arguments, env=environment)
        yield started
        await started.close()


def write_past(directory: Path, now: datetime) -> None:
    """A segment of answers over the last weeks, as a writer that has gone leaves it: more on weekdays, and growing.

    Prefixes and templates are numbered in the order in which the demonstration adds them.
    """
    directory.mkdir(parents=True)
    today, answers = get_day(now), list[LoggedAnswer]()
    for ago in range(PAST_DAYS, 0, -1):
        day = today - timedelta(days=ago)
        much = (PAST_DAYS + 10 - ago) * (1 if day.weekday() < 5 else 0.4)
        for prefix_id, template_id, share in ((5, 1, 3.0), (10, 2, 2.0), (3, 0, 0.5), (21, 0, 0.8), (44, 0, 0.3)):
            answers += [_answer(day, n, prefix_id, template_id) for n in range(int(much * share))]
    answers.sort(key=lambda one: one.time_us)
    header = encode_header(SegmentHeader("resolver-past", answers[0].time_us, 1))
    path = directory / f"resolver-past.{answers[0].time_us}.000001.segment"
    path.write_bytes(header + b"".join(map(encode_answer, answers)) + encode_end())


def _answer(day: date, n: int, prefix_id: int, template_id: int) -> LoggedAnswer:
    at = get_start(day) + timedelta(hours=8, minutes=4 * n)
    outcome = Outcome.NOT_FOUND if n % 25 == 7 else Outcome.FOUND
    address = bytes((10, 0, n % 9, n % 31))
    return LoggedAnswer(
        int(at.timestamp() * 1_000_000), prefix_id, template_id, Transport.HTTP, outcome, ClientClass.PUBLIC, address,
        f"88.101.{prefix_id}/{n}".encode(),
    )  # fmt: skip
