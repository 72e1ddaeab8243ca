"""Templates keep their meaning, and have an identifier of their own that counts as no registration."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from asyncpg import Connection

from registry.issuing import draft_record, issue
from registry.records import get_rule, get_stored, retire
from registry.store.changes import Act
from registry.templates import (
    add_template,
    change_template,
    delete_template,
    find_template_by_id,
    get_template,
    list_templates,
    merge_template,
)
from schemas.errors import Conflict, NotFound, ServiceError
from schemas.identifiers import Identifier
from schemas.records import unpack
from schemas.templates import Template, parse_template
from tests.registry.people import CLERK, NOW, add_firm, make_owner, order

TOFU = json.loads((Path(__file__).parents[2] / "data" / "batches-tofu-works.template.json").read_bytes())
P = "88.101.10"


def item(index: int | None, item_type: str, **more: Any) -> dict[str, Any]:
    document = {"type": item_type, "name": {"zh": f"字段{item_type}", "en": item_type}} | more
    return document | ({"index": index} if index else {})


async def add(conn: Connection) -> Template:
    await add_firm(conn, 10, P)
    return (await add_template(conn, order(), P, TOFU))[0]


async def test_the_tofu_template_is_stored_as_it_was_written(connection: Connection) -> None:
    added = await add(connection)
    found = await get_template(connection, CLERK, P, "batch-1")
    assert found == added
    assert await find_template_by_id(connection, added.template_id) == added
    assert [t.version for t in await list_templates(connection, CLERK, P)] == ["batch-1"]
    assert found.handle == "88.101.10/META_batch-1"


async def test_the_same_document_again_is_unchanged_and_another_is_refused(connection: Connection) -> None:
    added = await add(connection)
    assert await add_template(connection, order(), P, TOFU) == (added, False)
    with pytest.raises(Conflict) as caught:
        await add_template(connection, order(), P, TOFU | {"name": {"zh": "别的", "en": "Other"}})
    assert caught.value.code == "template_taken"
    with pytest.raises(Conflict):
        await add_template(connection, order(), P, TOFU | {"version": "BATCH-1"})  # the same identifier


async def test_a_template_resolves_and_shows_its_public_items_only(connection: Connection) -> None:
    await add(connection)
    located = await get_stored(connection, Identifier(P, "META_batch-1"))
    template_id, values = unpack(located.stored.packed)
    document = orjson.loads(values[0].data)
    assert (template_id, values[0].index, values[0].type) == (0, 2000, "TEMPLATE_DOCUMENT")
    types = {i["type"] for i in document["items"]}
    assert "product_code" in types
    assert not types & {"shift", "note", "quantity_boxes"}  # private and partner


async def test_a_template_counts_as_no_registration(connection: Connection) -> None:
    await add(connection)
    await change_template(connection, order(), P, "batch-1", {"items": [item(None, "colour")]})
    kinds = {row["kind"] for row in await connection.fetch("SELECT DISTINCT kind FROM changes_pending")}
    assert kinds == {2, 9, 10, 12}
    excluded = await connection.fetchval(
        "SELECT count(*) FROM records r WHERE NOT EXISTS (SELECT FROM templates t"
        " WHERE t.prefix_id = r.prefix_id AND t.suffix_key = r.suffix_key)"
    )
    assert excluded == 0


async def test_an_identifier_of_that_name_keeps_the_template_away(connection: Connection) -> None:
    template = await add(connection)
    rule = await get_rule(connection, P)
    values = {"product_code": "DF02", "product_name": "豆腐", "produced_on": "2024-06-04", "batch": "1"}
    draft = draft_record(template, "META_x", values)
    await issue(connection, rule, [draft], Act("key:clerk", NOW))
    with pytest.raises(Conflict) as caught:
        await add_template(connection, order(), P, TOFU | {"version": "x"})
    assert caught.value.code == "identifier_taken"


async def test_items_are_added_and_disabled_and_nothing_else_moves(connection: Connection) -> None:
    before = await add(connection)
    changes = {"items": [item(2004, "shift", enabled=False), item(None, "colour")]}
    after, changed = await change_template(connection, order(), P, "batch-1", changes)
    assert changed
    assert after.items_by_type["colour"].index == 2011
    assert not after.items_by_index[2004].enabled
    assert [i for i in after.items if i.index not in (2004, 2011)] == [i for i in before.items if i.index != 2004]
    assert await change_template(connection, order(), P, "batch-1", changes) == (after, False)
    stored = await get_stored(connection, Identifier(P, "META_batch-1"))
    assert stored.stored.revision == 2


BASE = parse_template(
    {"version": "v", "items": [item(2000, "a", max_length=10, min_length=2), item(2001, "b", data="date")],
     "industry": ["C", "13", "139", "1392"]}, P,
)  # fmt: skip
FORBIDDEN = [
    ({"items": [item(2000, "z")]}, "another type at the same index"),
    ({"items": [item(2001, "a")]}, "the type of one item at the index of another"),
    ({"items": [item(2000, "a", data="number")]}, "another kind of data"),
    ({"items": [item(2000, "a", max_length=5)]}, "less room than before"),
    ({"items": [item(2000, "a", min_length=3)]}, "a longer minimum"),
    ({"items": [item(2000, "a", required=True)]}, "records without it exist"),
    ({"items": [item(2005, "a")]}, "a known type at a new index"),
    ({"items": [item(1000, "c")]}, "a reserved index"),
    ({"items": [{"index": [1], "type": "c"}]}, "an index that is no number"),
    ({"items": "a"}, "not a list"),
    ({"items": ["a"]}, "not an item"),
    ({"version": "w"}, "the version is the name of the meaning"),
    ({"industry": ["C", "34", "344", "3441"]}, "another industry"),
    ({"active_carrier": True}, "another kind of carrier"),
    ({"colour": "red"}, "an unknown member"),
]


@pytest.mark.parametrize(("changes", "reason"), FORBIDDEN, ids=[f[1] for f in FORBIDDEN])
def test_the_meaning_of_a_version_never_changes(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ServiceError):
        merge_template(BASE, changes)


UNUSED = [case for case in FORBIDDEN if case[1] in (
    "less room than before", "a longer minimum", "records without it exist", "another industry",
    "another kind of carrier",
)]  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), FORBIDDEN, ids=[f[1] for f in FORBIDDEN])
def test_what_no_identifier_uses_may_be_narrowed_and_nothing_else(changes: dict[str, Any], reason: str) -> None:
    if (changes, reason) in UNUSED:
        assert merge_template(BASE, changes, is_used=False) != BASE
    else:
        with pytest.raises(ServiceError):
            merge_template(BASE, changes, is_used=False)


ALLOWED = [
    ({"items": [item(2000, "a", max_length=20)]}, "more room"),
    ({"items": [item(2000, "a", min_length=0)]}, "a shorter minimum"),
    ({"items": [{"index": 2000, "visibility": "private"}]}, "who may see it, by index alone"),
    ({"items": [{"type": "a", "name": {"zh": "甲", "en": "A"}}]}, "a label, by type alone"),
    ({"items": [item(2050, "c")]}, "a new item at an index of its own"),
    ({"name": {"zh": "名", "en": "Name"}}, "the template's label"),
    ({"enabled": False}, "withdrawing"),
]


@pytest.mark.parametrize(("changes", "reason"), ALLOWED, ids=[a[1] for a in ALLOWED])
def test_what_keeps_the_meaning_may_change(changes: dict[str, Any], reason: str) -> None:
    new = merge_template(BASE, changes)
    assert new != BASE
    assert {i.index for i in BASE.items} <= {i.index for i in new.items}


async def test_a_withdrawn_template_is_kept_and_published_again(connection: Connection) -> None:
    await add(connection)
    assert not (await change_template(connection, order(), P, "batch-1", {"enabled": False}))[0].enabled
    assert (await add_template(connection, order(), P, TOFU))[1] is False  # withdrawn, and still the same
    assert (await change_template(connection, order(), P, "batch-1", {"enabled": True}))[0].enabled


async def test_a_template_in_use_cannot_be_deleted_and_a_deleted_version_keeps_its_meaning(
    connection: Connection,
) -> None:
    template = await add(connection)
    rule = await get_rule(connection, P)
    values = {"product_code": "DF02", "product_name": "豆腐", "produced_on": "2024-06-04", "batch": "1"}
    act = Act("key:clerk", NOW)
    await issue(connection, rule, [draft_record(template, "A1", values)], act)
    with pytest.raises(Conflict) as caught:
        await delete_template(connection, order(), P, "batch-1")
    assert caught.value.details["count"] == 1
    await retire(connection, await get_stored(connection, Identifier(P, "A1"), for_update=True), act)
    await delete_template(connection, order(), P, "batch-1")
    with pytest.raises(NotFound):
        await get_template(connection, CLERK, P, "batch-1")
    assert await list_templates(connection, CLERK, P) == []
    assert await find_template_by_id(connection, template.template_id) is not None  # the history needs it
    with pytest.raises(Conflict):
        await add_template(connection, order(), P, TOFU | {"description": "another"})
    assert await add_template(connection, order(), P, TOFU) == (template, True)


async def test_the_templates_of_others_are_not_found(connection: Connection) -> None:
    await add(connection)
    stranger = make_owner(999_999)
    for attempt in (
        get_template(connection, stranger, P, "batch-1"),
        list_templates(connection, stranger, P),
        delete_template(connection, order(stranger), P, "batch-1"),
        add_template(connection, order(stranger), P, TOFU),
    ):
        with pytest.raises(NotFound):
            await attempt


@pytest.mark.parametrize("version", ["batch-2", "", "x\0y", "\ud800", "x" * 5_000])
async def test_an_unknown_version_is_not_found(connection: Connection, version: str) -> None:
    await add(connection)
    with pytest.raises(NotFound):
        await get_template(connection, CLERK, P, version)
