"""Whole ranges in the console: what will happen is said and confirmed before it happens."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from registry.console import range_pages
from tests.registry.api_world import PUMP
from tests.registry.console_world import Console, open_console

FIRST = f"{PUMP}/SN0001"


@pytest_asyncio.fixture(scope="module")
async def console(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_console(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        fields = {"prefix": PUMP, "template": "pump-1", "many": "yes", "first": "SN0001", "last": "SN0500"}
        assert (await made["pump"].post("/identifiers/new", fields | {"v.model": "R1"})).status == 303
        yield made


async def test_a_range_is_changed_frozen_retired_and_restored_once_its_size_is_confirmed(console: Console) -> None:
    pump, one = console["pump"], f"/ranges/one?first={FIRST}"
    assert f"/ranges/one?first={FIRST}" in (await pump.get("/identifiers")).text.replace("%2F", "/")
    form = await pump.get(f"/ranges/change?first={FIRST}")
    assert "500 identifiers show the new values" in form.shown
    assert '/console/identifiers" aria-current="page"' in form.text
    changed = {"first": FIRST, "revision": "1", "v.model": "R2", "reason": "new motor"}
    assert (await pump.post("/ranges/change", changed)).location.endswith("done=range_changed")
    same = await pump.post("/ranges/change", changed | {"revision": "2"})
    assert same.location.endswith("done=nothing_changed"), "nobody is told of a change that was none"
    stale = await pump.post("/ranges/change", changed | {"v.model": "R3"})
    assert stale.status == 400
    assert 'value="R3"' in stale.text, "what was typed is still there"
    assert "R2" in (await console["nobody"].get(f"/resolve?text={PUMP}/SN0500")).shown

    freeze = {"first": FIRST, "action": "freeze", "notice": "Stop using it", "members": "50"}
    refused = await pump.post("/ranges/act", freeze)
    assert refused.status == 400
    assert re.search(r'name="members"[^>]*aria-invalid="true"', refused.text)
    assert (await pump.post("/ranges/act", freeze | {"members": "500", "notice": ""})).status == 400
    assert (await pump.post("/ranges/act", freeze | {"members": "500"})).status == 303
    assert "Stop using it" in (await console["nobody"].get(f"/resolve?text={PUMP}/SN0123")).shown
    for action, status in (("unfreeze", 200), ("retire", 410), ("restore", 200)):
        asked = await pump.get(f"/ranges/act?first={FIRST}&action={action}")
        assert "Type 500." in asked.shown
        done = await pump.post("/ranges/act", {"first": FIRST, "action": action, "members": "500"})
        assert done.location.endswith(f"done=range_{action}"), done.shown
        for path in (f"/ranges?prefix={PUMP}", "/identifiers"):
            listed = re.search(r"SN0001 SN0500 500 pump-1 (\w+)", (await pump.get(path)).shown)
            assert listed and listed[1] == ("retired" if action == "retire" else "live"), path
        assert ("/console/labels?prefix=" in (await pump.get(one)).text) == (action != "retire"), action
        assert (await console["nobody"].get(f"/resolve?text={PUMP}/SN0007")).status == status
    assert "new motor" in (await pump.get(one)).shown


async def test_members_with_records_of_their_own_are_told(console: Console) -> None:
    pump = console["pump"]
    own = {"identifier": f"{PUMP}/SN0042", "revision": "1", "v.model": "own"}
    form = await pump.get(f"/identifiers/change?identifier={PUMP}/SN0042")
    found = re.search(r'name="revision" value="(\d+)"', form.text)
    assert found
    assert (await pump.post("/identifiers/change", own | {"revision": found[1]})).status == 303
    for path in (f"/ranges/one?first={FIRST}", f"/ranges/act?first={FIRST}&action=retire"):
        assert "With records of their own: 1 of them" in (await pump.get(path)).shown


async def test_a_range_the_operator_froze_shows_its_owner_no_way_to_end_that(console: Console) -> None:
    pump, operator = console["pump"], console["operator"]
    change = {"first": FIRST, "members": "500"}
    frozen = await operator.post("/ranges/act", change | {"action": "freeze", "notice": "Recalled", "reason": "order"})
    assert frozen.status == 303, frozen.shown
    seen = await pump.get(f"/ranges/one?first={FIRST}")
    assert "Frozen by the operator" in seen.shown and "/ranges/act" not in seen.text
    for action in ("unfreeze", "retire"):
        assert (await pump.get(f"/ranges/act?first={FIRST}&action={action}")).status == 403
    seen = await operator.get(f"/ranges/one?first={FIRST}")
    assert "Frozen by the operator" not in seen.shown and "action=unfreeze" in seen.text
    assert (await operator.post("/ranges/act", change | {"action": "unfreeze", "reason": "over"})).status == 303


@pytest.mark.parametrize("path", ["one", "change", "act"])
async def test_ranges_of_another_firm_are_not_found(console: Console, path: str) -> None:
    query = f"/ranges/{path}?first={FIRST}&action=retire"
    assert (await console["tofu"].get(query)).status == 404
    if path != "one":
        sent = {"first": FIRST, "action": "retire", "members": "500", "v.model": "x"}
        assert (await console["tofu"].post(f"/ranges/{path}", sent)).status == 404
    assert (await console["nobody"].get(query)).status == 303
    assert (await console["pump"].get(f"/ranges/{path}?first={PUMP}/SN0002&action=retire")).status == 404


async def test_ranges_are_listed_page_by_page_to_who_may_see_them(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump = console["pump"]
    for n in range(4):
        fields = {"prefix": PUMP, "template": "pump-1", "many": "yes", "first": f"L{n}-1", "last": f"L{n}-9"}
        assert (await pump.post("/identifiers/new", fields | {"v.model": "L"})).status == 303
    monkeypatch.setattr(range_pages, "PAGE_ROWS", 2)
    seen, path = [], f"/ranges?prefix={PUMP}"
    while path:
        page = await pump.get(path)
        seen += re.findall(r">(L\d-1|SN0001)</a>", page.text)
        found = re.search(r'href="(\?[^"]*after=[^"]+)"', page.text)
        path = "/ranges" + found[1].replace("&amp;", "&") if found else ""
    assert seen == ["L0-1", "L1-1", "L2-1", "L3-1", "SN0001"]
    assert (await console["tofu"].get(f"/ranges?prefix={PUMP}")).status == 404
    assert (await pump.get(f"/ranges?prefix={PUMP}&after=x")).status == 400
