"""The certificate of both HTTP ports: loaded, renewed while connections go on, and when it ends."""

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from signal import SIGHUP

from schemas.errors import SetupError

LOOK_SECONDS = 5.0
log = logging.getLogger("idnode.tls")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM; the certificate's file may hold its chain."""

    certificate: Path
    key: Path

    def make_context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, HTTP/1.1; raises OSError (ssl.SSLError is one) if the files do not fit."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.certificate, self.key, password="")  # a key with a passphrase asks nobody for it
        return context

    def read_times(self) -> tuple[int, int]:
        """When each file was changed; raises OSError."""
        return self.certificate.stat().st_mtime_ns, self.key.stat().st_mtime_ns


def check_files(files: TlsFiles | None) -> None:
    """Before anything is started with them. Raises SetupError."""
    if files is None:
        return
    try:
        files.make_context()
    except OSError as error:  # says nothing of which file it was about
        missing = next((path for path in (files.certificate, files.key) if not os.access(path, os.R_OK)), None)
        reason = f"{missing}: {error.strerror}" if missing else str(error)
        raise SetupError("tls_unusable", path=str(files.certificate), key=str(files.key), reason=reason) from error


async def renew_certificate(
    context: ssl.SSLContext | None, files: TlsFiles | None, asked: asyncio.Event | None = None
) -> None:
    """Load the files anew when both fit each other and one has changed: new connections get the new certificate.

    `asked`: somebody wants it now, whether they have changed or not.
    """
    if context is None or files is None:
        return
    loaded, hurry = await asyncio.to_thread(_find_times, files), asked or asyncio.Event()
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), LOOK_SECONDS)
        is_asked = hurry.is_set()
        hurry.clear()
        found = await asyncio.to_thread(_find_times, files)
        if found is None or (found == loaded and not is_asked):
            continue
        try:
            files.make_context()  # tried first: a context that took half of a pair would refuse everybody
            context.load_cert_chain(files.certificate, files.key)
        except OSError as error:
            log.warning("the certificate %s was changed but cannot be used: %s", files.certificate, error)
        else:
            log.info("the certificate %s was loaded anew", files.certificate)
        loaded = found


async def serve_renewing(
    serve: Callable[[ssl.SSLContext | None], Coroutine[None, None, None]], files: TlsFiles | None
) -> None:
    """Serve with these files, which are looked at again and again, and on SIGHUP at once; without them, in plain."""
    context, asked = files.make_context() if files else None, asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(SIGHUP, asked.set)  # in plain, too, where it must end nobody
    renewing = asyncio.create_task(renew_certificate(context, files, asked))
    try:
        await serve(context)
    finally:
        loop.remove_signal_handler(SIGHUP)
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


def _find_times(files: TlsFiles) -> tuple[int, int] | None:
    try:
        return files.read_times()
    except OSError:  # being replaced
        return None


def read_end(certificate: Path) -> datetime:
    """When the first certificate of the file ends; raises OSError, ValueError."""
    from cryptography import x509  # slow to import, and seldom needed

    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
