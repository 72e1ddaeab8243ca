"""The page that opens after a scan: small, without cookies and scripts, in Chinese or English (design decision 20)."""

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from resolver.prefixes import PrefixTable
from resolver.reply import Finding, Reply
from resolver.rest_json import format_data
from resolver.upstream import format_path
from schemas.handle_bytes import MalformedMessage
from schemas.handle_values import HTTP, HTTPS, QUERY_INTERFACE, decode_site, format_address
from schemas.identifiers import format_scan_url
from schemas.resolution_log import Outcome
from schemas.templates import NOTICE_INDEX, RESERVED_INDEXES, Template
from schemas.texts import format_message, format_remedy
from schemas.texts.resolver import LABELS
from schemas.values import Value

HTML = b"text/html; charset=utf-8"
MAX_FIELD_CHARACTERS = 2_000
MAX_FIELDS_BYTES = 30_000  # escaped; the rest of a page is below 10 kB, and links repeat their text
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#\\@<>\"\x00-\x20]+(?:[/?#][^\s<>\"\\\x00-\x20]*)?", re.IGNORECASE)
_SAFE = "%/:?#[]@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the page; `link` is empty unless the text is a web address."""

    name: str
    text: str
    link: str = ""


class Pages:
    """Renders findings for people. `report_url` is the registry's, which takes reports of problems; empty: no link."""

    def __init__(self, prefixes: PrefixTable, public_url_is_set: bool, report_url: str = "") -> None:
        self._prefixes, self._report_url = prefixes, report_url
        self._public_url_is_set = public_url_is_set
        loader = jinja2.FunctionLoader(_read_template)
        self._templates = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        style = _read_template("page.css").strip()
        self._style = Markup(style)  # noqa: S704 (our own file)
        digest = b64encode(sha256(style.encode()).digest()).decode()
        self._headers = _make_headers(digest, "'none'")
        self._root_headers = _make_headers(digest, report_url or "'none'")

    def show(self, raw: bytes, finding: Finding, language: str, stale_seconds: int | None) -> Reply:
        """The page of an identifier, whatever was found."""
        shown = raw.decode("utf-8", "replace")
        match finding.outcome:
            case Outcome.FOUND | Outcome.NO_VALUES:
                return self._show_record(raw, shown, finding, language, stale_seconds)
            case Outcome.RETIRED:
                return self._show_retired(raw, shown, finding, language)
            case Outcome.REFERRAL:
                name, status, code = "elsewhere", 300, "prefix_elsewhere"
            case Outcome.UNAVAILABLE:
                name, status, code = "unavailable", 503, "database_away"
            case Outcome.DENIED:
                name, status, code = "denied", 401, "credentials_needed"
            case Outcome.MALFORMED:
                name, status, code = "malformed", 400, "identifier_malformed"
            case _:
                name, status, code = "not_found", 404, finding.message or "identifier_not_found"
        details = {"identifier": shown, "text": shown}
        link = choose_target(finding, raw)
        extra = {"link": link.decode() if link else "", "address": shown, "sandbox": self._is_sandbox(finding)}
        return self._show_message(status, name, code, language, finding.outcome, details, extra)

    def show_root(self, language: str) -> Reply:
        """What this address is, for who opens it without an identifier, and where one can be typed or scanned."""
        heading = _label("root", language)
        resolve = f"{self._report_url}/console/resolve" if self._report_url else ""
        page = self._render("root.html", language, heading, heading=heading, address="/", resolve=resolve)
        return Reply(200, page, HTML, None, self._root_headers)

    def show_error(self, status: int, name: str, code: str, language: str, **details: object) -> Reply:
        """A page that says what is wrong with the request."""
        return self._show_message(status, name, code, language, None, details, {})

    def _show_message(
        self,
        status: int,
        name: str,
        code: str,
        language: str,
        outcome: Outcome | None,
        details: dict[str, Any],
        extra: dict[str, Any],
    ) -> Reply:
        message = format_message(code, language, **details)
        remedy = format_remedy(code, language, **details)
        heading = _label(name, language)
        page = self._render("message.html", language, heading, heading=heading, message=message, remedy=remedy, **extra)
        headers = (*self._headers, (b"retry-after", b"5")) if status == 503 else self._headers
        return Reply(status, page, HTML, outcome, headers)

    def _show_retired(self, raw: bytes, shown: str, finding: Finding, language: str) -> Reply:
        successor = finding.successor
        extra: dict[str, Any] = {"address": shown, "sandbox": self._is_sandbox(finding), "is_notice": True}
        if successor:
            path = format_scan_url("", successor) if "/" in successor else ""
            extra |= {"successor": successor, "successor_path": path}
        extra["report"] = self._make_report_address(shown, finding, language)
        details = {"identifier": shown, "successor": successor or "—"}
        return self._show_message(410, "retired", "identifier_retired", language, Outcome.RETIRED, details, extra)

    def _show_record(self, raw: bytes, shown: str, finding: Finding, language: str, stale_seconds: int | None) -> Reply:
        entry = finding.entry
        template = entry.template if entry else None
        prefix = self._prefixes.find_by_id(entry.prefix_id) if entry else None
        fields, is_cut = list_fields(finding.values, template, language)
        notice = next((v.data.decode("utf-8", "replace") for v in finding.values if v.index == NOTICE_INDEX), "")
        name = _choose_name(template, language)
        stale = "" if stale_seconds is None else format_message("answer_is_stale", language, seconds=stale_seconds)
        page = self._render(
            "record.html", language, f"{shown} · {prefix.enterprise}" if prefix and prefix.enterprise else shown,
            heading=name or _label("product", language), address=shown, notice=notice, stale=stale, fields=fields,
            is_cut=is_cut, enterprise=prefix.enterprise if prefix else "", show_code=True,
            template_name=f"{name} {template.version}".strip() if template else "",
            json_path=f"/api/handles/{quote(raw, safe='/')}", sandbox=self._is_sandbox(finding),
            report=self._make_report_address(shown, finding, language),
        )  # fmt: skip
        return Reply(200, page, HTML, finding.outcome, self._headers)

    def _make_report_address(self, shown: str, finding: Finding, language: str) -> str:
        """The form of the registry, which writes; nothing is bought in a sandbox."""
        if not self._report_url or self._is_sandbox(finding):
            return ""
        return f"{self._report_url}/console/report?identifier={quote(shown, safe='', errors='replace')}&lang={language}"

    def _is_sandbox(self, finding: Finding) -> bool:
        return finding.entry is not None and finding.entry.prefix_id in self._prefixes.sandboxes

    def _render(self, template: str, language: str, title: str, **values: Any) -> bytes:
        warning = "" if self._public_url_is_set else format_message("public_url_missing", language)
        page = self._templates.get_template(template).render(
            language=language,
            title=title,
            style=self._style,
            warning=warning,
            label=lambda name: _label(name, language),
            **values,
        )
        return page.encode("utf-8", "replace")


def list_fields(values: list[Value], template: Template | None, language: str) -> tuple[list[Field], bool]:
    """What a page shows of the values, in the template's words; whether something had to be left out."""
    fields: list[Field] = []
    room, is_cut = MAX_FIELDS_BYTES, False
    for value in values:
        if value.index in RESERVED_INDEXES:
            continue
        item = template.items_by_index.get(value.index) if template else None
        text = _format_text(value)
        if item and item.data == "boolean" and text in ("true", "false"):
            text = _label("yes" if text == "true" else "no", language)
        if len(text) > MAX_FIELD_CHARACTERS:
            text, is_cut = text[:MAX_FIELD_CHARACTERS] + "…", True
        link = text if _is_web_address(text) else ""
        room -= len(str(Markup.escape(text)).encode("utf-8", "replace")) * (2 if link else 1) + 100
        if room < 0:
            return fields, True
        fields.append(Field(item.get_name(language) if item else value.type, text, link))
    return fields, is_cut


def choose_target(finding: Finding, raw: bytes) -> bytes | None:
    """Where `follow` leads: the first URL of the record, then URL.*; or the server that answers instead of us."""
    if finding.outcome is Outcome.REFERRAL:
        return _choose_server(finding, raw)
    if finding.outcome is not Outcome.FOUND:
        return None
    own = [value for value in finding.values if value.type.upper() == "URL"]
    below = [value for value in finding.values if value.type.upper().startswith("URL.")]
    for value in own + below:
        text = value.data.decode("utf-8", "replace")
        if _is_web_address(text):
            return quote(text, safe=_SAFE).encode()
    return None


def _choose_server(finding: Finding, raw: bytes) -> bytes | None:
    """The web address of an identifier at the first server of the site that speaks HTTP."""
    for value in finding.values:
        if value.type != "HS_SITE":
            continue
        try:
            servers = decode_site(value.data).servers
        except MalformedMessage:
            continue
        for server in servers:
            for interface in server.interfaces:
                if interface.protocol in (HTTP, HTTPS) and interface.type & QUERY_INTERFACE:
                    scheme = "https" if interface.protocol == HTTPS else "http"
                    host = format_address(server.address)
                    host = f"[{host}]" if isinstance(ip_address(host), IPv6Address) else host
                    return f"{scheme}://{host}:{interface.port}/{format_path(raw)}".encode()
    return None


def _is_web_address(text: str) -> bool:
    return _WEB_ADDRESS.fullmatch(text) is not None


def _format_text(value: Value) -> str:
    shown = format_data(value)["value"]
    return shown if isinstance(shown, str) else value.type


def _make_headers(style_digest: str, form_action: str) -> tuple[tuple[bytes, bytes], ...]:
    """Those of every page; `form_action`: where its form may be sent."""
    policy = (
        f"default-src 'none'; style-src 'sha256-{style_digest}'; img-src 'self'; base-uri 'none';"
        f" form-action {form_action}; frame-ancestors 'none'"
    )
    return (
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
        (b"vary", b"Accept, Accept-Language"),
    )


def _choose_name(template: Template | None, language: str) -> str:
    if template is None:
        return ""
    names = (template.name_zh, template.name_en)
    return (names[0] or names[1]) if language == "zh" else (names[1] or names[0])


def _label(name: str, language: str) -> str:
    return LABELS[name][0 if language == "zh" else 1]


def _read_template(name: str) -> str:
    return (files("resolver") / "templates" / name).read_text(encoding="utf-8")
