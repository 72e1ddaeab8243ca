"""ETags of what keeps no revision of its own: a hash of what is shown of it, so that nobody overwrites the unseen."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from registry.api.problems import dump_json
from schemas.errors import PreconditionFailed


def make_etag(view: Mapping[str, Any]) -> str:
    """`view`: what everybody is shown alike, whatever his language."""
    return f'"{sha256(dump_json(view)).hexdigest()[:20]}"'


def check_etag(if_match: str | None, view: Mapping[str, Any]) -> None:
    """Raises PreconditionFailed. `view` is what it is now, its row locked until the transaction ends."""
    known = [tag.strip().removeprefix("W/") for tag in (if_match or "*").split(",")]
    if "*" not in known and make_etag(view) not in known:
        raise PreconditionFailed("changed_meanwhile", field="If-Match")
