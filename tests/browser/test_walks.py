"""The way of each person through the product: a firm, its clerk, a partner, a regulator, the operator. A real node,
Debian's chromium. The pictures of the guides are made on the way: `make pictures`."""

import asyncio
import base64
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image

from node.outbox import Report, enqueue
from node.store.outbox import Outcome, Refusal, set_mark, store_outcome
from node.toplevel_link import LINK
from registry.console.label_pages import CARRIERS, SHEETS
from schemas.days import get_day, get_start
from tests.browser.judging import Judge, find_serious, prepare
from tests.browser.walking import (
    DATA,
    LANGUAGES,
    NARROW,
    PASSWORD,
    PUBLIC_URL,
    TOFU,
    Person,
    Town,
    open_browser,
    open_town,
)
from tests.registry.pictures import make_png
from tests.system.running_node import PATIENCE_SECONDS
from tests.system.world import make_uscc

ELSEWHERE = "321311"  # 宿豫区, beside the district of the demonstration
DISTRICT = "321302"
PARTNER = make_uscc(7001)
NAMES = {"zh": ("宿城示例豆制品有限公司", "王小明"), "en": ("Sucheng Example Tofu Ltd", "Wang Xiaoming")}

REASONS = {"zh": "缺少详细地址，请补充后重新提交。", "en": "The address is missing; add it and file again."}


@pytest_asyncio.fixture(scope="module", params=LANGUAGES)
async def town(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    async with open_town(request.param) as made:
        yield made


@pytest_asyncio.fixture
async def operator(town: Town) -> AsyncIterator[Person]:
    yield await town.let_in("admin")
    complaints = [text for person in town.people for text in person.complaints if "status of 4" not in text]
    await town.dismiss()
    assert complaints == [], "the pages' own policy allows all they need"


async def add_account(operator: Person, name: str, role: str, **fields: str) -> str:
    """What the operator does on the page of accounts; the password that is shown once."""
    await operator.open("/accounts")
    await operator.fill(user_name=name, **fields)
    await operator.main.locator("[name=role]").select_option(role)
    await operator.press("add_account")
    return await operator.main.locator("code.secret").last.inner_text()


async def test_a_firm_applies_is_refused_once_and_gets_in(town: Town, operator: Person) -> None:
    name, person = NAMES[town.language]
    applicant = await town.invite()
    await applicant.open("/sign-in")
    await applicant.press("apply_link")
    await applicant.fill(
        name=name, certificate_code=make_uscc(7101), industry="C/13/139/1392", area="陈集镇", main_products="豆腐",
        contact__name=person, contact__certificate_number="321302199001011234", contact__email="wang@example.cn",
        contact__phone="13912345678", legal_person__name=person, legal_person__certificate_number="321302199001011234",
        user_name="wang.li", password=PASSWORD, repeated=PASSWORD + "!",
    )  # fmt: skip
    files = ("certificate_image_id", "legal_person.front_image_id", "legal_person.back_image_id")
    await attach(applicant, *files)
    await applicant.picture("firm-applies")
    await applicant.press("file_application")
    await applicant.page.locator("#f-repeated-problem").wait_for()
    assert await applicant.page.input_value("[name=name]") == name, "what was typed stays"
    await applicant.fill(password=PASSWORD, repeated=PASSWORD)
    await attach(applicant, *files)
    await applicant.press("file_application")
    await applicant.sees("wang.li")
    await applicant.sign_in("wang.li")
    await applicant.sees(name)

    password = await add_account(operator, "rui", "reviewer")
    reviewer = await town.let_in("rui", password)
    await reviewer.press_text(name)
    page = reviewer.page.url.removeprefix(reviewer.base)
    await reviewer.press("review_button")
    await reviewer.press("review_button")
    await reviewer.press("refuse_button")
    reason = {"zh": "缺少详细地址，请补充后重新提交。", "en": "The address is missing; add it and file again."}[
        town.language
    ]
    await reviewer.fill(reason=reason)
    await reviewer.press("refuse_button")
    await reviewer.sees(reviewer.say("done_refuse_enterprise"))

    await applicant.open("/enterprise")
    await applicant.sees(reason)
    await applicant.picture("firm-refused")
    await applicant.press("edit_dossier")
    await applicant.fill(address="陈集镇工业路 1 号")
    await applicant.press("file_application")
    await applicant.sees(applicant.say("done_dossier_filed"))
    await reviewer.open("/")
    await reviewer.walk_to(name)
    await reviewer.walk_to(reviewer.say("approve_button"))
    await reviewer.picture("review-approve")
    await reviewer.walk_to(reviewer.say("approve_button"))
    await reviewer.sees(reviewer.say("done_approve_enterprise"))
    await applicant.open("/")
    await applicant.sees(applicant.say("import_file"))
    await applicant.picture("firm-start")

    await applicant.open("/enterprise/edit")
    await applicant.fill(address="陈集镇工业路 8 号", contact__phone="13987654321")
    await applicant.press("file_change")
    await reviewer.open(page)
    changes = reviewer.main.locator("tr", has_text="工业路")
    assert re.search("工业路 1 号.*工业路 8 号", await changes.inner_text(), re.DOTALL), "old and new side by side"
    await reviewer.picture("review-changes")
    assert "13987654321" not in await reviewer.main.inner_text()
    await reviewer.press("approve_button")
    await reviewer.press("approve_button")
    await reviewer.sees("工业路 8 号")


async def attach(person: Person, *fields: str) -> None:
    for n, name in enumerate(fields):
        picture = {"name": f"{n}.png", "mimeType": "image/png", "buffer": make_png(n)}
        await person.page.set_input_files(f"[name='{name}']", files=picture)  # type: ignore[arg-type]


async def test_the_clerk_imports_a_workbook_and_prints_a_label_that_can_be_scanned(
    town: Town, operator: Person
) -> None:
    password = await add_account(operator, "chen.fang", "enterprise_admin", enterprise_id="20")
    clerk = await town.let_in("chen.fang", password)
    await clerk.press("import_file")
    await clerk.page.set_input_files("[name=file]", DATA / "batches-tofu-works.xlsx")
    await clerk.press("upload_next")
    assert await clerk.page.input_value("[name=header_row]") == "3", "the title above the table is no header"
    await clerk.press("propose_template")
    await clerk.fill(version="batch-1")
    await clerk.picture("template-proposed")
    await clerk.press("save_template")

    assert await clerk.page.is_checked("[name=by][value=pattern]")
    assert await clerk.page.input_value("[name=identifier]") == "{产品代码}-{生产日期:yyyyMMdd}-{批号}"
    await clerk.picture("import-columns")
    await clerk.press("try_it")
    await clerk.sees(clerk.say("start_title"))
    await clerk.picture("import-tried")
    await clerk.press("start_import")
    await clerk.sees(clerk.say("print_labels"))
    await clerk.picture("import-done")
    async with clerk.page.expect_download() as downloading:
        await clerk.press("download_receipt")
    receipt = Path(await (await downloading.value).path()).read_text(encoding="utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(receipt)))
    registered = [line["identifier"] for line in lines if line["outcome"] == "registered"]
    assert len(lines) > 3_000
    assert len(registered) > 2_900

    await clerk.press("print_labels")
    await clerk.press("show_labels")
    await clerk.page.wait_for_selector(".sheet")
    assert f"{PUBLIC_URL}/{registered[0]}" in read_codes(await clerk.page.screenshot())
    await clerk.picture("labels")
    await clerk.open(f"/identifiers/one?identifier={registered[0]}")
    await clerk.picture("identifier")
    await clerk.open("/identifiers")
    await clerk.picture("identifiers")


async def test_without_script_nothing_is_offered_that_needs_it_and_high_contrast_hides_no_code(
    town: Town, operator: Person
) -> None:
    password = await add_account(operator, "ning", "enterprise_user", enterprise_id="10")
    plain = await town.invite(java_script_enabled=False, forced_colors="active")
    await plain.sign_in("ning", password)
    identifier = f"{TOFU}/DF02-20240604-00001"
    await plain.open(f"/identifiers/one?identifier={identifier}")
    assert read_codes(await plain.page.locator(".code").first.screenshot()) == {f"{PUBLIC_URL}/{identifier}"}
    await plain.open(f"/labels/sheet?prefix={TOFU}&identifier={identifier}&copies=1&sheet=roll-60")
    assert await plain.page.locator("[data-print]").is_hidden()
    assert read_codes(await plain.page.locator(".one").screenshot(scale="device")) == {f"{PUBLIC_URL}/{identifier}"}


async def test_a_label_of_any_size_shows_its_whole_number(town: Town, operator: Person) -> None:
    clerk = await town.let_in("lan", await add_account(operator, "lan", "enterprise_user", enterprise_id="10"))
    identifier = f"{TOFU}/LINE01-2026-11-24-SHIFT-B-000000000017"
    values = (
        "product_code=DF02",
        "product_name=老卤豆腐（北豆腐）450g 盒装",
        "produced_on=2026-11-24",
        "batch=B20261124",
    )
    town.world.command("register", identifier, "--template", "batch-1", *(f"--value={value}" for value in values))
    for sheet in SHEETS:
        for carrier in CARRIERS:
            await clerk.open(f"/labels/sheet?prefix={TOFU}&identifier={identifier}&sheet={sheet}&carrier={carrier}")
            number = clerk.page.locator(".one .id")
            assert await number.inner_text() == identifier
            assert not await number.evaluate(_IS_CUT), f"{sheet} {carrier}: the serial stands at the end"


async def test_an_identifier_is_frozen_beside_the_machine(town: Town, operator: Person) -> None:
    foreman = await town.let_in("gu", await add_account(operator, "gu", "enterprise_user", enterprise_id="5"), NARROW)
    await foreman.open("/identifiers/one?identifier=88.101.5/0000000001")
    await foreman.press("freeze")
    await foreman.fill(notice="召回：请停止使用")
    await foreman.picture("freeze-phone")
    await foreman.press("freeze_button")
    await foreman.sees("召回：请停止使用")
    assert not await foreman.page.locator("nav.side").is_visible()
    await foreman.page.check("#menu", force=True)
    assert await foreman.page.locator("nav.side").is_visible()


_IS_CUT = """text => text.scrollHeight > text.clientHeight + 1
    || text.getBoundingClientRect().bottom > text.closest(".one").getBoundingClientRect().bottom"""


def read_codes(picture: bytes) -> set[str]:
    """What a scanner reads from it."""
    return {code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)).convert("L"))}


async def test_a_partner_sees_what_was_granted_and_less_after_revocation(town: Town, operator: Person) -> None:
    identifier, granted = f"{TOFU}/DF02-20240604-00001", {"zh": "数量（箱）", "en": "Quantity (boxes)"}[town.language]
    firm = await town.let_in("tofu", await add_account(operator, "tofu", "enterprise_admin", enterprise_id="10"))
    password = await add_account(operator, "paula", "partner", organisation=PARTNER)
    partner = await town.let_in("paula", password, NARROW)
    terminal = await town.invite(NARROW, extra_http_headers={"Authorization": await make_key(operator, PARTNER)})
    passer_by = await town.invite(NARROW)

    await firm.open(f"/labels/sheet?prefix={TOFU}&identifier={identifier}&copies=1&sheet=roll-60")
    label = await firm.page.locator(".one").first.screenshot(scale="device")
    await partner.open("/resolve")
    photo = {"name": "label.png", "mimeType": "image/png", "buffer": label}
    await partner.page.set_input_files("[name=photo]", files=photo)  # type: ignore[arg-type]
    await partner.press("read_photo")
    await partner.sees("00001")
    scanned = f"http://127.0.0.1:{town.world.http_port}/{identifier}"
    await terminal.page.goto(scanned)
    for somebody in (partner, terminal):
        assert granted not in await somebody.page.inner_text("main"), "nobody has named this organisation yet"

    await firm.open("/partners")
    await firm.main.locator("[name=prefix]").select_option(TOFU)
    await firm.fill(organisation=PARTNER)
    await firm.press("name_partner")
    await firm.sees(PARTNER)
    await firm.picture("partners")
    for somebody in (partner, terminal):
        await reload_until(somebody, granted, is_there=True)
    await partner.picture("partner-resolves")
    await passer_by.page.goto(scanned)
    assert granted not in await passer_by.page.inner_text("main")
    await passer_by.picture("scanned")
    await passer_by.page.click("a.report")
    await passer_by.main.locator("[name=kind]").first.check()
    await passer_by.picture("report-problem")
    await passer_by.press("report_send")
    await passer_by.sees(passer_by.say("reported_next"))

    await firm.press("partner_end")
    await firm.picture("partner-revoked")
    await firm.main.locator("button.danger").click()
    await firm.sees(firm.say("done_partner_revoked"))
    for somebody in (partner, terminal):
        await reload_until(somebody, granted, is_there=False)
        await somebody.sees("00001")


# What Android's chromium brings along and Debian's does not; a machine's own eyes behind it.
_EYES = """window.BarcodeDetector = class {
  static async getSupportedFormats() { return ["qr_code", "ean_13"] }
  constructor({ formats }) { if (formats.join() !== "qr_code") throw new TypeError() }
  async detect(video) {
    const seen = document.createElement("canvas")
    Object.assign(seen, { width: video.videoWidth, height: video.videoHeight })
    seen.getContext("2d").drawImage(video, 0, 0)
    return (await readPicture(seen.toDataURL("image/png"))).map(rawValue => ({ rawValue }))
  }
}"""


async def test_a_code_before_the_camera_is_resolved_and_without_a_camera_a_photograph_is_asked_for(
    town: Town, tmp_path: Path
) -> None:
    identifier, video = f"{TOFU}/DF02-20240725-00002", tmp_path / "camera.y4m"
    write_video(video, f"{PUBLIC_URL}/{identifier}")
    flags = [f"--use-fake-{part}-for-media-stream" for part in ("device", "ui")]
    async with open_browser(town.language, *flags, f"--use-file-for-fake-video-capture={video}") as browser:
        passer_by = await Town(town.world, browser, town.language).invite()
        shy, plain = await town.invite(), await town.invite()
        for somebody in (passer_by, shy):
            await somebody.page.expose_function("readPicture", read_data_url)
            await somebody.page.add_init_script(_EYES)
        for somebody in (passer_by, shy, plain):
            await somebody.open("/resolve")
        await passer_by.press("use_camera")
        await passer_by.page.wait_for_url("**/resolve?text=*")
        await passer_by.sees(identifier)
        await shy.press("use_camera")
        await shy.sees(shy.say("camera_refused_todo"))
        assert not await plain.page.locator("[data-scan]").is_visible()
        assert await plain.page.locator("[name=photo]").is_visible()
        assert passer_by.complaints == shy.complaints == plain.complaints == []
    await town.dismiss()


def write_video(path: Path, text: str) -> None:
    """One picture of a QR code, as a camera sees it again and again (YUV4MPEG2)."""
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode).to_image(scale=6)
    picture = Image.new("L", (640, 480), 255)
    picture.paste(Image.fromarray(code), (100, 40))
    colours = bytes([128]) * (picture.width * picture.height // 2)
    path.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\nFRAME\n" + picture.tobytes() + colours)


def read_data_url(url: str) -> list[str]:
    return list(read_codes(base64.b64decode(url.partition(",")[2])))


async def make_key(operator: Person, organisation: str) -> str:
    """An Authorization header for a partner's programs."""
    await operator.open("/keys/new")
    await operator.fill(note="scanner", organisation=organisation)
    await operator.main.locator("[name=scope][value=read]").check()
    await operator.main.locator("form button.primary").click()
    await operator.page.locator(".secret").first.wait_for()
    found = re.search(r"Authorization: (Bearer \S+)", await operator.main.inner_text())
    assert found
    return found[1]


async def reload_until(person: Person, text: str, *, is_there: bool) -> None:
    """Asks anew until the page says so, or no longer; the suite's own patience ends it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (text in await person.page.inner_text("main")) is not is_there:
            await person.page.reload()


async def test_a_regulator_sees_the_district_and_nothing_else(town: Town, operator: Person) -> None:
    other = town.world.command(
        "enterprise", "add", "--name", "别区示例企业", "--uscc", make_uscc(7201), "--prefix", "88.101.7201",
        "--area", ELSEWHERE, "--industry", "C/34/344/3441", "--approve",
    )  # fmt: skip
    await operator.open("/plans")
    await operator.fill(name="sucheng-2024")
    await operator.page.set_input_files("[name=file]", DATA / "targets-sucheng-2024.csv")
    await operator.press("plan_load")
    await operator.sees(operator.say("done_plan_loaded"))
    await operator.open("/statistics?by=enterprise")
    await operator.sees("别区示例企业")

    regulator = await town.let_in("dai", await add_account(operator, "dai", "regulator", area=DISTRICT))
    await regulator.press_menu("enterprises")
    await regulator.sees("示例企业001号")
    await regulator.picture("district-enterprises")
    seen = ["/enterprises", "/enterprises?text=别区", f"/enterprises?division={ELSEWHERE}", "/", "/plans",
            "/statistics?by=enterprise", "/statistics?by=area_3", "/statistics?by=unit",
            *(f"/statistics/export?by=enterprise&format={kind}" for kind in ("csv", "json"))]  # fmt: skip
    for path in seen:
        answer = await regulator.page.request.get(regulator.base + path)
        assert answer.status == 200, path
        assert not {"别区示例企业", "宿豫"} & set(re.findall("别区示例企业|宿豫", await answer.text())), path
    number = other["enterprise_id"]
    for path in (f"/enterprises/{number}", f"/enterprises/{number}/act?action=suspend", f"/enterprises/{number}/manage",
                 f"/enterprises/{number}/personal", "/prefixes/one?prefix=88.101.7201", "/accounts", "/audit", "/areas",
                 "/health"):  # fmt: skip
        answer = await regulator.page.request.get(regulator.base + path)
        assert answer.status in (403, 404), path
    await check_api(town, regulator, number)

    yesterday = get_day(datetime.now(UTC)) - timedelta(days=1)
    await regulator.open(f"/statistics?to={yesterday}")
    await regulator.sees(regulator.say("fig_sealed_text"))
    await regulator.open("/statistics")
    await regulator.picture("district-statistics")
    await regulator.open(f"/plans/one?name=sucheng-2024&as_of={yesterday}")
    await regulator.picture("plan")
    await regulator.main.locator("td.num a").first.click()
    await regulator.sees("示例企业")
    await regulator.picture("plan-firms")


async def check_api(town: Town, regulator: Person, other: int) -> None:
    """Forms he was never shown, and the programs' way in."""
    token = await regulator.page.locator("[name=token]").first.get_attribute("value")
    for path in ("/enterprises/1/act", "/accounts", "/plans", "/areas"):
        form = {"token": token or "", "action": "suspend", "reason": "x", "name": "x", "division": DISTRICT}
        answer = await regulator.page.request.post(regulator.base + path, form=form)
        assert answer.status in (400, 403, 404), path
    answer = await regulator.page.request.get(f"{regulator.base}/enterprises/1")
    assert regulator.say("state_suspended") not in await answer.text()
    for path in (f"/enterprises/{other}", "/statistics/table?by=unit", "/accounts", "/audit"):
        answer = await regulator.page.request.get(f"http://127.0.0.1:{town.world.registry_port}/api/v1{path}")
        assert answer.status in (401, 403, 404), path


async def test_the_operator_sees_what_is_wrong_and_who_may_do_what(town: Town, operator: Person) -> None:
    conn = await asyncpg.connect(town.world.dsn)
    fact = {"taken": "2026-03-01T10:00:00+08:00", "restored": "2026-03-02T08:00:00+08:00"}
    await conn.execute("INSERT INTO node_facts (name, value) VALUES ('restored', $1)", json.dumps(fact))
    await report_upwards(conn)
    await conn.close()
    await operator.press_menu("alarms")
    await reload_until(operator, "2026-03-01 10:00 → 2026-03-02 08:00", is_there=True)
    await operator.picture("alarms")
    await operator.press_menu("health")
    await operator.sees(operator.say("check_database"))
    await operator.picture("health")
    await operator.press_menu("alarms")
    await operator.press("alarm_acknowledge")
    await operator.sees(operator.say("done_alarm_acknowledged"))
    await operator.press_menu("accounts")
    await operator.press("add_account")
    await operator.picture("accounts")
    await operator.press_menu("figures")
    await operator.page.locator("svg").first.wait_for()
    await operator.picture("statistics")
    await operator.press_menu("audit_trail")
    await operator.picture("audit")
    await operator.open("/outbox")
    await operator.sees(operator.say("outbox_refuses", count=1))
    await operator.picture("reports-upwards")
    await operator.press_menu("certs")
    await operator.fill(enterprise=TOFU)
    await operator.press("cert_issue")
    await operator.sees(operator.say("cert_in_force"))
    await operator.picture("certificates")
    await operator.open("/")
    await operator.picture("node-start")


async def report_upwards(conn: asyncpg.Connection) -> None:
    """What a node above would have answered in two weeks: all taken but a row of yesterday."""
    now = datetime.now(UTC)
    today = get_day(now)
    for mark in (LINK, f"{LINK}_ok"):
        await set_mark(conn, mark, "", now)
    for ago in range(14, 0, -1):
        day = today - timedelta(days=ago)
        at = get_start(day) + timedelta(days=1, minutes=20)
        for table in ("T3", "T8", "T9"):
            refused = (Refusal(0, "prefix", "E102", TOFU, "unknown"),) if (ago, table) == (1, "T8") else ()
            said = Outcome("refused" if refused else "accepted", at, at, 200, f"r-{day}", refusals=refused)
            async with conn.transaction():
                message_id = await enqueue(conn, Report(table, str(day), "88.101", [{"prefix": TOFU}]), at)
                assert message_id is not None
                await store_outcome(conn, message_id, said)


PALE = "<main><p class=%s style='color:#ccc'>示例</p></main><style>@media (%s-width:600px){.seen{display:none}}</style>"


async def test_axe_finds_what_is_serious_at_either_width(town: Town) -> None:
    visitor = await town.invite(bypass_csp=True)
    await prepare(visitor.page)
    for hidden, seen in (("max", ["1280"]), ("min", ["390"]), ("none", ["390"])):
        await visitor.open("/sign-in")
        await visitor.page.evaluate("text => document.body.innerHTML = text", PALE % ("seen", hidden))
        found = await find_serious(visitor.page)
        assert [one.partition(": color-contrast")[0] for one in found] == seen, found
    await visitor.page.evaluate("document.querySelector('p').style.width = '2000px'")
    found = [one.split()[0] + one.split()[-1] for one in await find_serious(visitor.page)]
    assert found == ["390:wide", "1280:wide"]
    await town.dismiss()


async def test_axe_finds_nothing_serious_on_any_page_of_anybody(town: Town, operator: Person) -> None:
    judge = Judge()
    roles = {"reviewer": {}, "engineer": {}, "enterprise_admin": {"enterprise_id": "5"},
             "enterprise_user": {"enterprise_id": "5"}, "partner": {"organisation": PARTNER},
             "regulator": {"area": DISTRICT}}  # fmt: skip
    passwords = {role: await add_account(operator, f"axe.{role}", role, **fields) for role, fields in roles.items()}

    async def judge_for(*some: str) -> None:
        for role in some:
            visitor = await town.invite(bypass_csp=True)  # axe is put into the page as a script
            await prepare(visitor.page)
            await visitor.open("/sign-in")
            if role == "operator":
                await visitor.sign_in("admin")
            elif role:
                await visitor.sign_in(f"axe.{role}", passwords[role])
            for start in ("/",) if role else ("/sign-in", f"/report?identifier={TOFU}/DF02-20240604-00001"):
                await judge.judge_all(visitor, role, start=start)
            if role == "enterprise_admin":  # no link leads there
                await visitor.open("/imports/new")
                await visitor.page.set_input_files("[name=file]", DATA / "batches-tofu-works.xlsx")
                await visitor.press("upload_next")
                await visitor.sees(visitor.say("what_file_holds"))
                await judge.judge_all(visitor, role, 0, visitor.page.url.removeprefix(visitor.base))
            await visitor.page.context.close()

    firms = ("enterprise_admin", "", "enterprise_user", "partner")
    await asyncio.gather(judge_for(*firms), judge_for("operator", "reviewer", "engineer", "regulator"))
    assert judge.found == {}
    assert len(judge.shapes) > 50
