"""What a resolver worker and the registry say to each other about viewers: one JSON object a line, numbered.

A question carries credentials as they came; the answer says what their holder may see under one prefix, or why not.
Nothing of either may be kept.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from schemas.viewing import Viewer

MAX_LINE_BYTES = 65_536
# The code of an answer to no question: the registry hangs up.
SECRET_WRONG = "link_secret_wrong"  # noqa: S105 - a code
UNAUTHENTICATED, FORBIDDEN, UNAVAILABLE = "unauthenticated", "forbidden", "unavailable"


@dataclass(frozen=True, slots=True)
class ViewerQuestion:
    """`prefix` is the one whose values are about to be shown, empty where none are; `address` is the asker's."""

    number: int
    authorization: str
    address: str
    prefix: str
    identifier: str


@dataclass(frozen=True, slots=True)
class ViewerAnswer:
    """`refusal` is empty or one of the three kinds above; then `code` and `details` say it in words."""

    number: int
    viewer: Viewer = Viewer.PUBLIC
    is_owner: bool = False  # the prefix is the asker's own
    refusal: str = ""
    code: str = ""
    details: dict[str, str] = field(default_factory=dict)


def encode_question(question: ViewerQuestion) -> bytes:
    return orjson.dumps(asdict(question)) + b"\n"


def decode_question(line: bytes) -> ViewerQuestion:
    """Raises ValueError."""
    read = _read_object(line)
    texts = [read.get(name) for name in ("authorization", "address", "prefix", "identifier")]
    if not isinstance(read.get("number"), int) or not all(isinstance(text, str) for text in texts):
        raise ValueError("no question")
    return ViewerQuestion(read["number"], read["authorization"], read["address"], read["prefix"], read["identifier"])


def encode_answer(answer: ViewerAnswer) -> bytes:
    return orjson.dumps(asdict(answer) | {"viewer": answer.viewer.name}) + b"\n"


def decode_answer(line: bytes) -> ViewerAnswer:
    """Raises ValueError."""
    read = _read_object(line)
    try:
        return ViewerAnswer(**read | {"viewer": Viewer[read["viewer"]]})
    except (KeyError, TypeError) as error:
        raise ValueError("no answer") from error


def _read_object(line: bytes) -> dict[str, Any]:
    read = orjson.loads(line)
    if not isinstance(read, dict):
        raise ValueError("no object")
    return read
