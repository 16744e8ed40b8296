"""Letters that look the same on every machine: the typeface that comes inside Pillow, for sheets and for the window."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

_MEASURE = 4  # widths are taken at so many times the size, where rounding to whole pixels does not add up
_EXTRA = frozenset("°·…")  # what Pillow's typeface has beyond ASCII
_WIDE = (
    "DejaVuSans.ttf",
    "Arial Unicode.ttf",
    "Arial.ttf",
    "arial.ttf",
)  # for the rest, where one of them is installed


def font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """A sans-serif of `size` pixels that has the letters of `text`, as far as this machine can."""
    return _font(size, all(" " <= c <= "~" or c in _EXTRA for c in text))


@lru_cache(maxsize=2048)
def length(text: str, size: int) -> float:
    """Pixels that `text` is wide."""
    return font(_MEASURE * size, text).getlength(text) / _MEASURE


def fitted(text: str, size: int, width: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `width` pixels."""
    if length(text, size) <= width:
        return text
    while text and length(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, size: int, width: float) -> list[str]:
    """`text` in lines no wider than `width` pixels; a word that is wider alone is broken."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer, size) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and length(lines[-1] + letter, size) > width:
                lines.append("")
            lines[-1] += letter
    return lines


@lru_cache(maxsize=64)
def _font(size: int, plain: bool) -> ImageFont.FreeTypeFont:
    if not plain:
        for name in _WIDE:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    face = ImageFont.load_default(size)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise ImportError("this Pillow was built without FreeType: pip install --force-reinstall pillow")
    return face
