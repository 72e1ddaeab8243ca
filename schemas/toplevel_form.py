"""A message of TLN-1 that carries a file: multipart/form-data (RFC 7578) of the envelope and the file it names."""

import re
from hashlib import sha256
from typing import NamedTuple

_BOUNDARY = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})[ \t]*\r\n")


class File(NamedTuple):
    """A name without quotes, a media type, and the bytes."""

    name: str
    media_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()


def encode_form(envelope: bytes, file: File) -> bytes:
    """Equal parts are equal bytes: the boundary is their digest, so that neither can contain it."""
    boundary = sha256(envelope + file.content).hexdigest()
    parts = (
        ('name="report"', "application/json", envelope),
        (f'name="file"; filename="{file.name}"', file.media_type, file.content),
    )
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {named}\r\nContent-Type: {kind}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for named, kind, content in parts
    )
    return body + f"--{boundary}--\r\n".encode()


def format_form_type(body: bytes) -> str:
    """The Content-Type of an encoded form, whose boundary stands on its first line; raises ValueError."""
    return f"multipart/form-data; boundary={_read_boundary(body).decode()}"


def _read_boundary(body: bytes) -> bytes:
    found = _BOUNDARY.match(body)
    if found is None:
        raise ValueError("no boundary")
    return found[1]


def decode_form(body: bytes) -> tuple[bytes, File]:
    """The document and the file; raises ValueError for anything else."""
    _, *parts, end = (b"\r\n" + body).split(b"\r\n--" + _read_boundary(body))
    if not end.startswith(b"--"):
        raise ValueError("no end")
    found: dict[str, File] = {}
    for part in parts:
        head, blank, content = part.partition(b"\r\n\r\n")
        fields = _read_fields(head.decode("utf-8", "replace"))
        named = dict(re.findall(r';[ \t]*([a-z]+)="([^"]*)"', fields.get("content-disposition", "")))
        if not blank or "name" not in named:
            raise ValueError("a part without a name")
        media_type = fields.get("content-type", "").partition(";")[0].strip()
        found[named["name"]] = File(named.get("filename", ""), media_type, content)
    if found.keys() != {"report", "file"}:
        raise ValueError("not a report and a file")
    return found["report"].content, found["file"]


def _read_fields(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n"))
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}
