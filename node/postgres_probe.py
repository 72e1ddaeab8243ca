"""Whether a PostgreSQL answers on a Unix socket, and which processes work in a cluster."""

import os
import socket
import struct
from enum import Enum
from pathlib import Path
from urllib.parse import quote

ROLE = "idnode"
DATABASE = "idnode"
SOCKET_NAME = ".s.PGSQL.5432"
PROTOCOL_3 = 196_608
ANSWER_SECONDS = 5.0
CANNOT_CONNECT_NOW = b"C57P03\0"
AT_WORK = (b"startup", b"walwriter")  # in the titles of processes


class Probe(Enum):
    """READY: it takes queries; BUSY: it starts up or shuts down; ABSENT: nobody answers."""

    READY = "ready"
    BUSY = "busy"
    ABSENT = "absent"


def probe(socket_dir: Path) -> Probe:
    """Send a start-up packet and judge the answer's first byte (PostgreSQL manual, "Message Formats")."""
    body = struct.pack("!i", PROTOCOL_3) + f"user\0{ROLE}\0database\0{DATABASE}\0\0".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(socket_dir / SOCKET_NAME))
            connection.sendall(struct.pack("!i", len(body) + 4) + body)
            answer = connection.recv(4096)
        except TimeoutError:
            return Probe.BUSY
        except OSError:
            return Probe.ABSENT
    if answer.startswith(b"E"):  # any other refusal, such as too many clients, comes from a server at work
        return Probe.BUSY if CANNOT_CONNECT_NOW in answer else Probe.READY
    return Probe.READY if answer.startswith(b"R") else Probe.ABSENT


def dsn_of(socket_dir: Path) -> str:
    return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(socket_dir), safe='/')}&port=5432"


def read_socket_dir(pid_file: Path) -> Path | None:
    """The fifth line of postmaster.pid; None while there is none."""
    try:
        lines = pid_file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    return Path(lines[4]) if len(lines) > 4 and lines[4] else None


def is_at_work(postmaster_pid: int) -> bool:
    """Whether a process recovers or writes the WAL for it; true also where the kernel does not list children."""
    try:
        children = Path(f"/proc/{postmaster_pid}/task/{postmaster_pid}/children").read_text().split()
        titles = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
    except OSError:  # one of them ends just now
        return True
    return any(name in title for title in titles for name in AT_WORK)


def find_processes(cluster: Path) -> list[int]:
    """Pids of PostgreSQL processes that work in the cluster, by /proc: a pid file alone may name anybody."""
    found = []
    place = os.path.realpath(cluster)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_server = (entry / "comm").read_text() == "postgres\n"
            if is_server and os.readlink(entry / "cwd") == place:
                found.append(int(entry.name))
        except OSError:  # it ended, or is another account's
            continue
    return found
