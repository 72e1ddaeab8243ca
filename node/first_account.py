"""The account `admin`, made at the first start: a new node can be entered by somebody, and by nobody else."""

from datetime import UTC, datetime

from asyncpg import Connection

from node.migrations import connect
from node.secret_key import load_key_ring
from node.settings import NodeSettings
from registry.accounts import NewAccount, add_account
from registry.passwords import check_password, make_password
from registry.principals import Order, Principal
from registry.store.accounts import has_account
from schemas.errors import Conflict, InvalidInput, SetupError
from schemas.texts import format_message

USER_NAME = "admin"


async def make_first_account(dsn: str, settings: NodeSettings) -> str | None:
    """The password if one was made, to be shown this once; None if IDNODE_ADMIN_PASSWORD is it or accounts exist.

    Raises SetupError for an IDNODE_ADMIN_PASSWORD that is no good.
    """
    connection = await connect(dsn)
    try:
        return await _make(connection, settings)
    finally:
        await connection.close()


async def _make(conn: Connection, settings: NodeSettings) -> str | None:
    if await has_account(conn):
        return None
    password = settings.admin_password or make_password()
    try:
        check_password(password, USER_NAME)
    except InvalidInput as error:
        reason = format_message(error.code, settings.language, **error.details)
        raise SetupError("setting_invalid", name="admin_password", reason=reason) from None
    wanted = NewAccount(USER_NAME, ("operator", "reviewer"), password)
    order = Order(Principal("operator", "node:first start"), datetime.now(UTC))
    try:
        await add_account(conn, load_key_ring(settings.secret_key_path), order, wanted)
    except Conflict:  # the registry of another machine was first
        return None
    return None if settings.admin_password else password
