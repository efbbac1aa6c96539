"""The worst pictures of a batch -> one JPEG with captions."""

import heapq
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.gallery import GalleryRow, worst_first
from gradcam_core.placement import Centres, Placement
from gradcam_core.render import OPACITY, RAMP_END, SIGNED_RAMP_END, colour_table, heat_opacity
from gradcam_core.shapes import Colours
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
        if row.tile is not None:
            tile = Image.fromarray(_heat_on_tile(row, row.tile))
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


def _heat_on_tile(row: GalleryRow, content: bytes) -> Colours:
    """The tile with the heat of its top answer, as `render.overlay` draws it."""
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert("RGB"))
    if row.raw is None or not np.isfinite(row.raw).all():
        return pixels
    grid = row.raw if row.signed else np.maximum(row.raw, 0)
    peak = np.abs(grid).max(initial=0)
    if not peak > 0:
        return pixels
    height, width = pixels.shape[:2]
    offset = (row.offset[0] * height / grid.shape[0], row.offset[1] * width / grid.shape[1])
    box = (0.0, 0.0, float(height), float(width))
    values = Placement((height, width), (height, width), box, Centres(offset)).restore(grid / peak)
    share = heat_opacity(np.abs(values), OPACITY, 0, SIGNED_RAMP_END if row.signed else RAMP_END)[..., None]
    steps = np.rint(255 * np.clip((values + 1) / 2 if row.signed else values, 0, 1)).astype(np.uint8)
    table = colour_table("diverging" if row.signed else "inferno")
    return np.asarray(np.rint((1 - share) * pixels + share * table[steps]), np.uint8)


def _fitting(words: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """A line as wide as a tile at most. What is not printable ASCII or Latin-1 is written as "?"."""
    words = words.replace("\u202f", " ").replace("–", "-").replace("’", "'")[:LETTERS]
    line = "".join(letter if letter.isprintable() and ord(letter) < 256 else "?" for letter in words)
    if font.getlength(line) <= TILE:
        return line
    while line and font.getlength(line + "...") > TILE:
        line = line[:-1]
    return line + "..."
