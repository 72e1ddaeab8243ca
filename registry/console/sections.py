"""Parts of the console: their routes, their places in the navigation, their templates and words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter
from jinja2 import BaseLoader

from registry.principals import Principal

May = Callable[[Principal], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the navigation. `path` is below the console; `label` and `group` are keys of words."""

    path: str
    label: str
    group: str
    may: May


@dataclass(frozen=True, slots=True)
class Section:
    """See the package's docstring."""

    router: APIRouter
    entries: tuple[Entry, ...] = ()
    pages: BaseLoader | None = None
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def is_anybody(principal: Principal) -> bool:
    """Everybody who has signed in."""
    return principal is not None


def is_enterprise(principal: Principal) -> bool:
    return principal.kind == "enterprise"


def is_operator(principal: Principal) -> bool:
    return principal.is_operator


def is_registrar(principal: Principal) -> bool:
    """Who registers identifiers: enterprises, and the operator for any of them."""
    return principal.kind in ("enterprise", "operator")
