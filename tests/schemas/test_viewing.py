"""Who may see what, decided in one place: every viewer × every kind of value × every way to ask."""

from datetime import UTC, datetime

import pytest

from schemas.records import Record, RecordState
from schemas.templates import Template, bind_template, parse_template
from schemas.values import HIDDEN_PERMISSIONS, Value
from schemas.viewing import Verdict, Viewer, answer_record

NOW = datetime(2024, 6, 4, tzinfo=UTC)
TEMPLATE: Template = bind_template(
    parse_template(
        {
            "version": "v1",
            "items": [
                {"index": 2000, "type": "open"},
                {"index": 2001, "type": "shared", "visibility": "partner"},
                {"index": 2002, "type": "secret", "visibility": "private"},
                {"index": 2003, "type": "barred"},
            ],
        }
    ),
    "88.101.5",
    7,
)
VALUES = (
    Value(2000, "open", b"o"),
    Value(2001, "shared", b"s"),
    Value(2002, "secret", b"p"),
    Value(2003, "barred", b"b", permissions=HIDDEN_PERMISSIONS),
)


def record(state: RecordState = RecordState.LIVE, values: tuple[Value, ...] = VALUES, note: str = "") -> Record:
    return Record(1, "x", 7, values, state, NOW, NOW, note=note)


@pytest.mark.parametrize(
    ("viewer", "seen"),
    [
        (Viewer.PUBLIC, ["TEMPLATE_ID", "TEMPLATE", "open"]),
        (Viewer.PARTNER, ["TEMPLATE_ID", "TEMPLATE", "open", "shared"]),
        (Viewer.OWNER, ["TEMPLATE_ID", "TEMPLATE", "open", "shared", "secret", "barred"]),
    ],
)
def test_each_viewer_sees_his_part_silently(viewer: Viewer, seen: list[str]) -> None:
    answer = answer_record(record(), TEMPLATE, viewer)
    assert (answer.verdict, [value.type for value in answer.values]) == (Verdict.FOUND, seen)


@pytest.mark.parametrize(
    ("viewer", "asked", "verdict", "why"),
    [
        (Viewer.PUBLIC, "shared", Verdict.DENIED, "hidden and asked for alone"),
        (Viewer.PUBLIC, "secret", Verdict.DENIED, "hidden and asked for alone"),
        (Viewer.PARTNER, "secret", Verdict.DENIED, "private is not for partners"),
        (Viewer.PARTNER, "shared", Verdict.FOUND, "the enterprise named them"),
        (Viewer.OWNER, "secret", Verdict.FOUND, "his own"),
        (Viewer.PUBLIC, "nothing", Verdict.NO_VALUES, "there is no such value"),
        (Viewer.PUBLIC, "barred", Verdict.NO_VALUES, "PUBL hides it, as the protocol says"),
    ],
)
def test_asking_by_type_alone(viewer: Viewer, asked: str, verdict: Verdict, why: str) -> None:
    assert answer_record(record(), TEMPLATE, viewer, types=[asked]).verdict is verdict, why
    index = {"open": 2000, "shared": 2001, "secret": 2002, "barred": 2003}.get(asked, 9)
    assert answer_record(record(), TEMPLATE, viewer, indexes=[index]).verdict is verdict, why


def test_a_hidden_value_beside_an_open_one_is_left_out_silently() -> None:
    answer = answer_record(record(), TEMPLATE, types=["open", "secret"])
    assert (answer.verdict, [value.type for value in answer.values]) == (Verdict.FOUND, ["open"])


def test_without_publ_a_permission_that_forbids_reading_needs_credentials() -> None:
    assert answer_record(record(), TEMPLATE, public_only=False).verdict is Verdict.DENIED
    assert answer_record(record(), TEMPLATE, types=["open"], public_only=False).verdict is Verdict.FOUND


def test_a_record_of_hidden_values_only_has_no_values_for_the_public() -> None:
    hidden = record(values=VALUES[1:3])
    assert answer_record(hidden, TEMPLATE, types=["open"]).verdict is Verdict.NO_VALUES
    assert [v.type for v in answer_record(hidden, TEMPLATE).values] == ["TEMPLATE_ID", "TEMPLATE"]


def test_a_frozen_record_answers_with_its_notice_beside_the_values() -> None:
    answer = answer_record(record(RecordState.FROZEN, note="召回"), TEMPLATE)
    assert [(v.index, v.type, v.data.decode()) for v in answer.values][:4] == [
        (1000, "TEMPLATE_ID", "88.101.5/META_v1"),
        (1001, "TEMPLATE", "v1"),
        (1999, "NOTICE", "召回"),
        (2000, "open", "o"),
    ]


@pytest.mark.parametrize("viewer", list(Viewer))
def test_a_retired_record_says_nothing_but_that(viewer: Viewer) -> None:
    answer = answer_record(record(RecordState.RETIRED, note="88.101.5/y"), TEMPLATE, viewer, types=["secret"])
    assert (answer.verdict, answer.values) == (Verdict.RETIRED, [])


@pytest.mark.parametrize(("viewer", "verdict"), [(Viewer.PARTNER, Verdict.NO_VALUES), (Viewer.OWNER, Verdict.FOUND)])
def test_without_its_template_nobody_knows_what_was_public(viewer: Viewer, verdict: Verdict) -> None:
    assert answer_record(record(), None, viewer).verdict is verdict
