"""Who asks: an enterprise, the operator, or the node above; and an order: who, when and why."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from registry.store.changes import Act
from schemas.days import get_day
from schemas.errors import Forbidden, NotFound
from schemas.identifiers import shorten

Kind = Literal["enterprise", "operator", "toplevel"]


@dataclass(frozen=True, slots=True)
class Principal:
    """`actor` stands in every history: `key:…`, `cli:…`. `prefixes`: those the enterprise owns → prefix_id."""

    kind: Kind
    actor: str
    enterprise_id: int | None = None
    access_key: str = ""
    prefixes: dict[str, int] = field(default_factory=dict)

    @property
    def is_operator(self) -> bool:
        return self.kind == "operator"

    def check_operator(self) -> None:
        """Raises Forbidden for anyone but the operator."""
        if self.kind != "operator":
            raise Forbidden("operator_only")

    def check_enterprise(self, enterprise_id: int) -> None:
        """Raises NotFound, which tells nothing of other enterprises, unless it is the caller's own."""
        if self.kind != "operator" and enterprise_id != self.enterprise_id:
            raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)

    def check_prefix(self, prefix: str) -> None:
        """Raises NotFound, which tells nothing of other prefixes, unless it is one of the caller's own."""
        if self.kind != "operator" and prefix not in self.prefixes:
            raise NotFound("prefix_not_found", field="prefix", prefix=shorten(prefix))


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants something done, when and why."""

    principal: Principal
    at: datetime
    reason: str = ""

    @property
    def act(self) -> Act:
        return Act(self.principal.actor, self.at, self.reason)

    @property
    def day(self) -> date:
        return get_day(self.at)
