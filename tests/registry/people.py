"""Who acts in the tests of the registry, and what the node's rules are there."""

from datetime import UTC, datetime

from asyncpg import Connection

from registry.enterprises import AddedEnterprise, Registration, add_enterprise
from registry.prefixes import NodeRules
from registry.principals import Order, Principal
from schemas.certificates import compute_uscc_check
from schemas.sealing import KeyRing

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
RULES = NodeRules(("88.101", "88.102"), KeyRing({"k1": bytes(32)}))
CLERK = Principal("operator", "key:clerk")
REVIEWER = Principal("operator", "key:reviewer")


def make_uscc(number: int) -> str:
    """A social credit code with its right check character, different for every number."""
    head = f"91321302MA{number:07d}"
    return head + compute_uscc_check(head)


def make_owner(enterprise_id: int, *prefixes: str) -> Principal:
    """The holder of a key of that enterprise."""
    return Principal("enterprise", f"key:firm-{enterprise_id}", enterprise_id, "", dict.fromkeys(prefixes, 0))


def order(principal: Principal = CLERK, reason: str = "", at: datetime = NOW) -> Order:
    return Order(principal, at, reason)


async def add_firm(conn: Connection, number: int = 1, prefix: str | None = None) -> AddedEnterprise:
    """An approved enterprise in Sucheng that makes pumps."""
    firm = Registration(f"Firm {number}", make_uscc(number), "321302", "C/34/344/3441", prefix)
    return await add_enterprise(conn, RULES, order(), firm, approve=True)
