"""The guides' pictures: each is made by a walk through the console, named by a guide of its language, and small."""

import re
from pathlib import Path

from PIL import Image

from tests.browser.walking import NARROW, PICTURES, WIDE

DOCS = PICTURES.parent
MAX_BYTES, MAX_ALL_BYTES = 120_000, 4_000_000
_NAMED = re.compile(r"!\[([^\]]*)\]\(pictures/([a-z]+)/([a-z-]+)\.png\)")


def list_named() -> list[tuple[str, str, str, str]]:
    """(guide, words for who cannot see it, language, picture)."""
    guides = [(path.name, path.read_text("utf-8")) for path in sorted(DOCS.glob("*.md"))]
    return [(name, *found) for name, text in guides for found in _NAMED.findall(text)]


def list_made() -> set[str]:
    source = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_walks*.py"))
    return set(re.findall(r'\.picture\("([a-z-]+)"\)', source))


def test_what_a_walk_takes_is_in_a_guide_of_each_language_and_nothing_else_is() -> None:
    wanted = {(language, name) for language in ("zh", "en") for name in list_made()}
    assert {(language, name) for _, _, language, name in list_named()} == wanted
    assert {(path.parent.name, path.stem) for path in PICTURES.rglob("*.*")} == wanted


def test_a_guide_shows_pictures_in_its_own_language_and_says_what_is_on_them() -> None:
    for guide, words, language, name in list_named():
        assert language == ("zh" if guide.endswith(".zh-CN.md") else "en"), (guide, name)
        assert bool(re.search("[一-鿿]", words)) == (language == "zh"), (guide, words)


def test_every_guide_with_pictures_stands_in_both_languages() -> None:
    guides = {guide.replace(".zh-CN", "") for guide, *_ in list_named()}
    for guide in guides:
        pictures = [[name for one, _, _, name in list_named() if one == version]
                    for version in (guide, guide.replace(".md", ".zh-CN.md"))]  # fmt: skip
        assert pictures[0] == pictures[1], guide


def test_pictures_are_small_and_as_wide_as_a_screen_or_a_telephone() -> None:
    sizes = {path: path.stat().st_size for path in PICTURES.rglob("*.png")}
    assert {path.name: size for path, size in sizes.items() if size > MAX_BYTES} == {}
    assert sum(sizes.values()) < MAX_ALL_BYTES
    for path in sizes:
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("PNG", "P"), path
            assert image.width in (WIDE[0], NARROW[0]), path
