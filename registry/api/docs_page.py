"""The page `/docs`: routes, parameters and examples of the OpenAPI document as plain HTML, without scripts."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, Template

from registry.api.calls import Reading
from registry.api.openapi import list_operations, make_document
from registry.late_routes import LateRouter
from schemas.texts import TEXTS, format_message, format_remedy
from schemas.texts.api_reference import translate

router = LateRouter(include_in_schema=False)

# Nothing is loaded from anywhere: the page has its few lines of style in itself.
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "X-Frame-Options": "DENY"}
_WORDS = {
    "zh": {
        "title": "接口文档", "routes": "接口", "parameters": "参数", "request": "请求示例", "answer": "应答示例",
        "errors": "错误代码", "code": "代码", "meaning": "含义", "remedy": "处理办法", "other": "English",
        "key": "请求头：Authorization: Bearer <access_key>.<secret_key>", "required": "必填",
    },
    "en": {
        "title": "API reference", "routes": "Routes", "parameters": "Parameters", "request": "Request",
        "answer": "Answer", "errors": "Error codes", "code": "Code", "meaning": "Meaning", "remedy": "What to do",
        "other": "中文", "key": "Header: Authorization: Bearer <access_key>.<secret_key>", "required": "required",
    },
}  # fmt: skip


@router.get("/docs")
async def show_docs(request: Request, call: Reading) -> Response:
    """In Chinese or English."""
    document, language = make_document(request.app), call.language
    groups: dict[str, list[dict[str, Any]]] = {}
    for method, path, operation in list_operations(document):
        group = _say(operation.get("tags", ["node"])[0], language)
        groups.setdefault(group, []).append(_describe(method, path, operation, language))
    errors = [(code, format_message(code, language), format_remedy(code, language)) for code in sorted(TEXTS)]
    page = _load_template().render(
        words=_WORDS[language], language=language, other="en" if language == "zh" else "zh", groups=groups,
        errors=errors, version=document["info"]["version"],
    )  # fmt: skip
    return Response(page, 200, {**_HEADERS, "Content-Language": language}, "text/html; charset=utf-8")


@router.get("/openapi.json")
@router.get("/api/v1/openapi.json")
async def show_document(request: Request, call: Reading) -> Response:
    return call.reply(make_document(request.app))


@router.get("/")
@router.get("/console")
@router.get("/snms/ui")  # where SNMS has its pages
@router.get("/snms/ui/{page:path}")
async def show_start() -> Response:
    return Response(status_code=307, headers={"Location": "/console/"})


def _say(sentence: str, language: str) -> str:
    return translate(sentence) if language == "zh" else sentence


def _describe(method: str, path: str, operation: dict[str, Any], language: str) -> dict[str, Any]:
    answers = [(s, c) for s, c in operation["responses"].items() if s.startswith("2")]
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": _say(operation.get("summary", ""), language),
        "description": _say(operation.get("description", ""), language),
        "parameters": [
            {**parameter, "description": _say(parameter.get("description", ""), language)}
            for parameter in operation.get("parameters", [])
        ],
        "request": _find_example(operation.get("requestBody", {})),
        "answers": [(status, _find_example(answer)) for status, answer in answers],
    }


def _find_example(holder: dict[str, Any]) -> str:
    for content in holder.get("content", {}).values():
        example = content.get("example", next(iter(content.get("examples", {}).values()), None))
        return example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, indent=2)
    return ""


@cache
def _load_template() -> Template:
    source = (files("registry") / "api" / "docs.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
