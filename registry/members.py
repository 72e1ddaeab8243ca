"""JSON objects in which a member stands twice: parsers keep the last one; which was meant nobody knows (RFC 7493)."""

import json

import orjson


class _StandsTwice(Exception):
    pass


def find_member_twice(data: bytes, parsed: object) -> str | None:
    """The name of such a member in a JSON text. What a parser drops leaves quotes behind: only then all is read again.

    Raises orjson.JSONEncodeError for what is nested too deeply, for huge numbers and for halves of surrogate pairs.
    """
    return None if data.count(b'"') == orjson.dumps(parsed).count(b'"') else search_member_twice(data)


def search_member_twice(data: bytes) -> str | None:
    """As `find_member_twice`, by reading all again."""
    try:
        json.loads(data, object_pairs_hook=_check_once)
    except _StandsTwice as found:
        return str(found)
    return None


def _check_once(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _StandsTwice(name)
        seen.add(name)
