"""The audit trail tells of every route that writes, and of every one that shows what is private."""

from registry.audit import number_all
from registry.store.audit import AuditEntry, fetch_audit
from tests.registry import test_api_rights as rights_of_routes
from tests.registry.api_world import World
from tests.registry.test_api_rights import REASON, ROUTES, SIGN_IN, V1, fill, make_form

world = rights_of_routes.world

# What ends what others need is sent last; a few states cannot be had in this world: one key approves nothing of its
# own, and no import comes to its end.
LAST = ("/hosting", "/changes", "/transfer", "/close", "/suspend", "KEY/revoke", "/decisions")
NOT_NOW = ("/resubmit", "/review", "/approve", "/refuse", "/resume", "/hosting", "KEY/revoke", "/receipt")
PRIVATE = ("identifiers", "ranges", "jobs/", "attachments/", "export")
REASONS = ("/personal", "/contact", "/close", "/suspend", "/decisions")


async def test_every_write_and_every_look_at_what_is_private_leaves_an_entry(world: World) -> None:
    """All routes, really sent by the operator: who, from where, what and why. Nothing is left to test afterwards."""
    wrong, told = [], 0
    for method, path, body, rights in sorted(ROUTES, key=lambda route: any(end in route[1] for end in LAST)):
        is_look = method == "GET" and path.removeprefix(f"{V1}/").startswith(PRIVATE)
        if rights == SIGN_IN or path.endswith("/identifiers/resolve") or not (is_look or method != "GET"):
            continue
        address, sent = await fill(world, method, path, body)
        last, _ = await read_trail(world, 0)
        more = {"data": make_form(sent)} if isinstance(sent, str) else {"json": sent}
        reply = await world.ask(method, address, who="operator", **more)
        _, found = await read_trail(world, last)
        who = f"key:{world.keys['operator'].partition('.')[0]}"
        why = REASON["reason"] if path.endswith(REASONS) else "move" if "reason=move" in path else ""
        if reply.status < 400:
            told += 1
            if not any((e.actor, e.address, e.outcome) == (who, "127.0.0.1", "ok") and why in e.reason for e in found):
                wrong.append((method, path, found))
        elif not path.endswith(NOT_NOW):
            wrong.append((method, path, reply.body[:200]))
    assert wrong == []
    assert told > 70


async def read_trail(world: World, last: int) -> tuple[int, list[AuditEntry]]:
    """The last position, and what came after that one."""
    async with world.state.connect() as conn:
        await number_all(conn)
        found = await fetch_audit(conn, None, 1_000)
    return max((at for at, _ in found), default=0), [entry for at, entry in found if at > last]
