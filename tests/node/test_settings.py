"""Every setting has one name, and a name or value that is wrong stops the node with a sentence that says which."""

import os
from pathlib import Path

import pytest

from node.settings import (
    AgentSettings,
    NodeSettings,
    RegistrySettings,
    ResolverSettings,
    SharedSettings,
    load_settings,
)
from schemas.errors import SetupError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting of the machine that runs the tests; an empty working directory."""
    for name in list(os.environ):
        if name.startswith(("IDNODE_", "LC_")) or name == "LANG":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> NodeSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings(NodeSettings)


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings(NodeSettings)
    assert (settings.bind, settings.registry_port, settings.resolver_http_port) == ("127.0.0.1", 8000, 8081)
    assert (settings.handle_port, settings.prefixes, settings.language) == (2641, ("88.101",), "zh")
    assert settings.resolver_workers in (1, 2)
    assert settings.data_dir.is_absolute()
    assert settings.resolution_log_dir == settings.data_dir / "resolution-log"
    assert settings.scan_url == "http://127.0.0.1:8081"


@pytest.mark.parametrize("kind", [SharedSettings, RegistrySettings, ResolverSettings, AgentSettings])
def test_a_process_passes_over_the_settings_of_another(
    monkeypatch: pytest.MonkeyPatch, kind: type[SharedSettings]
) -> None:
    monkeypatch.setenv("IDNODE_RESOLVER_WORKERS", "4")
    monkeypatch.setenv("IDNODE_DATABASE_USER", "postgres")
    assert load_settings(kind).registry_port == 8000


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "idnode.toml").write_text('registry_port = 9000\nhandle_port = 2700\nprefixes = ["88.101", "88.118"]')
    settings = load(monkeypatch, IDNODE_HANDLE_PORT="2800")
    assert (settings.registry_port, settings.handle_port) == (9000, 2800)
    assert settings.prefixes == ("88.101", "88.118")


def test_the_file_may_be_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('bind = "::1"')
    assert load(monkeypatch, IDNODE_CONFIG=str(tmp_path / "other.toml")).bind == "::1"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("88.101", ("88.101",)),
        ("88.101,88.118", ("88.101", "88.118")),
        (" 88.101 , 88.118 ,", ("88.101", "88.118")),
        ("", ("88.101",)),  # an empty variable is one that is not set
    ],
)
def test_a_list_is_written_with_commas(monkeypatch: pytest.MonkeyPatch, written: str, read: tuple[str, ...]) -> None:
    assert load(monkeypatch, IDNODE_PREFIXES=written).prefixes == read


@pytest.mark.parametrize(
    ("variable", "closest"),
    [("IDNODE_REGISTRY_PROT", "IDNODE_REGISTRY_PORT"), ("IDNODE_DATADIR", "IDNODE_DATA_DIR")],
)
def test_an_unknown_variable_is_an_error_that_names_the_closest(
    monkeypatch: pytest.MonkeyPatch, variable: str, closest: str
) -> None:
    with pytest.raises(SetupError) as refused:
        load(monkeypatch, **{variable: "1"})
    assert refused.value.code == "setting_unknown"
    assert variable in str(refused.value) and closest in str(refused.value)


def test_an_unknown_key_of_the_file_is_an_error_that_names_the_closest(tmp_path: Path) -> None:
    (tmp_path / "idnode.toml").write_text("cache_megabyte = 10")
    with pytest.raises(SetupError, match=r"cache_megabyte.*idnode\.toml.*cache_megabytes"):
        load_settings(RegistrySettings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IDNODE_REGISTRY_PORT", "http"),
        ("IDNODE_REGISTRY_PORT", "0"),
        ("IDNODE_REGISTRY_PORT", "65536"),
        ("IDNODE_BIND", "myhost"),  # a name may mean several addresses
        ("IDNODE_PREFIXES", "88/101"),
        ("IDNODE_PREFIXES", "88.101,88.101"),
        ("IDNODE_PREFIXES", "88.１01"),  # a full-width digit
        ("IDNODE_PREFIXES", "88..101"),
        ("IDNODE_PUBLIC_URL", "id.example.org"),
        ("IDNODE_PUBLIC_URL", "https://id.example.org/?x=1"),
        ("IDNODE_DATABASE_URL", "mysql://db/idnode"),
        ("IDNODE_RESOLVER_WORKERS", "0"),
        ("IDNODE_ALARM_SLOW_SECONDS", "0"),
        ("IDNODE_ALARM_SLOW_SECONDS", "nan"),
        ("IDNODE_CACHE_MEGABYTES", "-1"),
        ("IDNODE_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("IDNODE_LANGUAGE", "fr"),
        ("IDNODE_UPSTREAM_ALLOW_PRIVATE", "perhaps"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    with pytest.raises(SetupError) as refused:
        load(monkeypatch, **{variable: value})
    assert refused.value.code == "setting_invalid"
    assert refused.value.field == variable.removeprefix("IDNODE_").lower()


def test_ports_must_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match="must differ"):
        load(monkeypatch, IDNODE_REGISTRY_PORT="8081")


def test_a_secret_may_stand_in_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://app:s3cret@db/idnode\n")
    settings = load(monkeypatch, IDNODE_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert settings.database_url == settings.read_url == "postgresql://app:s3cret@db/idnode"


def test_a_secret_file_in_the_environment_wins_over_the_secret_in_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgresql://new/idnode")
    (tmp_path / "idnode.toml").write_text('database_url = "postgresql://old/idnode"')
    settings = load(monkeypatch, IDNODE_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert settings.database_url == "postgresql://new/idnode"


def test_a_secret_and_its_file_are_not_both_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as refused:
        load(monkeypatch, IDNODE_DATABASE_URL="postgresql://a/b", IDNODE_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert refused.value.code == "setting_given_twice"


def test_no_error_shows_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("mysql://app:s3cret@db/idnode")
    with pytest.raises(SetupError) as refused:
        load(monkeypatch, IDNODE_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert "s3cret" not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "named, but not there"), (b"bind = ", "not TOML"), (b'bind = "\xff"', "not UTF-8")],
)
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "node.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=r"node\.toml") as refused:
        load(monkeypatch, IDNODE_CONFIG=str(path))
    assert refused.value.code == "settings_file_unreadable", why


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "IDNODE_LANGUAGE": "en"}, "en"),
    ],
)
def test_the_language_is_that_of_the_system_or_chinese(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], language: str
) -> None:
    assert load(monkeypatch, **variables).language == language


@pytest.mark.parametrize(
    ("variables", "scan_url"),
    [
        ({"IDNODE_PUBLIC_URL": "https://id.example.org/"}, "https://id.example.org"),
        ({"IDNODE_BIND": "0.0.0.0"}, "http://127.0.0.1:8081"),
        ({"IDNODE_BIND": "::1"}, "http://[::1]:8081"),
        ({"IDNODE_BIND": "::", "IDNODE_PUBLIC_ADDRESS": "node.example"}, "http://node.example:8081"),
    ],
)
def test_what_is_printed_on_goods(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], scan_url: str) -> None:
    assert load(monkeypatch, **variables).scan_url == scan_url


@pytest.mark.parametrize(
    ("variables", "report_url"),
    [
        ({}, "http://127.0.0.1:8000"),  # tried on one machine
        ({"IDNODE_REGISTRY_URL": "https://console.example.org/"}, "https://console.example.org"),
        ({"IDNODE_PUBLIC_URL": "https://id.example.org"}, ""),  # who scans would be led to his own telephone
        (
            {"IDNODE_PUBLIC_URL": "https://id.example.org", "IDNODE_PUBLIC_ADDRESS": "node.example"},
            "http://node.example:8000",
        ),
    ],
)
def test_where_a_scanned_page_leads_who_reports_a_problem(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], report_url: str
) -> None:
    assert load(monkeypatch, **variables).report_url == report_url


def test_paths_do_not_depend_on_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(monkeypatch, IDNODE_DATA_DIR="here", IDNODE_LOG_DIR="~/log", HOME=str(tmp_path))
    assert settings.data_dir == tmp_path / "here"
    assert settings.resolution_log_dir == tmp_path / "log"
    assert settings.run_dir.parent == settings.jobs_dir.parent == settings.secret_key_path.parent == tmp_path / "here"
