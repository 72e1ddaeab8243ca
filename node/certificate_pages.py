"""Pages of connection certificates: issuing, downloading, revoking; and for anybody the page that verifies one."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from asyncpg import Connection
from fastapi import APIRouter, Query, Response

from node import connection_certificates as certificates
from node.certificates_api import answer_file
from node.connection_certificates import MAX_FILE_BYTES, Comparison, Office
from node.store.connection_certificates import Certificate, fetch_certificates
from registry.console.sections import Entry, Section, is_enterprise
from registry.console.visits import Anybody, AnybodyPosting, Post, Posting, Visit, Visiting
from registry.enterprises import get_enterprise_id
from registry.late_routes import LateRouter
from registry.principals import Principal
from schemas.errors import Forbidden, InvalidInput, ServiceError, SetupError, Unavailable
from schemas.texts.connection_certificates import PAGES

Text = Annotated[str, Query(max_length=4_096)]
SHOWN = 500


def _is_of_node(principal: Principal) -> bool:
    return principal.sees_all


def make_certificate_section(office: Office) -> Section:
    """`/certificates` for those who issue, `/verify` for anybody."""
    router = LateRouter()
    _add_office(router, office)
    _add_counter(router)
    entries = (
        Entry("/certificates", "certs", "group_firm", is_enterprise),
        Entry("/certificates", "certs", "group_node", _is_of_node),
    )
    return Section(router, entries, labels=PAGES)


def _add_office(router: APIRouter, office: Office) -> None:
    @router.get("/certificates")
    async def show(visit: Visiting, enterprise_id: int | None = None, enterprise: Text = "") -> Response:
        return await _show(visit, office, enterprise_id, {"enterprise": enterprise}, {})

    @router.post("/certificates")
    async def issue(post: Posting) -> Response:
        """For the firm that is named; an enterprise's administrator for his own."""
        order = post.order()
        try:
            async with post.connect() as conn:
                enterprise_id = await _find_firm(conn, post)
            made = await certificates.draft(post.connect, office, order, enterprise_id)
            async with post.write() as conn:
                await certificates.keep(conn, order, made)
        except (Forbidden, SetupError, Unavailable):
            raise
        except ServiceError as error:
            return await _show(post, office, None, post.form.to_dict(), post.explain(error))
        return post.redirect("/certificates", "cert_issued")

    @router.get("/certificates/file/{number}")
    async def download(visit: Visiting, number: str) -> Response:
        async with visit.connect() as conn:
            one = await certificates.get_own_certificate(conn, visit.get_principal(), number)
            content = await certificates.get_file(conn, one)
        return answer_file(one.number, content)

    @router.get("/certificates/revoke/{number}")
    async def ask(visit: Visiting, number: str) -> Response:
        return await _ask(visit, number, {}, {})

    @router.post("/certificates/revoke/{number}")
    async def revoke(post: Posting, number: str) -> Response:
        try:
            async with post.write() as conn:
                await certificates.revoke(conn, post.order(post.form.get_reason()), number)
        except Forbidden:
            raise
        except ServiceError as error:
            return await _ask(post, number, post.form.to_dict(), post.explain(error))
        return post.redirect("/certificates", "cert_revoked")


async def _find_firm(conn: Connection, post: Post) -> int:
    own = post.get_principal().enterprise_id
    if own is not None:
        return own
    if not post.form["enterprise"]:
        raise InvalidInput("field_missing", field="enterprise")
    return await get_enterprise_id(conn, post.form["enterprise"])


async def _show(
    visit: Visit, office: Office, enterprise_id: int | None, fields: dict[str, str], problems: dict[str, Any]
) -> Response:
    principal = visit.get_principal()
    wanted = certificates.find_listed(principal, enterprise_id)
    async with visit.connect() as conn:
        found = await fetch_certificates(conn, wanted, SHOWN)
        may_own = principal.kind == "enterprise" and "manage" in principal.scopes
        if may_own and wanted is not None:
            may_own = (await certificates.read_subject(conn, principal, wanted)).standing == "connected"
    is_node = _may(certificates.check_node_people, principal)
    return visit.page(
        "certificates.html", status=400 if problems else 200, rows=found, fields=fields, problems=problems,
        may_issue=is_node or may_own, may_revoke=is_node,
        is_own=principal.kind == "enterprise", is_reachable=is_reachable(office),
    )  # fmt: skip


def is_reachable(office: Office) -> bool:
    """Whether the address on certificates leads anywhere but to this machine."""
    return urlsplit(office.console_url).hostname not in ("127.0.0.1", "::1", "localhost")


def _may(check: Callable[[Principal], None], principal: Principal) -> bool:
    try:
        check(principal)
    except Forbidden:
        return False
    return True


async def _ask(visit: Visit, number: str, fields: dict[str, str], problems: dict[str, Any]) -> Response:
    certificates.check_node_people(visit.get_principal())
    async with visit.connect() as conn:
        one = await certificates.get_certificate(conn, number)
    return visit.page(
        "certificate_revoke.html", status=400 if problems else 200, one=one, fields=fields, problems=problems
    )


def _add_counter(router: APIRouter) -> None:
    @router.get("/verify")
    async def choose(visit: Anybody, number: Text = "") -> Response:
        """What was typed leads to the page of that number."""
        if not number.strip():
            return visit.page("verify.html", number="", problem=None)
        try:
            return visit.redirect(f"/verify/{quote(certificates.parse_number(number))}")
        except ServiceError as error:
            return visit.page("verify.html", status=404, number=number, problem=visit.describe(error))

    @router.get("/verify/{number}")
    async def verify(visit: Anybody, number: str) -> Response:
        try:
            return await _show_verified(visit, number, None, {})
        except ServiceError as error:
            if error.code != "certificate_not_found":
                raise
            return visit.page("verify.html", status=404, number=number[:60], problem=visit.describe(error))

    @router.post("/verify/{number}")
    async def compare(post: AnybodyPosting, number: str) -> Response:
        """The file is compared and forgotten."""
        try:
            content = await _read_file(post)
            found = await certificates.compare(post.connect, content, certificates.parse_number(number))
        except ServiceError as error:
            return await _show_verified(post, number, None, post.explain(error))
        return await _show_verified(post, number, found, {})


async def _read_file(post: Post) -> bytes:
    upload = post.form.files.get("file")
    content = b"" if upload is None else await upload.read(MAX_FILE_BYTES + 1)
    if not content or len(content) > MAX_FILE_BYTES:
        raise InvalidInput("certificate_file_missing", field="file", limit=MAX_FILE_BYTES >> 20)
    return content


async def _show_verified(visit: Visit, number: str, found: Comparison | None, problems: dict[str, Any]) -> Response:
    async with visit.connect() as conn:
        one: Certificate = await certificates.get_certificate(conn, number)
        standing = await certificates.judge(conn, one)
    return visit.page(
        "verified.html", status=400 if problems else 200, one=one, standing=standing, found=found, problems=problems
    )
