"""A link makes one account, once, within seven days, with the roles it was made for and no others."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from registry.accounts import NewAccount, disable_account, get_account, set_password
from registry.console.security import make_token
from registry.invitations import (
    LIFETIME,
    Acceptance,
    InvitationRow,
    NewInvitation,
    accept_invitation,
    invite,
    list_invitations,
    open_invitation,
    revoke_invitation,
)
from registry.principals import Order, Principal
from registry.sign_in import Visit
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, ServiceError, SlowDown
from tests.registry.console_world import PASSWORD, Console, Page, Visitor, add_visitor, open_console
from tests.registry.people import CLERK, RULES, make_uscc

NOW = datetime.now(UTC)
RING = RULES.key_ring


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def make(console: Console, *roles: str, by: Principal = CLERK, **more: Any) -> tuple[InvitationRow, str]:
    async with console.world.state.connect() as conn:
        return await invite(conn, Order(by, NOW), NewInvitation(roles, **more))


async def accept(console: Console, token: str, name: str, at: datetime = NOW, address: str = "192.0.2.1") -> list[str]:
    """The roles of the account that was made."""
    async with console.world.state.connect() as conn:
        visit = Visit(at, address)
        return (await accept_invitation(conn, RING, visit, Acceptance(token, name, PASSWORD))).roles


async def test_an_invitation_opens_once_also_for_two_who_come_together(console: Console) -> None:
    _, token = await make(console, "reviewer")
    both = await asyncio.gather(accept(console, token, "ann"), accept(console, token, "ben"), return_exceptions=True)
    refused = [outcome for outcome in both if isinstance(outcome, ServiceError)]
    assert [type(error) for error in refused] == [Conflict]
    assert refused[0].code == "invitation_used"
    assert ["reviewer"] in both
    with pytest.raises(Conflict):
        await accept(console, token, "third")


@pytest.mark.parametrize(
    ("later", "opens"), [(LIFETIME - timedelta(seconds=1), True), (LIFETIME, False), (timedelta(days=8), False)]
)
async def test_an_invitation_ends_after_seven_days(console: Console, later: timedelta, opens: bool) -> None:
    _, token = await make(console, "engineer")
    if opens:
        assert await accept(console, token, "late", NOW + later) == ["engineer"]
        return
    with pytest.raises(Conflict) as refused:
        await accept(console, token, "later", NOW + later)
    assert refused.value.code == "invitation_expired"


async def test_an_invitation_that_was_taken_back_opens_nothing(console: Console) -> None:
    row, token = await make(console, "operator")
    async with console.world.state.connect() as conn:
        await revoke_invitation(conn, Order(CLERK, NOW), row.invitation_id)
        with pytest.raises(Conflict):
            await revoke_invitation(conn, Order(CLERK, NOW), row.invitation_id)
        assert row.invitation_id not in {one.invitation_id for one in await list_invitations(conn, CLERK, NOW)}
    with pytest.raises(Conflict) as refused:
        await accept(console, token, "gone")
    assert refused.value.code == "invitation_revoked"


async def test_a_name_that_is_taken_or_a_weak_password_uses_nothing_up(console: Console) -> None:
    _, token = await make(console, "partner", organisation=make_uscc(510))
    with pytest.raises(Conflict, match="user name"):
        await accept(console, token, "clerk")
    async with console.world.state.connect() as conn:
        for password in ("short", "password123", "paulapaula"):
            with pytest.raises(InvalidInput):
                await accept_invitation(conn, RING, Visit(NOW, ""), Acceptance(token, "paula", password))
    assert await accept(console, token, "paula") == ["partner"]
    async with console.world.state.connect() as conn:
        assert (await get_account(conn, "paula")).organisation == make_uscc(510)


async def test_of_a_link_only_its_hash_is_kept(console: Console) -> None:
    _, token = await make(console, "reviewer")
    assert len(token) >= 43, "256 bits"
    async with console.world.state.connect() as conn:
        for table in ("invitations", "audit", "audit_pending", "idempotency"):
            rows = await conn.fetch(f"SELECT * FROM {table}")
            assert token not in repr(rows), table


async def test_who_guesses_links_waits_ever_longer_and_nobody_else_does(console: Console) -> None:
    _, token = await make(console, "reviewer")
    waits = []
    async with console.world.state.connect() as conn:
        for n in range(6):
            at = NOW + timedelta(seconds=n / 100)
            try:
                await open_invitation(conn, RING, Visit(at, "198.51.100.7"), f"guess-{n}")
            except SlowDown as error:
                waits.append(error.details["seconds"])
            except NotFound as error:
                assert error.code == "invitation_unknown"
        assert len(waits) == 3
        with pytest.raises(SlowDown):
            await open_invitation(conn, RING, Visit(NOW, "198.51.100.7"), token)
        assert (await open_invitation(conn, RING, Visit(NOW, "198.51.100.8"), token)).roles == ["reviewer"]
        later = Visit(NOW + timedelta(seconds=30), "198.51.100.7")
        assert (await open_invitation(conn, RING, later, token)).roles == ["reviewer"]


@pytest.mark.parametrize("how", ["disabled", "reset"])
async def test_sessions_and_invitations_of_an_account_that_may_be_stolen_end(console: Console, how: str) -> None:
    visitor = await add_visitor(console, NewAccount(f"leaver-{how}", ["operator"], PASSWORD))
    _, token = await make(console, "operator", by=Principal("operator", f"account:leaver-{how}"))
    assert (await visitor.get("/accounts")).status == 200
    async with console.world.state.connect() as conn:
        if how == "disabled":
            await disable_account(conn, Order(CLERK, NOW), "leaver-disabled")
        else:
            await set_password(conn, RING, Order(CLERK, NOW), "leaver-reset", f"{PASSWORD} anew")
    assert (await visitor.get("/accounts")).status == 303
    with pytest.raises(Conflict) as refused:
        await accept(console, token, "successor")
    assert refused.value.code == "invitation_revoked"


async def test_invitations_of_a_key_end_with_it(console: Console) -> None:
    made = (await console.world.ask("POST", "/api/v1/keys", {"note": "stolen"})).json
    console.world.keys["stolen"] = f"{made['access_key']}.{made['secret_key']}"
    sent = await console.world.ask("POST", "/api/v1/invitations", {"roles": ["enterprise_admin"]}, who="stolen")
    token = sent.json["link"].rpartition("=")[2]
    assert (await console.world.ask("POST", f"/api/v1/keys/{made['access_key']}/revoke")).status == 200
    with pytest.raises(Conflict):
        await accept(console, token, "thief")


@pytest.mark.parametrize(
    ("roles", "firm", "more"),
    [
        (["operator"], "pump", {}),
        (["enterprise_admin", "operator"], "pump", {}),
        (["enterprise_user"], "tofu", {}),
        (["enterprise_user"], "", {}),
        (["regulator"], "pump", {"area": "321302"}),
        (["partner"], "", {"organisation": make_uscc(511)}),
    ],
)
async def test_an_enterprise_invites_for_itself_alone(
    console: Console, roles: list[str], firm: str, more: dict[str, str]
) -> None:
    firms = console.world.firms
    own = Principal("enterprise", "account:boss", firms["pump"].enterprise_id)
    wanted = firms[firm].enterprise_id if firm else None
    with pytest.raises((Forbidden, NotFound, InvalidInput)):
        await make(console, *roles, by=own, enterprise_id=wanted, **more)


@pytest.mark.parametrize(
    ("roles", "more"),
    [
        ((), {}),
        (("king",), {}),
        (("enterprise_user",), {}),  # of which enterprise?
        (("enterprise_user",), {"enterprise_id": 10**6}),
        (("regulator",), {}),
        (("regulator",), {"area": "Atlantis"}),
        (("reviewer",), {"area": "321302"}),
        (("partner",), {"organisation": "123"}),
        (("reviewer",), {"remark": "x" * 201}),
        (("reviewer",), {"remark": "a\nb"}),
    ],
)
async def test_what_could_be_no_account_is_no_invitation(
    console: Console, roles: tuple[str, ...], more: dict[str, Any]
) -> None:
    with pytest.raises((InvalidInput, NotFound)):
        await make(console, *roles, **more)


def make_stranger(console: Console, language: str = "en") -> Visitor:
    return Visitor(console.world, "", language, {"Cookie": "idnode_visitor=" + "f" * 32})


async def send(stranger: Visitor, fields: dict[str, str]) -> Page:
    return await stranger.post("/invitation", fields, token=make_token("f" * 32))


async def invite_in_console(console: Console, who: str, fields: dict[str, str]) -> str:
    """The token of the link that the page shows."""
    made = await console[who].post("/accounts/invitations", fields)
    assert made.status == 200, made.shown
    found = re.search(r"/console/invitation\?token=([\w-]{43})<", made.text)
    assert found
    return found[1]


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_the_invited_choose_name_and_password_and_cannot_widen_what_they_may(
    console: Console, language: str
) -> None:
    token = await invite_in_console(console, "pump", {"role": "enterprise_user", "remark": "<b>Wang</b>"})
    listed = await console["pump"].get("/accounts/invitations")
    assert "&lt;b&gt;Wang&lt;/b&gt;" in listed.text
    assert token not in listed.text
    assert "&gt;Wang&lt;" not in (await console["tofu"].get("/accounts/invitations")).text
    stranger = make_stranger(console, language)
    shown = await stranger.get(f"/invitation?token={token}")
    assert shown.status == 200
    assert "Firm 901" in shown.shown
    name = f"wang.{language}"
    fields = {"invitation": token, "user_name": name, "password": PASSWORD, "repeated": PASSWORD}
    for change, field in (({"repeated": "x"}, "repeated"), ({"user_name": "clerk"}, "user_name"),
                          ({"user_name": "a b"}, "user_name"), ({"user_name": "w\u202eg"}, "user_name"),
                          ({"password": "short", "repeated": "short"}, "password")):  # fmt: skip
        refused = await send(stranger, fields | change)
        assert refused.status == 400
        assert f'id="f-{field}-problem"' in refused.text, refused.shown
        assert PASSWORD not in refused.text
    several = await send(stranger, fields | {"user_name": "a b", "password": "short"})
    found = re.findall(r'id="f-(\w+)-problem"', several.text)
    assert found == ["user_name", "password", "repeated"], "all of them at once"
    wider = {"role": "operator", "roles": "operator", "enterprise_id": str(console.world.firms["tofu"].enterprise_id)}
    assert (await send(stranger, fields | wider)).status == 200
    async with console.world.state.connect() as conn:
        made = await get_account(conn, name)
    assert (made.roles, made.enterprise_id) == (["enterprise_user"], console.world.firms["pump"].enterprise_id)
    entered = await stranger.post("/sign-in", {"user_name": name, "password": PASSWORD}, token=make_token("f" * 32))
    assert entered.status == 303
    again = await stranger.get(f"/invitation?token={token}")
    assert again.status == 409
    assert 'name="password"' not in again.text
    assert (await send(stranger, fields | {"user_name": "second"})).status == 409


async def test_all_that_is_wrong_with_an_invitation_or_an_account_is_named_at_once(console: Console) -> None:
    wrong = {"role": "partner", "enterprise_id": "999999", "organisation": "9132", "area": "321302"}
    for path, field, text in (("/accounts/invitations", "remark", "x" * 201), ("/accounts", "user_name", "a b")):
        refused = await console["operator"].post(path, wrong | {field: text})
        assert refused.status == 400
        listed = re.findall(r'<li><a href="#f-(\w+)"', refused.text)
        assert listed == [field, "enterprise_id", "organisation", "area"], refused.shown


async def test_the_page_refuses_other_sites_and_links_that_are_none(console: Console) -> None:
    stranger = make_stranger(console)
    assert (await stranger.post("/invitation", {"invitation": "x"}, token="")).status == 403
    assert (await stranger.post("/invitation", {}, Origin="https://evil.example")).status == 403
    for token in ("", "x", "%ED%A0%80"):
        page = await stranger.get(f"/invitation?token={token}")
        assert page.status in (404, 429)


async def test_who_may_not_invite_sees_no_invitations(console: Console) -> None:
    clerk = await add_visitor(
        console,
        NewAccount("kim", ["enterprise_user"], PASSWORD, enterprise_id=console.world.firms["pump"].enterprise_id),
    )
    reviewer = await add_visitor(console, NewAccount("rui", ["reviewer"], PASSWORD))
    for visitor in (clerk, reviewer):
        assert (await visitor.get("/accounts/invitations")).status == 403
        assert (await visitor.post("/accounts/invitations", {"role": "enterprise_user"})).status in (400, 403)
        async with console.world.state.connect() as conn:
            open_now = await list_invitations(conn, CLERK, datetime.now(UTC))
        assert {row.created_by for row in open_now} & {"account:kim", "account:rui"} == set()


async def test_an_invitation_is_taken_back_on_a_page_that_says_what_will_happen(console: Console) -> None:
    token = await invite_in_console(console, "pump", {"role": "enterprise_admin", "remark": "mistake"})
    listed = await console["pump"].get("/accounts/invitations")
    number = re.findall(r"revoke\?invitation_id=(\d+)", listed.text)[0]
    asked = await console["pump"].get(f"/accounts/invitations/revoke?invitation_id={number}")
    assert "The link opens nothing any more" in asked.shown
    assert (await console["tofu"].get(f"/accounts/invitations/revoke?invitation_id={number}")).status == 404
    assert (await console["tofu"].post("/accounts/invitations/revoke", {"invitation_id": number})).status == 404
    for wrong in ("", "x", "-1", "9" * 18):
        assert (await console["pump"].post("/accounts/invitations/revoke", {"invitation_id": wrong})).status == 404
    done = await console["pump"].post("/accounts/invitations/revoke", {"invitation_id": number})
    assert done.location.endswith("done=invitation_revoked")
    async with console.world.state.connect() as conn:  # the guesses of other tests came from the same address
        await conn.execute("DELETE FROM sign_in_failures")
    assert (await make_stranger(console).get(f"/invitation?token={token}")).status == 409


async def test_the_operator_invites_a_regulator_over_the_api_and_it_is_all_in_the_audit_trail(console: Console) -> None:
    world, path = console.world, "/api/v1/invitations"
    body = {"roles": ["regulator"], "area": "321302", "remark": "Dai"}
    tried = await world.ask("POST", f"{path}?dry_run=true", body, who="operator")
    assert tried.json["link"] is None
    made = (await world.ask("POST", path, body, who="operator")).json
    assert made["link"].startswith("http://127.0.0.1:8000/console/invitation?token=")
    listed = (await world.ask("GET", path, who="operator")).json["invitations"]
    assert [one["remark"] for one in listed if one["invitation_id"] == made["invitation_id"]] == ["Dai"]
    assert "token=" not in str(listed)
    assert await accept(console, made["link"].rpartition("=")[2], "dai", datetime.now(UTC)) == ["regulator"]
    over = await world.ask("POST", f"{path}/{made['invitation_id']}/revoke", who="operator")
    assert (over.status, over.json["code"]) == (409, "invitation_used")
    async with world.state.connect() as conn:
        noted = await conn.fetch(
            "SELECT action FROM (SELECT action, subject, at FROM audit UNION ALL SELECT action, subject, at"
            " FROM audit_pending) a WHERE subject = $1 OR subject LIKE $1 || ' %' ORDER BY at",
            f"invitation:{made['invitation_id']}",
        )
        account = await get_account(conn, "dai")
    assert [row["action"] for row in noted] == ["invited", "invitation_used"]
    assert account.division_code == "321302"
