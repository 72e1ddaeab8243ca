"""One worker as a process of its own: `python -m tests.resolver.run_worker '{"database_url": …, "http_port": …}'`."""

import socket
import sys
from pathlib import Path

import orjson
import uvloop

from resolver.worker import WorkerConfig, serve_worker


def main() -> None:
    options = orjson.loads(sys.argv[1])
    listening = socket.create_server(("127.0.0.1", options.pop("http_port")), backlog=2048)
    link = options.pop("link", None)
    handle_port = options.pop("handle_port", None)
    handle = [] if handle_port is None else [socket.create_server(("127.0.0.1", handle_port))]
    config = WorkerConfig(
        log_dir=Path(options.pop("log_dir")), http_sockets=[listening], handle_tcp_sockets=handle,
        link=Path(link) if link else None, **options,
    )  # fmt: skip
    uvloop.run(serve_worker(config))


if __name__ == "__main__":
    main()
