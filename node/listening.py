"""The sockets of the node. The supervisor opens all of them and hands them down, so that a restart drops nothing."""

import contextlib
import errno
import os
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from node.settings import SharedSettings
from schemas.errors import SetupError

BACKLOG = 4096  # the kernel takes no more than net.core.somaxconn
UDP_RECEIVE_BYTES = 4 * 1024 * 1024  # the kernel takes no more than net.core.rmem_max
_LISTEN, _UNCONNECTED = "0A", "07"  # states in /proc/net


@dataclass(frozen=True, slots=True)
class Place:
    """Where one service listens, and the setting that moves it; `name`: registry, http, handle-tcp, toplevel, …"""

    name: str
    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    setting: str
    is_tls: bool = False

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


def list_places(settings: SharedSettings) -> list[Place]:
    bind, is_tls = settings.bind, settings.tls_certificate is not None
    places = [
        Place("registry", "tcp", bind, settings.registry_port, "IDNODE_REGISTRY_PORT", is_tls),
        Place("http", "tcp", bind, settings.resolver_http_port, "IDNODE_RESOLVER_HTTP_PORT", is_tls),
        Place("handle-tcp", "tcp", bind, settings.handle_port, "IDNODE_HANDLE_PORT"),
        Place("handle-udp", "udp", bind, settings.handle_port, "IDNODE_HANDLE_PORT"),
    ]
    return places + (list_toplevel_places(settings) if settings.toplevel_rehearsal else [])


def list_toplevel_places(settings: SharedSettings) -> list[Place]:
    """Those of the rehearsal top-level node."""
    bind, handle_port = settings.bind, settings.toplevel_handle_port
    return [
        Place("toplevel", "tcp", bind, settings.toplevel_port, "IDNODE_TOPLEVEL_PORT"),
        Place("toplevel-tcp", "tcp", bind, handle_port, "IDNODE_TOPLEVEL_HANDLE_PORT"),
        Place("toplevel-udp", "udp", bind, handle_port, "IDNODE_TOPLEVEL_HANDLE_PORT"),
    ]


def open_sockets(place: Place, number: int, own_ports: Collection[int] = ()) -> list[socket.socket]:
    """One socket for each of `number` processes; raises SetupError, which proposes none of the node's own ports.

    TCP ones listen from now on: connections wait in their queue, also while the process that serves them is being
    restarted, and a second node on these ports is refused.
    """
    try:
        _bind(place, reuse_port=False).close()  # SO_REUSEPORT alone would join a stranger of the same account
        return [_bind(place, reuse_port=True) for _ in range(number)]
    except OSError as error:
        raise explain(place, error, own_ports) from error


def _bind(place: Place, reuse_port: bool) -> socket.socket:
    kind = socket.SOCK_STREAM if place.protocol == "tcp" else socket.SOCK_DGRAM
    opened = socket.socket(place.family, kind)
    try:
        opened.setblocking(False)
        if place.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # `::` is for both
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BYTES)
        if reuse_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((place.address, place.port))
        if kind == socket.SOCK_STREAM:
            opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def explain(place: Place, error: OSError, own_ports: Collection[int]) -> SetupError:
    """Why a port cannot be had, by whom it is held, and what to set instead."""
    details: dict[str, Any] = {"address": place.address, "port": place.port, "protocol": place.protocol.upper()}
    reason = error.strerror or str(error)
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return SetupError("address_not_here", address=place.address, reason=reason)
    if error.errno != errno.EADDRINUSE:
        return SetupError("port_not_allowed", reason=reason, setting=place.setting, **details)
    details |= {"setting": place.setting, "free": find_free_port(place, own_ports)}
    holder = find_holder(place)
    if holder is None:
        return SetupError("port_taken_by_unknown", **details)
    pid, program = holder
    return SetupError("port_taken", pid=pid, program=program, **details)


def find_free_port(place: Place, own_ports: Collection[int]) -> int:
    """The next one that TCP and UDP both have free and that no other service of the node is meant for."""
    candidates: list[int] = [*range(place.port + 1, min(place.port + 200, 65_536)), *range(place.port - 1, 1023, -1)]
    for port in candidates:
        if port in own_ports:
            continue
        if all(_is_free(place, port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port
    return 0


def _is_free(place: Place, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(place.family, kind) as probe:
        try:
            probe.bind((place.address, port))
        except OSError:
            return False
        return True


def find_holder(place: Place) -> tuple[int, str] | None:
    """Pid and name of the process that listens there; None if there is none or it is not ours to see."""
    inodes = {f"socket:[{inode}]" for inode in _list_inodes(place.protocol, place.port)}
    if not inodes:  # the descriptors of all processes are many
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is another account's
            for descriptor in (process / "fd").iterdir():
                if os.readlink(descriptor) in inodes:
                    return int(process.name), (process / "comm").read_text().strip()
    return None


def _list_inodes(protocol: str, port: int) -> Iterator[str]:
    """Inodes of the sockets that wait on a port, on whatever address (proc(5), /proc/net/tcp)."""
    waiting = _LISTEN if protocol == "tcp" else _UNCONNECTED
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(f":{port:04X}") and fields[3] == waiting:
                    yield fields[9]
