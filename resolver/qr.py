"""QR codes of the address that is printed on goods."""

from io import BytesIO

import segno

from schemas.errors import InvalidInput

FORMATS = {"svg": b"image/svg+xml", "png": b"image/png"}
# While the node has no public address its codes are not to be printed: they are red, and an SVG says why.
_FINAL, _TEMPORARY = "#000000", "#c00000"


def draw_code(address: str, kind: str, warning: str = "") -> bytes:
    """An image of `kind` svg or png; raises InvalidInput if the address does not fit into a code."""
    try:
        code = segno.make_qr(address, error="m")
    except segno.DataOverflowError:
        raise InvalidInput("qr_too_long", field="identifier") from None
    out = BytesIO()
    dark = _TEMPORARY if warning else _FINAL
    if kind == "svg":
        code.save(out, kind="svg", scale=8, border=4, dark=dark, light="#ffffff", title=warning or None, desc=address)
    else:
        code.save(out, kind="png", scale=8, border=4, dark=dark, light="#ffffff")
    return out.getvalue()
