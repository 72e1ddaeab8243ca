"""Applications that use identifiers: registered here, reported once a month (T5 the node's, T10 enterprises')."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from asyncpg import Connection

from node.plan_files import clean_text
from node.store import applications as store
from node.store.applications import Application, Details
from node.store.outbox import find_mark
from registry.api.problems import InvalidBody
from registry.prefixes import lock_own_prefix
from registry.principals import Order, Principal
from registry.record_views import format_instant
from schemas.errors import Conflict, InvalidInput, NotFound
from schemas.identifiers import shorten
from schemas.toplevel_tables import TABLES, judge_row

# Words for the kinds of the contract (domain.md §f.1).
KINDS = {"app": 1, "mini_program": 2, "web": 3, "pc": 4, "other": 5}
NAMES = {number: name for name, number in KINDS.items()}
MAX_PER_PREFIX = 1_000
MARK = "applications_month"  # reporting_marks
MAX_NAME, MAX_INTRO = 100, 500
_FIELDS = {"recursionIp": "recursion_ip", "recursionPort": "recursion_port", "type": "kind"}


def make_row(application: Application) -> dict[str, Any]:
    """A row of T5 or T10; what is not known is left out."""
    return _make_columns(application.details) | {"prefix": application.prefix}


def _make_columns(details: Details) -> dict[str, Any]:
    columns = {
        "name": details.name, "type": details.kind, "intro": details.intro, "users": details.users,
        "developer": details.developer, "recursion": details.recursion, "recursionIp": details.recursion_ip,
        "recursionPort": details.recursion_port,
    }  # fmt: skip
    return {name: value for name, value in columns.items() if value not in ("", None)}


def read_row(row: Mapping[str, Any]) -> Details:
    """The details in a row of T10 that keeps its rules."""
    return Details(
        row["name"], row["type"], row.get("intro") or "", row.get("users"), row.get("developer") or "",
        row.get("recursion") or "", row.get("recursionIp") or "", row.get("recursionPort"),
    )  # fmt: skip


def parse_kind(text: str) -> int:
    """Raises InvalidInput."""
    if text not in KINDS:
        raise InvalidInput("field_not_a_choice", field="kind", choices=", ".join(KINDS))
    return KINDS[text]


def check_details(prefix: str, details: Details, node_prefixes: Sequence[str]) -> Details:
    """Without blanks, and such that the top-level node takes it; raises InvalidBody that names all fields at fault."""
    cleaned = replace(
        details, name=clean_text(details.name, 1_000), intro=clean_text(details.intro, 2_000),
        developer=clean_text(details.developer, 1_000), recursion=clean_text(details.recursion, 1_000),
        recursion_ip=details.recursion_ip.strip(),
    )  # fmt: skip
    limits = (
        ("name", cleaned.name, MAX_NAME), ("intro", cleaned.intro, MAX_INTRO),
        ("developer", cleaned.developer, 255), ("recursion", cleaned.recursion, 255),
        ("recursion_ip", cleaned.recursion_ip, 45),
    )  # fmt: skip
    wrong: list[tuple[str, str, dict[str, Any]]] = []
    wrong += [("application_too_long", field, {"most": most}) for field, value, most in limits if len(value) > most]
    numbers = (("users", cleaned.users, 10**12), ("recursion_port", cleaned.recursion_port, 65_535))
    wrong += [("application_malformed", name, {}) for name, n, most in numbers if n is not None and not 0 <= n <= most]
    of_node = prefix in node_prefixes
    row = _make_columns(cleaned) | {"prefix": prefix}
    problems = judge_row(TABLES["T5" if of_node else "T10"], row, prefix if of_node else prefix.rpartition(".")[0], "")
    known = {field for _, field, _ in wrong}
    for problem in problems:
        code = "application_missing" if problem.code == "E101" else "application_malformed"
        if (field := _FIELDS.get(problem.field, problem.field)) not in known:
            wrong.append((code, field, {}))
            known.add(field)
    if wrong:
        raise InvalidBody(wrong)
    return cleaned


async def find_reported_month(conn: Connection) -> str | None:
    """The month that was reported last, as 2026-11."""
    mark = await find_mark(conn, MARK)
    return mark[0] if mark else None


async def add_application(
    conn: Connection, order: Order, prefix: str, details: Details, node_prefixes: Sequence[str]
) -> tuple[Application, bool]:
    """The application, and whether it is new: the same once more changes nothing.

    Raises NotFound, Forbidden, InvalidInput, and Conflict for another one of that name.
    """
    await _check_place(conn, order, prefix, node_prefixes)
    checked = check_details(prefix, details, node_prefixes)
    await store.lock_applications(conn, prefix)
    known = await store.find_present(conn, prefix, checked.name)
    if known is not None:
        if known.details != checked:
            raise Conflict("application_exists", field="name", name=checked.name, prefix=prefix)
        return known, False
    if await store.count_present(conn, prefix) >= MAX_PER_PREFIX:
        raise Conflict("application_too_many", field="prefix", prefix=prefix, most=MAX_PER_PREFIX)
    return await store.insert_application(conn, prefix, checked, (order.principal.actor, order.at)), True


async def _check_place(conn: Connection, order: Order, prefix: str, node_prefixes: Sequence[str]) -> None:
    """The node's own are the operator's; an enterprise's its administrator's. Raises NotFound or Forbidden."""
    if prefix in node_prefixes and order.principal.is_operator:
        order.principal.check_scope("manage")
    else:
        await lock_own_prefix(conn, order, prefix)


async def put_application(conn: Connection, order: Order, prefix: str, details: Details) -> bool:
    """Register it, or change the one of that name; whether anything was written. Raises as those do."""
    known = await store.find_present(conn, prefix, clean_text(details.name, 1_000))
    if known is None:
        return (await add_application(conn, order, prefix, details, ()))[1]
    changed = await change_application(conn, order, known.application_id, details, ())
    return changed.details != known.details


async def change_application(
    conn: Connection, order: Order, application_id: int, details: Details, node_prefixes: Sequence[str]
) -> Application:
    """All details anew. Raises NotFound, Forbidden, InvalidInput, and Conflict if retired or the name is taken."""
    present = await _get_own(conn, order, application_id, node_prefixes)
    checked = check_details(present.prefix, details, node_prefixes)
    await store.lock_applications(conn, present.prefix)
    other = await store.find_present(conn, present.prefix, checked.name)
    if other is not None and other.application_id != application_id:
        raise Conflict("application_exists", field="name", name=checked.name, prefix=present.prefix)
    if checked != present.details:
        await store.update_application(conn, application_id, checked, (order.principal.actor, order.at))
    return await get_application(conn, order.principal, application_id)


async def retire_application(
    conn: Connection, order: Order, application_id: int, node_prefixes: Sequence[str]
) -> Application:
    """It is reported no more; raises NotFound, Forbidden, Conflict if it was retired before."""
    await _get_own(conn, order, application_id, node_prefixes)
    await store.retire_application(conn, application_id, (order.principal.actor, order.at))
    return await get_application(conn, order.principal, application_id)


async def _get_own(conn: Connection, order: Order, application_id: int, node_prefixes: Sequence[str]) -> Application:
    present = await get_application(conn, order.principal, application_id)
    await _check_place(conn, order, present.prefix, node_prefixes)
    if present.retired is not None:
        raise Conflict("application_retired", field="application_id", name=present.details.name)
    return present


async def get_application(conn: Connection, principal: Principal, application_id: int) -> Application:
    """One the caller may know of; raises NotFound."""
    known = 0 < application_id < 2**31
    found = await store.find_application(conn, application_id) if known else None
    if found is None or not (principal.sees_all or found.prefix in principal.prefixes):
        raise NotFound("application_not_found", field="application_id", number=shorten(str(application_id), 20))
    return found


async def list_applications(
    conn: Connection, principal: Principal, prefix: str | None = None, *, retired: bool = False
) -> list[Application]:
    """What the caller may know of, at most 1,000; raises NotFound for a prefix that is not his."""
    if prefix is not None:
        principal.check_sees_prefix(prefix)
        return await store.fetch_applications(conn, [prefix], retired=retired)
    own = None if principal.sees_all else list(principal.prefixes)
    return await store.fetch_applications(conn, own, retired=retired)


def format_application(application: Application) -> dict[str, Any]:
    """Ready for JSON."""
    details = application.details
    return {
        "application_id": application.application_id,
        "prefix": application.prefix,
        "name": details.name,
        "kind": NAMES[details.kind],
        "intro": details.intro,
        "users": details.users,
        "developer": details.developer,
        "recursion": details.recursion,
        "recursion_ip": details.recursion_ip or None,
        "recursion_port": details.recursion_port,
        "actor": application.actor,
        "created": format_instant(application.created),
        "changed": format_instant(application.changed),
        "retired": format_instant(application.retired) if application.retired else None,
    }
