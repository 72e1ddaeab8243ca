"""The OpenAPI document is complete, its examples are true, and its page needs nothing but itself."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from registry.api.openapi import list_operations, make_document
from registry.app import create_app
from schemas.texts.api_reference import CHINESE, QUERY_FORM
from tests.registry.api_world import World, open_world


@pytest_asyncio.fixture(scope="module")
async def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(database_url, Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


async def get_document(world: World) -> dict[str, Any]:
    document: dict[str, Any] = (await world.ask("GET", "/api/v1/openapi.json", who="nobody")).json
    return document


async def test_every_route_is_described_with_an_example_of_what_it_takes_and_gives(world: World) -> None:
    document = await get_document(world)
    for method, path, operation in list_operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        if "requestBody" in operation:
            for content in operation["requestBody"]["content"].values():
                assert "example" in content or "examples" in content, where
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert good and all("example" in c for answer in good for c in answer["content"].values()), where
        assert "application/problem+json" in operation["responses"]["default"]["content"], where
        assert "422" not in operation["responses"], where
    names = [operation["operationId"] for _, _, operation in list_operations(document)]
    assert len(names) == len(set(names))


async def test_the_examples_of_answers_are_what_their_models_allow(world: World) -> None:
    app = create_app(world.state)
    document = make_document(app)
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    models = {(method, route.path_format): route.response_model for route in routes for method in route.methods}
    for method, path, operation in list_operations(document):
        model = models[method, path]
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if status.startswith("2") and content and hasattr(model, "model_validate"):
                model.model_validate(content["example"])


async def test_the_examples_of_registering_are_taken_as_they_stand(world: World) -> None:
    paths = (await get_document(world))["paths"]

    async def paste(path: str, at: str = "") -> Any:
        example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        return (await world.ask("POST", at or path, example)).json

    assert (await paste("/api/v1/identifiers"))["state"] == "live"
    assert (await paste("/api/v1/identifiers/batch"))["unchanged"] == 1
    for action in ("update", "freeze", "unfreeze", "retire", "restore"):
        answer = await paste("/api/v1/identifiers/batch/{action}", f"/api/v1/identifiers/batch/{action}")
        assert (answer["rows"], answer["refused"]) == (1, 0), action
    assert (await paste("/api/v1/identifiers/resolve"))["found"] == 1
    assert (await paste("/api/v1/ranges"))["members"] == 10_000_000


async def test_files_go_up_in_the_form_that_the_document_names(world: World) -> None:
    paths = (await get_document(world))["paths"]
    for path in ("/api/v1/jobs", "/api/v1/enterprises/file", "/api/v1/attachments"):
        assert list(paths[path]["post"]["requestBody"]["content"]) == ["multipart/form-data"], path
    form = paths["/api/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["example"]
    assert ("identifier" in form) != ("identifier_column" in form)


@pytest.mark.parametrize(("language", "title"), [("zh", "接口文档"), ("en", "API reference")])
async def test_the_page_speaks_both_languages_and_loads_nothing(world: World, language: str, title: str) -> None:
    page = await world.ask("GET", f"/docs?lang={language}", who="nobody")
    text = page.body.decode()
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert title in text and f'lang="{language}"' in text
    assert "<script" not in text and not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    for _, path, operation in list_operations(await get_document(world)):
        assert f"<code>{path}</code>" in text and f'id="{operation["operationId"]}"' in text
    assert 'id="error-identifier_taken"' in text, "the type of a problem document is an address on this page"


async def test_the_document_is_also_where_tools_look_for_it(world: World) -> None:
    assert (await world.ask("GET", "/openapi.json", who="nobody")).json == await get_document(world)


@pytest.mark.parametrize("path", ["/", "/console", "/snms/ui", "/snms/ui/", "/snms/ui/login"])
async def test_the_root_and_the_pages_of_snms_lead_to_the_console(world: World, path: str) -> None:
    reply = await world.ask("GET", path, who="nobody", allow_redirects=False)
    assert (reply.status, reply.headers["Location"]) == (307, "/console/")


async def test_every_sentence_of_the_reference_exists_in_chinese(world: World) -> None:
    shown: set[str] = set()
    for _, _, operation in list_operations(await get_document(world)):
        shown |= {operation.get("summary", ""), operation.get("description", ""), *operation.get("tags", [])}
        shown |= {parameter.get("description", "") for parameter in operation.get("parameters", [])}
    known = {sentence.removesuffix(QUERY_FORM) for sentence in shown - {""}}
    assert known - CHINESE.keys() == set()
