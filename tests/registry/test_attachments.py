"""Attachments: what is taken by its content, sealed on the disk, shown to whom it belongs, bound once, cleaned away."""

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from registry.attachments import MAX_UNBOUND, clean_attachments
from registry.keys import KeyTerms, add_key
from schemas.attachments import MAX_IMAGE_BYTES, MAX_PDF_BYTES, check_content, make_name
from schemas.enterprise_bodies import AttachmentBody
from schemas.errors import InvalidInput, TooLarge
from tests.registry.api_world import Reply, World, open_world
from tests.registry.people import CLERK, make_uscc, order
from tests.registry.pictures import BMP, JPEG, PDF, PNG, make_png

V1 = "/api/v1"


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def upload(world: World, content: bytes, name: str = "a.png", who: str = "pump", **more: Any) -> Reply:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", content, filename=name, content_type="text/html")
    return await world.ask("POST", f"{V1}/attachments", who=who, data=form, **more)


async def keep(world: World, number: int, who: str = "pump") -> int:
    reply = await upload(world, make_png(number), who=who)
    assert reply.status == 201, reply.body
    attachment_id: int = reply.json["attachment_id"]
    return attachment_id


async def propose(world: World, who: str = "pump", **files: Any) -> Reply:
    """A changed dossier of one of the two firms."""
    number = {"pump": 901, "tofu": 902}[who]
    dossier = {"name": f"Firm {number}", "certificate_code": make_uscc(number), **files}
    return await world.ask("POST", f"{V1}/enterprises/{world.firms[who].enterprise_id}/changes", dossier, who=who)


TAKEN = [
    (PNG, "png", "a picture"),
    (JPEG, "jpeg", "a photograph"),
    (BMP, "bmp", "an old picture"),
    (PDF, "pdf", "a page"),
    (PDF + b"\n" * 900, "pdf", "blank lines behind the end, which programs write"),
]


@pytest.mark.parametrize(("content", "kind", "reason"), TAKEN, ids=[reason for *_, reason in TAKEN])
def test_a_file_is_what_its_content_says(content: bytes, kind: str, reason: str) -> None:
    assert check_content(content) == kind, reason


REFUSED = [
    (b"", "nothing"),
    (b"<html><script>alert(1)</script></html>", "a page for browsers"),
    (b"GIF89a" + bytes(40), "a picture of another kind"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a drawing that can run programs"),
    (b"MZ" + bytes(200), "a program"),
    (PNG[:-20], "a picture that was cut off"),
    (JPEG[:-40], "a photograph that was cut off"),
    (BMP[:-1], "a picture shorter than it says"),
    (PDF[:-10], "a page that was cut off"),
    (b"\xff\xd8\xff\xe0" + bytes(100) + b"\xff\xd9", "the head of a photograph without one"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100) + b"IEND", "the head of a picture without one"),
    (b"x" + PDF, "a page that begins elsewhere"),
    (b"\xff\xd8" + b"\xff" * 50, "fill bytes and nothing else"),
]


@pytest.mark.parametrize(("content", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_is_no_whole_picture_and_no_page_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match="complete"):
        check_content(content)


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_each_kind_has_its_own_bound(kind: str) -> None:
    whole, limit = (PNG, MAX_IMAGE_BYTES) if kind == "png" else (PDF, MAX_PDF_BYTES)
    room = limit - len(whole)
    padded = whole[:-12] + bytes(room) + whole[-12:]
    assert check_content(padded) == kind
    with pytest.raises(TooLarge):
        check_content(padded[:-12] + b"\0" + padded[-12:])


NAMES = [
    ("营业执照.jpg", "jpeg", "营业执照.jpg"),
    ("SCAN.JPEG", "jpeg", "SCAN.JPEG"),
    ("invoice.exe", "pdf", "invoice.exe.pdf"),
    ("../../etc/passwd", "png", "passwd.png"),
    (r"C:\文件\a.png", "png", "a.png"),
    ("", "png", "file.png"),
    ("\u202egnp.exe", "png", "gnp.exe.png"),
    ('a"b\r\nc.png', "png", "abc.png"),
    ("长" * 400 + ".png", "png", "长" * 251 + ".png"),
]


@pytest.mark.parametrize(("name", "kind", "shown"), NAMES)
def test_a_name_never_hides_what_a_file_is(name: str, kind: str, shown: str) -> None:
    assert make_name(name, kind) == shown


async def test_what_was_uploaded_comes_back_as_a_download(world: World) -> None:
    stored = AttachmentBody.model_validate((await upload(world, JPEG, "执照 1.php")).json)
    assert (stored.kind, stored.name, stored.bytes) == ("jpeg", "执照 1.php.jpg", len(JPEG))
    assert stored.sha256 == hashlib.sha256(JPEG).hexdigest()
    for who in ("pump", "operator"):
        sent = await world.ask("GET", f"{V1}/attachments/{stored.attachment_id}/content", who=who)
        assert (sent.status, sent.body, sent.headers["Content-Type"]) == (200, JPEG, "image/jpeg")
        assert sent.headers["Content-Disposition"].startswith("attachment; ")
        assert "UTF-8''%E6%89%A7%E7%85%A7%201.php.jpg" in sent.headers["Content-Disposition"]
        assert sent.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in sent.headers["Content-Security-Policy"]


async def test_the_content_stands_sealed_on_the_disk_for_our_account_alone(world: World) -> None:
    marked = make_png(7_777)
    await upload(world, marked)
    directory = world.state.config.attachments.directory
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files and all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert all(len(path.relative_to(directory).parts) == 3 for path in files)
    assert not any(b"7777" in path.read_bytes() or b"PNG" in path.read_bytes() for path in files)


async def test_a_file_moved_to_the_place_of_another_does_not_open(world: World) -> None:
    directory = world.state.config.attachments.directory
    before = {path for path in directory.rglob("*") if path.is_file()}
    first, second = await keep(world, 1), await keep(world, 2)
    one, two = (path for path in directory.rglob("*") if path.is_file() and path not in before)
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    for number in (first, second):
        assert (await world.ask("GET", f"{V1}/attachments/{number}/content")).status == 500
    one.unlink()
    two.unlink()
    lost = await world.ask("GET", f"{V1}/attachments/{first}/content")
    assert (lost.status, lost.json["code"]) == (404, "attachment_lost")


@pytest.mark.parametrize("path", ["", "/content"])
async def test_a_firm_that_guesses_numbers_finds_nothing(world: World, path: str) -> None:
    number = await keep(world, 10)
    foreign = await world.ask("GET", f"{V1}/attachments/{number}{path}", who="tofu")
    nothing = await world.ask("GET", f"{V1}/attachments/{number + 10_000}{path}", who="tofu")
    assert (foreign.status, nothing.status) == (404, 404)
    assert foreign.json["detail"].replace(str(number), "N") == nothing.json["detail"].replace(str(number + 10_000), "N")
    for wild in ("0", "-1", str(2**63), str(2**70)):
        assert (await world.ask("GET", f"{V1}/attachments/{wild}{path}")).status == 404


async def test_a_list_holds_what_is_the_callers_own(world: World) -> None:
    own = [await keep(world, number) for number in (60, 61, 62)]
    foreign = await keep(world, 63, "tofu")
    by_operator = await keep(world, 64, "operator")
    for who, hidden in (("pump", {foreign, by_operator}), ("tofu", {*own, by_operator}), ("operator", set())):
        seen: list[int] = []
        after: int | None = 0
        while after is not None:
            page = (await world.ask("GET", f"{V1}/attachments?limit=2&after={after}", who=who)).json
            seen += [one["attachment_id"] for one in page["attachments"]]
            after = page["next"]
        assert seen == sorted(seen)
        assert ({*own, foreign, by_operator} - hidden) == ({*own, foreign, by_operator} & set(seen))
    assert (await world.ask("GET", f"{V1}/attachments?after=-1")).status == 400


async def test_a_dry_run_and_a_repeated_key_leave_one_file_at_most(world: World) -> None:
    directory = world.state.config.attachments.directory

    def count() -> int:
        return sum(path.is_file() for path in directory.rglob("*"))

    before = count()
    dry = await world.ask("POST", f"{V1}/attachments?dry_run=true", data=_form(PNG))
    assert (dry.status, count()) == (200, before)
    key = {"Idempotency-Key": "licence-1"}
    first, again = [await world.ask("POST", f"{V1}/attachments", data=_form(PNG), headers=key) for _ in range(2)]
    assert (first.status, first.body, count()) == (201, again.body, before + 1)
    other = await world.ask("POST", f"{V1}/attachments", data=_form(BMP), headers=key)
    assert (other.status, other.json["code"]) == (409, "idempotency_key_reused")


def _form(content: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", content, filename="a")
    return form


async def test_what_is_no_form_with_a_file_is_said_to_be_none(world: World) -> None:
    empty = aiohttp.FormData()
    empty.add_field("other", b"x", filename="x")
    text = aiohttp.FormData({"file": "x"}, default_to_multipart=True)
    for form, code in ((empty, "attachment_missing"), (text, "attachment_missing")):
        reply = await world.ask("POST", f"{V1}/attachments", data=form)
        assert (reply.status, reply.json["code"]) == (400, code)
    broken = await world.ask(
        "POST",
        f"{V1}/attachments",
        data=b"--x\r\nnonsense",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert broken.status == 400
    two = aiohttp.FormData()
    for name in ("file", "more"):
        two.add_field(name, PNG, filename=name)
    assert (await world.ask("POST", f"{V1}/attachments", data=two)).status == 400


async def test_a_form_larger_than_any_file_is_not_read_to_its_end(world: World) -> None:
    sent = 0

    async def pour() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
        for _ in range(4_000):
            sent += 1
            yield bytes(1 << 16)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        reply = await world.ask("POST", f"{V1}/attachments", data=pour(), headers=kind)
        assert (reply.status, reply.json["code"]) == (413, "attachment_upload_too_large")
    except aiohttp.ClientError:
        pass  # the connection was closed while we were still sending
    assert sent < 4_000
    announced = await world.ask("POST", f"{V1}/attachments", data=bytes(MAX_PDF_BYTES * 2), headers=kind)
    assert announced.status == 413


async def test_a_file_serves_one_member_of_one_dossier(world: World) -> None:
    licence, other = await keep(world, 20), await keep(world, 21)
    assert (await propose(world, certificate_image_id=licence)).status == 200
    known = (await world.ask("GET", f"{V1}/attachments/{licence}")).json
    assert (known["bound_as"], known["enterprise_id"]) == ("certificate_image_id", world.firms["pump"].enterprise_id)
    again = await propose(world, certificate_image_id=licence)
    assert again.status == 200, "the same change, sent again"
    for files in (
        {"build": {"type": 2, "name": "x", "contract_file_id": licence}},
        {"certificate_image_id": other, "data_hosting": {"name": "x", "contract_file_id": other}},
    ):
        refused = await propose(world, **files)
        assert (refused.status, refused.json["code"]) == (409, "attachment_bound"), files
        assert refused.json["field"].endswith("contract_file_id")


async def test_a_foreign_and_an_unknown_file_are_the_same_to_a_dossier(world: World) -> None:
    foreign = await keep(world, 30, who="tofu")
    for number in (foreign, foreign + 5_000, 2**62):
        refused = await propose(world, certificate_image_id=number)
        assert (refused.status, refused.json["code"], refused.json["field"]) == (
            404, "attachment_not_found", "certificate_image_id",
        )  # fmt: skip
    assert (await world.ask("GET", f"{V1}/attachments/{foreign}", who="tofu")).json["bound_as"] is None
    # Nor does the operator give one firm's file to another.
    by_operator = await world.ask(
        "POST", f"{V1}/enterprises/{world.firms['pump'].enterprise_id}/changes",
        {"name": "Firm 901", "certificate_code": make_uscc(901), "certificate_image_id": foreign}, who="operator",
    )  # fmt: skip
    assert by_operator.status == 404


async def test_the_operator_uploads_for_a_firm_and_gives_a_reason_to_look_at_an_identity_card(world: World) -> None:
    licence, card = await keep(world, 40, "operator"), await keep(world, 41, "operator")
    dossier = {"name": "附件企业", "certificate_code": make_uscc(910), "certificate_image_id": licence,
               "legal_person": {"name": "王某", "front_image_id": card}}  # fmt: skip
    firm = await world.ask("POST", f"{V1}/enterprises/applications", dossier, who="operator")
    assert firm.status == 201, firm.body
    assert "certificate_image_id" not in {item["field"] for item in firm.json["todo"]}
    assert (await world.ask("GET", f"{V1}/attachments/{licence}/content", who="reviewer")).status == 200
    unexplained = await world.ask("GET", f"{V1}/attachments/{card}/content", who="reviewer")
    assert (unexplained.status, unexplained.json["code"]) == (400, "reason_missing")
    explained = await world.ask("GET", f"{V1}/attachments/{card}/content?reason=%E6%A0%B8%E9%AA%8C", who="reviewer")
    assert (explained.status, explained.body) == (200, make_png(41))
    shown = await world.ask("GET", f"{V1}/enterprises/{firm.json['enterprise_id']}", who="operator")
    assert [(d["decision"], d["reason"]) for d in shown.json["decisions"]][-1] == ("revealed", "核验")


async def test_a_key_that_may_only_read_sees_the_licence_and_not_the_card(world: World) -> None:
    licence, card = await keep(world, 45), await keep(world, 46)
    files = {"certificate_image_id": licence, "legal_person": {"name": "王某", "front_image_id": card}}
    assert (await propose(world, **files)).status == 200
    async with world.state.connect() as conn:
        firm = world.firms["pump"].enterprise_id
        key = await add_key(conn, order(CLERK), firm, "scanner", KeyTerms(scopes=("read",)))
    world.keys["scanner"] = ".".join(key)
    for number, status in ((licence, 200), (card, 403)):
        assert (await world.ask("GET", f"{V1}/attachments/{number}/content", who="scanner")).status == status
        assert (await world.ask("GET", f"{V1}/attachments/{number}/content")).status == 200
    assert (await upload(world, PNG, who="scanner")).status == 403


async def test_a_firm_cannot_fill_the_disk_with_files_it_does_not_use(world: World) -> None:
    firm = world.firms["tofu"].enterprise_id
    async with world.state.connect() as conn:
        await conn.execute(
            "INSERT INTO attachments (file_id, name, kind, size_bytes, sha256, enterprise_id, actor, created)"
            " SELECT gen_random_uuid(), 'a.png', 'png', 1, '', $1, 'x', now() FROM generate_series(1, $2)",
            firm, MAX_UNBOUND,
        )  # fmt: skip
    reply = await upload(world, PNG, who="tofu")
    assert (reply.status, reply.json["code"]) == (409, "attachment_too_many")
    async with world.state.connect() as conn:
        await conn.execute("DELETE FROM attachments WHERE actor = 'x'")


async def test_what_is_not_used_within_a_day_is_cleaned_away(world: World) -> None:
    unused, used = await keep(world, 50), await keep(world, 51)
    assert (await propose(world, certificate_image_id=used)).status == 200
    directory = world.state.config.attachments.directory
    left = directory / "ab" / "cd" / str(uuid4())
    arriving, foreign = left.with_name(".arriving-x"), left.with_name("notes.txt")
    left.parent.mkdir(parents=True)
    now = world.state.now()
    for path in (left, arriving, foreign):
        path.touch()
        os.utime(path, (now.timestamp() - 90_000,) * 2)
    async with world.state.connect() as conn:
        assert await clean_attachments(conn, directory, now) == 2, "what a crash left, and nothing of today"
        assert [path.exists() for path in (left, arriving, foreign)] == [False, False, True]
        await conn.execute("UPDATE attachments SET created = $1", now - timedelta(hours=25))
        await clean_attachments(conn, directory, now)
        assert await clean_attachments(conn, directory, now) == 0
    assert (await world.ask("GET", f"{V1}/attachments/{unused}")).status == 404
    assert (await world.ask("GET", f"{V1}/attachments/{used}/content")).status == 200
