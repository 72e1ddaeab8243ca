"""How log lines look: for people, or one JSON object a line for programs; both with the id of the request."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Literal

from schemas.request_ids import REQUEST_ID

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LEVELS = ("WARNING", "ERROR", "CRITICAL")
_TEXT_LINE = re.compile(r"\S+ \S+ (WARNING|ERROR|CRITICAL) (.*)")


def set_up_logging(form: Literal["text", "json"], process: str, level: int = logging.INFO) -> None:
    """For one process, on its stderr; who started it keeps what it says."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if form == "json" else TextFormatter(TEXT_FORMAT))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        request_id = REQUEST_ID.get()
        text = super().format(record)
        if not request_id:
            return text
        first, newline, rest = text.partition("\n")
        return f"{first} [{request_id}]{newline}{rest}"


class JsonFormatter(logging.Formatter):
    """time (ISO 8601, UTC), level, logger, message, process; request_id and trace where there are any."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": self._process,
            "pid": record.process,
        }
        if REQUEST_ID.get():
            line["request_id"] = REQUEST_ID.get()
        if record.exc_info and record.exc_info[0] is not None:
            line["trace"] = "".join(traceback.format_exception(*record.exc_info))
        line |= getattr(record, "fields", {})
        return json.dumps(line, ensure_ascii=False, default=str)


def find_warning(line: str) -> str | None:
    """What a line of either form says, if it is a warning or worse."""
    if line.startswith("{"):
        try:
            read = json.loads(line)
        except ValueError:
            return None
        if not isinstance(read, dict) or read.get("level") not in LEVELS:
            return None
        return f"{read.get('logger', '')}: {read.get('message', '')}"
    found = _TEXT_LINE.match(line)
    return found[2] if found else None
