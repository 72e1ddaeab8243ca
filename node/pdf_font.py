"""The Chinese font that is embedded in every PDF: found on the machine, never shipped; named where it is missing.

reportlab embeds TrueType outlines only, so the CFF fonts of fonts-noto-cjk do not count.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from node.settings import RegistrySettings, load_settings
from schemas.errors import Unavailable

if TYPE_CHECKING:
    from reportlab.pdfbase.ttfonts import TTFont

WARM_AFTER_SECONDS = 15.0
PACKAGE = "fonts-wqy-microhei"
# Where Debian, Fedora and openEuler, and Arch put fonts with TrueType outlines and all of GB 18030's common signs.
PLACES = (
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/wqy-microhei/wqy-microhei.ttc"),
    Path("/usr/share/fonts/wenquanyi/wqy-microhei/wqy-microhei.ttc"),
    Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"),
    Path("/usr/share/fonts/wqy-zenhei/wqy-zenhei.ttc"),
    Path("/usr/share/fonts/wenquanyi/wqy-zenhei/wqy-zenhei.ttc"),
)
# All that a font of ours must have: both languages' signs and those of the charts.
PROBE = "标识解析企业注册封印区ABCabc0123456789≥–"


def find_font(configured: Path | None, places: Sequence[Path] = PLACES) -> Path:
    """The file; raises Unavailable that names the package to install, or the setting that leads nowhere."""
    if configured is not None:
        if not configured.is_file():
            raise Unavailable("pdf_font_unusable", path=configured, reason="–", package=PACKAGE)
        return configured
    for place in places:
        if place.is_file():
            return place
    raise Unavailable("pdf_font_missing", package=PACKAGE)


def load_soon() -> None:
    """Load font and libraries once the process has found its feet, or the first file would take 0.3 s more."""
    timer = threading.Timer(WARM_AFTER_SECONDS, _load_all)
    timer.daemon = True
    timer.start()


def _load_all() -> None:
    import xlsxwriter  # noqa: F401 - slow to import, too

    with suppress(Unavailable):  # said to whoever asks for a file
        load_font()


def load_font() -> "TTFont":
    """The font of the settings, or of the machine, ready to draw with; raises Unavailable. Slow the first time."""
    return read_font(find_font(load_settings(RegistrySettings).pdf_font))


@cache
def read_font(path: Path) -> "TTFont":
    """Raises Unavailable for a file that is no font, has other outlines, or lacks Chinese."""
    from reportlab import rl_config
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    try:
        font = TTFont(f"idnode-{path.stem}", str(path))
    except (TTFError, OSError) as error:
        raise Unavailable("pdf_font_unusable", path=path, reason=str(error)[:200], package=PACKAGE) from error
    lacking = "".join(sign for sign in PROBE if ord(sign) not in font.face.charToGlyph)
    if lacking:
        raise Unavailable("pdf_font_unusable", path=path, reason=lacking, package=PACKAGE)
    pdfmetrics.registerFont(font)
    rl_config.useA85 = 0  # streams as texts: a fifth of the time and a quarter of the bytes, for nothing
    return font
