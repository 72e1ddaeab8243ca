"""Who asks: an enterprise, the operator, his people, a partner, a regulator; and an order: who, when and why."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, get_args
from uuid import UUID

from registry.store.changes import Act
from schemas.days import get_day
from schemas.errors import Forbidden, NotFound
from schemas.identifiers import shorten
from schemas.viewing import Viewer

Kind = Literal["enterprise", "operator", "toplevel", "engineer", "reviewer", "partner", "regulator"]
Role = Literal["operator", "engineer", "reviewer", "enterprise_admin", "enterprise_user", "partner", "regulator"]
# read: everything that may be seen; write: identifiers and imports; templates: changing them; statistics: figures;
# manage: what an enterprise's administrator does (dossier, prefixes, hosting, access keys, partners, accounts); review:
# deciding on applications, for who is a reviewer.
Scope = Literal["read", "write", "templates", "statistics", "manage", "review"]

ROLES: tuple[Role, ...] = get_args(Role)
SCOPES: tuple[Scope, ...] = get_args(Scope)
ALL_SCOPES: frozenset[Scope] = frozenset(SCOPES)
LOOKING: frozenset[Scope] = frozenset(("read", "statistics"))

# An account's strongest role says what it is; the others add to it (`has_role`).
KIND_OF_ROLE: dict[Role, Kind] = {
    "operator": "operator", "reviewer": "reviewer", "engineer": "engineer", "enterprise_admin": "enterprise",
    "enterprise_user": "enterprise", "regulator": "regulator", "partner": "partner",
}  # fmt: skip
SCOPES_OF_ROLE: dict[Role, frozenset[Scope]] = {
    "operator": ALL_SCOPES, "enterprise_admin": ALL_SCOPES, "enterprise_user": LOOKING | {"write"},
    "reviewer": LOOKING | {"review"}, "engineer": LOOKING, "regulator": LOOKING, "partner": frozenset(("read",)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has proved who he is, or the command line.

    `actor` stands in every history: `key:…`, `account:<user name>`, `cli:<system user>`. `prefixes`: those the
    enterprise owns → prefix_id. An account has `account_id` and `roles`; an access key has `access_key`. `scopes` is
    checked by the Gate for `/api/v1`; other edges call `check_scope`. `organisation` is a partner's social credit
    code; `partner_of` are the prefixes that named the partner, or the approved enterprise, as they stand now.
    A regulator sees `division_code` (and what lies below it) and, where `unit_id` is set, that unit alone; his
    figures are those of this area. `session_id` is the bearer token's or the cookie's, if there is one.
    """

    kind: Kind
    actor: str
    enterprise_id: int | None = None
    access_key: str = ""
    prefixes: dict[str, int] = field(default_factory=dict)
    account_id: int | None = None
    user_name: str = ""
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[Scope] = ALL_SCOPES
    organisation: str = ""
    division_code: str = ""
    unit_id: int | None = None
    session_id: UUID | None = None
    partner_of: frozenset[str] = frozenset()

    @property
    def is_operator(self) -> bool:
        return self.kind == "operator"

    @property
    def sees_all(self) -> bool:
        """Whether nothing of any enterprise is hidden but personal data, which a reason opens to the operator."""
        return self.kind in ("operator", "toplevel", "reviewer")

    @property
    def sees_all_figures(self) -> bool:
        """Whether statistics are those of the whole node; else of `prefixes`, or of a regulator's area."""
        return self.sees_all or self.kind == "engineer"

    def has_role(self, role: Role) -> bool:
        """The command line and the operator's access keys are operator and reviewer in one."""
        if role == "reviewer" and self.kind == "operator" and self.account_id is None:
            return True
        return role in self.roles or (role == "operator" and self.kind == "operator")

    def check_role(self, role: Role) -> None:
        """Raises Forbidden."""
        if not self.has_role(role):
            raise Forbidden("role_missing", role=role)

    def check_scope(self, scope: Scope) -> None:
        """Raises Forbidden."""
        if scope not in self.scopes:
            raise Forbidden("scope_missing", scope=scope)

    def check_gives(self, scopes: Iterable[str]) -> None:
        """Nobody gives more than he has; raises Forbidden. Only keys of the operator have any use for `review`."""
        for scope in scopes:
            if scope not in self.scopes and (scope != "review" or self.kind == "operator"):
                raise Forbidden("scope_not_given", scope=scope)

    def check_operator(self) -> None:
        """Raises Forbidden for anyone but the operator."""
        if self.kind != "operator":
            raise Forbidden("operator_only")

    def check_reviewer(self) -> None:
        """Raises Forbidden for anyone who may not decide on applications."""
        if self.kind not in ("operator", "reviewer"):
            raise Forbidden("operator_only")
        self.check_role("reviewer")

    def check_enterprise(self, enterprise_id: int) -> None:
        """Raises NotFound, which tells nothing of other enterprises, unless it is the caller's own."""
        if self.kind != "operator" and enterprise_id != self.enterprise_id:
            raise NotFound("enterprise_not_found", field="enterprise", enterprise=enterprise_id)

    def check_prefix(self, prefix: str) -> None:
        """Raises NotFound, which tells nothing of other prefixes, unless it is one of the caller's own."""
        if self.kind != "operator" and prefix not in self.prefixes:
            raise NotFound("prefix_not_found", field="prefix", prefix=shorten(prefix))

    def check_sees_prefix(self, prefix: str) -> None:
        """As `check_prefix`, for reading only."""
        if not self.sees_all:
            self.check_prefix(prefix)

    def check_sees_enterprise(self, enterprise_id: int) -> None:
        """As `check_enterprise`, for reading only."""
        if not self.sees_all:
            self.check_enterprise(enterprise_id)


def find_viewer(principal: Principal | None, prefix: str) -> Viewer:
    """What somebody may see of the values under a prefix, on every interface; None is anybody.

    A key that may write and not read hears of its writes what anybody may.
    """
    if principal is None or "read" not in principal.scopes:
        return Viewer.PUBLIC
    if principal.sees_all or prefix in principal.prefixes:
        return Viewer.OWNER
    return Viewer.PARTNER if prefix in principal.partner_of else Viewer.PUBLIC


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants something done, when and why; `address` is where the request came from, for the audit trail."""

    principal: Principal
    at: datetime
    reason: str = ""
    address: str = ""

    @property
    def act(self) -> Act:
        return Act(self.principal.actor, self.at, self.reason)

    @property
    def day(self) -> date:
        return get_day(self.at)
