"""Who may do what by the published interface: every call times every role that exists, written by hand."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from registry.accounts import NewAccount, add_account
from registry.keys import KeyTerms, add_key
from registry.snms.routes import ALIASES, make_routes
from tests.registry.api_world import PUMP, World
from tests.registry.people import CLERK, RULES, make_uscc, order
from tests.registry.snms_world import DATA, TEMPLATE, V3, V5, ask, make_item, open_snms_world

PASSWORD = "a word of many letters"
# OPEN: anybody, without signing in; ADMIN: the operator alone; EACH: who may look, and sees what is his;
# PUBLIC: who may look, and finds what is public or his; OWN: of the enterprise it is about, and the operator;
# WRITE, TEMPLATES and MANAGE are OWN for who may write, change templates, administer; UPLOAD: who may write anywhere.
OPEN, ADMIN, EACH, PUBLIC, OWN, WRITE, TEMPLATES, MANAGE, UPLOAD = (
    "open", "admin", "each", "public", "own", "write", "templates", "manage", "upload",
)  # fmt: skip
ALL = {OPEN, ADMIN, EACH, PUBLIC, OWN, WRITE, TEMPLATES, MANAGE, UPLOAD}

ITEM, KEY = make_item("right"), {"prefix": PUMP, "version": TEMPLATE["version"]}
T_KEY = f"prefix={PUMP}&version={TEMPLATE['version']}"
CONFIG = {"proxyServerId": 1, "entPrefixConfig": {"entPrefix": PUMP}}

# (method, path, body, rights)
CALLS: list[tuple[str, str, Any, str]] = [
    ("POST", "/identity/token", {"username": "nobody", "password": "x"}, OPEN),
    ("POST", "/identity/token/v1", {"username": "nobody", "password": "x"}, OPEN),
    ("POST", "/identity/registry", {"userName": "x"}, ADMIN),
    ("GET", f"{DATA}/detail?handle={PUMP}/right", None, PUBLIC),
    ("POST", DATA, ITEM, WRITE),
    ("PUT", DATA, ITEM, WRITE),
    ("DELETE", DATA, {"handle": f"{PUMP}/never"}, WRITE),
    ("POST", f"{DATA}/batchCreate", [ITEM], WRITE),
    ("PUT", f"{DATA}/batchUpdate", [ITEM], WRITE),
    ("DELETE", f"{DATA}/batchDelete", [f"{PUMP}/never"], WRITE),
    ("GET", f"{V3}?{T_KEY}", None, OWN),
    ("POST", V3, TEMPLATE, TEMPLATES),
    ("DELETE", V3, KEY, TEMPLATES),
    ("GET", f"{V5}?{T_KEY}", None, OWN),
    ("POST", V5, TEMPLATE, TEMPLATES),
    ("PUT", V5, TEMPLATE, TEMPLATES),
    ("DELETE", V5, KEY, TEMPLATES),
    ("POST", "/snms/api/v3/ent/apply", {}, ADMIN),
    ("POST", "/snms/api/v3/ent/upgrade-apply", {}, ADMIN),
    ("GET", "/snms/api/v3/ent/page", None, EACH),
    ("GET", "/snms/api/v3/ent/detail?id=PUMP", None, OWN),
    ("POST", "/snms/api/file/upload", None, UPLOAD),
    ("GET", f"/snms/api/prefix/query?prefix={PUMP}", None, OWN),
    ("GET", "/snms/api/prefix/page", None, EACH),
    ("POST", "/snms/api/ent/config", CONFIG, MANAGE),
]

# Who, and the rights he has.
WHO: dict[str, set[str]] = {
    "nobody": {OPEN},
    "operator": ALL,  # an access key of the operator
    "pump": ALL - {ADMIN},  # an access key of the enterprise
    "tofu": {OPEN, EACH, PUBLIC, UPLOAD},  # of another
    "read-only": {OPEN, EACH, PUBLIC, OWN},  # a key of the enterprise that may only read
    "writer": {OPEN, WRITE, UPLOAD},  # and one that may only write
    "partner-key": {OPEN, EACH, PUBLIC},
    "role operator": ALL,
    "role reviewer": {OPEN, EACH, PUBLIC, OWN},
    "role engineer": {OPEN, EACH, PUBLIC},
    "role enterprise_admin": ALL - {ADMIN},
    "role enterprise_user": {OPEN, EACH, PUBLIC, OWN, WRITE, UPLOAD},
    "role partner": {OPEN, EACH, PUBLIC},
    "role regulator": {OPEN, EACH, PUBLIC},
}


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_snms_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        await ask(made, "POST", DATA, ITEM)
        await add_keys(made)
        for name in WHO:
            if name.startswith("role "):
                await add_role(made, name)
        yield made


async def add_keys(world: World) -> None:
    firm = world.firms["pump"].enterprise_id
    terms = {"read-only": (firm, KeyTerms(scopes=("read",))), "writer": (firm, KeyTerms(scopes=("write",))),
             "partner-key": (None, KeyTerms(organisation=make_uscc(950)))}  # fmt: skip
    async with world.state.pool.acquire() as conn:
        for name, (enterprise_id, given) in terms.items():
            world.keys[name] = ".".join(await add_key(conn, order(CLERK), enterprise_id, name, given))


async def add_role(world: World, name: str) -> None:
    """An account with this role alone; its token."""
    role = name.removeprefix("role ")
    wanted = NewAccount(
        role, [role], PASSWORD,
        enterprise_id=world.firms["pump"].enterprise_id if role.startswith("enterprise") else None,
        organisation=make_uscc(951) if role == "partner" else "", area="321302" if role == "regulator" else "",
    )  # fmt: skip
    async with world.state.pool.acquire() as conn:
        await add_account(conn, RULES.key_ring, order(CLERK), wanted)
    said = await ask(world, "POST", "/identity/token", {"username": role, "password": PASSWORD}, who="nobody")
    world.keys[name] = said.data["token"]


def is_as_it_should(rights: str, who: str, status: int, message: str) -> bool:
    """Allowed is what ends in success or in a reason that is about the thing; forbidden is -3, or -1 for nobody."""
    if rights in WHO[who]:
        return status in (1, -2)
    if who == "nobody":
        return status == -1
    if status == -2:  # of what is not even to be known of
        return "没有前缀 " + PUMP in message or "没有编号为" in message
    return status == -3


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "path", "body", "rights"), CALLS, ids=lambda value: str(value)[:50])
async def test_rights(world: World, method: str, path: str, body: Any, rights: str, who: str) -> None:
    path = path.replace("id=PUMP", f"id={world.firms['pump'].enterprise_id}")
    said = await ask(world, method, path, body, who=who)
    status, message = said.status, said.message
    if isinstance(said.data, list) and said.data and said.data[0]["msg"].startswith("没有权限"):
        status, message = -3, said.data[0]["msg"]  # batches say it item by item
    assert is_as_it_should(rights, who, status, message), (status, message)


def test_no_call_is_missing_from_the_table() -> None:
    tested = {(method, path.partition("?")[0]) for method, path, _, _ in CALLS}
    old = {new: path for path, new in ALIASES.items()}
    tested |= {(method, old[path]) for method, path in tested if path in old}
    assert tested == make_routes(True).keys()
    assert {path for _, path in make_routes(False)} == {path for _, path in tested} - ALIASES.keys()


def test_every_role_is_in_the_table() -> None:
    from registry.principals import ROLES

    assert {name.removeprefix("role ") for name in WHO if name.startswith("role ")} == set(ROLES)
