"""Prefixes of enterprises: their form, their states and how one follows another (domain.md §c.12, E05, E06)."""

import re
from collections.abc import Sequence
from enum import IntEnum

from schemas.errors import Conflict, InvalidInput
from schemas.identifiers import shorten

MAX_PREFIX_CHARACTERS = 64
RESERVED_SEGMENT = "000000"  # <secondary prefix>.000000 is the node's own
_DIGITS = re.compile(r"\d{1,40}", re.ASCII)


class PrefixState(IntEnum):
    """The numbers are those of the SNMS interface. A prefix to be deleted keeps its row: it is never given again."""

    STOPPED = 0
    ENABLED = 1
    TO_BE_DELETED = 2
    REFUSED = 3
    PENDING = 4
    REVIEWING = 5


class Hosting(IntEnum):
    """Whether the identifiers of a prefix are kept here. A prefix that is not hosted answers with its own site."""

    NOT_HOSTED = 1
    APPLIED = 2
    REFUSED = 3
    HOSTED = 4


# decision → (states it may be taken in, state it leads to)
PREFIX_DECISIONS: dict[str, tuple[frozenset[PrefixState], PrefixState]] = {
    "reviewing": (frozenset({PrefixState.PENDING}), PrefixState.REVIEWING),
    "approved": (frozenset({PrefixState.PENDING, PrefixState.REVIEWING}), PrefixState.ENABLED),
    "refused": (frozenset({PrefixState.PENDING, PrefixState.REVIEWING}), PrefixState.REFUSED),
    "resubmitted": (frozenset({PrefixState.REFUSED}), PrefixState.PENDING),
    "stopped": (frozenset({PrefixState.ENABLED}), PrefixState.STOPPED),
    "resumed": (frozenset({PrefixState.STOPPED}), PrefixState.ENABLED),
    "deletion": (frozenset({PrefixState.ENABLED, PrefixState.STOPPED}), PrefixState.TO_BE_DELETED),
    "deletion_withdrawn": (frozenset({PrefixState.TO_BE_DELETED}), PrefixState.STOPPED),
}


def find_secondary_prefix(text: str, node_prefixes: Sequence[str]) -> str | None:
    """The secondary prefix of the node that a prefix is, or stands under."""
    return next((own for own in node_prefixes if f"{text}.".startswith(f"{own}.")), None)


def check_new_prefix(text: str, node_prefixes: Sequence[str]) -> str:
    """The prefix if it may be allotted: a secondary prefix of the node, or digits below it, leading zeros kept."""
    prefix = text.strip()
    own = find_secondary_prefix(prefix, node_prefixes)
    if own is None:
        raise InvalidInput(
            "prefix_not_ours", field="prefix", prefix=shorten(prefix, 64), node_prefixes="、".join(node_prefixes)
        )
    if prefix == own:
        return prefix
    last = prefix[len(own) + 1 :]
    if not _DIGITS.fullmatch(last) or len(prefix) > MAX_PREFIX_CHARACTERS:
        raise InvalidInput("prefix_malformed", field="prefix", prefix=shorten(prefix, 64), node_prefix=own)
    if last == RESERVED_SEGMENT:
        raise InvalidInput("prefix_reserved", field="prefix", prefix=prefix)
    return prefix


def decide_prefix_state(prefix: str, state: PrefixState, decision: str) -> PrefixState:
    """The state a decision leads to; raises Conflict if it cannot be taken now."""
    allowed, following = PREFIX_DECISIONS[decision]
    if state not in allowed:
        name = state.name.lower()
        raise Conflict("prefix_state_forbids", field="prefix", prefix=prefix, state=name, decision=decision)
    return following
