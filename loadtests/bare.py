"""What Python alone can do here: ready answers out of a dictionary, and nothing else.

No log, no rights, no limits, no cache that could ever change: not a server, but the ceiling of one in this interpreter
on this machine, beside which the resolver's rates are shown. `python -m loadtests.bare http|udp PORT KEYS ANSWER`: a
file with one identifier per line, and one with the whole answer about the first.
"""

import contextlib
import os
import select
import socket
import sys
from pathlib import Path

_HANDLE_AT = 48  # of a request: envelope 20, header 24, length of the identifier 4 (handle-protocol.md 1.3, 2.1)
_REQUEST_ID = slice(8, 12)


def serve_http(listening: socket.socket, answers: dict[bytes, bytes]) -> None:
    poll, read, write = select.epoll(), os.read, os.write
    poll.register(listening, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listening.fileno():
                accepted, _ = listening.accept()
                connections[accepted.fileno()] = accepted
                poll.register(accepted, select.EPOLLIN)
                continue
            try:
                data = read(descriptor, 65_536)
                write(descriptor, answers[data[17 : data.index(b" ", 17)]])  # behind `GET /api/handles/`
            except (ConnectionError, ValueError):  # the client has ended: there is nothing to find a blank in
                connections.pop(descriptor).close()


def serve_udp(bound: socket.socket, answers: dict[bytes, bytes]) -> None:
    poll = select.epoll()
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        bound.setsockopt(socket.SOL_SOCKET, option, 4_194_304)
    bound.setblocking(False)
    poll.register(bound, select.EPOLLIN)
    receive, send = bound.recvfrom, bound.sendto
    while True:
        poll.poll()
        with contextlib.suppress(BlockingIOError):
            while True:
                data, peer = receive(4_096)
                answer = answers[data[_HANDLE_AT : _HANDLE_AT + data[_HANDLE_AT - 1]]]
                send(answer[:8] + data[_REQUEST_ID] + answer[12:], peer)


def main() -> None:
    transport, port, identifiers, answer = sys.argv[1:]
    names, template = Path(identifiers).read_bytes().split(), Path(answer).read_bytes()
    answers = {name: template.replace(names[0], name) for name in names}
    address = ("127.0.0.1", int(port))
    if transport == "http":
        listening = socket.create_server(address, backlog=1_024)
    else:
        listening = socket.socket(type=socket.SOCK_DGRAM)
        listening.bind(address)
    print("ready", flush=True)
    (serve_http if transport == "http" else serve_udp)(listening, answers)


if __name__ == "__main__":
    main()
