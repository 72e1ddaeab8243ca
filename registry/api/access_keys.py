"""Access keys: the operator's for anybody, an enterprise's for itself."""

from dataclasses import replace
from typing import Annotated

from asyncpg import Connection
from fastapi import Query, Response

from registry.account_views import format_key
from registry.api.calls import Answer, Changing, PathText, Reading, Writing
from registry.api.enterprises import check_cursor
from registry.api.etags import check_etag, make_etag
from registry.api.paging import MAX_PAGE, After, Limit, cut
from registry.api.targets import check_texts
from registry.keys import KeyTerms, add_key, get_key, list_keys, revoke_key
from registry.late_routes import LateRouter
from registry.records import is_storable
from registry.store.keys import KeyRow
from schemas.account_bodies import KeyBody, KeyPage, NewKey, NewKeyBody
from schemas.errors import InvalidInput, NotFound
from schemas.identifiers import shorten

router = LateRouter(prefix="/api/v1/keys", tags=["keys"])


@router.post("", status_code=201, response_model=NewKeyBody, summary="Make an access key")
async def post_key(call: Writing, body: NewKey) -> Response:
    """The answer holds the secret, this once (and again for the same Idempotency-Key)."""
    principal = call.get_principal()
    enterprise_id = body.enterprise_id or principal.enterprise_id
    if body.organisation:
        principal.check_operator()
        if body.enterprise_id is not None:
            raise InvalidInput("key_for_whom", field="organisation")
    if enterprise_id is not None:
        principal.check_enterprise(enterprise_id)
    check_texts(note=body.note, networks="".join(body.networks))
    terms = KeyTerms(
        tuple(body.scopes), tuple(body.networks), body.expires, body.organisation, call.state.config.rules.key_ring
    )

    async def effect(conn: Connection) -> Answer:
        access_key, secret_key = await add_key(conn, call.order(), enterprise_id, body.note, terms)
        if call.dry_run:  # a key that was rolled back opens nothing
            return Answer({"access_key": None, "secret_key": None, "enterprise_id": enterprise_id}, 201)
        return Answer({"access_key": access_key, "secret_key": secret_key, "enterprise_id": enterprise_id}, 201)

    return await call.write(effect)


@router.get("", response_model=KeyPage, summary="List access keys")
async def get_keys(
    call: Reading,
    enterprise_id: Annotated[int | None, Query(description="Only those of this enterprise.")] = None,
    after: After = "",
    limit: Limit = MAX_PAGE,
) -> Response:
    """Without their secrets, revoked ones among them."""
    principal = call.get_principal()
    if enterprise_id is not None:
        principal.check_enterprise(check_cursor(enterprise_id))
    async with call.connect() as conn:
        found = await list_keys(conn, principal, enterprise_id)
    page, following = cut(found, lambda key: key.access_key, after, limit)
    return call.reply({"keys": [format_key(key) for key in page], "next": following})


@router.get("/{access_key}", response_model=KeyBody, summary="One access key")
async def get_one_key(call: Reading, access_key: PathText) -> Response:
    """Without its secret."""
    async with call.connect() as conn:
        shown = _show(await get_key(conn, call.get_principal(), _check_known(access_key)))
    return call.reply(shown.content, shown.headers)


@router.post("/{access_key}/revoke", response_model=KeyBody, summary="Revoke an access key")
async def post_revocation(call: Changing, access_key: PathText) -> Response:
    """It ends at once."""
    _check_known(access_key)

    async def effect(conn: Connection) -> Answer:
        order = call.order()
        if call.if_match is not None:
            check_etag(call.if_match, format_key(await get_key(conn, order.principal, access_key)))
        key = await revoke_key(conn, order, access_key)
        return _show(replace(key, revoked=key.revoked or order.at))

    return await call.write(effect)


def _check_known(access_key: str) -> str:
    """Raises NotFound for what no key can be called."""
    if not is_storable(access_key):
        raise NotFound("key_not_found", field="access_key", access_key=shorten(access_key))
    return access_key


def _show(key: KeyRow) -> Answer:
    view = format_key(key)
    return Answer(view, 200, {"ETag": make_etag(view)})
