"""Every example of the guide is run as it stands, against a registry that listens, and prints what the guide says."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.registry.api_world import PUMP, World

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = (DOCS / "snms.md", DOCS / "snms.zh-CN.md")
_EXPECTED = re.compile(r"# → (.*)$", re.MULTILINE)


def read_blocks(guide: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)


async def run(command: list[str], source: str, settings: dict[str, str]) -> None:
    """What it prints must hold every text behind an arrow, in that order."""
    process = await asyncio.create_subprocess_exec(
        *command, source, env=os.environ | settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    printed, at = output.decode(), 0
    expected = _EXPECTED.findall(source)
    assert expected
    for text in expected:
        found = printed.find(text, at)
        assert found >= 0, f"{text!r} is not in {printed[at:]!r}"
        at = found + len(text)


async def test_the_examples_do_what_they_say(snms_world: World) -> None:
    access_key, _, secret_key = snms_world.keys["pump"].partition(".")
    settings = {"SNMS": snms_world.base, "PREFIX": PUMP, "SNMS_USER": access_key, "SNMS_PASSWORD": secret_key}
    settings |= {"no_proxy": "127.0.0.1", "PYTHONIOENCODING": "utf-8"}
    shell = "\n".join(read_blocks(GUIDES[0], "sh"))
    await run(["bash", "-euo", "pipefail", "-c"], shell, settings)
    for source in read_blocks(GUIDES[0], "python"):
        await run([sys.executable, "-c"], source, settings)


def test_both_languages_show_the_same_examples() -> None:
    for language in ("sh", "python"):
        english, chinese = (read_blocks(guide, language) for guide in GUIDES)
        assert english == chinese
        assert english
