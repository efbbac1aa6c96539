"""What a picture of a heatmap must say about itself, below it: class, model, method, colours, date, purpose."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from gradcam_core.exporters.letters import Type, paint, shortened, wrapped
from gradcam_core.exporters.names import Names, shown_reference
from gradcam_core.methods import find_method, what_it_reads
from gradcam_core.records import Explanation, Heatmap
from gradcam_core.render import COLOUR_MAP, colour_table
from gradcam_core.shapes import Colours
from gradcam_core.targets import LoweredTarget
from gradcam_core.tasks import Target, amount_of
from gradcam_core.text import DISCLAIMER, number, one_line

INK, PAPER = (0.09, 0.1, 0.11), (255, 255, 255)
LEAST_WIDTH, LEAST_TEXT, LARGEST_SIDE = 640, 13, 1300  # pixels

Captioned = UInt8[np.ndarray, "rows columns 3"]


def caption_lines(
    explanation: Explanation,
    heatmap: Heatmap,
    *,
    names: Names = "hash",
    display_window: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Say in lines of text what a heatmap shows, of which model and picture, when, and what it is for.

    `display_window` (level, width, invert) is the window of the display where it differs from the model's.
    """
    target, image = heatmap.target, explanation.image
    method = find_method(heatmap.method, {}).title
    layer = f"layer {one_line(heatmap.layer)}" if heatmap.layer else what_it_reads(heatmap.method)
    window = (
        ""
        if image.window is None
        else f"; window {number(image.window[0])}, {number(image.window[1])} given to the model"
    )
    reference = one_line(shown_reference(explanation.reference, explanation.fingerprint, names))
    return (
        f"{_target_words(target)}. {method}, {layer}",
        f"Model {reference} ({explanation.fingerprint[:12]}): {explanation.outputs.words}. "
        f"Picture {image.sha256[:12]}{window}. {explanation.created}",
        *([f"{display_words(display_window)} The model did not see it so."] if display_window else []),
        DISCLAIMER,
    )


def _target_words(target: Target) -> str:
    """A target with its class and what the model gives that class."""
    label, amount = one_line(target.label), amount_of(target)
    if target.index < 0:  # a text or a reference picture
        return f"{label}: {amount}"
    if isinstance(target, LoweredTarget):
        return f"{label} (class {target.index}, which has {amount})"
    return f"{label} (class {target.index}){'' if amount == '–' else f' {amount}'}"


def display_words(window: Mapping[str, Any]) -> str:
    """Say through which window (level, width, invert) a picture is displayed, and which table of greys it `named`."""
    table = f", by table of greys {window['named'] + 1} of the file" if "named" in window else ""
    inverted = ", inverted" if window["invert"] else ""
    return f"Displayed with level {number(window['level'])}, window {number(window['width'])}{table}{inverted}."


def meaning_of_one(heatmap: Heatmap, peak: float | None = None) -> str:
    """What 1 stands for on the colour bar; `peak` is the raw value of a scale that heatmaps share."""
    if heatmap.state != "ok":
        return heatmap.state
    own = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
    whose, value = ("this map's own peak", own) if peak is None else ("the highest peak of all maps", peak)
    return f"{whose} (raw {number(value, '.3g')})"


def with_caption(
    pixels: Colours, lines: tuple[str, ...], *, colormap: str = COLOUR_MAP, signed: bool = False, meaning: str = ""
) -> Captioned:
    """Put the colour bar and lines of text below a picture.

    Small pictures are enlarged so that the text fits; narrow ones stand on wider paper. `meaning` says what 1 stands
    for on the colour bar.
    """
    pixels = _wide_enough(pixels)
    width = pixels.shape[1]
    size = max(LEAST_TEXT, round(width / 62))
    style, margin, baseline = Type(size, INK), round(0.5 * size), round(1.6 * size)
    broken = [part for line in lines for part in wrapped(line, style, width - 2 * margin)]
    below = Image.new("RGB", (width, round(size * (1.45 * len(broken) + 3.2))), PAPER)
    draw = ImageDraw.Draw(below)
    ends = ("-1", f"1  {meaning}") if signed else ("0", f"1  {meaning}")
    left, top, long = round(1.6 * size), round(0.7 * size), 14 * size
    table = colour_table("diverging" if signed else colormap)
    bar = cv2.resize(table[None], (long, size), interpolation=cv2.INTER_NEAREST)
    paint(draw, ends[0], margin, baseline, style)
    below.paste(Image.fromarray(bar), (left, top))
    right = left + long + margin
    paint(draw, shortened(ends[1], style, width - margin - right), right, baseline, style)
    for place, line in enumerate(broken):
        paint(draw, line, margin, round(size * (3.15 + 1.45 * place)), style)
    return np.concatenate([pixels, np.asarray(below)])


def _wide_enough(pixels: Colours) -> Captioned:
    """Enlarge a small picture by a whole number, as far as it stays small; then add paper to its right."""
    height, width = pixels.shape[:2]
    times = min(-(-LEAST_WIDTH // width), max(1, LARGEST_SIDE // max(height, width)))
    if width < LEAST_WIDTH and times > 1:
        pixels = cv2.resize(pixels, (width * times, height * times), interpolation=cv2.INTER_NEAREST)
    missing = max(0, LEAST_WIDTH - pixels.shape[1])
    return np.pad(np.asarray(pixels, np.uint8), ((0, 0), (0, missing), (0, 0)), constant_values=PAPER[0])
