"""QR codes and Data Matrix as inline SVG, and reading codes from photographs."""

import re
from io import BytesIO

import zxingcpp

from schemas.errors import InvalidInput, TooLarge

MAX_PHOTO_BYTES = 15 * 1024 * 1024
MAX_PIXELS = 50_000_000
QUIET_MODULES = {"qr": 4, "matrix": 2}
DARK, TEMPORARY = "#000", "#c00000"  # while the node has no public address its codes are not to be printed: red
_FORMATS = (zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.DataMatrix)
_PATH = re.compile(r'<path d="([MhvHVzZ0-9 .-]+)"', re.ASCII)
_SIZE = re.compile(r'<svg width="(\d+)" height="(\d+)"', re.ASCII)


def draw_code(text: str, kind: str, *, is_final: bool = True) -> str:
    """An SVG element of `kind` qr or matrix (ECC 200), with its quiet zone; raises InvalidInput if it does not fit."""
    try:
        if kind == "qr":
            code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
        else:
            code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
        drawn = code.to_svg()
    except (ValueError, RuntimeError):
        raise InvalidInput("qr_too_long", field="identifier") from None
    path, size = _PATH.search(drawn), _SIZE.search(drawn)
    if path is None or size is None:
        raise InvalidInput("qr_too_long", field="identifier")
    more = QUIET_MODULES[kind] - 1  # one module of quiet is drawn already
    box = f"{-more} {-more} {int(size[1]) + 2 * more} {int(size[2]) + 2 * more}"
    name = "QR" if kind == "qr" else "Data Matrix"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{name}"'
        f' shape-rendering="crispEdges"><path fill="{DARK if is_final else TEMPORARY}" d="{path[1]}"/></svg>'
    )


def read_photo(data: bytes) -> str:
    """The text of the code on a photograph; raises InvalidInput if there is none, or TooLarge."""
    if len(data) > MAX_PHOTO_BYTES:
        raise TooLarge("photo_too_large", field="photo", limit=MAX_PHOTO_BYTES // 1_048_576)
    from PIL import Image, UnidentifiedImageError  # slow to import, and seldom needed

    try:
        with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP", "BMP")) as photo:
            if photo.width * photo.height > MAX_PIXELS:
                raise TooLarge("photo_too_large", field="photo", limit=MAX_PHOTO_BYTES // 1_048_576)
            grey = photo.convert("L")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise InvalidInput("photo_unreadable", field="photo") from None
    for found in zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormats(_FORMATS)):
        if found.valid and found.text:
            return str(found.text)
    raise InvalidInput("photo_without_code", field="photo")
