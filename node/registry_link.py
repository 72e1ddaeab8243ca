"""Both ends of the link between registry and resolvers, as the settings want them; nothing unsafe is begun."""

import ssl
from dataclasses import replace
from pathlib import Path

from node.settings import SharedSettings
from schemas.errors import SetupError
from schemas.link_place import LinkPlace


def find_listening(settings: SharedSettings) -> LinkPlace | None:
    """Where the registry answers workers of other machines; None: nowhere. Raises SetupError."""
    place = _find_place(settings)
    if place is not None and settings.tls_certificate is None:
        raise SetupError("link_needs_certificate", place=str(place))
    return place


def find_asking(settings: SharedSettings) -> Path | LinkPlace:
    """Where workers ask: on the machine of a registry that listens everywhere, its Unix socket. Raises SetupError."""
    place = _find_place(settings)
    return settings.link_path if place is None or place.is_anywhere else place


def make_asking_context(settings: SharedSettings) -> ssl.SSLContext | None:
    """TLS 1.2 or later, the registry's certificate and name checked; None: a Unix socket. Raises SetupError."""
    if not isinstance(find_asking(settings), LinkPlace):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.registry_link_ca)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise SetupError("link_ca_unreadable", path=str(settings.registry_link_ca), reason=reason) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def check_link(settings: SharedSettings, part: str) -> None:
    """Before anything of this part of the node is started. Raises SetupError."""
    if part in ("node", "registry"):
        find_listening(settings)
    if part in ("node", "resolver"):
        make_asking_context(settings)


def _find_place(settings: SharedSettings) -> LinkPlace | None:
    place = settings.registry_link
    if not isinstance(place, LinkPlace):
        return None
    if settings.registry_link_secret is None:
        raise SetupError("link_needs_secret", place=str(place))
    return replace(place, secret=settings.registry_link_secret)
