"""The console as one application, to be mounted below `/console`."""

from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from registry.api.problems import NoRoute
from registry.api.state import RegistryState
from registry.console import (
    account_pages,
    apply_pages,
    audit_pages,
    enterprise_pages,
    firm_pages,
    identifier_pages,
    import_pages,
    invitation_pages,
    key_pages,
    label_pages,
    node_pages,
    partner_pages,
    problem_pages,
    range_pages,
    resolve_pages,
    second_factor_pages,
    sign_in_pages,
    start_pages,
    template_pages,
)
from registry.console.frame import STATIC, Frame, read_static
from registry.console.gate import ConsoleGate
from registry.console.sections import Section

_SECTIONS = (
    start_pages.SECTION, identifier_pages.SECTION, range_pages.SECTION, import_pages.SECTION, label_pages.SECTION,
    problem_pages.SECTION,
    template_pages.SECTION, resolve_pages.SECTION, enterprise_pages.SECTION, firm_pages.SECTION, partner_pages.SECTION,
    node_pages.SECTION, audit_pages.SECTION, key_pages.SECTION, account_pages.SECTION, second_factor_pages.SECTION,
    invitation_pages.SECTION,
    sign_in_pages.SECTION, apply_pages.SECTION,
)  # fmt: skip


def make_console(state: RegistryState, more: Sequence[Section], summaries: Mapping[str, str]) -> ASGIApp:
    """`more` are sections of other packages; `summaries`: what routes of the API do, as the audit trail names them."""
    sections = (*_SECTIONS, *more)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.summaries = summaries
    app.add_api_route("/static/{name}", _show_static, methods=["GET"])
    for section in sections:
        app.routes.extend(section.router.routes)
    app.add_exception_handler(HTTPException, _hand_on)
    app.add_exception_handler(RequestValidationError, _hand_on)
    app.add_middleware(ConsoleGate, state=state, frame=Frame(sections))
    return app


async def _hand_on(request: Request, error: Exception) -> Response:
    """The gate makes a page of it, as of every other error."""
    raise error


async def _show_static(name: str) -> Response:
    if name not in STATIC:
        raise NoRoute("route_not_found")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(read_static(name), 200, headers, STATIC[name])
