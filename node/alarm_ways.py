"""How alarms reach people: a signed webhook, and mail. Blocking, with deadlines: to be called in a thread."""

import hashlib
import hmac
import json
import logging
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

from node.alarms import Book
from node.settings import WatchSettings
from node.wording import say
from schemas.texts.alarms import LABELS

SEND_SECONDS = 10.0
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
        answer.read(1_000)


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
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)


def make_message(settings: WatchSettings, document: dict[str, Any], language: str) -> EmailMessage:
    message = EmailMessage()
    text = document["message"][language]
    kind = say(LABELS[f"alarm_kind_{document['kind']}"], language)
    mark = "：" if language == "zh" else ": "
    message["Subject"] = f"[idnode {document['node']}] {kind}{mark}{' '.join(text.split())[:150]}"
    message["From"] = settings.alarm_mail_from or ""
    message["To"] = ", ".join(settings.alarm_mail_to)
    message["Date"], message["Message-ID"] = formatdate(document["at"]), make_msgid(domain="idnode")
    lines = [text, "", document["remedy"][language], "", document["paragraph"], f"{document['machine']}"]
    message.set_content("\n".join(lines))
    return message


def deliver(settings: WatchSettings, book: Book) -> None:
    """Send what is unsent; what fails stays, and the rest of that way waits for the next time."""
    ways, failed, left = list_ways(settings), set(), []
    for letter in book.unsent:
        send = ways.get(letter.way)
        if send is None:  # the settings have changed
            continue
        if letter.way in failed:
            left.append(letter)
            continue
        try:
            send(settings, letter.document)
        except UNSENT as error:
            log.warning("an alarm could not be sent by %s: %s", letter.way, error)
            failed.add(letter.way)
            left.append(letter)
    book.unsent = left
