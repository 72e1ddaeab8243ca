"""Workers on another machine ask the registry in TLS, with a secret; whoever has neither learns nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from node import doctor
from node.registry_link import check_link, find_asking, find_listening, make_asking_context
from node.settings import NodeSettings, load_settings
from node.tls import TlsFiles
from registry import link as registry_link
from registry.api.state import RegistryState
from registry.link import serve_link
from resolver import link as resolver_link
from resolver.link import RegistryLink
from schemas.errors import SetupError, Unauthenticated, Unavailable
from schemas.link_messages import SECRET_WRONG, ViewerQuestion
from schemas.link_place import LinkPlace, parse_link_place
from schemas.viewing import Viewer
from tests.certificates import make_certificate
from tests.registry.api_world import PUMP, World, open_world
from tests.system.test_viewers import find_port

SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Registry:
    """It answers at `place` while the context lasts; `question` is one of an enterprise about its own prefix."""

    world: World
    state: RegistryState
    place: LinkPlace
    ca: Path
    question: ViewerQuestion

    def call(self, secret: str = SECRET, ca: Path | None = None) -> RegistryLink:
        context = ssl.create_default_context(cafile=ca or self.ca)
        return RegistryLink(replace(self.place, secret=secret), context)


@pytest_asyncio.fixture(scope="module")
async def registry(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registry]:
    directory = tmp_path_factory.mktemp("registry")
    certificate, key = make_certificate(directory, days=30)
    async with open_world(database_url, directory) as world:
        tls = TlsFiles(certificate, key).make_context()
        place = LinkPlace("127.0.0.1", find_port(), SECRET)
        state = RegistryState(replace(world.state.config, tls=tls), world.state.pool, world.state.segments)
        question = ViewerQuestion(0, f"Bearer {world.keys['pump']}", "203.0.113.9", PUMP, f"{PUMP}/x")
        async with serve_link(state, None, place):
            yield Registry(world, state, place, certificate, question)


@asynccontextmanager
async def hold(link: RegistryLink) -> AsyncIterator[RegistryLink]:
    try:
        yield link
    finally:
        await link.close()


async def test_a_worker_with_the_secret_learns_who_its_viewer_is(registry: Registry) -> None:
    async with hold(registry.call()) as link:
        answers = await asyncio.gather(*[link.identify(registry.question) for _ in range(20)])
        assert {answer.viewer for answer in answers} == {Viewer.OWNER}
        with pytest.raises(Unauthenticated):
            await link.identify(replace(registry.question, authorization="Bearer nobody.nothing"))
        assert link.trouble == ""


async def test_a_wrong_secret_is_answered_by_a_hang_up_and_nothing_else(registry: Registry) -> None:
    async with hold(registry.call(SECRET[::-1])) as link:
        with pytest.raises(Unavailable):
            await link.identify(registry.question)
        assert link.trouble == SECRET_WRONG


async def test_a_registry_with_another_certificate_hears_no_secret(registry: Registry, tmp_path: Path) -> None:
    """Somebody who took its address: neither secret nor credentials reach him."""
    certificate, _ = make_certificate(tmp_path, days=30)
    async with hold(registry.call(ca=certificate)) as link:
        with pytest.raises(Unavailable):
            await link.identify(registry.question)
        assert "certificate" in link.trouble


async def test_without_tls_nothing_is_sent(registry: Registry) -> None:
    async with hold(RegistryLink(registry.place)) as link:
        with pytest.raises(Unavailable):
            await link.identify(registry.question)


async def test_who_says_nothing_is_hung_up_on_and_strangers_do_not_crowd_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_link, "SECRET_SECONDS", 0.05)
    monkeypatch.setattr(registry_link, "MAX_STRANGERS", 3)
    context = ssl.create_default_context(cafile=registry.ca)
    opened = [await asyncio.open_connection("127.0.0.1", registry.place.port, ssl=context) for _ in range(6)]
    async with asyncio.timeout(30):
        for reader, writer in opened:
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
    async with hold(registry.call()) as link:
        assert (await link.identify(registry.question)).viewer is Viewer.OWNER


async def test_a_registry_that_comes_back_is_asked_again(registry: Registry) -> None:
    place = replace(registry.place, port=find_port())
    async with hold(RegistryLink(place, ssl.create_default_context(cafile=registry.ca))) as link:
        for _ in range(2):
            async with serve_link(registry.state, None, place):
                assert (await link.identify(registry.question)).viewer is Viewer.OWNER
            with pytest.raises(Unavailable):
                await link.identify(registry.question)


async def test_a_machine_that_fell_silent_is_called_anew(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No FIN ever comes from a machine without power."""
    monkeypatch.setattr(resolver_link, "ANSWER_SECONDS", 1.0)
    calls = 0

    def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1

    tls = registry.state.config.tls
    server = await asyncio.start_server(swallow, "127.0.0.1", 0, ssl=tls)
    place = replace(registry.place, port=server.sockets[0].getsockname()[1])
    async with hold(RegistryLink(place, ssl.create_default_context(cafile=registry.ca))) as link:
        for number in (1, 2):
            with pytest.raises(Unavailable):
                await link.identify(registry.question)
            assert calls == number
    server.close()


# Settings


def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **variables: str) -> NodeSettings:
    for name, value in ({"DATA_DIR": str(tmp_path), "REGISTRY_LINK": "registry.example.cn:8443"} | variables).items():
        monkeypatch.setenv(f"IDNODE_{name}", value)
    return load_settings(NodeSettings)


@pytest.mark.parametrize(
    ("part", "variables", "code"),
    [
        ("resolver", {}, "link_needs_secret"),
        ("registry", {}, "link_needs_secret"),
        ("registry", {"REGISTRY_LINK_SECRET": SECRET}, "link_needs_certificate"),
        ("node", {"REGISTRY_LINK_SECRET": SECRET}, "link_needs_certificate"),
        ("resolver", {"REGISTRY_LINK_SECRET": SECRET, "REGISTRY_LINK_CA": "/nowhere.pem"}, "link_ca_unreadable"),
    ],
)
def test_what_would_be_unsafe_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str, variables: dict[str, str], code: str
) -> None:
    settings = load(monkeypatch, tmp_path, **variables)
    with pytest.raises(SetupError) as refused:
        check_link(settings, part)
    assert refused.value.code == code
    check_link(settings, "agent")  # has nothing to do with it


def test_a_short_secret_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="registry_link_secret") as refused:
        load(monkeypatch, tmp_path, REGISTRY_LINK_SECRET="hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "written", ["registry.example.cn", "http://registry:8443", "registry:0", "2001:db8::1:8443", "a b:1", "run/x.sock"]
)
def test_neither_path_nor_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str) -> None:
    with pytest.raises(SetupError, match="registry_link"):
        load(monkeypatch, tmp_path, REGISTRY_LINK=written)


@pytest.mark.parametrize("written", ["registry.example.cn:8443", "[2001:db8::1]:8443", "10.0.0.5:1", "0.0.0.0:65535"])
def test_a_place_is_written_as_it_is_read(written: str) -> None:
    assert str(parse_link_place(written)) == written


def test_where_the_registry_listens_everywhere_its_neighbours_use_the_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path, days=30)
    files = {"TLS_CERTIFICATE": str(certificate), "TLS_KEY": str(key), "REGISTRY_LINK_SECRET": SECRET}
    settings = load(monkeypatch, tmp_path, REGISTRY_LINK="0.0.0.0:8443", **files)
    check_link(settings, "node")
    assert find_listening(settings) == LinkPlace("0.0.0.0", 8443, SECRET)
    assert find_asking(settings) == tmp_path / "run" / "registry.sock" and make_asking_context(settings) is None


async def test_an_address_of_another_machine_cannot_be_listened_on(registry: Registry) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(SetupError) as refused:
            await stack.enter_async_context(serve_link(registry.state, None, LinkPlace("192.0.2.1", 8443, SECRET)))
    assert refused.value.code == "link_cannot_listen"


@pytest.mark.parametrize(
    ("secret", "port", "expected"),
    [
        (SECRET, None, ("ok", "link_answers")),
        (SECRET[::-1], None, ("error", "link_secret_wrong")),
        (SECRET, 1, ("error", "link_silent")),
    ],
)
async def test_the_doctor_asks_over_the_link(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: str, port: int | None,
    expected: tuple[str, str],
) -> None:  # fmt: skip
    place = f"127.0.0.1:{port or registry.place.port}"
    more = {"REGISTRY_LINK_SECRET": secret, "REGISTRY_LINK_CA": str(registry.ca)}
    finding = await doctor.check_link(load(monkeypatch, tmp_path, REGISTRY_LINK=place, **more))
    assert (finding.state, finding.code) == expected
    for language in ("zh", "en"):
        assert place in finding.message(language) and bool(finding.remedy(language)) == (finding.state == "error")
