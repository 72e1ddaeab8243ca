"""Second factor: time-based one-time passwords (RFC 6238 with SHA-1, 30 seconds, six digits, as every app has them)."""

import hmac
import secrets
from base64 import b32encode
from datetime import datetime
from urllib.parse import quote

STEP_SECONDS = 30
DIGITS = 6
SECRET_BYTES = 20
# One step before and after: clocks of telephones differ, and typing takes time.
DRIFT_STEPS = (-1, 0, 1)


def make_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def compute_code(secret: bytes, step: int) -> str:
    """The code of a time step (RFC 4226 §5.3)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def find_step(secret: bytes, code: str, at: datetime) -> int | None:
    """The time step the code belongs to, if it is one of now; the caller lets each step open once."""
    now = int(at.timestamp()) // STEP_SECONDS
    given = code.replace(" ", "").encode("utf-8", "surrogatepass")
    fitting = [now + drift for drift in DRIFT_STEPS
               if hmac.compare_digest(compute_code(secret, now + drift).encode(), given)]  # fmt: skip
    return max(fitting, default=None)


def format_address(secret: bytes, user_name: str, issuer: str = "idnode") -> str:
    """What authenticator apps read from a QR code."""
    encoded = b32encode(secret).decode().rstrip("=")
    return f"otpauth://totp/{quote(f'{issuer}:{user_name}')}?secret={encoded}&issuer={quote(issuer)}"
