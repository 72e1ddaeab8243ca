"""The OpenAPI document: what FastAPI finds, with our errors and an example for everything that is sent or answered."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from registry.api.health import find_version
from registry.api.problems import MEDIA_TYPE
from schemas.bodies import ProblemBody

TITLE = "idnode"
DESCRIPTION = """工业互联网标识解析二级节点 · A secondary node of the industrial internet identifier resolution system.

`Authorization: Bearer <access_key>.<secret_key>` · errors: RFC 9457 · `Accept-Language: zh | en`"""
_METHODS = ("get", "put", "post", "delete", "patch")
ETAG = {"description": "What it is now; send it as If-Match with your change.", "schema": {"type": "string"}}
_FALLBACKS: dict[str, Any] = {"string": "…", "integer": 1, "number": 1.5, "boolean": False, "null": None}
_FORMATS = {
    "date-time": "2024-06-04T12:00:00Z",
    "date": "2024-06-04",
    "binary": "(file)",
    "uuid": "6f1c2d0e-5b7a-4c39-9e55-0d2f6a1b8c47",
}


def make_document(app: FastAPI) -> dict[str, Any]:
    """Made once: the routes of a process do not change."""
    if app.openapi_schema is None:
        document = get_openapi(title=TITLE, version=find_version(), description=DESCRIPTION, routes=app.routes)
        _add_problems(document)
        for operation in list_operations(document):
            _complete(document, *operation)
        _add_etags(document)
        app.openapi_schema = document
    return app.openapi_schema


def list_operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method in capitals, path, operation."""
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield method.upper(), path, methods[method]


def _add_problems(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    problem = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemBody"] = problem
    document["components"]["securitySchemes"] = {
        "access_key": {"type": "http", "scheme": "bearer", "bearerFormat": "<access_key>.<secret_key>"}
    }


def _complete(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> None:
    """Security, the problem document instead of the framework's own, and examples."""
    is_public = method == "GET" and (path == "/health" or path.startswith("/api/v1/identifiers"))
    is_public = is_public or path in ("/api/v1/tokens", "/verify/{number}")
    operation["security"] = [{}, {"access_key": []}] if is_public else [{"access_key": []}]
    responses = operation["responses"]
    responses.pop("422", None)
    if "201" in responses:
        responses.setdefault("200", {**responses["201"], "description": "As it would be (dry run), or is already"})
    responses["default"] = {
        "description": "Problem document (RFC 9457)",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/ProblemBody"},
                "example": make_example(document, {"$ref": "#/components/schemas/ProblemBody"}),
            }
        },
    }
    for holder in (operation.get("requestBody"), *responses.values()):
        for content in (holder or {}).get("content", {}).values():
            if "example" not in content and "examples" not in content:
                content["example"] = make_example(document, content.get("schema", {}))


def _add_etags(document: dict[str, Any]) -> None:
    """Which changes take an If-Match can be read from them; they and the GET of the same path answer with an ETag."""
    changing = {}
    for method, path, operation in list_operations(document):
        if any(parameter["name"] == "if-match" for parameter in operation.get("parameters", ())):
            changing[method, path] = operation
            operation["responses"]["412"] = operation["responses"]["default"]
    for method, path, operation in list_operations(document):
        is_read = method == "GET" and any(f"{changed}/".startswith(f"{path}/") for _, changed in changing)
        if ((method, path) in changing and method != "DELETE") or (is_read and path.endswith("}")):
            operation["responses"]["200"].setdefault("headers", {})["ETag"] = ETAG


def make_example(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """The examples that stand in the schema, put together; what has none gets a value of its type."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] | {
            name: value for name, value in schema.items() if name != "$ref"
        }
    if schema.get("examples"):
        return schema["examples"][0]
    for name in ("example", "const", "default"):
        if name in schema:
            return schema[name]
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return make_example(document, schema[name][0])
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        return {name: make_example(document, inner) for name, inner in schema["properties"].items()}
    if schema.get("type") == "array":
        return [make_example(document, schema["items"])]
    if schema.get("type") == "object":
        return {}
    return _FORMATS.get(schema.get("format", ""), _FALLBACKS.get(schema.get("type", "")))
