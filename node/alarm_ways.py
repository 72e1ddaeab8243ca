"""How alarms reach people: a signed webhook, and mail. Blocking, with deadlines: to be called in a thread."""

import hashlib
import hmac
import ipaddress
import json
import logging
import math
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

from node.alarms import Book
from node.settings import WatchSettings
from node.wording import say
from schemas.texts.alarms import LABELS

SEND_SECONDS = 10.0  # for each step of sending one
PASS_SECONDS = 10.0  # then a way has the rest of its letters wait for the next look
SIGNATURE, TIMESTAMP = "X-Idnode-Signature", "X-Idnode-Timestamp"
UNSENT = (OSError, ValueError, HTTPException)  # what a way raises; the last for what answers no HTTP
log = logging.getLogger("idnode.alarms")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An alarm goes where the settings say and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def list_ways(settings: WatchSettings) -> dict[str, Callable[[WatchSettings, dict[str, Any]], None]]:
    """By name, those that are set up; each raises one of UNSENT (URLError and SMTPException are OSErrors)."""
    ways: dict[str, Callable[[WatchSettings, dict[str, Any]], None]] = {}
    if settings.alarm_webhook_url is not None:
        ways["webhook"] = send_webhook
    if settings.alarm_smtp_url is not None:
        ways["mail"] = send_mail
    return ways


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC of `<timestamp>.<body>`: an old message cannot be sent again as a new one."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def send_webhook(settings: WatchSettings, document: dict[str, Any]) -> None:
    body = json.dumps(document, ensure_ascii=False, default=str).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "idnode"}
    timestamp = str(int(time.time()))  # of this attempt: receivers refuse what was signed long ago
    headers[TIMESTAMP] = timestamp
    if settings.alarm_webhook_secret:
        headers[SIGNATURE] = sign(settings.alarm_webhook_secret, timestamp, body)
    # The scheme was checked with the settings.
    request = urllib.request.Request(settings.alarm_webhook_url or "", body, headers, method="POST")  # noqa: S310
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=SEND_SECONDS) as answer:
        answer.read1(1_000)  # one that drips its answer is not waited for


def send_mail(settings: WatchSettings, document: dict[str, Any]) -> None:
    parts = urlsplit(settings.alarm_smtp_url or "")
    context = ssl.create_default_context()
    host, language = parts.hostname or "", settings.language
    message = make_message(settings, document, language)
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=SEND_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, parts.port or 25, timeout=SEND_SECONDS)
    with server:
        server.ehlo()
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=context)
        elif parts.scheme == "smtp" and parts.username and server.sock is not None:
            check_may_read(server.sock.getpeername()[0])
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)


def check_may_read(address: str) -> None:
    """Who takes STARTTLS out of what a server offers would be given the password. Raises SMTPNotSupportedError."""
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise smtplib.SMTPNotSupportedError(
            f"{address} offers no STARTTLS, and the password is not sent in clear: use smtps://, a server on this"
            " machine, or one that needs no password"
        )


def make_message(settings: WatchSettings, document: dict[str, Any], language: str) -> EmailMessage:
    message = EmailMessage()
    text = document["message"][language]
    kind = say(LABELS[f"alarm_kind_{document['kind']}"], language)
    mark = "：" if language == "zh" else ": "
    message["Subject"] = f"[idnode {document['node']}] {kind}{mark}{' '.join(text.split())[:150]}"
    message["From"] = settings.alarm_mail_from or ""
    message["To"] = ", ".join(settings.alarm_mail_to)
    message["Date"], message["Message-ID"] = formatdate(document["at"]), make_message_id(document)
    lines = [text, "", document["remedy"][language], "", document["paragraph"], f"{document['machine']}"]
    message.set_content("\n".join(lines))
    return message


def make_message_id(document: dict[str, Any]) -> str:
    """The same at every attempt: mailboxes show once what came twice because an answer was lost."""
    named = [str(document[name]) for name in ("node", "machine", "kind", "cause", "subject", "at")]
    return f"<{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]}@idnode>"


def deliver(settings: WatchSettings, book: Book) -> None:
    """Send what is unsent; what fails stays, and the rest of that way waits for the next time.

    So does what a slow receiver has no time for now: the book is to be written before too much of it was sent.
    """
    ways, left = list_ways(settings), []
    spent: dict[str, float] = defaultdict(float)  # seconds by way; without end for one that failed
    for letter in book.unsent:
        send = ways.get(letter.way)
        if send is None:  # the settings have changed
            continue
        if spent[letter.way] > PASS_SECONDS:
            left.append(letter)
            continue
        began = time.monotonic()
        try:
            send(settings, letter.document)
            spent[letter.way] += time.monotonic() - began
        except UNSENT as error:
            log.warning("an alarm could not be sent by %s: %s", letter.way, error)
            spent[letter.way] = math.inf
            left.append(letter)
    book.unsent = left
