"""The national tables are shipped whole, and wrong combinations are refused."""

import pytest

from schemas.errors import InvalidInput
from schemas.industries import check_industry, find_division, format_division, load_divisions, load_industries


def test_the_classification_is_whole() -> None:
    by_length = {n: sum(len(code) == n for code in load_industries()) for n in (1, 2, 3, 4)}
    assert by_length == {1: 20, 2: 97, 3: 473, 4: 1_382}


@pytest.mark.parametrize("load", [load_industries, load_divisions])
def test_every_code_hangs_below_one_that_exists(load: object) -> None:
    table = load_industries() if load is load_industries else load_divisions()
    for code, (parent, name) in table.items():
        assert not parent or parent in table, code
        assert name.strip() == name != ""


def test_every_class_is_reached_through_its_parents() -> None:
    table = load_industries()
    for code in table:
        if len(code) == 4:
            group = table[code][0]
            division = table[group][0]
            section = table[division][0]
            assert check_industry(f"{section}/{division}/{group}/{code}") == (section, division, group, code)


BAD = [
    ("", "industry_malformed", "nothing"),
    ("C/34/344", "industry_malformed", "three levels"),
    ("C/34/344/3441/1", "industry_malformed", "five levels"),
    ("C-34-344-3441", "industry_malformed", "another separator"),
    ("Z/34/344/3441", "industry_unknown", "no such section"),
    ("c/34/344/3441", "industry_unknown", "a small letter"),
    ("C/34/344/9999", "industry_unknown", "no such class"),
    ("///", "industry_unknown", "nothing four times"),
    ("A/34/344/3441", "industry_wrong_parent", "agriculture does not make pumps"),
    ("C/34/345/3441", "industry_wrong_parent", "a class of another group"),
    ("C/344/34/3441", "industry_wrong_parent", "levels swapped"),
]


@pytest.mark.parametrize(("text", "code", "reason"), BAD, ids=[b[2] for b in BAD])
def test_a_wrong_industry_is_refused(text: str, code: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_industry(text)
    assert caught.value.code == code, reason


def test_blanks_around_codes_do_not_count() -> None:
    assert check_industry(" C / 34 /344/3441 ") == ("C", "34", "344", "3441")


@pytest.mark.parametrize(
    ("text", "code"),
    [("321302", "321302"), ("宿城区", "321302"), ("江苏省", "320000"), ("朝阳区", None), ("", None), ("陈集镇", None)],
)
def test_a_division_is_found_by_code_or_by_a_name_of_its_own(text: str, code: str | None) -> None:
    assert find_division(text) == code


def test_a_division_shows_with_what_it_belongs_to() -> None:
    assert format_division("321302") == "江苏省宿迁市宿城区"
    assert format_division("999999") == "999999"
