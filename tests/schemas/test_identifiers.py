"""What may be issued, what is equal, and the address that is printed on goods."""

import unicodedata
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.identifiers import (
    check_new_suffix,
    fold,
    format_scan_url,
    format_suffix_key,
    parse_any_identifier,
    parse_new_identifier,
    shorten,
)

ISSUED = [
    ("88.101.5/PUMP-0000001", "the ordinary case"),
    ("88.101.00007/x", "leading zeros of the prefix are kept"),
    ("88.101.5/a/b//c", "a suffix may hold slashes: the first one separates"),
    ("88.101.5//", "even be one"),
    ("88.101.5/..", "dots are text"),
    ("88.101.5/%2F", "an escape is text too: nothing is decoded twice"),
    ("88.101.5/%252F", "so is an escaped escape"),
    ("88.101.5/QX 40#1?a=b&c+d", "what would mean something in an address"),
    ("88.101.5/泵000003", "Chinese letters"),
    ("88.101.5/ＡＢＣ１", "full-width letters are characters of their own"),
    ("88.101.5/é", "composed"),
    ("88.101.5/😀", "beyond the basic plane"),
    ("88.101.5/" + "x" * 255, "the longest"),
    ("88.101.5/" + "泵" * 255, "characters count, not bytes"),
    ("88.101/x", "under the secondary prefix"),
    ("0.NA/88.101.5", "a prefix record"),
]


@pytest.mark.parametrize(("text", "reason"), ISSUED, ids=[i[1] for i in ISSUED])
def test_issued_exactly_as_written(text: str, reason: str) -> None:
    assert str(parse_new_identifier(text)) == text, reason


NOT_ISSUED = [
    ("", "identifier_malformed", "nothing"),
    ("/", "identifier_malformed", "no prefix and no suffix"),
    ("/x", "identifier_malformed", "no prefix"),
    ("88.101.5", "identifier_malformed", "no slash"),
    ("88/x", "identifier_malformed", "one segment"),
    ("88..5/x", "identifier_malformed", "an empty segment"),
    ("88.101.5./x", "identifier_malformed", "a dot too many"),
    ("88.101.5.6/x", "identifier_malformed", "four segments"),
    (" 88.101.5/x", "identifier_malformed", "a blank before the prefix"),
    ("88.101.５/x", "identifier_malformed", "a full-width digit in the prefix"),
    ("８８.101.5/x", "identifier_malformed", "a full-width prefix"),
    ("88.101.5／x", "identifier_malformed", "a full-width slash"),
    ("88.101.5\n/x", "identifier_malformed", "a line feed after the prefix"),
    ("x" * 2_048, "identifier_malformed", "2 kB of anything"),
    ("88.101.5/", "suffix_empty", "an empty suffix"),
    ("88.101.5/" + "x" * 256, "suffix_too_long", "one character too many"),
    ("88.101.5/" + "x" * 2_048, "suffix_too_long", "2 kB of suffix"),
    ("88.101.5/a\0b", "suffix_control_character", "NUL"),
    ("88.101.5/\x07", "suffix_control_character", "a bell"),
    ("88.101.5/a\tb", "suffix_control_character", "a tab"),
    ("88.101.5/a\r\n", "suffix_control_character", "the line end of a scanner gun"),
    ("88.101.5/a\x7f", "suffix_control_character", "DEL"),
    ("88.101.5/a\x85b", "suffix_control_character", "a control of C1"),
    ("88.101.5/a\u200bb", "suffix_control_character", "a blank of no width"),
    ("88.101.5/a\u3164b", "suffix_control_character", "a filler that prints as nothing"),
    ("88.101.5/A1\ufe0f", "suffix_control_character", "a choice of variant that no label shows"),
    ("88.101.5/\ufeffa", "suffix_control_character", "a byte order mark"),
    ("88.101.5/a\u202eb", "suffix_control_character", "a mark that turns the writing"),
    ("88.101.5/a\u2028b", "suffix_control_character", "a line separator"),
    ("88.101.5/a\udcff", "suffix_control_character", "a byte that was no UTF-8, overlong forms among them"),
    ("88.101.5/ a", "suffix_blank_at_ends", "a blank before"),
    ("88.101.5/a ", "suffix_blank_at_ends", "a blank behind"),
    ("88.101.5/a\u3000", "suffix_blank_at_ends", "an ideographic blank behind"),
    ("88.101.5/a\xa0", "suffix_blank_at_ends", "a blank that does not break"),
    ("88.101.5/e\u0301", "suffix_not_composed", "a letter and its accent apart"),
    ("88.101.5/\u212b", "suffix_not_composed", "the sign for ångström, which is a letter"),
]


@pytest.mark.parametrize(("text", "code", "reason"), NOT_ISSUED, ids=[n[2] for n in NOT_ISSUED])
def test_not_issued(text: str, code: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_new_identifier(text)
    assert caught.value.code == code, reason
    assert str(caught.value).isprintable()  # it goes into logs and onto terminals


@pytest.mark.parametrize("raw", [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\x81", b"\xff"])
def test_overlong_bytes_never_become_a_slash_or_a_letter(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        check_new_suffix("a" + raw.decode("utf-8", "surrogateescape"))


@given(st.text())
def test_a_look_up_takes_anything(text: str) -> None:
    found = parse_any_identifier(text)
    assert found.prefix == text.split("/")[0]
    assert str(found).rstrip("/") == text.rstrip("/")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_only_the_letters_a_to_z_are_folded(text: str) -> None:
    assert fold(text).encode() == text.encode().upper()
    assert fold(fold(text)) == fold(text)
    assert format_suffix_key(text, folds_case=True) == fold(text)
    assert format_suffix_key(text, folds_case=False) == text


EQUAL = [("a", "A", True), ("é", "É", False), ("ß", "SS", False), ("ａ", "Ａ", False), ("a", "ａ", False),
         ("ı", "I", False), ("i", "I", True), ("ﬁ", "FI", False), ("k", "\u212a", False),
         ("0", "O", False)]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "equal"), EQUAL)
def test_look_alikes_stay_apart(one: str, other: str, equal: bool) -> None:
    assert (format_suffix_key(one, True) == format_suffix_key(other, True)) is equal


@given(st.binary(max_size=50))
def test_bytes_that_are_no_utf8_can_be_folded(raw: bytes) -> None:
    fold(raw.decode("utf-8", "surrogateescape"))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_the_printed_address_gives_the_identifier_back(suffix: str) -> None:
    identifier = f"88.101.5/{suffix}"
    url = format_scan_url("https://id.example.com/", identifier)
    path = urlsplit(url).path
    assert unquote(path.removeprefix("/")) == identifier
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert urlsplit(url).query == urlsplit(url).fragment == ""


@pytest.mark.parametrize("suffix", [".", "..", "a/..", "../b", "./."])
def test_no_segment_of_the_printed_address_is_resolved_away(suffix: str) -> None:
    path = urlsplit(format_scan_url("https://id.example.com", f"88.101.5/{suffix}")).path
    assert not {".", ".."} & set(path.split("/"))


def test_the_printed_address_is_for_ever_the_same() -> None:
    assert (
        format_scan_url("https://id.example.com", "88.101.5/潜水泵/WQ 15#%")
        == "https://id.example.com/88.101.5/%E6%BD%9C%E6%B0%B4%E6%B3%B5%2FWQ%2015%23%25"
    )


@given(st.text())
def test_foreign_text_is_shown_printable_and_short(text: str) -> None:
    shown = shorten(text)
    assert shown.isprintable()
    assert len(shown) <= 80 * 10 + 1


@given(st.text(min_size=1, max_size=60))
def test_what_is_issued_is_composed_visible_and_equal_to_itself(suffix: str) -> None:
    try:
        issued = check_new_suffix(suffix)
    except InvalidInput:
        return
    assert issued == suffix == unicodedata.normalize("NFC", suffix) == suffix.strip()
    assert format_suffix_key(suffix, True).encode()
