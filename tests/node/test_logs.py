"""Log lines are for people or for programs, carry the request's id, and warnings of both forms reach the terminal."""

import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.child_log import ChildLog
from node.logs import TEXT_FORMAT, JsonFormatter, TextFormatter, find_warning
from schemas.request_ids import REQUEST_ID, choose_request_id


def make_record(level: int = logging.INFO, message: str = "hello %s", *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("idnode.test", level, __file__, 1, message, arguments or ("节点",), None)


@pytest.fixture
def request_id() -> None:
    REQUEST_ID.set("abc")


def test_a_json_line_says_when_who_what_and_for_which_request(request_id: None) -> None:
    record = make_record(logging.ERROR)
    record.fields = {"status": 503}
    line = json.loads(JsonFormatter("registry").format(record))
    assert line["time"].endswith("+00:00")
    assert {name: line[name] for name in ("level", "logger", "message", "process", "request_id", "status")} == {
        "level": "ERROR", "logger": "idnode.test", "message": "hello 节点", "process": "registry",
        "request_id": "abc", "status": 503,
    }  # fmt: skip


def test_a_trace_is_one_line_of_json_and_follows_the_line_of_text(request_id: None) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        record = make_record(logging.ERROR)
        record.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter("agent").format(record)
    assert "\n" not in line
    assert "ValueError: first" in json.loads(line)["trace"]
    first, _, rest = TextFormatter(TEXT_FORMAT).format(record).partition("\n")
    assert first.endswith("ERROR idnode.test: hello 节点 [abc]")
    assert rest.startswith("Traceback")


@given(st.text(max_size=200))
def test_nothing_that_is_logged_breaks_a_line_of_json(text: str) -> None:
    line = JsonFormatter("x").format(make_record(logging.INFO, "%s", text))
    assert "\n" not in line
    assert json.loads(line)["message"] == text


@pytest.mark.parametrize("formatter", [TextFormatter(TEXT_FORMAT), JsonFormatter("x")], ids=["text", "json"])
@pytest.mark.parametrize(("level", "is_told"), [(logging.INFO, False), (logging.WARNING, True), (logging.ERROR, True)])
def test_warnings_of_both_forms_reach_the_terminal(
    formatter: logging.Formatter, level: int, is_told: bool, tmp_path: Path
) -> None:
    told: list[str] = []
    log = ChildLog(tmp_path / "child.log", told.append)
    log.copy_from(io.BytesIO(formatter.format(make_record(level)).encode() + b"\n")).join(30)
    log.close()
    assert [line.removesuffix(" [abc]") for line in told] == (["child: idnode.test: hello 节点"] if is_told else [])


@pytest.mark.parametrize("line", ["{", "{}", '{"level": 3}', "[]", "", "{not json WARNING x", "a b INFO c"])
def test_other_lines_are_no_warnings(line: str) -> None:
    assert find_warning(line) is None


SANE = ["abc", "0123-4567", "a.b_c:d/e+f=@", "x" * 128]
NOT_SANE = ["", " ", "a b", "a\r\nSet-Cookie: x", "é", "x" * 129, '"', "a\x00b", "a,b"]


@pytest.mark.parametrize("given_id", SANE)
def test_a_sane_id_of_the_client_is_kept(given_id: str) -> None:
    assert choose_request_id(given_id) == given_id


@pytest.mark.parametrize("given_id", NOT_SANE)
def test_any_other_is_replaced(given_id: str) -> None:
    made = choose_request_id(given_id)
    assert made != given_id
    assert len(made) == 16 and choose_request_id(given_id) != made
