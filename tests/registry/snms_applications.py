"""Applications by the published interface: complete ones, filed by the operator, and what becomes of them."""

from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import quote

import aiohttp

from schemas.days import get_day
from tests.registry.api_world import World
from tests.registry.people import make_uscc
from tests.registry.pictures import PNG, make_png
from tests.registry.snms_world import Said, ask

V3 = "/snms/api/v3/ent"
DIGEST = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"  # of 12345
_numbers = count(600)


async def upload(world: World, content: bytes = PNG, name: str = "a.png", who: str = "operator") -> Said:
    form = aiohttp.FormData()
    form.add_field("file", content, filename=name)
    reply = await world.ask("POST", "/snms/api/file/upload", who=who, data=form)
    assert reply.status == 200, reply.body
    return Said(reply.json["status"], reply.json["message"], reply.json["data"], reply.status, reply.headers)


async def make_application(world: World, who: str = "operator") -> dict[str, Any]:
    """Complete and right, different from all others."""
    number = next(_numbers)
    licence, front, back = [(await upload(world, make_png(number), who=who)).data["id"] for _ in range(3)]
    return {
        "sysUser": {"userName": f"user{number}", "password": DIGEST, "email": f"u{number}@firm.example",
                    "mobile": f"1390000{number:04d}"},
        "entBasicInfo": {
            "orgName": f"企业 {number}", "orgNature": 2, "orgAddr": "发展大道 8 号", "orgAddrProvince": "320000",
            "orgAddrCity": "321300", "orgAddrCounty": "321302", "orgCrtType": 1, "orgCrtCode": make_uscc(number),
            "orgCrtImgRid": licence, "industryCategory": "C", "industrySpecific": "34",
            "contactName": "李某", "contactCrtType": 1, "contactCrtNo": "11010519491231002X",
            "contactEmail": "li@firm.example", "contactPhone": "13800000001",
            "legalName": "王某", "legalCrtType": 1, "legalCrtNo": "11010519491231002X",
            "legalCrtFrontImgRid": front, "legalCrtBackImgRid": back, "entPrefix": f"88.101.{number:05d}",
        },
        "entRegisterManageInfo": {
            "entInfoSyses": [{"sysType": kind, "deployMode": 2, "name": "某云"} for kind in (1, 2, 3, 4)],
            "servSysBuildType": 1, "servSysOperType": 1,
        },
    }  # fmt: skip


async def apply(world: World, application: dict[str, Any], who: str = "operator", path: str = f"{V3}/apply") -> Said:
    return await ask(world, "POST", path, application, who=who)


async def find_id(world: World, application: dict[str, Any]) -> int | None:
    name = application["entBasicInfo"]["orgName"]
    rows = (await ask(world, "GET", f"{V3}/page?orgName={quote(name)}", who="operator")).data["content"]
    return rows[0]["id"] if rows else None


async def sign_in(world: World, application: dict[str, Any]) -> str:
    """The name under which the new user's token is known."""
    name = application["sysUser"]["userName"]
    day = get_day(world.state.now()).isoformat()
    body = {"username": name, "password": sha256(f"{DIGEST}{day}".encode()).hexdigest()}
    said = await ask(world, "POST", "/identity/token/v1", body, who="nobody")
    assert said.status == 1, said
    world.keys[name] = said.data["token"]
    return str(name)
