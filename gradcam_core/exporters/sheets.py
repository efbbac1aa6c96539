"""The worst pictures of a batch -> one JPEG with captions."""

import heapq
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.gallery import GalleryRow, worst_first
from gradcam_core.exporters.letters import Type, paint, shortened
from gradcam_core.render import draw_on_tile
from gradcam_core.text import one_line, percent

TILE, GAP, LINE = 128, 12, 14
LETTERS = 160  # more never fit into a caption, and measuring them takes time
GROUND = (12, 13, 15)
TEXT, QUIET = Type(11, (0.9, 0.905, 0.915)), Type(11, (0.635, 0.655, 0.68))


def contact_sheet(rows: Iterable[GalleryRow], columns: int = 8, most: int = 64) -> bytes:
    """Draw the worst rows with their heat and two caption lines; JPEG. Raises GradcamError."""
    if columns < 1 or most < 1:
        raise GradcamError("A contact sheet needs a column and a picture.", "Choose numbers from 1.")
    worst = heapq.nsmallest(most, rows, key=worst_first)
    columns = min(columns, max(len(worst), 1))
    lines = max(-(-len(worst) // columns), 1)
    height = TILE + 2 * LINE + GAP
    sheet = Image.new("RGB", (columns * (TILE + GAP) + GAP, lines * height + GAP), GROUND)
    pen = ImageDraw.Draw(sheet)
    for place, row in enumerate(worst):
        left, top = GAP + place % columns * (TILE + GAP), GAP + place // columns * height
        tile = _drawn(row)
        if tile is not None:
            tile.thumbnail((TILE, TILE))
            sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        for line, (words, style) in enumerate(((_words(row), TEXT), (row.name, QUIET)), 1):
            fitting = shortened(one_line(words, LETTERS), style, TILE)
            paint(pen, fitting, left, top + TILE - 2 + line * LINE, style)
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
