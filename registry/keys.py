"""Access keys: `<access_key>.<secret_key>` acts for one enterprise, for a partner organisation or for the operator."""

import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import cast

from asyncpg import Connection

from registry.passwords import digest_password
from registry.principals import ALL_SCOPES, SCOPES, Order, Principal, Scope
from registry.store.enterprises import fetch_enterprise
from registry.store.holders import Holder, find_key_holder
from registry.store.invitations import revoke_all_by
from registry.store.keys import KeyRow, fetch_keys, find_key, insert_key, update_revoked, update_revoked_of
from schemas.certificates import check_uscc
from schemas.days import ZONE
from schemas.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from schemas.identifiers import shorten
from schemas.sealing import KeyRing, seal

MAX_NOTE_CHARACTERS = 200
MAX_NETWORKS = 50
_ACCESS_KEY = re.compile(r"ak_[0-9a-f]{20}", re.ASCII)
_NOBODY = sha256(b"").digest()
_PARTNER_SCOPES: frozenset[Scope] = frozenset(("read",))


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a key may do; empty: everything its owner may. `networks`: addresses it works from, as CIDR.

    With `key_ring` the key can be used for the hashed sign-in of the published interface; the operator's never can.
    """

    scopes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    expires: datetime | None = None
    organisation: str = ""
    key_ring: KeyRing | None = None


async def add_key(
    conn: Connection, order: Order, enterprise_id: int | None, note: str = "", terms: KeyTerms | None = None
) -> tuple[str, str]:
    """A new key for an enterprise, a partner or the operator (None): access key and secret, shown this once."""
    terms = terms or KeyTerms()
    if enterprise_id is None:
        order.principal.check_operator()
    else:
        order.principal.check_enterprise(enterprise_id)
        if await fetch_enterprise(conn, enterprise_id) is None:
            raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)
    check_note(note)
    scopes, networks = check_scopes(terms.scopes), check_networks(terms.networks)
    organisation = check_uscc(terms.organisation) if terms.organisation else ""
    order.principal.check_gives(scopes or (_PARTNER_SCOPES if organisation else SCOPES))
    check_expiry(terms.expires, order.at)
    networks, expires = await _limit(conn, order.principal, networks, terms.expires)
    access_key, secret_key = f"ak_{secrets.token_hex(10)}", secrets.token_urlsafe(32)
    sealed = None
    if terms.key_ring is not None and (enterprise_id is not None or organisation):
        sealed = seal(terms.key_ring, digest_password(secret_key).encode(), format_signin_context(access_key))
    row = KeyRow(access_key, enterprise_id, "", note, order.at, None, organisation, scopes or None, networks, expires)
    await insert_key(conn, row, _hash(secret_key) if sealed is None else hash_secret(secret_key), sealed)
    return access_key, secret_key


def check_note(note: str) -> None:
    """Raises InvalidInput."""
    if len(note) > MAX_NOTE_CHARACTERS or not note.isprintable():
        raise InvalidInput("key_note_too_long", field="note", length=len(note), limit=MAX_NOTE_CHARACTERS)


def check_expiry(expires: datetime | None, at: datetime) -> None:
    """Raises InvalidInput."""
    if expires is not None and expires <= at:
        raise InvalidInput("key_expiry_past", field="expires")


async def _limit(
    conn: Connection, principal: Principal, networks: list[str], expires: datetime | None
) -> tuple[list[str], datetime | None]:
    """A key makes none that works from more addresses or for longer than itself: what is not named is as its own.

    Raises Forbidden.
    """
    maker = await find_key(conn, principal.access_key) if principal.access_key else None
    if maker is None:
        return networks, expires
    networks, expires = networks or maker.networks, expires or maker.expires
    if maker.networks and not all(_lies_in(each, maker.networks) for each in networks):
        raise Forbidden("key_networks_wider", field="networks", networks=", ".join(maker.networks))
    if maker.expires is not None and expires is not None and expires > maker.expires:
        end = maker.expires.astimezone(ZONE).isoformat(" ", "minutes")
        raise Forbidden("key_expiry_later", field="expires", expires=end)
    return networks, expires


def _lies_in(text: str, networks: Iterable[str]) -> bool:
    inner = ip_network(text)
    return any(
        outer.version == inner.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen
        for outer in map(ip_network, networks)
    )


def check_scopes(given: Iterable[str]) -> list[str]:
    """In the order of SCOPES; raises InvalidInput."""
    wanted = set(given)
    for scope in wanted - set(SCOPES):
        raise InvalidInput("scope_unknown", field="scopes", scope=shorten(scope, 40), scopes=", ".join(SCOPES))
    return [scope for scope in SCOPES if scope in wanted]


def check_networks(given: Iterable[str]) -> list[str]:
    """`192.0.2.7` or `192.0.2.0/24`, as CIDR; raises InvalidInput."""
    networks = []
    for text in given:
        try:
            networks.append(str(ip_network(text.strip(), strict=False)))
        except ValueError:
            raise InvalidInput("network_malformed", field="networks", network=shorten(text, 60)) from None
    if len(networks) > MAX_NETWORKS:
        raise InvalidInput("field_too_many", field="networks", limit=MAX_NETWORKS)
    return networks


async def list_keys(conn: Connection, principal: Principal, enterprise_id: int | None = None) -> list[KeyRow]:
    """Keys without their secrets, revoked ones among them; an enterprise sees its own."""
    if not principal.is_operator:
        if principal.enterprise_id is None:
            return []
        enterprise_id = principal.enterprise_id
    return await fetch_keys(conn, enterprise_id)


async def get_key(conn: Connection, principal: Principal, access_key: str) -> KeyRow:
    """Of one's own enterprise, or any for the operator, locked until the transaction ends; raises NotFound."""
    key = await find_key(conn, access_key) if _ACCESS_KEY.fullmatch(access_key) else None
    owner = principal.enterprise_id
    own = principal.is_operator or (key is not None and owner is not None and key.enterprise_id == owner)
    if key is None or not own:
        raise NotFound("key_not_found", field="access_key", access_key=shorten(access_key))
    return key


async def revoke_key(conn: Connection, order: Order, access_key: str) -> KeyRow:
    """It ends with the transaction; raises NotFound, or Conflict if it was revoked before."""
    async with conn.transaction():
        key = await get_key(conn, order.principal, access_key)
        if key.revoked is not None:
            raise Conflict("key_revoked_already", field="access_key", access_key=access_key)
        await update_revoked(conn, access_key, order.at)
        await revoke_all_by(conn, f"key:{access_key}", order.at)
    return key


async def revoke_keys_of(conn: Connection, order: Order, enterprise_id: int) -> None:
    """All keys of an enterprise that is closed."""
    await update_revoked_of(conn, enterprise_id, order.at)


def read_bearer(header: str | None) -> str:
    """The token of an Authorization header; raises Unauthenticated."""
    scheme, _, token = (header or "").strip().partition(" ")
    if not token.strip():
        raise Unauthenticated("key_missing")
    if scheme.lower() != "bearer":
        raise Unauthenticated("key_wrong")
    return token.strip()


def split_bearer(header: str | None) -> tuple[str, str]:
    """Access key and secret from an Authorization header; raises Unauthenticated."""
    access_key, dot, secret_key = read_bearer(header).partition(".")
    if not dot:
        raise Unauthenticated("key_wrong")
    return access_key, secret_key


def is_access_key(name: str) -> bool:
    """Whether a user name is an access key by its form."""
    return _ACCESS_KEY.fullmatch(name) is not None


async def authenticate(
    conn: Connection, access_key: str, secret_key: str, at: datetime | None = None, address: str = ""
) -> Principal:
    """Who holds this key; raises Unauthenticated, or Forbidden from an address the key does not work from.

    Unknown, wrong, expired and revoked keys take the same time and answer. `at`: None for now.
    """
    holder = await find_key_holder(conn, access_key) if is_access_key(access_key) else None
    if not fits_secret(holder, secret_key) or holder is None:
        raise Unauthenticated("key_wrong")
    return make_key_principal(holder, at or datetime.now(UTC), address)


def fits_secret(holder: Holder | None, secret_key: str) -> bool:
    """Whether it is the secret of the key; takes as long for nobody."""
    kept = (holder.secret_hash if holder else None) or _NOBODY
    is_new = holder is not None and holder.hashed_signin is not None
    return hmac.compare_digest(kept, hash_secret(secret_key) if is_new else _hash(secret_key)) and holder is not None


def make_key_principal(holder: Holder, at: datetime, address: str) -> Principal:
    """Raises Unauthenticated if the key has ended, Forbidden if it does not work from this address."""
    if holder.is_closed or (holder.expires is not None and holder.expires <= at):
        raise Unauthenticated("key_wrong")
    check_address(holder.networks, address)
    access_key = holder.access_key or ""
    scopes = ALL_SCOPES if holder.scopes is None else frozenset(cast(list[Scope], holder.scopes))
    actor = f"key:{access_key}"
    partner_of = frozenset(holder.partner_of)
    if holder.organisation:
        return Principal(
            "partner", actor, access_key=access_key, scopes=scopes & _PARTNER_SCOPES,
            organisation=holder.organisation, partner_of=partner_of,
        )  # fmt: skip
    if holder.enterprise_id is None:
        return Principal("operator", actor, None, access_key, scopes=scopes)
    prefixes = dict(zip(holder.prefixes, holder.prefix_ids, strict=True))
    return Principal(
        "enterprise", actor, holder.enterprise_id, access_key, prefixes, scopes=scopes, partner_of=partner_of
    )


def is_limited(principal: Principal) -> bool:
    """Whether an access key was given scopes: less than what one of its kind may do at most."""
    return not principal.scopes >= (_PARTNER_SCOPES if principal.kind == "partner" else ALL_SCOPES)


def check_address(networks: Iterable[str], address: str) -> None:
    """Raises Forbidden unless the address lies in one of the networks, or there are none."""
    allowed = [ip_network(network) for network in networks]
    if not allowed:
        return
    try:
        caller = ip_address(address)
    except ValueError:  # a Unix socket, or nothing known
        raise Forbidden("key_address", address=address or "?") from None
    mapped = getattr(caller, "ipv4_mapped", None)
    if not any((mapped or caller) in network for network in allowed):
        raise Forbidden("key_address", address=address)


def format_signin_context(access_key: str) -> str:
    """Where the sealed sha256hex of a key's secret belongs."""
    return f"key/{access_key}/signin"


def _hash(secret_key: str) -> bytes:
    # The secret has 256 random bits: nothing is gained by a slow hash.
    return sha256(secret_key.encode("utf-8", "surrogatepass")).digest()


def hash_secret(secret_key: str) -> bytes:
    """For keys with the hashed sign-in: there sha256 of the secret is as good as the secret and must not lie open."""
    return sha256(b"idnode access key " + secret_key.encode("utf-8", "surrogatepass")).digest()
