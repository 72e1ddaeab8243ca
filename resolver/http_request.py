"""What an HTTP request asks: pure functions from the bytes of its head and its parameters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson

from schemas.errors import InvalidInput
from schemas.identifiers import shorten
from schemas.resolution_log import ClientClass
from schemas.texts import LANGUAGES, choose_language

Headers = list[tuple[bytes, bytes]]
Network = IPv4Network | IPv6Network

MAX_PARAMETERS = 1_000
MAX_INDEX = 0x7FFF_FFFF
# Headers that change nothing about an answer, or only what `Traits` tells.
_HARMLESS = frozenset(
    b"host user-agent accept accept-encoding accept-language connection cache-control pragma cookie dnt referer"
    b" upgrade-insecure-requests priority sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-ch-ua"
    b" sec-ch-ua-mobile sec-ch-ua-platform sec-gpc x-requested-with x-forwarded-for x-forwarded-proto"
    b" x-forwarded-host x-real-ip via x-idnode-probe".split()
)
_INSTANT = re.compile(r"\d{4}-?\d\d-?\d\d", re.ASCII)  # the beginning of one
_NUMBER = re.compile(r"-?\d{1,20}", re.ASCII)
_JSONP_STRIPPED = re.compile(r"[^A-Za-z0-9_$.\[\]]")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a head says about the asker. `address` is 4 or 16 bytes, or empty."""

    client_class: ClientClass
    language: str
    wants_page: bool
    address: bytes = b""
    is_secure: bool = False


@dataclass(frozen=True, slots=True)
class Judge:
    """How this worker reads heads: the language of people who ask for none, the token of probes, its proxies."""

    language: str = "zh"
    probe_token: str = ""
    trusted_proxies: Sequence[Network] = ()

    def is_trusted(self, address: bytes) -> bool:
        """Whether what this peer says about its client is believed."""
        if not self.trusted_proxies or not address:
            return False
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self.trusted_proxies)

    def read(self, headers: Headers, peer: bytes, is_secure: bool = False) -> Traits:
        """The traits of a request whose header names are in lower case."""
        known = {name: value for name, value in headers if name in _HARMLESS}
        if self.is_trusted(peer):
            forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
            peer = self._find_client(forwarded, peer)
            is_secure = known.get(b"x-forwarded-proto", b"https" if is_secure else b"http").lower() == b"https"
        is_probe = bool(self.probe_token) and known.get(b"x-idnode-probe", b"") == self.probe_token.encode()
        return Traits(
            ClientClass.PROBE if is_probe else ClientClass.PUBLIC,
            choose_language(known.get(b"accept-language", b"").decode("latin-1"), self.language),
            prefers_page(known.get(b"accept", b"").decode("latin-1")),
            peer,
            is_secure,
        )

    def _find_client(self, forwarded: bytes, peer: bytes) -> bytes:
        """The last address of the chain that is not a proxy of ours."""
        client = peer
        for part in reversed(forwarded.decode("latin-1").split(",")):
            try:
                client = pack_address(part.strip())
            except ValueError:
                break
            if not self.is_trusted(client):
                break
        return client


def is_plain(headers: Headers) -> bool:
    """Whether such a head asks for nothing that the short cut does not do."""
    seen: set[bytes] = set()
    for name, value in headers:
        if name not in _HARMLESS or name in seen:
            return False
        if name == b"connection" and value.strip().lower() != b"keep-alive":
            return False
        seen.add(name)
    return True


def pack_address(text: str) -> bytes:
    """An IP address as 4 or 16 bytes, with or without port; raises ValueError."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    parsed = ip_address(text.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.packed


def prefers_page(accept: str) -> bool:
    """Whether a person looks at the answer: HTML is named, and JSON is not liked better (RFC 9110 §12.5.1)."""
    qualities: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = part.lower().split(";")
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.strip().partition("=")
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        qualities[media.strip()] = quality
    page = max(qualities.get("text/html", 0.0), qualities.get("application/xhtml+xml", 0.0))
    return page > 0 and page >= qualities.get("application/json", 0.0)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a question, from query, form or JSON body (handle-protocol 6.1, 6.3; ours: the last five)."""

    indexes: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    public_only: bool = True
    uses_rights: bool = True  # false: publicOnly was asked for, so that nobody sees more than anybody
    pretty: bool = False
    callback: str = ""
    lang: str = ""
    follow: bool = False
    qr: str = ""
    has_prefix: bool = False

    @property
    def is_plain(self) -> bool:
        """Nothing but "everything that is public"."""
        return not (self.indexes or self.types) and self.public_only


def parse_path(raw_path: bytes) -> bytes:
    """The path decoded once, without its first slash. What is not UTF-8 stays as it is."""
    return unquote_to_bytes(raw_path[1:] if raw_path.startswith(b"/") else raw_path)


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Pairs of a query string or form; raises InvalidInput."""
    try:
        return parse_qsl(
            query.decode("utf-8", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise InvalidInput("too_many_parameters", limit=MAX_PARAMETERS) from None


def parse_json_carrier(body: bytes) -> list[tuple[str, str]]:
    """Parameters from a JSON object (`{"index": [1]}`); raises InvalidInput."""
    try:
        document = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidInput("parameters_not_json", reason=str(error)) from None
    if not isinstance(document, dict):
        raise InvalidInput("parameters_not_json", reason="not an object")
    pairs = []
    for name, value in document.items():
        for item in value if isinstance(value, list) else [value]:
            pairs.append((name, _format_scalar(item)))
    if len(pairs) > MAX_PARAMETERS:
        raise InvalidInput("too_many_parameters", limit=MAX_PARAMETERS)
    return pairs


def _format_scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise InvalidInput("parameters_not_json", reason="a parameter is neither text nor a whole number")


def parse_parameters(pairs: list[tuple[str, str]]) -> Parameters:
    """Raises InvalidInput for an index that is no number; unknown parameters are ignored, as the reference does.

    A time of the past is refused: the answer would be taken for what was then, which only the registry tells.
    """
    given: dict[str, str] = dict(reversed(pairs))
    if _INSTANT.match(given.get("at", "")):  # a web page's own `at` is none of ours
        raise InvalidInput("history_elsewhere", field="at")
    parameters = Parameters(
        indexes=tuple(_parse_index(value) for name, value in pairs if name == "index"),
        types=tuple(value for name, value in pairs if name == "type"),
        public_only=_is_true(given.get("publicOnly", "true")),
        uses_rights=not _is_true(given.get("publicOnly", "false")),
        pretty=_is_true(given.get("pretty", "false")),
        callback=_JSONP_STRIPPED.sub("", given.get("callback", ""))[:100],
        qr=given.get("qr", ""),
        has_prefix="prefix" in given,
    )
    lang = given.get("lang", "")
    follows = _is_true(given.get("follow", "false")) and not _is_true(given.get("noredirect", "false"))
    return replace(parameters, lang=lang if lang in LANGUAGES else "", follow=follows)


def _is_true(value: str) -> bool:
    return value.lower() in {"", "true", "yes", "1"}


def _parse_index(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidInput("index_not_number", field="index", text=shorten(text, 40))
    return max(-1, min(int(text), MAX_INDEX))  # nothing has an index outside, so a far one matches nothing
