"""`idnode account` and `idnode key`: somebody at the node can always be let in again."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from node.cli import run_command
from node.first_account import make_first_account
from node.settings import NodeSettings
from registry.invitations import Acceptance, accept_invitation
from registry.keys import authenticate
from registry.passwords import digest_password, fits_digest
from registry.sign_in import Visit
from schemas.errors import SetupError
from tests.database import create_database, drop_database
from tests.registry.people import RULES, add_firm, make_uscc


class Desk:
    """The command line of one node, run in this process; in a thread, since each command has a loop of its own."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        self._environment = {"IDNODE_DATABASE_URL": database_url, "IDNODE_DATA_DIR": str(data_dir)}

    def run(self, *arguments: str, given: str = "") -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err),
            ThreadPoolExecutor(1) as thread,
        ):  # fmt: skip
            for name, value in (self._environment | {"IDNODE_LANGUAGE": "en"}).items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.StringIO(given))
            status = thread.submit(run_command, list(arguments)).result()
        return status, out.getvalue(), err.getvalue()

    def get(self, *arguments: str, given: str = "") -> Any:
        status, out, err = self.run(*arguments, "--json", given=given)
        assert status == 0, err
        return json.loads(out)

    def fail(self, *arguments: str, given: str = "") -> str:
        status, out, err = self.run(*arguments, "--json", given=given)
        assert status == 1, out
        return str(json.loads(err)["code"])


@pytest.fixture(scope="module")
def desk(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(database_url, tmp_path_factory.mktemp("node"))


async def opens(database_url: str, user_name: str, password: str) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        kept = await connection.fetchval("SELECT password_hash FROM accounts WHERE user_name = $1", user_name)
        return await fits_digest(kept, digest_password(password))
    finally:
        await connection.close()


async def test_an_account_is_added_disabled_enabled_and_gets_a_new_password(desk: Desk, database_url: str) -> None:
    made = desk.get("account", "add", "rita", "--role", "regulator", "--area", "321302")
    assert (made["roles"], made["division_code"], made["disabled"]) == (["regulator"], "321302", None)
    assert await opens(database_url, "rita", made["password"])
    assert desk.get("account", "disable", "rita")["disabled"] is not None
    assert desk.fail("account", "disable", "rita") == "account_disabled_already"
    assert desk.get("account", "enable", "RITA")["disabled"] is None
    again = desk.get("account", "reset-password", "rita")
    assert again["password"] != made["password"]
    assert not await opens(database_url, "rita", made["password"])
    assert await opens(database_url, "rita", again["password"])
    given = desk.get("account", "reset-password", "rita", "--password-file", "-", given="a good long one\n")
    assert "password" not in given
    assert await opens(database_url, "rita", "a good long one")
    shown = desk.run("account", "list")[1]
    assert "rita" in shown
    assert "regulator" in shown


async def test_an_invitation_is_a_link_that_makes_an_account(desk: Desk, pool: asyncpg.Pool) -> None:
    made = desk.get("account", "invite", "--role", "regulator", "--area", "321302", "--for", "Dai")
    assert (made["roles"], made["area"], made["remark"]) == (["regulator"], "321302", "Dai")
    address, _, token = made["link"].partition("?token=")
    assert address == "http://127.0.0.1:8000/console/invitation"
    async with pool.acquire() as conn:
        given = Acceptance(token, "dai", "correct-horse-battery")
        account = await accept_invitation(conn, RULES.key_ring, Visit(datetime.now(UTC), "192.0.2.1"), given)
        noted = await conn.fetchval("SELECT count(*) FROM audit_pending WHERE action = 'invited' AND actor LIKE 'cli%'")
    assert (account.roles, account.division_code, noted) == (["regulator"], "321302", 1)
    status, shown, _ = desk.run("account", "invite", "--role", "reviewer")
    assert status == 0
    assert "http://127.0.0.1:8000/console/invitation?token=" in shown
    assert desk.fail("account", "invite", "--role", "regulator") == "account_needs_area"


REFUSED = [
    (("x y", "--role", "operator"), "user_name_malformed", "a blank in a name"),
    (("bob", "--role", "king"), "role_unknown", "no such role"),
    (("bob", "--role", "enterprise_user"), "account_needs_enterprise", "of which enterprise"),
    (
        ("bob", "--role", "operator", "--enterprise", "ENTERPRISE"),
        "account_scope_without_role",
        "an enterprise's operator",
    ),
    (("bob", "--role", "regulator"), "account_needs_area", "of which area"),
    (("bob", "--role", "regulator", "--area", "Atlantis"), "area_unknown", "no such area"),
    (("bob", "--role", "partner"), "account_needs_organisation", "of which organisation"),
    (("bob", "--role", "partner", "--organisation", "91321302MA1PUMP02X"), "uscc_check", "a code that is none"),
    (("bob", "--role", "operator", "--hashed-sign-in"), "hashed_sign_in_not_for_role", "a password-equivalent"),
]


@pytest.mark.parametrize(("arguments", "code", "reason"), REFUSED, ids=[r[2] for r in REFUSED])
async def test_what_is_wrong_with_an_account_is_said(
    desk: Desk, pool: asyncpg.Pool, arguments: tuple[str, ...], code: str, reason: str
) -> None:
    if "ENTERPRISE" in arguments:
        async with pool.acquire() as conn:
            firm = await add_firm(conn, 44)
        arguments = tuple(str(firm.enterprise_id) if a == "ENTERPRISE" else a for a in arguments)
    assert desk.fail("account", "add", *arguments) == code


WEAK = [
    ("short", "password_length", "under ten characters"),
    ("", "password_length", "nothing"),
    ("1234567890", "password_too_common", "among the commonest"),
    ("aaaaaaaaaaaa", "password_too_common", "hardly any characters"),
    ("franziska2026", "password_is_name", "holds the name"),
]


@pytest.mark.parametrize(("password", "code", "reason"), WEAK, ids=[w[2] for w in WEAK])
def test_weak_passwords_are_refused(desk: Desk, password: str, code: str, reason: str) -> None:
    arguments = ("account", "add", "Franziska", "--role", "operator", "--password-file", "-")
    assert desk.fail(*arguments, given=f"{password}\n") == code


async def test_keys_get_scopes_addresses_and_an_end(desk: Desk, pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        firm = await add_firm(conn, 45)
        made = desk.get("key", "add", "--enterprise", str(firm.enterprise_id), "--scope", "read", "--scope", "write",
                        "--address", "192.0.2.0/24", "--expires", "2099-01-01")  # fmt: skip
        principal = await authenticate(conn, made["access_key"], made["secret_key"], None, "192.0.2.1")
        assert principal.scopes == {"read", "write"}
        partner = desk.get("key", "add", "--partner", make_uscc(7))
        principal = await authenticate(conn, partner["access_key"], partner["secret_key"])
        assert (principal.kind, principal.organisation, principal.scopes) == ("partner", make_uscc(7), {"read"})
    rows = {row["access_key"]: row for row in desk.get("key", "list")}
    assert rows[made["access_key"]]["expires"] == "2098-12-31T16:00:00Z"
    assert rows[made["access_key"]]["networks"] == ["192.0.2.0/24"]
    assert rows[partner["access_key"]]["organisation"] == make_uscc(7)
    assert desk.fail("key", "add", "--operator", "--scope", "everything") == "scope_unknown"
    assert desk.fail("key", "add", "--operator", "--address", "here") == "network_malformed"
    assert desk.fail("key", "add", "--operator", "--expires", "2001-01-01") == "key_expiry_past"
    assert desk.fail("key", "add", "--operator", "--expires", "soon") == "time_malformed"
    assert desk.fail("key", "add", "--operator", "--partner", make_uscc(7)) == "key_for_whom"


async def test_the_first_start_makes_an_administrator_once(server_dsn: str, tmp_path: Path) -> None:
    dsn = await create_database(server_dsn)
    settings = NodeSettings(data_dir=tmp_path)
    with pytest.raises(SetupError):
        await make_first_account(dsn, NodeSettings(data_dir=tmp_path, admin_password="admin"))
    password = await make_first_account(dsn, settings)
    assert password is not None
    assert await opens(dsn, "admin", password)
    assert await make_first_account(dsn, settings) is None
    assert await make_first_account(dsn, NodeSettings(data_dir=tmp_path, admin_password="something else")) is None
    assert await opens(dsn, "admin", password)
    await drop_database(server_dsn, dsn)


async def test_the_operator_chooses_the_first_password(server_dsn: str, tmp_path: Path) -> None:
    dsn = await create_database(server_dsn)
    settings = NodeSettings(data_dir=tmp_path, admin_password="a horse of my own")
    assert await make_first_account(dsn, settings) is None
    assert await opens(dsn, "admin", "a horse of my own")
    assert "a horse of my own" not in repr(settings)
    await drop_database(server_dsn, dsn)


def test_commands_are_in_the_audit_trail_and_the_trail_is_sound(desk: Desk) -> None:
    made = desk.get("account", "add", "ines", "--role", "engineer")
    told = desk.get("audit", "list", "--limit", "2")
    assert {(entry["action"], entry["subject"]) for entry in told} == {
        ("idnode", "account add ines --role engineer --json"),
        ("account_added", "account:ines"),
    }
    assert all(entry["actor"].startswith("cli:") for entry in told)
    assert made["password"] not in json.dumps(told)
    proof = desk.get("audit", "verify")
    assert (proof["intact"], proof["findings"]) == (True, [])
    assert "ines" in desk.run("audit", "list", "ines")[1]
    assert "intact" in desk.run("audit", "verify")[1]


async def test_an_altered_trail_is_told_with_exit_status_1(desk: Desk, pool: asyncpg.Pool) -> None:
    desk.get("account", "add", "jo", "--role", "engineer")
    desk.get("audit", "verify")
    async with pool.acquire() as conn:
        before = await conn.fetchval("SELECT actor FROM audit WHERE position = 1")
        await conn.execute("UPDATE audit SET actor = 'cli:somebody' WHERE position = 1")
        status, out, _ = desk.run("audit", "verify")
        await conn.execute("UPDATE audit SET actor = $1 WHERE position = 1", before)
    assert status == 1
    assert "audit: entry 1 does not fit its hash" in out


async def test_partners_are_named_and_revoked(desk: Desk, pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        firm = await add_firm(conn, 46)
    code = make_uscc(7)
    assert desk.get("partner", "add", firm.prefix, code)["new"]
    assert not desk.get("partner", "add", firm.prefix, code)["new"]
    (listed,) = desk.get("partner", "list", "--prefix", firm.prefix)
    assert (listed["organisation"], listed["revoked"]) == (code, None)
    desk.get("partner", "revoke", firm.prefix, code)
    assert desk.fail("partner", "revoke", firm.prefix, code) == "partner_not_found"
    assert desk.fail("partner", "add", firm.prefix, "91321302MA1PUMP02X") == "uscc_check"
    assert "2" in desk.run("partner", "list")[1]
