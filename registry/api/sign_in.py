"""Signing in over the native API, who one is, and one's sessions."""

from uuid import UUID

from asyncpg import Connection
from fastapi import Response

from registry.account_views import format_principal, format_session
from registry.api.calls import Answer, Call, Reading, Writing
from registry.api.problems import dump_json
from registry.late_routes import LateRouter
from registry.sign_in import Attempt, Visit, sign_in
from registry.tokens import TOKEN_LIFETIME, end_session, issue_token, list_sessions
from schemas.account_bodies import EndedBody, MeBody, SessionPage, SignIn, TokenBody

router = LateRouter(prefix="/api/v1", tags=["accounts"])


def make_visit(call: Call) -> Visit:
    return Visit(call.state.now(), call.address, call.request.headers.get("user-agent", ""))


@router.post("/tokens", status_code=201, response_model=TokenBody, summary="Sign in")
async def post_token(call: Reading, body: SignIn) -> Response:
    """A bearer token for 24 hours. Wrong passwords are slowed down per account and address."""
    visit, ring = make_visit(call), call.state.config.rules.key_ring
    principal = await sign_in(call.state.connect, ring, visit, Attempt(body.user_name, body.password, body.code))
    async with call.connect() as conn:
        token = await issue_token(conn, ring, visit, principal)
    content = dump_json({"token": token, "expires": visit.at + TOKEN_LIFETIME})
    return Response(content, 201, {"Cache-Control": "no-store"}, "application/json")


@router.get("/me", response_model=MeBody, summary="Who the caller is")
async def get_me(call: Reading) -> Response:
    """And what he may do."""
    return call.reply(format_principal(call.get_principal()))


@router.get("/sessions", response_model=SessionPage, summary="One's own open sessions")
async def get_sessions(call: Reading) -> Response:
    """Bearer tokens and console sessions, newest first."""
    principal = call.get_principal()
    async with call.connect() as conn:
        rows = await list_sessions(conn, principal, call.state.now())
    return call.reply({"sessions": [format_session(row, principal.session_id) for row in rows]})


@router.post("/sessions/{session_id}/end", response_model=EndedBody, summary="End a session")
async def post_end(call: Writing, session_id: UUID) -> Response:
    """One of one's own; the operator ends any. It ends at once."""

    async def effect(conn: Connection) -> Answer:
        order = call.order()
        await end_session(conn, order, session_id)
        return Answer({"session_id": session_id, "ended": order.at})

    return await call.write(effect)
