"""The worst pictures of a batch -> one JPEG with captions."""

import heapq
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.gallery import GalleryRow, worst_first
from gradcam_core.render import draw_on_tile
from gradcam_core.text import percent

TILE, GAP, LINE = 128, 12, 14
LETTERS = 160  # more never fit into a caption, and measuring them takes time
GROUND, TEXT, QUIET = (12, 13, 15), (230, 231, 233), (162, 167, 174)


def contact_sheet(rows: Iterable[GalleryRow], columns: int = 8, most: int = 64) -> bytes:
    """Draw the worst rows with their heat and two caption lines; JPEG. Raises GradcamError."""
    if columns < 1 or most < 1:
        raise GradcamError("A contact sheet needs a column and a picture.", "Choose numbers from 1.")
    worst = heapq.nsmallest(most, rows, key=worst_first)
    columns = min(columns, max(len(worst), 1))
    lines = max(-(-len(worst) // columns), 1)
    height = TILE + 2 * LINE + GAP
    sheet = Image.new("RGB", (columns * (TILE + GAP) + GAP, lines * height + GAP), GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, row in enumerate(worst):
        left, top = GAP + place % columns * (TILE + GAP), GAP + place // columns * height
        tile = _drawn(row)
        if tile is not None:
            tile.thumbnail((TILE, TILE))
            sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        for line, (words, colour) in enumerate(((_words(row), TEXT), (row.name, QUIET))):
            pen.text((left, top + TILE + 1 + line * LINE), _fitting(words, font), fill=colour, font=font)
    written = io.BytesIO()
    sheet.save(written, "JPEG", quality=90)
    return written.getvalue()


def _words(row: GalleryRow) -> str:
    if row.problem:
        return row.problem
    answer = f"{row.label} {percent(row.probability)}"
    return f"{answer}, true: {row.true_label}" if row.correct is False else answer


def _drawn(row: GalleryRow) -> Image.Image | None:
    """The tile with the heat of its top answer; None where there is no tile, or a damaged one."""
    try:
        with Image.open(io.BytesIO(row.tile or b"")) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    drawn = pixels if row.raw is None else draw_on_tile(pixels, row.raw, row.offset, signed=row.signed)
    return Image.fromarray(drawn)


def _fitting(words: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """A line as wide as a tile at most. What is not printable ASCII or Latin-1 is written as "?"."""
    words = words.replace("\u202f", " ").replace("–", "-").replace("’", "'")[:LETTERS]
    line = "".join(letter if letter.isprintable() and ord(letter) < 256 else "?" for letter in words)
    if font.getlength(line) <= TILE:
        return line
    while line and font.getlength(line + "...") > TILE:
        line = line[:-1]
    return line + "..."
