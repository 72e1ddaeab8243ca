"""Connection certificates on `/api/v1/certificates`, and `/verify/<number>` for anybody: JSON, or the console's page.

Mounted into the registry by whoever starts it. The operator and reviewers issue for any firm, a firm's administrator
for his own; the operator and reviewers revoke.
"""

from typing import Annotated

from asyncpg import Connection
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from node import connection_certificates as certificates
from node.connection_certificates import Office, format_certificate, format_verified
from node.store.connection_certificates import fetch_certificates
from registry.api.calls import Answer, Reading, Writing
from registry.api.problems import dump_json
from registry.api.state import RegistryState
from registry.late_routes import LateRouter
from schemas.connection_certificate_bodies import (
    CertificateBody,
    CertificateList,
    NewCertificate,
    Revocation,
    VerifiedCertificate,
)
from schemas.errors import InvalidInput

PDF = "application/pdf"


def make_certificates_router(office: Office) -> APIRouter:
    """`/api/v1/certificates`."""
    router = LateRouter(prefix="/api/v1/certificates", tags=["certificates"])

    @router.post("", status_code=201, response_model=CertificateBody, summary="Issue a connection certificate")
    async def issue(call: Writing, body: NewCertificate) -> Response:
        """For a firm that is connected. The PDF is at `/certificates/{number}/file`."""
        principal = call.get_principal()
        enterprise_id = body.enterprise_id or principal.enterprise_id
        if enterprise_id is None:
            raise InvalidInput("field_missing", field="enterprise_id")
        made = await certificates.draft(call.connect, office, call.order(), enterprise_id)

        async def effect(conn: Connection) -> Answer:
            return Answer(format_certificate(await certificates.keep(conn, call.order(), made)), 201)

        return await call.write(effect)

    @router.get("", response_model=CertificateList, summary="List connection certificates")
    async def list_all(
        call: Reading, enterprise_id: Annotated[int | None, Query(description="Only of this enterprise.")] = None
    ) -> Response:
        """Newest first; an enterprise sees its own."""
        wanted = certificates.find_listed(call.get_principal(), enterprise_id)
        async with call.connect() as conn:
            found = await fetch_certificates(conn, wanted, certificates.MAX_LISTED)
        return call.reply({"certificates": [format_certificate(one) for one in found]})

    @router.get("/{number}", response_model=CertificateBody, summary="One connection certificate")
    async def show(call: Reading, number: str) -> Response:
        async with call.connect() as conn:
            one = await certificates.get_own_certificate(conn, call.get_principal(), number)
        return call.reply(format_certificate(one))

    @router.get(
        "/{number}/file",
        response_class=Response,
        summary="Its signed PDF",
        responses={200: {"description": "PDF", "content": {PDF: {"example": "(file)"}}}},
    )
    async def download(call: Reading, number: str) -> Response:
        """Byte for byte as it was issued."""
        async with call.connect() as conn:
            one = await certificates.get_own_certificate(conn, call.get_principal(), number)
            content = await certificates.get_file(conn, one)
        return answer_file(one.number, content)

    @router.post("/{number}/revoke", response_model=CertificateBody, summary="Revoke a connection certificate")
    async def revoke(call: Writing, number: str, body: Revocation) -> Response:
        """Who verifies the number is told so, with the reason."""
        order = call.order(body.reason)

        async def effect(conn: Connection) -> Answer:
            return Answer(format_certificate(await certificates.revoke(conn, order, number)))

        return await call.write(effect)

    return router


def answer_file(number: str, content: bytes) -> Response:
    """The file, to be saved."""
    headers = {"Content-Disposition": f'attachment; filename="{number}.pdf"', "Cache-Control": "no-store"}
    return Response(content, 200, headers, PDF)


verifying = LateRouter()


@verifying.get("/verify", include_in_schema=False)
async def choose() -> Response:
    """Whoever comes without a number is asked for it."""
    return RedirectResponse("/console/verify", 303)


@verifying.get(
    "/verify/{number}",
    response_model=VerifiedCertificate,
    tags=["certificates"],
    summary="Verify a connection certificate by its number",
)
async def verify(request: Request, number: str) -> Response:
    """For anybody who has the number: what it says, and whether it still holds. Browsers are led to a page."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/console/verify/{number}", 303)
    state: RegistryState = request.app.state.registry
    async with state.connect() as conn:
        one = await certificates.get_certificate(conn, number)
        shown = format_verified(one, await certificates.judge(conn, one))
    return Response(dump_json(shown), 200, {"Cache-Control": "no-store"}, "application/json")
