"""The image is built and run as its Dockerfile says, step by step, by an ordinary user in an empty directory.

There is no container engine: absolute paths stand below a directory of the test, packages that are installed for the
tests count as installed (pip compares their versions with the lock file), and accounts are not made.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from node.cli.commands import app
from node.settings import PREFIX, SECRETS, NodeSettings
from tests import database
from tests.system.accounts import ORDINARY, ROOT, Account, can_run, copy_tree, gid_of
from tests.system.running_node import PATIENCE_SECONDS, find_ports, wait_until

INSTALLED = ("/opt", "/var/lib/idnode")  # where the image keeps things: below the test's directory here
NEEDS_ROOT = ("useradd ", "apt-get ")


@dataclass
class Stage:
    """What the steps of one FROM lead to."""

    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)  # CMD, HEALTHCHECK
    user: str = "root"


def read_steps(text: str) -> list[tuple[str, str]]:
    """Instruction and the rest of its line, continuations joined, comments left out."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@dataclass
class Builder:
    """Runs the steps below `root`; what a stage leaves is moved to `<root>.<name>` when the next one begins."""

    root: Path
    account: Account
    stage: Stage = field(default_factory=Stage)
    name: str = ""

    def locate(self, text: str) -> str:
        for path in INSTALLED:
            text = re.sub(rf"(?<![\w./]){path}(?=[/:\s\"]|$)", f"{self.root}{path}", text)
        return text

    def build(self, steps: list[tuple[str, str]]) -> Stage:
        for word, rest in steps:
            getattr(self, f"do_{word.lower()}")(rest)
        return self.stage

    def do_from(self, rest: str) -> None:
        if self.name:
            self.root.rename(f"{self.root}.{self.name}")
        self.root.mkdir(mode=0o755)
        self.account_owns(self.root)
        self.stage, self.name = Stage(), rest.partition(" AS ")[2] or "last"

    def account_owns(self, path: Path) -> None:
        if self.account.name is not None:
            shutil.chown(path, self.account.name, gid_of(self.account.name))

    def do_workdir(self, rest: str) -> None:
        self.stage.workdir = self.locate(rest)
        self.run(f"mkdir -p {shlex.quote(self.stage.workdir)}", "/")

    def do_copy(self, rest: str) -> None:
        words = rest.split()
        if words[0].startswith("--from="):
            source, target = words[1], self.locate(words[2])
            other = f"{self.root}.{words[0].removeprefix('--from=')}{source}"
            self.run(f"mkdir -p {shlex.quote(str(Path(target).parent))} && cp -a {other} {target}", "/")
            return
        *sources, target = words
        for source in sources:
            assert (ROOT / source).exists(), f"COPY {source}: there is none"
            assert source not in (ROOT / ".dockerignore").read_text().split(), f"{source} is left out of the build"
            place = Path(self.stage.workdir) / target
            place = place / source if target.endswith("/") else place
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__")) if (
                ROOT / source
            ).is_dir() else shutil.copy(ROOT / source, place)
            for path in (place, *place.rglob("*")) if place.is_dir() else (place,):
                self.account_owns(path)

    def do_run(self, rest: str) -> None:
        if not rest.startswith(NEEDS_ROOT):
            self.run(self.locate(rest), self.stage.workdir)

    def do_env(self, rest: str) -> None:
        for word in shlex.split(rest.replace("$PATH", "\\$PATH")):
            name, _, value = word.partition("=")
            value = self.locate(value).replace("$PATH", os.environ["PATH"])
            self.stage.environment[name] = ":".join(self.locate(part) for part in value.split(":"))

    def do_user(self, rest: str) -> None:
        self.stage.user = rest

    def do_cmd(self, rest: str) -> None:
        self.stage.commands["CMD"] = json.loads(rest)

    def do_healthcheck(self, rest: str) -> None:
        self.stage.commands["HEALTHCHECK"] = json.loads(rest.partition("CMD ")[2])

    def do_volume(self, rest: str) -> None:
        self.run(f"mkdir -p {shlex.quote(self.locate(rest))}", "/")

    def do_expose(self, rest: str) -> None:
        assert set(re.findall(r"\d+", rest)) <= {"8000", "8081", "2641"}

    @property
    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.root), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        return home | self.account.environment | self.stage.environment

    def run(self, command: str, cwd: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=cwd, env=self.environment, capture_output=True, text=True,
            **self.account.popen_arguments,  # type: ignore[call-overload]
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout[-2_000:], done.stderr[-2_000:])


def choose_account(place: Path) -> Account:
    """Without rights, with `python` and the packages of the tests at hand, but for pip and for ourselves."""
    tools, packages = place / "tools", place / "packages"
    tools.mkdir()
    source = Path(sysconfig.get_path("purelib"))
    copy_tree(
        source, packages, "*mypy*", "gevent", "playwright*", "pip", "pip-*", "setuptools*", "idnode*", "_editable*"
    )
    name, more = ORDINARY if os.geteuid() == 0 else None, {}
    python = Path(os.path.realpath(sys.executable))
    if not can_run(Account(name, [sys.executable, "-m", "node.cli"], {"PYTHONPATH": str(ROOT)})):
        copy_tree(Path(sys.base_prefix), place / "python", "site-packages", "test", "share", "include", "*.a")
        python, more = place / "python" / "bin" / python.name, {"LD_LIBRARY_PATH": str(place / "python" / "lib")}
    (tools / "python").symlink_to(python)
    # Its own directory first: an environment finds its library from there.
    path = os.pathsep.join((str(python.parent), str(tools), os.environ["PATH"]))
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return Account(name, [str(python)], {"PYTHONPATH": str(packages), "PATH": path} | more | quiet)


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with database.open_data_dir() as place:
        place.chmod(0o777)
        made = Builder(place / "image", choose_account(place))
        made.build(read_steps((ROOT / "Dockerfile").read_text(encoding="utf-8")))
        yield made


def test_the_image_runs_as_an_ordinary_user_and_is_healthy(builder: Builder) -> None:
    stage = builder.stage
    assert stage.user == "idnode"
    data_dir = stage.environment["IDNODE_DATA_DIR"]
    assert data_dir.startswith(str(builder.root))
    names = ("REGISTRY", "RESOLVER_HTTP", "HANDLE", "TOPLEVEL", "TOPLEVEL_HANDLE")
    ports = {f"IDNODE_{name}_PORT": str(port) for name, port in zip(names, find_ports(len(names)), strict=True)}
    environment = builder.environment | ports | {"IDNODE_LANGUAGE": "en", "IDNODE_BIND": "127.0.0.1"}
    run: dict[str, Any] = {"env": environment, "cwd": stage.workdir, "text": True, **builder.account.popen_arguments}
    program = shutil.which("idnode", path=environment["PATH"])
    assert program is not None and program.startswith(str(builder.root)), "the image's own"

    def is_healthy() -> bool:
        return subprocess.run(stage.commands["HEALTHCHECK"], capture_output=True, **run).returncode == 0

    assert not is_healthy(), "nothing runs yet"
    with subprocess.Popen(stage.commands["CMD"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **run) as node:
        try:
            port = int(ports["IDNODE_RESOLVER_HTTP_PORT"])
            wait_until(lambda: node.poll() is not None or is_open(port))
            wait_until(lambda: node.poll() is not None or is_healthy(), 0.5)
            assert node.poll() is None, node.stdout and node.stdout.read()
            with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
                client.sendall(b"GET /api/handles/88.101/none HTTP/1.0\r\n\r\n")
                assert b'"responseCode":100' in client.makefile("rb").read()
            for part in ("registry", "resolver", "agent", "toplevel"):
                assert subprocess.run(["idnode", "health", part], **run).returncode == 0
        finally:
            node.terminate()
            with suppress(subprocess.TimeoutExpired):
                node.communicate(timeout=PATIENCE_SECONDS)
            node.kill()


def is_open(port: int) -> bool:
    """Once it is, a question waits for the first worker: cheaper than asking again and again how all are."""
    with closing(socket.socket()) as client:
        client.settimeout(PATIENCE_SECONDS)
        if client.connect_ex(("127.0.0.1", port)) != 0:
            return False
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        return client.recv(1) != b""


# Compose ----------------------------------------------------------------------------------------------------------


def read_services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return services


def list_commands() -> set[str]:
    click_app = typer.main.get_command(app)
    return set(click_app.commands)  # type: ignore[attr-defined]


def test_every_part_of_the_composition_is_a_command_of_the_one_image() -> None:
    services = read_services()
    ours = {name: service for name, service in services.items() if name != "postgres"}
    assert {"registry", "resolver", "agent", "toplevel", "migrate"} == ours.keys()
    assert {service["image"] for service in ours.values()} == {"idnode"}
    for service in ours.values():
        program, command = service["command"]
        assert (program, command in list_commands()) == ("idnode", True)
        check = service["healthcheck"]
        assert check == {"disable": True} or check["test"] == ["CMD", "idnode", "health", command]
    assert services["resolver"]["environment"]["IDNODE_RESOLVER_WORKERS"] == "2"


def test_the_composition_uses_settings_that_exist_and_services_that_are_there() -> None:
    services = read_services()
    known = {PREFIX + name.upper() for name in NodeSettings.model_fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}
    for service in services.values():
        ours = {name for name in service.get("environment", {}) if name.startswith(PREFIX)}
        assert ours - known == set()
        assert set(service.get("depends_on", {})) - services.keys() == set()
    address = services["registry"]["environment"]["IDNODE_DATABASE_URL"]
    assert "@postgres:5432/idnode" in address, "the name of the service"
    shared = {name for name in services if "data:/var/lib/idnode" in services[name].get("volumes", [])}
    assert shared == {"registry", "resolver", "agent", "migrate"}, "the agent counts the log the others write"
