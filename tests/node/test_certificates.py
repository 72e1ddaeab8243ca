"""Connection certificates: signed so that a changed byte shows, for connected firms only, and verified by anybody."""

import asyncio
import hashlib
import io
import re
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pypdf
import pytest
import pytest_asyncio
import zxingcpp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from PIL import Image

from node.certificate_sheet import draw_sheet
from node.connection_certificates import Office, compare, draft, format_certificate, keep, make_number, parse_number
from node.pdf_signature import is_intact, sign_pdf
from node.signing_identity import Identity, make_identity, read_files
from node.store.connection_certificates import Certificate, fetch_signing
from registry.accounts import NewAccount
from registry.principals import Order
from schemas.errors import NotFound, SetupError
from tests.node.pdf_reading import list_fonts, read_cells
from tests.registry.api_world import CONSOLE_URL, PUMP, TOFU
from tests.registry.console_world import PASSWORD, Console, add_visitor, open_console
from tests.registry.people import CLERK, RULES

V1 = "/api/v1/certificates"
NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)
OFFICE = Office(("88.101",), CONSOLE_URL, RULES.key_ring)


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("node 88.101", NOW)


@pytest.fixture(scope="module")
def other() -> Identity:
    return make_identity("other", NOW)


@pytest.fixture(scope="module")
def signed(identity: Identity) -> bytes:
    return sign_pdf(draw_sheet(make_certificate(), f"{CONSOLE_URL}/verify/x"), identity, "reason", "node")


def make_certificate(**more: Any) -> Certificate:
    values: dict[str, Any] = {
        "number": make_number(NOW), "enterprise_id": 5, "enterprise": "宿迁市宿城泵业制造有限责任公司",
        "certificate_code": "91321302MA1ABCDE1X", "prefixes": (PUMP,), "connected_on": NOW.date(), "node_name": "节点",
        "issued_at": NOW, "issued_by": "cli:x", "fingerprint": "", "sha256": b"",
    }  # fmt: skip
    return Certificate(**values | more)


def test_the_signature_is_intact_and_one_changed_byte_is_refused(
    signed: bytes, identity: Identity, other: Identity
) -> None:
    assert is_intact(signed, identity.certificate)
    assert not is_intact(signed, other.certificate)
    assert not is_intact(signed + b"\n", identity.certificate), "nothing may stand outside of what is signed"
    contents = signed.index(b"/Contents <") + 11
    for at in (9, 200, signed.index(b"/Type"), contents + 600, len(signed) - 9):
        changed = bytearray(signed)
        changed[at] ^= 1
        assert not is_intact(bytes(changed), identity.certificate), at


def test_openssl_verifies_the_signature_over_the_same_bytes(signed: bytes, identity: Identity, tmp_path: Path) -> None:
    found = re.search(rb"/ByteRange\s*\[\s*(\d+) (\d+) (\d+) (\d+)\s*\]", signed)
    assert found is not None
    start, first, second, rest = map(int, found.groups())
    assert (start, second + rest) == (0, len(signed)), "the whole file but the signature itself"
    (tmp_path / "data").write_bytes(signed[:first] + signed[second:])
    hexed = signed[first + 1 : second - 1].rstrip(b"0")
    (tmp_path / "cms").write_bytes(bytes.fromhex((hexed + b"0" * (len(hexed) % 2)).decode()))
    pem = x509.load_der_x509_certificate(identity.certificate).public_bytes(Encoding.PEM)
    (tmp_path / "ca.pem").write_bytes(pem)
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "cms", "-content", "data",
               "-CAfile", "ca.pem", "-purpose", "any", "-attime", str(int(NOW.timestamp())), "-out", "out"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "data").write_bytes(signed[:first] + signed[second:-1] + b"x")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode != 0


def test_the_sheet_says_what_it_must_in_both_languages_and_carries_its_address(signed: bytes) -> None:
    text = "".join("".join(read_cells(signed)).split())
    for said in ("接入证明", "CertificateofConnection", "宿迁市宿城泵业制造有限责任公司", "91321302MA1ABCDE1X", PUMP,
                 "2026-03-02", "不是国家工业互联网标识解析体系或任何主管部门的认证", "nocertification"):  # fmt: skip
        assert said in text, said
    assert all(embedded for _, embedded in list_fonts(signed))
    assert read_code(signed) == f"{CONSOLE_URL}/verify/x"
    many = draw_sheet(make_certificate(prefixes=tuple(f"88.101.{n}" for n in range(150))), "http://x")
    assert "88.101.149" in "".join("".join(read_cells(many)).split())
    assert len(pypdf.PdfReader(io.BytesIO(many)).pages) == 1


def read_code(content: bytes) -> str:
    """The code of a sheet, from its squares."""
    stream = pypdf.PdfReader(io.BytesIO(content)).pages[0].get_contents()
    assert stream is not None
    squares = re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re", stream.get_data())
    boxes = [tuple(map(float, square)) for square in squares if float(square[2]) < 20]
    left, below, step = min(b[0] for b in boxes), min(b[1] for b in boxes), boxes[0][2]
    image = Image.new("L", (500, 500), 255)
    for x, y, _, _ in boxes:
        column, row = round((x - left) / step), round((y - below) / step)
        image.paste(0, (50 + column * 8, 450 - row * 8, 58 + column * 8, 458 - row * 8))
    (found,) = zxingcpp.read_barcodes(image)
    return str(found.text)


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("JR2026-7K3M-9QXR-0BCD-E1FG", "JR2026-7K3M-9QXR-0BCD-E1FG"),
        (" jr2026-7k3m-9qxr-obcd-eifg ", "JR2026-7K3M-9QXR-0BCD-E1FG"),
        ("JR20267K3M9QXR0BCDE1FG", "JR2026-7K3M-9QXR-0BCD-E1FG"),
    ],
)
def test_numbers_are_understood_however_they_are_typed(typed: str, number: str) -> None:
    assert parse_number(typed) == number


@pytest.mark.parametrize(
    "typed", ["", "JR2026", "2026-7K3M", "JR2026-7K3M-9QXR-0BCD-E1F!", "JR٢٠٢٦-7K3M-9QXR-0BCD-E1FG"]
)
def test_what_is_no_number_is_found_nowhere(typed: str) -> None:
    with pytest.raises(NotFound):
        parse_number(typed)


def test_numbers_cannot_be_guessed() -> None:
    made = {make_number(NOW) for _ in range(200)}
    assert len(made) == 200
    assert all(parse_number(number) == number for number in made)


def write_pair(place: Path, identity: Identity) -> tuple[Path, Path]:
    certificate, key = place / "c.pem", place / "k.pem"
    certificate.write_bytes(x509.load_der_x509_certificate(identity.certificate).public_bytes(Encoding.PEM))
    opened = load_der_private_key(identity.private_key, None)
    key.write_bytes(opened.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


def test_a_configured_certificate_signs_while_it_is_in_force(
    tmp_path: Path, identity: Identity, other: Identity
) -> None:
    certificate, key = write_pair(tmp_path, identity)
    assert read_files(certificate, key, NOW).certificate == identity.certificate
    chain = x509.load_der_x509_certificate(other.certificate).public_bytes(Encoding.PEM)
    chained = tmp_path / "chained.pem"
    chained.write_bytes(certificate.read_bytes() + chain)
    found = read_files(chained, key, NOW)
    assert found.chain == (other.certificate,)
    assert is_intact(sign_pdf(draw_sheet(make_certificate(), "http://x"), found, "r", "n"), identity.certificate)
    (tmp_path / "other").mkdir()
    _, foreign = write_pair(tmp_path / "other", other)
    for pair, now in (
        ((certificate, key), NOW + timedelta(days=4_000)),
        ((certificate, foreign), NOW),
        ((certificate, certificate), NOW),
        ((tmp_path / "none", key), NOW),
    ):
        with pytest.raises(SetupError) as caught:
            read_files(*pair, now)
        assert caught.value.code == "certificate_files_unusable"


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        for name, role in (("engineer", "engineer"), ("mayor", "regulator"), ("judge", "reviewer")):
            area = "321302" if role == "regulator" else ""
            made.visitors[name] = await add_visitor(made, NewAccount(name, [role], PASSWORD, area=area))
        firm = made.world.firms["pump"].enterprise_id
        user = NewAccount("worker", ["enterprise_user"], PASSWORD, enterprise_id=firm)
        made.visitors["worker"] = await add_visitor(made, user)
        yield made


@pytest_asyncio.fixture(scope="module")
async def one(console: Console) -> dict[str, Any]:
    """A certificate of pump that nobody revokes."""
    return await issue(console)


async def issue(console: Console, who: str = "pump", firm: str = "pump") -> dict[str, Any]:
    body = {"enterprise_id": console.world.firms[firm].enterprise_id}
    made = await console.world.ask("POST", V1, body, who=who)
    assert made.status == 201, made.body
    return dict(made.json)


async def test_a_firm_gets_a_signed_file_that_anybody_can_verify(console: Console, one: dict[str, Any]) -> None:
    world = console.world
    file = await world.ask("GET", f"{V1}/{one['number']}/file")
    assert (file.status, file.headers["Content-Type"], hashlib.sha256(file.body).hexdigest()) == (
        200, "application/pdf", one["sha256"],
    )  # fmt: skip
    assert one["number"] in "".join(read_cells(file.body)) and PUMP in "".join(read_cells(file.body))
    async with world.state.connect() as conn:
        signing = await fetch_signing(conn, one["signing_certificate_sha256"])
    assert signing is not None and await asyncio.to_thread(is_intact, file.body, signing)
    shown = await world.ask("GET", f"/verify/{one['number'].lower()}", who="")
    assert (shown.status, shown.json["state"], shown.json["prefixes"], shown.json["sha256"]) == (
        200, "valid", [PUMP], one["sha256"],
    )  # fmt: skip
    assert "issued_by" not in shown.json and "enterprise_id" not in shown.json
    assert (await world.ask("GET", "/verify/JR2026-0000-0000-0000-0000", who="")).status == 404
    led = await world.ask(
        "GET", f"/verify/{one['number']}", who="", headers={"Accept": "text/html"}, allow_redirects=False
    )
    assert (led.status, led.headers["Location"]) == (303, f"/console/verify/{one['number']}")
    led = await world.ask("GET", "/verify", who="", allow_redirects=False)
    assert (led.status, led.headers["Location"]) == (303, "/console/verify")
    page = await console["nobody"].get(f"/verify/{one['number']}")
    assert page.status == 200 and "Firm 901" in page.shown and "Valid" in page.shown and one["sha256"] in page.shown


async def test_an_uploaded_file_is_compared_byte_by_byte(console: Console, one: dict[str, Any]) -> None:
    file = (await console.world.ask("GET", f"{V1}/{one['number']}/file")).body
    other = (await console.world.ask("GET", f"{V1}/{(await issue(console))['number']}/file")).body
    nobody = console["nobody"]
    first = await nobody.get(f"/verify/{one['number']}")
    cookie = re.search(r"idnode_visitor=(\w+)", first.headers["Set-Cookie"])
    assert cookie is not None
    nobody.headers["Cookie"] = f"idnode_visitor={cookie[1]}"
    (token,) = set(re.findall(r'name="token" value="([^"]+)"', first.text))
    changed = bytearray(file)
    changed[len(changed) // 2] ^= 1
    for content, words in (
        (file, "byte for byte what was issued; its signature is intact"),
        (bytes(changed), "not what was issued"),
        (other, "not what was issued"),
        (b"%PDF-1.4 " + bytes(1_000), "not what was issued"),
    ):
        page = await nobody.post(f"/verify/{one['number']}", token=token, files={"file": ("c.pdf", content)})
        assert (page.status, words in page.shown) == (200, True), page.shown[:900]
    assert (await nobody.post(f"/verify/{one['number']}", token=token, files={"file": ("c.pdf", b"")})).status == 400


@pytest.mark.parametrize(
    ("who", "status"),
    [("pump", 201), ("operator", 201), ("reviewer", 201), ("tofu", 404), ("nobody", 401)],
)
async def test_who_may_issue_by_the_interface(console: Console, who: str, status: int) -> None:
    body = {"enterprise_id": console.world.firms["pump"].enterprise_id}
    assert (await console.world.ask("POST", V1, body, who=who)).status == status


@pytest.mark.parametrize(
    ("who", "sees", "issues", "revokes"),
    [("operator", 200, 303, 200), ("judge", 200, 303, 200), ("pump", 200, 303, 403), ("worker", 200, 403, 403),
     ("engineer", 403, 403, 403), ("mayor", 403, 403, 403), ("nobody", 303, 401, 303)],
)  # fmt: skip
async def test_who_may_issue_and_revoke_in_the_console(
    console: Console, one: dict[str, Any], who: str, sees: int, issues: int, revokes: int
) -> None:
    visitor = console[who]
    assert (await visitor.get("/certificates")).status == sees
    posted = await visitor.post("/certificates", {"enterprise": PUMP})
    assert posted.status == issues or (who == "nobody" and posted.status in (303, 401, 403))
    assert (await visitor.get(f"/certificates/revoke/{one['number']}")).status == revokes
    assert (await visitor.get(f"/certificates/file/{one['number']}")).status == sees
    if who == "pump":
        assert "Firm 902" not in (await visitor.get("/certificates")).shown


async def test_a_firm_sees_its_own_only(console: Console, one: dict[str, Any]) -> None:
    world = console.world
    assert (await world.ask("GET", f"{V1}/{one['number']}", who="tofu")).status == 404
    assert (await world.ask("GET", f"{V1}/{one['number']}/file", who="tofu")).status == 404
    assert (await world.ask("GET", V1, who="tofu")).json["certificates"] == []
    pump = world.firms["pump"].enterprise_id
    assert (await world.ask("GET", f"{V1}?enterprise_id={pump}", who="tofu")).status == 404
    everything = (await world.ask("GET", V1, who="operator")).json["certificates"]
    assert one["number"] in {row["number"] for row in everything}
    assert (await world.ask("POST", f"{V1}/{one['number']}/revoke", {"reason": "x"})).status == 403


async def test_a_revoked_certificate_says_so_with_its_reason(console: Console) -> None:
    world, one = console.world, await issue(console)
    path = f"{V1}/{one['number']}/revoke"
    assert (await world.ask("POST", path, {"reason": " "}, who="operator")).status == 400
    gone = await world.ask("POST", path, {"reason": "wrong firm"}, who="operator")
    assert (gone.status, gone.json["reason"]) == (200, "wrong firm")
    assert (await world.ask("POST", path, {"reason": "again"}, who="operator")).status == 409
    shown = (await world.ask("GET", f"/verify/{one['number']}", who="")).json
    assert (shown["state"], shown["reason"], shown["since"]) == ("revoked", "wrong firm", shown["revoked_at"])
    assert "wrong firm" in (await console["nobody"].get(f"/verify/{one['number']}")).shown
    async with world.state.connect() as conn:
        query = "SELECT action, actor, reason FROM audit_pending WHERE subject LIKE '%' || $1 || '%' UNION ALL SELECT"
        query += " action, actor, reason FROM audit WHERE subject LIKE '%' || $1 || '%'"
        noted = {(row["action"].split()[0], row["reason"]) for row in await conn.fetch(query, one["number"])}
    assert ("POST", "wrong firm") in noted


async def test_only_connected_firms_get_one_and_what_became_of_them_is_told(console: Console) -> None:
    world, one = console.world, await issue(console, "operator", "tofu")
    firm, number = world.firms["tofu"].enterprise_id, one["number"]

    async def state() -> str:
        return str((await world.ask("GET", f"/verify/{number}", who="")).json["state"])

    async def decide(path: str, **body: str) -> None:
        assert (await world.ask("POST", path, {"reason": "because", **body}, who="operator")).status == 200

    await decide(f"/api/v1/prefixes/{TOFU}/decisions", decision="stopped")
    assert await state() == "suspended"
    refused = await world.ask("POST", V1, {}, who="tofu")
    assert (refused.status, refused.json["code"]) == (409, "certificate_not_connected")
    page = await console["operator"].post("/certificates", {"enterprise": TOFU})
    assert (page.status, "not connected now" in page.shown) == (400, True)
    await decide(f"/api/v1/prefixes/{TOFU}/decisions", decision="resumed")
    assert await state() == "valid"
    await decide(f"/api/v1/enterprises/{firm}/suspend")
    shown = (await world.ask("GET", f"/verify/{number}", who="")).json
    assert (shown["state"], shown["since"] is not None) == ("suspended", True)
    await decide(f"/api/v1/enterprises/{firm}/resume")
    async with world.state.connect() as conn:
        await conn.execute("UPDATE connection_certificates SET prefixes = '{88.101.77}' WHERE number = $1", number)
    assert await state() == "prefix_changed"


async def test_a_program_that_repeats_itself_is_stopped_and_a_missing_font_is_named(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, one = console.world, await issue(console, "operator", "tofu")
    monkeypatch.setenv("IDNODE_PDF_FONT", "/nowhere.ttf")
    lacking = await world.ask("POST", V1, {}, who="tofu")
    assert (lacking.status, lacking.json["code"]) == (503, "pdf_font_unusable")
    page = await console["tofu"].post("/certificates", {})
    assert (page.status, "apt-get install fonts-wqy-microhei" in page.shown) == (503, True)
    monkeypatch.undo()
    async with world.state.connect() as conn:
        names = "enterprise_id, enterprise, certificate_code, prefixes, connected_on, node_name, issued_at, issued_by"
        await conn.execute(
            f"INSERT INTO connection_certificates (number, sha256, file, fingerprint, {names})"
            f" SELECT 'copy ' || n, n::text::bytea, '', fingerprint, {names} FROM connection_certificates,"
            " generate_series(1, 99) n WHERE number = $1",
            one["number"],
        )
    refused = await world.ask("POST", V1, {}, who="tofu")
    assert (refused.status, refused.json["code"]) == (429, "certificate_slow_down")
    async with world.state.connect() as conn:
        await conn.execute("DELETE FROM connection_certificates WHERE number LIKE 'copy %'")


async def test_a_repeated_request_gets_the_first_certificate(console: Console) -> None:
    key = {"Idempotency-Key": "certificate-1"}
    first, second = [(await console.world.ask("POST", V1, {}, headers=key)).json for _ in range(2)]
    assert first["number"] == second["number"]


async def test_a_file_of_a_configured_certificate_is_known_by_its_digest(
    console: Console, tmp_path: Path, identity: Identity
) -> None:
    state = console.world.state
    office = Office(("88.101",), CONSOLE_URL, RULES.key_ring, write_pair(tmp_path, identity))
    order = Order(CLERK, NOW)
    made = await draft(state.connect, office, order, console.world.firms["pump"].enterprise_id)
    async with state.connect() as conn, conn.transaction():
        await keep(conn, order, made)
    assert made.certificate.fingerprint == identity.fingerprint
    assert format_certificate(made.certificate)["issued_by"] == CLERK.actor
    assert (await compare(state.connect, made.file)).is_intact
    assert not (await compare(state.connect, made.file[:-1])).is_intact


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_pages_speak_both_languages(console: Console, one: dict[str, Any], language: str) -> None:
    for who, path in (("nobody", "/verify"), ("nobody", "/verify?number=x"), ("nobody", f"/verify/{one['number']}"),
                      ("pump", "/certificates"), ("operator", f"/certificates/revoke/{one['number']}")):  # fmt: skip
        page = await console[who].get(path, **{"Accept-Language": language})
        assert page.status == (404 if path.endswith("=x") else 200)
        assert ("接入证明" in page.shown) == (language == "zh"), path
    asked = await console["nobody"].get(f"/verify?number={one['number'].lower()}")
    assert asked.location == f"/console/verify/{one['number']}"
