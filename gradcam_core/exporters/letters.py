"""The letters of reports and pictures: which font has a sign, how wide a text is, where its lines break.

Sizes and widths are in points on paper, and in pixels in pictures.
"""

import functools
import itertools
import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageDraw, ImageFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

FONTS = Path(__file__).with_name("fonts")
REGULAR, BOLD = "OpenSans-Regular", "OpenSans-Semibold"
# Where the text's own font lacks a sign, these are tried in turn.
OTHERS = ("DroidSansFallback", "DejaVuSans")
# Stands for a sign that no font has. The scripts that run from right to left are replaced as a whole: without the
# rules of their direction, they would be printed back to front.
REPLACEMENT = "\ufffd"
RIGHT_TO_LEFT = ("R", "AL")
SPACES = {0x202F: " ", 0xA0: " ", 0x2007: " ", 0x2009: " "}
# A line may end before or after a sign of these scripts, but not before closing or after opening punctuation.
WITHOUT_SPACES = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60"
WORDS = re.compile(rf"[{WITHOUT_SPACES}]|[^\s{WITHOUT_SPACES}]+|\s+")
CLOSING, OPENING = frozenset("、。，．：；！？）」』】》〉’”"), frozenset("（「『【《〈‘“")
ELLIPSIS = "…"
LEADING = 1.36
LOCK = threading.Lock()

Ink = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Type:
    """How a text is set: its size, its weight and its colour (red, green, blue; 0..1)."""

    size: float
    ink: Ink
    bold: bool = False

    @property
    def leading(self) -> float:
        """The distance between two lines."""
        return self.size * LEADING


def printable(text: str) -> str:
    """Text with composed letters, in which what no font has is replaced."""
    composed = unicodedata.normalize("NFC", text).translate(SPACES)
    return "".join(sign if _glyph(sign, False) else REPLACEMENT for sign in composed)


def width_of(text: str, style: Type) -> float:
    """The width of printable text."""
    return sum(_width(sign, style.bold) for sign in text) * style.size / 1000


@functools.lru_cache(maxsize=4000)
def wrapped(text: str, style: Type, width: float) -> tuple[str, ...]:
    """Break text into lines that are no wider than `width`, and replace what cannot be printed."""
    lines, line, used = [], "", 0.0
    for word in _words(printable(text)):
        needed = width_of(word, style)
        if used + needed > width and line:
            lines.append(line.rstrip())
            line, used = "", 0.0
            if word.isspace():
                continue
        if needed > width:
            *full, word = _pieces(word, style, width)
            lines += full
            needed = width_of(word, style)
        line, used = line + word, used + needed
    return (*lines, line.rstrip())


def shortened(text: str, style: Type, width: float) -> str:
    """Printable text no wider than `width`: what does not fit is cut off and replaced by an ellipsis."""
    text = printable(text)
    if width_of(text, style) <= width:
        return text
    ends = itertools.accumulate(width_of(sign, style) for sign in text)
    room = width - width_of(ELLIPSIS, style)
    return text[: sum(end <= room for end in ends)].rstrip() + ELLIPSIS


def draw(canvas: Canvas, line: str, left: float, baseline: float, style: Type) -> None:
    """Print a line of printable text, each sign in the first font that has it."""
    text = canvas.beginText(left, baseline)
    text.setFillColorRGB(*style.ink)
    for font, signs in itertools.groupby(line, key=lambda sign: _glyph(sign, style.bold) or REGULAR):
        text.setFont(_font(font).fontName, style.size)
        text.textOut("".join(signs))
    canvas.drawText(text)


def paint(picture: ImageDraw.ImageDraw, line: str, left: float, baseline: float, style: Type) -> None:
    """Draw a line of printable text into a picture, as `draw` prints it.

    Pillow rounds the widths of signs to whole pixels, so each sign is drawn at its own place.
    """
    ink = tuple(round(255 * part) for part in style.ink)
    for sign in line:
        font = _pillow_font(_glyph(sign, style.bold) or REGULAR, style.size)
        picture.text((left, baseline), sign, ink, font, anchor="ls")
        left += width_of(sign, style)


def _words(text: str) -> Iterator[str]:
    """Parts that are not divided: words, spaces, single signs of scripts without spaces with what closes them."""
    waiting = ""
    for word in WORDS.findall(text):
        if waiting and word[0] not in CLOSING and waiting[-1] not in OPENING:
            yield waiting
            waiting = ""
        waiting += word
    if waiting:
        yield waiting


def _pieces(word: str, style: Type, width: float) -> list[str]:
    """Divide a word that is wider than a line."""
    pieces, used = [""], 0.0
    for sign in word:
        needed = _width(sign, style.bold) * style.size / 1000
        if used + needed > width and pieces[-1]:
            pieces.append("")
            used = 0.0
        pieces[-1] += sign
        used += needed
    return pieces


@functools.lru_cache(maxsize=20_000)
def _glyph(sign: str, bold: bool) -> str:
    """The name of the font that a sign is printed with; "" where none has it."""
    if unicodedata.bidirectional(sign) in RIGHT_TO_LEFT:
        return ""
    fonts = (BOLD if bold else REGULAR, *OTHERS)
    return next((font for font in fonts if ord(sign) in _font(font).face.charToGlyph), "")


@functools.lru_cache(maxsize=20_000)
def _width(sign: str, bold: bool) -> float:
    """The width of a sign, in thousandths of its size."""
    return float(_font(_glyph(sign, bold) or REGULAR).face.getCharWidth(ord(sign)))


def _font(name: str) -> TTFont:
    """A font that has been registered. Two threads must not register one twice: documents refer to it by name."""
    with LOCK:
        return _registered(name)


@functools.cache
def _registered(name: str) -> TTFont:
    font = TTFont(f"report {name}", str(FONTS / f"{name}.ttf"), shapable=False)
    pdfmetrics.registerFont(font)
    return font


@functools.lru_cache(maxsize=64)
def _pillow_font(name: str, size: float) -> ImageFont.FreeTypeFont:
    """The same font for pictures. The basic layout places signs alike on every machine."""
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), size, layout_engine=ImageFont.Layout.BASIC)
