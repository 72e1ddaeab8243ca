"""The rehearsal node on the command line: what makes no sense is refused with what would."""

from pathlib import Path

import pytest

from node.cli import run_command


@pytest.mark.parametrize(
    ("arguments", "said", "remedy"),
    [
        (["decide", "88.101.7", "nonsense"], "approved, refused", "Choose one of them."),
        (["task", "nonsense"], "resend, correction, freeze, rotateKey, contactChange", "Choose one of them."),
        (["enrol", "app", "88.200", "nonsense", "KEY"], "SM2-SM3", "Choose one of them."),
        (["enrol", "app", "88.200", "ED25519", "KEY"], "holds no public key for ED25519", "idnode toplevel key"),
        (["enrol", "app", "88.200", "ED25519", "-"], "holds no public key", "idnode toplevel key"),
        (["behave", "nonsense=1"], "nonsense", "away"),
        (["received", "--day", "nonsense"], "nonsense", ""),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    arguments: list[str], said: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("IDNODE_DATA_DIR", str(tmp_path / "node"))
    monkeypatch.setenv("IDNODE_LANGUAGE", "en")
    key = tmp_path / "key.pem"
    key.write_text("no key")
    with key.open() as stdin:  # by `-`: in a container /dev/stdin may belong to another account
        monkeypatch.setattr("sys.stdin", stdin)
        assert run_command(["toplevel", *(str(key) if text == "KEY" else text for text in arguments)]) == 1
    out, error = capsys.readouterr()
    message, _, todo = error.partition("→")
    assert out == ""
    assert said in message
    assert remedy in todo
