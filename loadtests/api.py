"""The registry's native API and the resolver's pages, as one blocking client sees them."""

import http.client
import json
import uuid
from pathlib import Path
from typing import Any

from loadtests.processes import BenchFailure


class Api:
    """One connection that is kept open; raises BenchFailure for every answer that is not a success."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """`document` as JSON, or bytes as they are."""
        body = document if isinstance(document, bytes | None) else json.dumps(document).encode()
        return self._send(method, path, body, self._headers)

    def upload(self, path: str, file: Path, fields: dict[str, str]) -> Any:
        """A form with a file."""
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = "".join(parts).encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        return self._send(
            "POST", path, body, self._headers | {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise BenchFailure(f"{method} {path}: {answer.status} {content[:300].decode(errors='replace')}")
        return json.loads(content)

    def close(self) -> None:
        self._connection.close()


class Pages:
    """Open connections to a resolver's port: enough that every worker of it holds some."""

    def __init__(self, port: int, number: int) -> None:
        self._connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(number)]

    def ask(self, path: str) -> list[bytes]:
        """What each connection answers; a status other than 200 is an empty answer."""
        return [self._ask(connection, path) for connection in self._connections]

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        return content if answer.status == 200 else b""

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
