"""One heatmap as a figure for slides: the overlay above a caption with its colour bar."""

import cv2
import numpy as np

from gradcam_core.exporters.images import png
from gradcam_core.exporters.names import one_line
from gradcam_core.records import Heatmap, ImageRecord
from gradcam_core.render import COLOUR_MAP, OPACITY, THRESHOLD, Share, colour_table, overlay
from gradcam_core.shapes import Colours

NARROWEST = 640
NORMAL, BOLD = 400, 650
PAPER, INK, FAINT = (255, 255, 255), (24, 26, 30), (92, 96, 104)


def figure(
    image: ImageRecord,
    heatmap: Heatmap,
    *,
    title: str = "",
    opacity: Share = OPACITY,
    threshold: Share = THRESHOLD,
    colormap: str = COLOUR_MAP,
) -> bytes:
    """Draw a PNG with class, probability, method, layer, cell size, and colours from 0 to the raw peak.

    `title` is the method's, in words. Small pictures are enlarged by whole steps, pixel by pixel.
    """
    pixels = overlay(image, heatmap, opacity=opacity, threshold=threshold, colormap=colormap)
    step = max(1, NARROWEST // max(pixels.shape[:2]))
    pixels = pixels.repeat(step, axis=0).repeat(step, axis=1)
    caption = _caption(max(NARROWEST, pixels.shape[1]), heatmap, title or heatmap.method, threshold, colormap)
    margin = caption.shape[1] - pixels.shape[1]
    sides = ((0, 0), (margin // 2, margin - margin // 2), (0, 0))
    return png(np.vstack([np.pad(pixels, sides, constant_values=PAPER[0]), caption]))


def _caption(width: int, heatmap: Heatmap, title: str, threshold: Share, colormap: str) -> Colours:
    """What is shown and how: class, method, colour bar, and what it does not tell."""
    size = max(16, width // 44)
    small, line, room = round(size * 0.8), round(size * 1.7), width - 2 * size
    strip = np.full((5 * line, width, 3), PAPER, np.uint8)
    target = heatmap.target
    likely = f"{target.probability:.1%}" if np.isfinite(target.probability) else ""
    beside = _width(likely, size, BOLD)
    _write(strip, likely, (width - size - beside, line), size, INK, BOLD)
    _write(strip, _fit(one_line(target.label), room - beside - size, size, BOLD), (size, line), size, INK, BOLD)
    high, wide = heatmap.placement.cell_size((heatmap.raw.shape[0], heatmap.raw.shape[1]))
    where = f"layer {one_line(heatmap.layer)}" if heatmap.layer else "on the model's input"
    source = f"{one_line(title)}{_draft(heatmap)} · one cell is {wide:.0f} × {high:.0f} pixels · {where}"
    _write(strip, _fit(source, room, small), (size, 2 * line), small, FAINT)
    if heatmap.state == "ok":
        _colour_bar(strip, heatmap, (size, 3 * line), small, threshold, colormap)
    else:
        words = "moves this class's score" if heatmap.signed else "speaks for this class"
        _write(strip, f"{heatmap.state.capitalize()}: nothing here {words}.", (size, 3 * line), small, INK)
    veil = " Hatched: not seen by the model." if np.isnan(heatmap.values).any() else ""
    note = f"Shows where the model's score is sensitive. Research use.{veil}"
    _write(strip, _fit(note, room, small), (size, round(4.2 * line)), small, FAINT)
    return strip


def _colour_bar(
    strip: Colours, heatmap: Heatmap, place: tuple[int, int], size: int, threshold: Share, colormap: str
) -> None:
    """Draw all colours between the raw values that they stand for; paper where nothing is coloured."""
    signed = heatmap.signed
    numbers = (f"{-heatmap.raw_size:.3g}", f"{heatmap.raw_size:.3g}") if signed else ("0", f"{heatmap.raw_peak:.3g}")
    left = place[0] + _width(numbers[0], size) + size // 2
    right = strip.shape[1] - place[0] - _width(numbers[1], size) - size // 2
    steps = np.linspace(0, 1, right - left)
    colours = colour_table("diverging" if signed else colormap)[np.rint(steps * 255).astype(int)]
    colours[(np.abs(2 * steps - 1) if signed else steps) < threshold] = PAPER
    strip[place[1] - size + 2 : place[1] + 1, left:right] = colours
    _write(strip, numbers[0], place, size, INK)
    _write(strip, numbers[1], (right + size // 2, place[1]), size, INK)


def _draft(heatmap: Heatmap) -> str:
    share = heatmap.options.get("share", 1)
    return f" (draft, {share:.0%} of the channels)" if share < 1 else ""


# Pillow's own font has no letters beyond ASCII; OpenCV's covers most of the world's.
def _write(
    strip: Colours, text: str, place: tuple[int, int], size: int, colour: tuple[int, int, int], weight: int = NORMAL
) -> None:
    cv2.putText(strip, text, place, colour, cv2.FontFace("sans"), size, weight)


def _width(text: str, size: int, weight: int = NORMAL) -> int:
    return int(cv2.getTextSize((1, 1), text, (0, 0), cv2.FontFace("sans"), size, weight)[2])


def _fit(text: str, room: int, size: int, weight: int = NORMAL) -> str:
    """Shorten text, with dots at its end, to so many pixels."""
    kept = text
    while kept and _width(text, size, weight) > room:
        kept = kept[:-1]
        text = f"{kept.rstrip()}…"
    return text
