"""A dossier that exists is legal; what a complete one still needs is listed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.certificates import USCC_ALPHABET, check_resident_id, check_uscc, compute_uscc_check
from schemas.enterprises import (
    ENTERPRISE_DECISIONS,
    EnterpriseState,
    decide_enterprise_state,
    format_personal,
    format_public,
    list_missing,
    parse_dossier,
    split_division,
)
from schemas.errors import Conflict, InvalidInput
from schemas.industries import load_divisions
from schemas.texts import format_message

USCC = "91321302MA0000001Y"
PERSON = {"name": "张三", "certificate_number": "11010519491231002X"}
WHOLE: dict[str, Any] = {
    "name": "示例企业",
    "certificate_code": USCC,
    "certificate_image_id": 1,
    "nature": 2,
    "address": "1 号",
    "province": "320000",
    "city": "321300",
    "county": "321302",
    "industry": "C/34/344/3441",
    "contact": PERSON | {"email": "a@example.com", "phone": "13800000000"},
    "legal_person": PERSON | {"front_image_id": 2, "back_image_id": 3},
}
HEADS = st.text(alphabet=USCC_ALPHABET, min_size=17, max_size=17)


@pytest.mark.parametrize("text", [USCC, USCC.lower(), f" {USCC} "])
def test_a_social_credit_code_is_read_as_people_write_it(text: str) -> None:
    assert check_uscc(text) == USCC


BAD_CODES = [
    ("", "uscc_length", "nothing"),
    (USCC[:-1], "uscc_length", "one character short"),
    (USCC + "0", "uscc_length", "one too many"),
    (USCC.replace("M", "O"), "uscc_character", "a letter O"),
    (USCC.replace("9", "９", 1), "uscc_character", "a full-width digit"),
    ("91321302MA0000010Y", "uscc_check", "two digits swapped"),
    ("91321302MA0000001X", "uscc_check", "another check character"),
]


@pytest.mark.parametrize(("text", "code", "reason"), BAD_CODES, ids=[b[2] for b in BAD_CODES])
def test_a_wrong_social_credit_code_is_refused(text: str, code: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_uscc(text)
    assert caught.value.code == code, reason


@given(HEADS, st.integers(0, 16), st.sampled_from(USCC_ALPHABET))
def test_every_single_wrong_character_is_found(head: str, place: int, other: str) -> None:
    code = head + compute_uscc_check(head)
    assert check_uscc(code) == code
    damaged = code[:place] + other + code[place + 1 :]
    if damaged != code:
        with pytest.raises(InvalidInput):
            check_uscc(damaged)


BAD_IDS = [
    ("1101051949123100", "resident_id_malformed", "too short"),
    ("11010519491331002X", "resident_id_birthday", "a thirteenth month"),
    ("110105194912310021", "resident_id_check", "another check character"),
]


@pytest.mark.parametrize(("text", "code", "reason"), BAD_IDS, ids=[b[2] for b in BAD_IDS])
def test_a_wrong_resident_id_is_refused_without_repeating_it(text: str, code: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_resident_id(text, "contact.certificate_number")
    assert caught.value.code == code, reason
    assert text not in str(caught.value) + repr(caught.value)


def test_a_resident_id_with_a_small_x_is_the_same() -> None:
    assert check_resident_id("11010519491231002x", "f") == "11010519491231002X"


BAD_DOSSIERS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "dossier_field_missing"),
    ({"name": "x" * 256}, "dossier_field_too_long"),
    ({"name": "a\0b"}, "dossier_field_characters"),
    ({"name": 5}, "dossier_field_text"),
    ({"certificate_code": "91321302MA0000001X"}, "uscc_check"),
    ({"certificate_type": 3}, "dossier_field_bounds"),
    ({"colour": "red"}, "dossier_field_unknown"),
    ({"nature": 6}, "dossier_field_bounds"),
    ({"description": "x" * 1_025}, "dossier_field_too_long"),
    ({"county": "110101"}, "division_wrong_parent"),
    ({"city": ""}, "division_wrong_parent"),
    ({"province": "990000"}, "division_unknown"),
    ({"industry": "C/34/345/3441"}, "industry_wrong_parent"),
    ({"industry": "C/34"}, "industry_malformed"),
    ({"serve_industries": ["A/01/011/0111", "Z/01/011/0111"]}, "industry_unknown"),
    ({"registered_capital_yuan": -1}, "dossier_field_bounds"),
    ({"registered_capital_yuan": 1.5}, "dossier_field_number"),
    ({"established_on": "2020-02-30"}, "dossier_field_date"),
    ({"established_on": "2020-01-02", "valid_until": "2020-01-01"}, "dossier_dates"),
    ({"contact": PERSON | {"certificate_number": "110105194912310021"}}, "resident_id_check"),
    ({"contact": PERSON | {"phone": "x"}}, "dossier_field_characters"),
    ({"contact": PERSON | {"phone": "1" * 17}}, "dossier_field_too_long"),
    ({"contact": PERSON | {"email": "nobody"}}, "dossier_field_characters"),
    ({"systems": [{"kind": 1, "deployment": 2}]}, "dossier_system_provider"),
    ({"systems": [{"kind": 1, "deployment": 1}]}, "dossier_system_address"),
    ({"systems": [{"kind": 2, "deployment": 2, "provider": "p", "ip_ports": "[192.0.2.1]:1"}]}, "dossier_system_ports"),
    ({"systems": [{"kind": 1, "deployment": 2, "provider": "p", "ip_ports": "192.0.2.1:1"}]}, "dossier_ip_ports"),
    ({"systems": [{"kind": 1, "deployment": 2, "provider": "p", "ip_ports": "[x]:1"}]}, "dossier_ip_ports"),
    ({"build": {"type": 2, "name": "another"}}, "dossier_charge_contract"),
    ({"licences": [{"number": "1", "type": 5}]}, "dossier_field_bounds"),
    ({"tags": {"Above scale": "x"}}, "tag_malformed"),
    ({"prefix": "8" * 65}, "dossier_field_too_long"),
    ({"contact": "nobody"}, "dossier_field"),
    ({"licences": [{"number": "1", "type": 1}] * 51}, "dossier_field_too_many"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code"), BAD_DOSSIERS, ids=[f"{n} {d[1]} {next(iter(d[0]))}" for n, d in enumerate(BAD_DOSSIERS)]
)
def test_a_wrong_dossier_is_refused_with_its_reason(change: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_dossier(WHOLE | change)
    assert caught.value.code == code
    chinese = format_message(code, "zh", **caught.value.details)
    assert "input" not in chinese and "String" not in chinese and "…" not in chinese
    assert caught.value.field


@pytest.mark.parametrize("document", [None, [], "x", 5, {}, {"name": "only a name"}])
def test_what_is_no_dossier_is_refused(document: object) -> None:
    with pytest.raises(InvalidInput):
        parse_dossier(document)


def test_another_certificate_needs_no_check_character() -> None:
    dossier = parse_dossier(WHOLE | {"certificate_type": 2, "certificate_code": "事证第 7 号"})
    assert dossier.certificate_code == "事证第 7 号"


def test_addresses_of_both_kinds_are_read() -> None:
    ports = "[192.0.2.1]:2641;[2001:db8::1]:8081"
    parse_dossier(WHOLE | {"systems": [{"kind": 1, "deployment": 2, "provider": "p", "ip_ports": ports}]})


def test_a_whole_dossier_lacks_nothing() -> None:
    assert list_missing(parse_dossier(WHOLE)) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"nature": None}, "nature"),
        ({"address": ""}, "address"),
        ({"province": "", "city": "", "county": ""}, "city"),
        ({"industry": ""}, "industry"),
        ({"certificate_image_id": None}, "certificate_image_id"),
        ({"contact": None}, "contact"),
        ({"contact": PERSON}, "contact"),  # without telephone and e-mail
        ({"legal_person": None}, "legal_person"),
        ({"legal_person": PERSON}, "legal_person"),  # without images
    ],
)
def test_what_is_missing_is_listed(change: dict[str, Any], field: str) -> None:
    assert [item.field for item in list_missing(parse_dossier(WHOLE | change))] == [field]


def test_personal_data_are_kept_apart() -> None:
    dossier = parse_dossier(WHOLE)
    assert "张三" not in str(format_public(dossier))
    assert format_personal(dossier)["contact"]["name"] == "张三"
    assert format_personal(parse_dossier({"name": "N", "certificate_code": USCC})) == {}


def test_every_division_splits_into_what_a_dossier_takes() -> None:
    for code in load_divisions():
        province, city, county = split_division(code)
        assert code == (county or city or province)
        parse_dossier({"name": "N", "certificate_code": USCC, "province": province, "city": city, "county": county})


def test_no_decision_fits_a_closed_enterprise() -> None:
    for decision in ENTERPRISE_DECISIONS:
        with pytest.raises(Conflict):
            decide_enterprise_state("N", EnterpriseState.CLOSED, decision)


def test_every_state_can_be_reached() -> None:
    reached = {state for steps in ENTERPRISE_DECISIONS.values() for state in steps.values()}
    assert reached == set(EnterpriseState) - {EnterpriseState.DRAFT}
