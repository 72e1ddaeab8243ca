"""The clerk's way through the console in a real browser, and every page of it judged by axe: Debian's chromium."""

import asyncio
import csv
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import zxingcpp
from axe_playwright_python.async_playwright import Axe
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from registry.console.security import SESSION_COOKIE
from registry.job_runner import run_jobs
from tests.registry.api_world import PUBLIC_URL, PUMP, TOFU
from tests.registry.console_world import ROOT, Console, Visitor, open_console

DATA = Path(__file__).parents[2] / "data"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        config = made.world.state.config
        running = asyncio.create_task(run_jobs(config.database_url, config.jobs_dir, made.world.state.job_added))
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    found = shutil.which("chromium")
    assert found, "chromium is missing: apt-get install chromium"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        await started.close()


async def enter(browser: Browser, visitor: Visitor, size: dict[str, int], **options: bool) -> BrowserContext:
    """A browser with the visitor's cookie."""
    context = await browser.new_context(
        viewport={"width": size["width"], "height": size["height"]}, locale="zh-CN",
        base_url=visitor.world.base, **options,  # type: ignore[arg-type]
    )  # fmt: skip
    if visitor.cookie:
        await context.add_cookies([{"name": SESSION_COOKIE, "value": visitor.cookie, "url": visitor.world.base + ROOT}])
    return context


async def test_the_clerk_imports_a_workbook_and_prints_a_label_that_can_be_scanned(
    console: Console, browser: Browser
) -> None:
    context = await enter(browser, console["tofu"], WIDE)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)

    await page.goto(f"{ROOT}/")
    await page.click("main >> text=导入文件")
    await page.set_input_files("[name=file]", DATA / "batches-tofu-works.xlsx")
    await page.click("text=上传并继续")
    assert await page.input_value("[name=header_row]") == "3", "the title above the table is no header"
    await page.click("text=由本文件生成模板建议")
    await page.fill("[name=version]", "batch-1")
    await page.click("main .actions >> text=保存模板")

    assert await page.is_checked("[name=by][value=pattern]")
    assert await page.input_value("[name=identifier]") == "{产品代码}-{生产日期:yyyyMMdd}-{批号}"
    await page.click("main >> button:has-text('试运行')")
    await page.click("main >> button:has-text('开始导入')", timeout=60_000)
    await page.wait_for_selector("main >> text=打印标签", timeout=60_000)
    async with page.expect_download() as downloading:
        await page.click("main >> text=下载回执")
    receipt = Path(await (await downloading.value).path()).read_text(encoding="utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(receipt)))
    registered = [line["identifier"] for line in lines if line["outcome"] == "registered"]
    assert len(lines) > 3_000
    assert len(registered) > 2_900

    await page.click("main >> text=打印标签")
    await page.click("text=生成标签")
    shown = await page.screenshot(clip={"x": 0, "y": 0, "width": 1280, "height": 900}, scale="device")
    found = {code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(shown)).convert("L"))}
    assert f"{PUBLIC_URL}/{registered[0]}" in found
    assert complaints == [], "the pages' own policy allows all they need"
    await context.close()


async def test_an_identifier_is_frozen_beside_the_machine(console: Console, browser: Browser) -> None:
    fields = {"prefix": PUMP, "template": "pump-1", "suffix": "on-phone", "v.model": "A"}
    await console["pump"].post("/identifiers/new", fields)
    context = await enter(browser, console["pump"], NARROW)
    page = await context.new_page()
    await page.goto(f"{ROOT}/identifiers/one?identifier={PUMP}/on-phone")
    await page.click("text=冻结")
    await page.fill("[name=notice]", "召回：请停止使用")
    await page.click("main form >> text=冻结")
    assert await page.locator("text=召回：请停止使用").is_visible()
    assert not await page.locator("nav.side").is_visible()
    await page.check("#menu", force=True)
    assert await page.locator("nav.side").is_visible()
    await context.close()


PAGES = {
    "pump": (
        "/", "/identifiers", "/identifiers/new", f"/identifiers/one?identifier={PUMP}/on-phone", "/templates",
        f"/templates/edit?prefix={PUMP}&version=pump-1", "/imports/new", "/labels", "/partners", "/enterprise/edit",
    ),
    "operator": ("/", "/enterprises/1", f"/prefixes/one?prefix={PUMP}", "/areas", "/health", "/accounts", "/keys"),
    "nobody": ("/sign-in", "/resolve", "/apply"),
    "tofu": ("/imports", f"/labels/sheet?prefix={TOFU}&starts_with=007-202401"),
}  # fmt: skip


@pytest.mark.parametrize("who", PAGES)
async def test_axe_finds_nothing_serious_and_nothing_is_wider_than_a_phone(
    console: Console, browser: Browser, who: str
) -> None:
    context = await enter(browser, console[who], NARROW, bypass_csp=True)  # axe is put into the page as a script
    page = await context.new_page()
    for path in PAGES[who]:
        answer = await page.goto(ROOT + path)
        assert answer is not None
        assert answer.status == 200
        assert await find_serious(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
    await context.close()


async def find_serious(page: Page) -> list[str]:
    found = (await Axe().run(page)).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]
