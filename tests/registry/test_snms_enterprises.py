"""The enterprise calls of the published interface: applications, lists, dossiers, prefixes, hosting, files."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from registry.snms.dossiers import read_dossier
from registry.snms.enterprises import read_user
from registry.snms.fields import Fields, Refusal
from schemas.sealing import SealBroken, unseal
from tests.registry.api_world import PUMP, TOFU, World, open_world
from tests.registry.people import RULES, make_uscc
from tests.registry.pictures import BMP, JPEG, PDF, PNG
from tests.registry.snms_applications import V3, apply, find_id, make_application, sign_in, upload
from tests.registry.snms_world import ask

TRANSCRIPT = Path(__file__).parents[1] / "vectors" / "snms" / "enterprises" / "ent-onboarding.json"
FILES = {".jpg": JPEG, ".png": PNG, ".bmp": BMP, ".pdf": PDF}
Change = Callable[[dict[str, Any]], object]


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


# The transcript ------------------------------------------------------------------------------------------------------


def fill(value: Any, known: dict[str, Any]) -> Any:
    """`$name` stands for what an earlier answer held."""
    if isinstance(value, dict):
        return {name: fill(member, known) for name, member in value.items()}
    if isinstance(value, list):
        return [fill(member, known) for member in value]
    return known[value[1:]] if isinstance(value, str) and value.startswith("$") else value


def match(expected: Any, got: Any, known: dict[str, Any], place: str = "") -> Iterator[str]:
    """Where an answer differs from what is published."""
    if isinstance(expected, str) and expected.startswith("$"):
        if expected != "$any" and known.setdefault(expected[1:], got) != got:
            yield f"{place}: {got!r} is not {expected} {known[expected[1:]]!r}"
    elif isinstance(expected, dict) and isinstance(got, dict):
        for name in expected.keys() | got.keys():
            if name not in expected or name not in got:
                yield f"{place}.{name}: only in {'the answer' if name in got else 'the transcript'}"
            else:
                yield from match(expected[name], got[name], known, f"{place}.{name}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for n, pair in enumerate(zip(expected, got, strict=True)):
            yield from match(*pair, known, f"{place}[{n}]")
    elif (type(expected), expected) != (type(got), got):
        yield f"{place}: {got!r} instead of {expected!r}"


async def test_an_enterprise_comes_aboard_as_it_is_published(world: World) -> None:
    known: dict[str, Any] = {}
    for step in json.loads(TRANSCRIPT.read_text(encoding="utf-8"))["exchanges"]:
        if "approve" in step:
            path = f"/api/v1/enterprises/{fill(step['approve'], known)}/approve"
            assert (await world.ask("POST", path, {}, who="reviewer")).status == 200
            await sign_in(world, {"sysUser": {"userName": "quanxin"}})
            continue
        if "file" in step:
            said = await upload(world, FILES[Path(step["file"]).suffix], step["file"], step["who"])
        else:
            path = quote(step["path"].replace("$ent", str(known.get("ent"))), safe="/?&=")
            said = await ask(world, step["method"], path, fill(step.get("body"), known), who=step["who"])
        got = {"message": said.message, "status": said.status, "data": said.data}
        assert list(match(step["answer"], got, known)) == [], step["what"]


# N3: files -----------------------------------------------------------------------------------------------------------


async def test_a_file_gets_a_number_and_a_name_by_its_content(world: World) -> None:
    for content, ending in ((JPEG, ".jpg"), (PNG, ".png"), (BMP, ".bmp"), (PDF, ".pdf")):
        for who in ("operator", "pump"):
            said = await upload(world, content, "whatever.exe", who)
            assert said.status == 1
            assert type(said.data["id"]) is int
            assert said.data["path"].endswith(ending)
            assert len(said.data["path"]) == 36 + len(ending)


@pytest.mark.parametrize("content", [b"", b"<html>", PNG + bytes(1_050_000) + PNG[-12:], PDF[:-10]])
async def test_a_file_that_is_none_of_these_is_refused(world: World, content: bytes) -> None:
    said = await upload(world, content)
    assert (said.status, said.data) == (-2, None)


async def test_an_upload_without_a_form_or_a_token_is_refused(world: World) -> None:
    assert (await ask(world, "POST", "/snms/api/file/upload", {"file": "x"}, who="operator")).status == -2
    assert (await upload(world, who="nobody")).status == -1
    reply = await world.ask(
        "POST", "/snms/api/file/upload", who="pump", data=b"--x\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )  # fmt: skip
    assert (reply.status, reply.json["status"]) == (200, -2)


# N1: applications ----------------------------------------------------------------------------------------------------


def put(path: str, value: Any) -> Change:
    """A change of one member; `...` takes it away."""

    def change(document: dict[str, Any]) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            document = document[int(parent)] if isinstance(document, list) else document.setdefault(parent, {})
        if value is ...:
            document.pop(name, None)
        else:
            document[int(name) if isinstance(document, list) else name] = value  # type: ignore[index]

    return change


B, R, S = "entBasicInfo", "entRegisterManageInfo", "entHostingAndIdentifyServeInfo"
LOCAL = {"sysType": 1, "deployMode": 1, "province": "320000", "city": "321300", "county": "321302", "address": "x"}
CLOUD = {"sysType": 1, "deployMode": 2, "name": "某云"}
SERVED = {"industryCategory": "C", "industrySpecific": "34", "industryTrade": "344", "industrySubclass": "3441"}
FIRST = f"{R}.entInfoSyses.0"

CONDITIONS: list[tuple[str, Any, str | None, str]] = [
    (FIRST, LOCAL, None, "a local system with its whole address"),
    *((FIRST, LOCAL | {name: ""}, f"entInfoSyses[0].{name}", f"a local system without {name}")
      for name in ("province", "city", "county", "address")),
    (FIRST, CLOUD | {"name": None}, "entInfoSyses[0].name", "a cloud without a provider"),
    (FIRST, LOCAL | {"county": "110101"}, "entInfoSyses[0].county", "a county of another city"),
    (FIRST, CLOUD | {"ipPort": "[192.0.2.1]:80;[2001:db8::1]:80"}, None, "addresses of the registration system"),
    (FIRST, CLOUD | {"ipPort": "192.0.2.1:80"}, "ipPort", "without brackets"),
    (FIRST, CLOUD | {"ipPort": "[192.0.2.1]:99999"}, "ipPort", "a port that is none"),
    (f"{R}.entInfoSyses.1", CLOUD | {"sysType": 2, "ipPort": "[192.0.2.1]:80"}, "entInfoSyses[1].ipPort",
     "addresses of another system"),
    (f"{R}.entInfoSyses.3", CLOUD | {"sysType": 5}, "entInfoSyses", "no resolution server"),
    (f"{R}.entInfoSyses", [], "entInfoSyses", "no system at all"),
    (f"{R}.servSysBuildType", 2, "servSysBuildName", "entrusted to whom?"),
    (f"{R}.servSysOperType", "2", "servSysOperName", "operated by whom? (a number as text)"),
    (f"{B}.industryCategory", "D", "industrySpecific", "a division of another section"),
    (f"{B}.industrySpecific", "99", "industrySpecific", "no such division"),
    (f"{B}.orgAddrCity", "110100", "orgAddrCity", "a city of another province"),
    (f"{B}.orgAddrCounty", "", None, "the county may be left out"),
    (f"{B}.orgAddrProvince", "999999", "orgAddrProvince", "no such province"),
    (f"{S}.entInfoSerIndustries", [SERVED], None, "four levels that fit"),
    (f"{S}.entInfoSerIndustries", [SERVED | {"industryTrade": "345"}], "entInfoSerIndustries[0]", "levels that do not"),
    (f"{S}.entInfoSerIndustries", [SERVED | {"industrySubclass": None}], "industrySubclass", "three levels"),
    (f"{S}.entInfoLicenses", [{"licenceNo": "1", "licenceType": 5}], "licenceType", "no such licence"),
    (f"{S}.extIpAddr", "192.0.2.1;2001:db8::1", None, "both families"),
    (f"{S}.extIpAddr", "192.0.2.1;nowhere", "extIpAddr", "a name"),
    (f"{S}.dataHostingContractFileRid", 1, "dataHostingOrg", "a contract with nobody"),
    (f"{B}.orgCrtCode", "91321302MA0000000X", None, "a wrong check character is a warning here"),
    (f"{B}.contactCrtNo", "110105194912310021", None, "so it is of a resident ID"),
    (f"{B}.entPrefix", "88.999.1", "entPrefix", "a prefix of another node"),
    (f"{B}.entPrefix", "88.101.x", "entPrefix", "a prefix that is none"),
    (f"{B}.entPrefix", "88.101.000000", "entPrefix", "the node's own"),
    (f"{B}.entPrefix", PUMP, "entPrefix", "somebody else's"),
    (f"{B}.establishDate", "2020-02-30", "establishDate", "no such day"),
    (f"{B}.establishDate", "2020-02-29 00:00:00", None, "a day with its midnight"),
    (f"{B}.contactEmail", "nobody", "contactEmail", "no e-mail"),
    (f"{B}.contactPhone", "tel 1", "contactPhone", "no telephone"),
    (f"{B}.orgCrtImgRid", 2**40, "orgCrtImgRid", "a file that is not there"),
    ("sysUser.password", "12345", "sysUser.password", "the password itself"),
    ("sysUser.userName", "a b", "sysUser.userName", "a name with a blank"),
    ("unknown", {"x": 1}, None, "members nobody knows are ignored"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def spare(world: World) -> dict[str, Any]:
    """An application to be refused: it binds nothing, so that one does for all."""
    return await make_application(world)


@pytest.mark.parametrize(("path", "value", "named", "reason"), CONDITIONS, ids=[c[3] for c in CONDITIONS])
async def test_an_application_stands_under_conditions(
    world: World, spare: dict[str, Any], path: str, value: Any, named: str | None, reason: str
) -> None:
    application = deepcopy(spare) if named else await make_application(world)
    put(path, value)(application)
    said = await apply(world, application)
    if named is None:
        assert (said.status, said.message, said.data) == (1, "success", True), reason
    else:
        assert (said.status, said.data, named in said.message) == (-2, None, True), (reason, said.message)
        assert await find_id(world, application) is None, "nothing of it was written"


REQUIRED = {
    "sysUser": ("userName", "password", "email", "mobile"),
    B: ("orgName", "orgNature", "orgAddr", "orgAddrProvince", "orgAddrCity", "orgCrtType", "orgCrtCode", "orgCrtImgRid",
        "industryCategory", "industrySpecific", "contactName", "contactCrtType", "contactCrtNo", "contactEmail",
        "contactPhone", "legalName", "legalCrtType", "legalCrtNo", "legalCrtFrontImgRid", "legalCrtBackImgRid",
        "entPrefix"),
    R: ("entInfoSyses", "servSysBuildType", "servSysOperType",
        *(f"entInfoSyses.0.{name}" for name in ("sysType", "deployMode", "province", "city", "county", "address")),
        "entInfoSyses.1.name"),
    S: (*(f"entInfoSerIndustries.0.{name}" for name in SERVED), "entInfoLicenses.0.licenceNo",
        "entInfoLicenses.0.licenceType"),
}  # fmt: skip
OPTIONAL = {
    "sysUser": ("remarks",),
    B: ("orgAddrCounty", "orgDesc", "website", "regAuthority", "regCapital", "establishDate", "periodValidity",
        "contactCrtFrontImgRid", "contactCrtBackImgRid", "legalEmail", "legalFax", "legalPhone"),
    R: ("servSysBuildName", "servSysBuildContractFileRid", "servSysOperName", "servSysOperContractFileRid",
        "entInfoSyses.0.name", "entInfoSyses.0.ipPort"),
    S: ("extWebName", "extDomain", "extIpAddr", "dataHostingOrg", "dataHostingContractFileRid", "servHostingOrg",
        "servHostingContractFileRid", "entInfoSerIndustries", "entInfoLicenses"),
}  # fmt: skip
WRONG = ({"a": 1}, True, "x" * 1_025, "a\x00b", 1.5)


def read(application: dict[str, Any]) -> None:
    """What a call reads before it does anything."""
    fields = Fields(application)
    read_user(fields.get_object("sysUser"))
    read_dossier(fields)


async def test_every_member_is_refused_by_its_name_whatever_is_in_it(world: World) -> None:
    application = await make_application(world)
    application[R]["entInfoSyses"][0] = dict(LOCAL)
    application[S] = {"entInfoSerIndustries": [SERVED], "entInfoLicenses": [{"licenceNo": "1", "licenceType": 1}]}
    silent: list[str] = []
    for fields, required in ((REQUIRED, True), (OPTIONAL, False)):
        for part, names in fields.items():
            for name in names:
                for value in (*((..., None, "", "  ") if required else ()), *WRONG):
                    changed = deepcopy(application)
                    put(f"{part}.{name}", value)(changed)
                    try:
                        read(changed)
                        silent.append(f"{part}.{name} = {str(value)[:20]!r}")
                    except Refusal as refusal:
                        if name.rpartition(".")[2] not in refusal.message or refusal.status != -2:
                            silent.append(f"{part}.{name} = {str(value)[:20]!r}: {refusal.message}")
    assert silent == []
    said = await apply(world, changed)
    assert (said.status, name in said.message) == (-2, True), "and so it is answered"
    assert await find_id(world, application) is None
    assert (await apply(world, application)).status == 1, "the application itself was right all the time"


@pytest.mark.parametrize("part", ["sysUser", B, R, S])
@pytest.mark.parametrize("value", [None, 5, "x", [], [1, 2], [[]], True])
async def test_an_object_that_is_none_is_refused_by_its_name(
    world: World, spare: dict[str, Any], part: str, value: Any
) -> None:
    is_right = part == S and value is None
    application = await make_application(world) if is_right else deepcopy(spare)
    put(part, value)(application)
    said = await apply(world, application)
    if is_right:
        assert said.status == 1, "it may be left out"
    else:
        assert (said.status, part in said.message) == (-2, True), said.message


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b'{"sysUser":' * 500, b'{"a": 1, "a": 2}', b"\xff"])
async def test_a_body_that_is_no_object_is_refused(world: World, body: bytes) -> None:
    said = await ask(world, "POST", f"{V3}/apply", body, who="operator")  # type: ignore[arg-type]
    assert said.status == -2


async def test_certificate_name_mobile_and_email_belong_to_one(world: World) -> None:
    first = await make_application(world)
    assert (await apply(world, first)).status == 1
    for path in (f"{B}.orgCrtCode", f"{B}.entPrefix", "sysUser.userName", "sysUser.email", "sysUser.mobile"):
        part, name = path.split(".")
        second = await make_application(world)
        put(path, first[part][name])(second)
        said = await apply(world, second)
        assert (said.status, name in said.message) == (-2, True), (path, said.message)
        assert await find_id(world, second) is None, "neither user nor enterprise"
        put(path, (await make_application(world))[part][name])(second)
        assert (await apply(world, second)).status == 1, "what was refused took nothing away, its files neither"


async def test_of_applications_at_the_same_time_one_wins(world: World) -> None:
    application = await make_application(world)
    several = []
    for n in range(4):
        other = deepcopy(application)
        other["sysUser"] |= {"userName": f"at-once-{n}", "email": f"{n}@once.example", "mobile": f"1370000000{n}"}
        several.append(other)
    said = await asyncio.gather(*(apply(world, one) for one in several))
    assert sorted(one.status for one in said) == [-2, -2, -2, 1]
    assert all(one.message == "success" or "orgCrtCode" in one.message for one in said)
    users = [(await ask(world, "POST", "/identity/registry", one["sysUser"], who="operator")).status for one in several]
    assert sorted(users) == [-2, 1, 1, 1], "the names of those who lost are free"


async def test_the_same_certificate_code_of_another_kind_is_another(world: World) -> None:
    first, second = await make_application(world), await make_application(world)
    assert (await apply(world, first)).status == 1
    second[B] |= {"orgCrtType": 2, "orgCrtCode": first[B]["orgCrtCode"]}
    assert (await apply(world, second)).status == 1


async def test_a_file_is_bound_once(world: World) -> None:
    first = await make_application(world)
    assert (await apply(world, first)).status == 1
    second = await make_application(world)
    second[B]["orgCrtImgRid"] = first[B]["orgCrtImgRid"]
    third = await make_application(world)
    third[B]["legalCrtBackImgRid"] = third[B]["legalCrtFrontImgRid"]
    for application, name in ((second, "orgCrtImgRid"), (third, "legalCrtBackImgRid")):
        said = await apply(world, application)
        assert (said.status, name in said.message) == (-2, True), said.message


async def test_wrong_check_digits_are_taken_and_stand_in_the_to_do_list(world: World) -> None:
    application = await make_application(world)
    number = application[B]["orgCrtCode"]
    application[B] |= {"orgCrtCode": f"{number[:-1]}{'0' if number[-1] != '0' else '1'}",
                       "contactCrtNo": "110105194912310021", "legalCrtNo": "nonsense"}  # fmt: skip
    assert (await apply(world, application)).status == 1
    enterprise_id = await find_id(world, application)
    shown = (await world.ask("GET", f"/api/v1/enterprises/{enterprise_id}", who="operator")).json
    todo = {item["field"]: item["missing"] for item in shown["todo"]}
    assert set(todo) == {"certificate_code", "contact.certificate_number", "legal_person.certificate_number",
                         "industry"}, "two levels of an industry are not four"  # fmt: skip
    assert (await world.ask("POST", f"/api/v1/enterprises/{enterprise_id}/approve", {}, who="reviewer")).status == 200
    # The same dossier by `/api/v1` must have its numbers right.
    dossier = {"name": application[B]["orgName"], "certificate_code": application[B]["orgCrtCode"]}
    refused = await world.ask("POST", f"/api/v1/enterprises/{enterprise_id}/changes", dossier, who="operator")
    assert (refused.status, refused.json["code"]) == (400, "uscc_check")
    right = await world.ask(
        "POST", f"/api/v1/enterprises/{enterprise_id}/changes", dossier | {"certificate_code": number}, who="operator"
    )
    assert right.status == 200, right.json
    changed = await world.ask("POST", f"/api/v1/enterprises/{enterprise_id}/approve", {}, who="reviewer")
    assert "certificate_code" not in {item["field"] for item in changed.json["todo"]}


async def test_personal_data_is_sealed_and_a_look_at_it_recorded(world: World) -> None:
    application = await make_application(world)
    assert (await apply(world, application)).status == 1
    enterprise_id = await find_id(world, application)
    async with world.state.connect() as conn:
        row = await conn.fetchrow(
            "SELECT dossier::text, personal FROM enterprises WHERE enterprise_id = $1", enterprise_id
        )
        account = await conn.fetchrow("SELECT * FROM accounts WHERE enterprise_id = $1", enterprise_id)
    for name in ("contactName", "contactCrtNo", "contactEmail", "legalName"):
        assert application[B][name] not in row["dossier"]
    assert application[B]["contactCrtNo"].encode() in unseal(
        RULES.key_ring, row["personal"], f"enterprise/{enterprise_id}/personal"
    )
    with pytest.raises(SealBroken):
        unseal(RULES.key_ring, row["personal"], "enterprise/1/personal")
    assert not any(application["sysUser"]["mobile"] in str(value) for value in account.values())
    detail = await ask(world, "GET", f"{V3}/detail?id={enterprise_id}", who="operator")
    assert detail.data[B]["contactCrtNo"] == application[B]["contactCrtNo"]
    assert "password" not in detail.data["sysUser"]
    shown = (await world.ask("GET", f"/api/v1/enterprises/{enterprise_id}", who="operator")).json
    assert (shown["decisions"][-1]["decision"], shown["decisions"][-1]["reason"]) == ("revealed", "SNMS ent/detail")


async def test_the_older_path_is_the_same_call(world: World) -> None:
    assert (await apply(world, await make_application(world), path="/snms/api/ent/apply")).status == 1


async def test_numbers_as_texts_and_a_whole_form_of_old_clients_are_taken(world: World) -> None:
    application = await make_application(world)
    for name in ("orgNature", "orgCrtType", "orgCrtImgRid", "legalCrtFrontImgRid", "contactCrtType"):
        application[B][name] = str(application[B][name])
    application[B] = [application[B]]
    said = await ask(world, "POST", f"{V3}/apply/", json.dumps(application).encode(), who="operator",  # type: ignore[arg-type]
                     headers={"Content-Type": "text/plain"})  # fmt: skip
    assert said.status == 1, said.message


# N2 ----------------------------------------------------------------------------------------------------------------


async def test_a_registered_user_gets_an_enterprise(world: World) -> None:
    application = await make_application(world)
    user = application.pop("sysUser") | {"openId": "wx-4711", "username": "later"}
    assert (await ask(world, "POST", "/identity/registry", user, who="operator")).status == 1
    said = await apply(world, application | {"username": "later"}, path=f"{V3}/upgrade-apply")
    assert (said.status, said.data) == (1, True), said.message
    rows = (await ask(world, "GET", f"{V3}/page?orgName={quote(application[B]['orgName'])}", who="operator")).data
    assert rows["content"][0]["openIds"] == ["wx-4711"]
    who = await sign_in(world, {"sysUser": {"userName": "later"}})
    assert (await ask(world, "GET", f"{V3}/detail?id={rows['content'][0]['id']}", who=who)).data[B][
        "legalName"
    ] == "王某"
    another = await make_application(world)
    del another["sysUser"]
    again = await apply(world, another | {"username": "later"}, path=f"{V3}/upgrade-apply")
    assert (again.status, "username" in again.message) == (-2, True), "he has one now"


async def test_an_enterprise_for_a_user_who_has_one_or_is_unknown_is_refused(world: World) -> None:
    known = await make_application(world)
    assert (await apply(world, known)).status == 1
    for name in (known["sysUser"]["userName"], "nobody-at-all", "", None, 5):
        application = await make_application(world)
        del application["sysUser"]
        said = await apply(world, application | {"username": name}, path=f"{V3}/upgrade-apply")
        assert (said.status, "username" in said.message) == (-2, True), said.message
        assert await find_id(world, application) is None


# Rights --------------------------------------------------------------------------------------------------------------


async def test_only_the_operator_files_applications(world: World) -> None:
    for path in (f"{V3}/apply", f"{V3}/upgrade-apply"):
        for who, status in (("pump", -3), ("nobody", -1)):
            assert (await ask(world, "POST", path, {}, who=who)).status == status


async def test_a_firm_sees_itself_and_finds_nothing_else(world: World) -> None:
    firms = {name: firm.enterprise_id for name, firm in world.firms.items()}
    for who, own, other in (("pump", PUMP, TOFU), ("tofu", TOFU, PUMP)):
        foreign = firms["tofu" if who == "pump" else "pump"]
        lists = [
            (await ask(world, "GET", path, who=who)).data
            for path in (f"{V3}/page", "/snms/api/prefix/page", f"/snms/api/prefix/page?entPrefix={other}")
        ]
        assert [row["id"] for row in lists[0]["content"]] == [firms[who]]
        assert [row["entPrefix"] for row in lists[1]["content"]] == [own]
        assert lists[2]["content"] == []
        assert (await ask(world, "GET", f"{V3}/detail?id={firms[who]}", who=who)).data["id"] == firms[who]
        assert (await ask(world, "GET", f"/snms/api/prefix/query?prefix={own}", who=who)).data["prefix"] == own
        for path in (f"{V3}/detail?id={{}}", "/snms/api/prefix/query?prefix={}"):
            there, nothing = (foreign, 2**31 - 1) if "detail" in path else (other, "88.101.99999")
            said = await ask(world, "GET", path.format(there), who=who)
            none = await ask(world, "GET", path.format(nothing), who=who)
            assert (said.status, said.data, none.status) == (-2, None, -2)
            assert said.message.replace(str(there), "X") == none.message.replace(str(nothing), "X")
        config = {"proxyServerId": 1, "entPrefixConfig": {"entPrefix": other}}
        assert (await ask(world, "POST", "/snms/api/ent/config", config, who=who)).status == -2


async def test_nobody_without_a_token_gets_anything(world: World) -> None:
    prefix = "/snms/api/prefix"
    for path in (f"{V3}/page", f"{V3}/detail?id=1", f"{prefix}/page", f"{prefix}/query?prefix={PUMP}"):
        assert (await ask(world, "GET", path, who="nobody")).status == -1
    assert (await ask(world, "POST", "/snms/api/ent/config", {}, who="nobody")).status == -1


async def test_a_user_of_a_firm_that_waits_sees_his_dossier_and_may_not_write(world: World) -> None:
    application = await make_application(world)
    assert (await apply(world, application)).status == 1
    who = await sign_in(world, application)
    enterprise_id = await find_id(world, application)
    detail = await ask(world, "GET", f"{V3}/detail?id={enterprise_id}", who=who)
    assert detail.data[B]["legalName"] == "王某"
    config = {"proxyServerId": 1, "entPrefixConfig": {"entPrefix": application[B]["entPrefix"]}}
    assert (await ask(world, "POST", "/snms/api/ent/config", config, who=who)).status == -2
    assert (
        await world.ask("GET", f"/api/v1/attachments/{application[B]['orgCrtImgRid']}/content", who=who)
    ).status == 200


async def test_what_the_native_interface_wrote_is_read_here(world: World) -> None:
    enterprise_id = world.firms["pump"].enterprise_id
    detail = (await ask(world, "GET", f"{V3}/detail?id={enterprise_id}")).data
    assert (detail[B]["orgName"], detail[B]["orgCrtCode"]) == ("Firm 901", make_uscc(901))
    assert (detail[B]["industryCategory"], detail[B]["industrySpecific"], detail[B]["entPrefix"]) == ("C", "34", PUMP)
    assert (detail[B]["contactName"], detail[B]["orgNature"], detail[R]["entInfoSyses"]) == ("", None, [])
