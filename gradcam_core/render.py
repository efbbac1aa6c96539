"""Heatmap -> colours: tables, the overlay on its picture, the heatmap alone."""

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from gradcam_core.errors import GradcamError
from gradcam_core.placement import Centres, Placement
from gradcam_core.records import Heatmap, ImageRecord
from gradcam_core.shapes import Colours, Heat, Map
from gradcam_core.targets import outlines_of

ColourTable = UInt8[np.ndarray, "256 3"]
Share = float | int

COLOUR_MAPS: Mapping[str, str] = MappingProxyType(
    {
        "inferno": "Inferno: safe for colour-blind eyes",
        "cividis": "Cividis: made for colour-blind eyes",
        "viridis": "Viridis",
        "turbo": "Turbo: rainbow with even steps",
        "gray": "Grey",
        "jet": "Jet, legacy: its bright bands can mislead",
    }
)
COLOUR_MAP = "inferno"
OPACITY = 0.6
THRESHOLD = 0.0
RAMP_END = 0.5
# Fine lines have few peaks: maps with both signs cover fully from here on.
SIGNED_RAMP_END = 0.2
# A picture's longer side is so many times the width of an outline.
OUTLINE = 500
# From blue (against the class) over light grey (nothing) to orange (for it): safe for colour-blind eyes.
DIVERGING_PLACES = (-1.0, -0.5, 0.0, 0.5, 1.0)
DIVERGING = ((23, 62, 148), (74, 144, 226), (236, 236, 232), (245, 158, 66), (176, 62, 8))


def colour_table(name: str) -> ColourTable:
    """RGB colours for the values 0/255 .. 255/255, of OpenCV's map of this name.

    "diverging" is for maps with both signs, whose zero is in its middle; it is used for these alone.
    """
    if name == "diverging":
        places, anchors = np.array(DIVERGING_PLACES), np.array(DIVERGING)
        steps = np.linspace(-1, 1, 256)
        columns = [np.rint(np.interp(steps, places, anchor)).astype(np.uint8) for anchor in anchors.T]
        return np.stack(columns, axis=1)
    if name not in COLOUR_MAPS:
        raise GradcamError(f"There is no colour map '{name}'.", f"Choose one of {', '.join(COLOUR_MAPS)}.")
    steps = np.arange(256, dtype=np.uint8)
    if name == "gray":
        return np.stack([steps] * 3, axis=1)
    colours = cv2.applyColorMap(steps.reshape(256, 1), getattr(cv2, f"COLORMAP_{name.upper()}"))
    return np.ascontiguousarray(colours.reshape(256, 3)[:, ::-1]).astype(np.uint8)


def heat_opacity(
    values: Float32[np.ndarray, "*any"], opacity: Share, threshold: Share, end: float = RAMP_END
) -> Float32[np.ndarray, "*any"]:
    """Opacity 0..1 of the colours over the picture, for values 0..1.

    opacity * x * x * (3 - 2 x) with x = min(value / end, 1): cold areas leave the picture visible,
    and values from `end` on are covered fully. 0 below the threshold and where the value is NaN.
    The viewer draws with the same formula.
    """
    _check_share("opacity", opacity)
    _check_share("threshold", threshold)
    x = np.minimum(values * np.float32(1 / end), np.float32(1))
    covered = x * x * (3 - 2 * x) * np.float32(opacity)
    return np.where(values >= threshold, covered, np.float32(0))


def picture_pixels(image: ImageRecord) -> Colours:
    """The picture as it is shown, in 8 bits."""
    return np.asarray(cv2.convertScaleAbs(image.pixels, alpha=255), np.uint8)


def overlay(
    image: ImageRecord,
    heatmap: Heatmap,
    *,
    opacity: Share = OPACITY,
    threshold: Share = THRESHOLD,
    colormap: str = COLOUR_MAP,
    peak: float | None = None,
) -> Colours:
    """Lay the heatmap's colours on the picture, as large as the picture.

    `peak` is the raw value that 1 stands for; None: the map's own. What the model did not see is veiled. A
    heatmap whose state is not "ok" leaves the picture plain.
    """
    _check_belongs(image, heatmap)
    table, values, sizes = _colours_of(heatmap, colormap, peak)
    _check_share("threshold", threshold)
    share = heat_opacity(sizes, opacity, 0, SIGNED_RAMP_END if heatmap.signed else RAMP_END)[:, None]
    shown = picture_pixels(image)
    if heatmap.state != "ok":
        return _outlined(_veil(shown, shown, heatmap.placement), heatmap)
    steps = _steps(values)
    if threshold > 0:
        nothing = 128 if heatmap.signed else 0
        steps[(np.abs(2 * values - 1) if heatmap.signed else values) < threshold] = nothing
    kept, tint = _look_up(steps, 255 * (1 - share.repeat(3, axis=1))), _look_up(steps, table * share)
    # Whole numbers, in place: three times faster than the same in floats, and at most 2/255 off.
    blended = cv2.add(cv2.multiply(shown, kept, dst=kept, scale=1 / 255), tint, dst=kept)
    return _outlined(_veil(np.asarray(blended, np.uint8), shown, heatmap.placement), heatmap)


def draw_on_tile(tile: Colours, raw: Map, offset: tuple[float, float] = (0.0, 0.0), *, signed: bool = False) -> Colours:
    """Lay a raw map's colours on a small picture of the model's input, as `overlay` does on the picture itself.

    `offset` is how far (down, right) the cells lie beside an even tiling, in cells. A map without evidence leaves the
    picture plain.
    """
    grid = raw if signed else np.maximum(raw, 0)
    peak = np.abs(grid).max(initial=0)
    if not (np.isfinite(raw).all() and peak > 0):
        return tile
    height, width = tile.shape[:2]
    centres = Centres((offset[0] * height / grid.shape[0], offset[1] * width / grid.shape[1]))
    whole = Placement((height, width), (height, width), (0.0, 0.0, float(height), float(width)), centres)
    values = whole.restore(np.asarray(grid / peak, np.float32))
    share = heat_opacity(np.abs(values), OPACITY, 0, SIGNED_RAMP_END if signed else RAMP_END)[..., None]
    colours = colour_table("diverging" if signed else COLOUR_MAP)[_steps((values + 1) / 2 if signed else values)]
    return np.asarray(np.rint((1 - share) * tile + share * colours), np.uint8)


def colour_heatmap(
    heatmap: Heatmap, *, threshold: Share = THRESHOLD, colormap: str = COLOUR_MAP, peak: float | None = None
) -> Colours:
    """The heatmap alone, on the picture's pixels: black below the threshold, hatched grey where the model did not look.

    `peak` is the raw value that 1 stands for; None: the map's own.
    """
    _check_share("threshold", threshold)
    table, values, _ = _colours_of(heatmap, colormap, peak)
    colours = _look_up(_steps(values), table)
    if threshold > 0:
        colours[(np.abs(2 * values - 1) if heatmap.signed else values) < threshold] = 0
    return _outlined(_veil(colours, np.full((*values.shape, 3), 128, np.uint8), heatmap.placement), heatmap)


def _outlined(colours: Colours, heatmap: Heatmap) -> Colours:
    """Draw the object's box or the region that the heatmap is about, white on a dark edge."""
    polygons = [np.rint(polygon).astype(np.int32) for polygon in outlines_of(heatmap.target, heatmap.placement)]
    if not polygons:
        return colours
    width, drawn = max(1, round(max(colours.shape[:2]) / OUTLINE)), np.ascontiguousarray(colours)
    for thickness, colour in ((3 * width, (0, 0, 0)), (width, (255, 255, 255))):
        cv2.polylines(drawn, polygons, True, colour, thickness, cv2.LINE_AA)
    return drawn


def outline_cells(pixels: Colours, heatmap: Heatmap) -> Colours:
    """Draw dashes of 65 % white between the cells of a heatmap's map, on a picture of the size that it explains."""
    height, width = pixels.shape[:2]
    thick = max(1, min(height, width) // 500)
    top, left, bottom, right = heatmap.placement.box
    beside, rows, columns = heatmap.placement.cell_offset, *heatmap.raw.shape
    down = np.rint(np.linspace(top, bottom, rows + 1) + beside[0]).astype(int)
    across = np.rint(np.linspace(left, right, columns + 1) + beside[1]).astype(int)
    here = (np.arange(height) >= down[0]) & (np.arange(height) <= down[-1])
    there = (np.arange(width) >= across[0]) & (np.arange(width) <= across[-1])
    dash = (np.arange(max(height, width)) // thick) % 5 < 2
    lines = np.zeros((height, width), np.uint8)
    for row in down[(down > -thick) & (down < height)]:
        lines[max(row, 0) : row + thick] |= (dash[:width] & there).astype(np.uint8)
    for column in across[(across > -thick) & (across < width)]:
        lines[:, max(column, 0) : column + thick] |= (dash[:height] & here).astype(np.uint8)[:, None]
    return np.asarray(
        cv2.copyTo(cv2.convertScaleAbs(pixels, alpha=0.35, beta=0.65 * 255), lines, pixels.copy()), np.uint8
    )


def _colours_of(
    heatmap: Heatmap, colormap: str, peak: float | None
) -> tuple[ColourTable, Heat, Float32[np.ndarray, "256"]]:
    """The colours, the heatmap's values on their range 0..1, and the size that each colour stands for.

    For a map with both signs, 0.5 is zero.
    """
    range_ = np.linspace(0, 1, 256, dtype=np.float32)
    own = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
    share = np.float32(1 if peak is None or not peak > 0 else own / peak)
    if not heatmap.signed:
        values = heatmap.values if share == 1 else np.minimum(heatmap.values * share, np.float32(1))
        return colour_table(colormap), values, range_
    colour_table(colormap)  # an unknown name is refused here too
    return colour_table("diverging"), (np.clip(heatmap.signed_values * share, -1, 1) + 1) / 2, np.abs(2 * range_ - 1)


def _steps(values: Heat) -> UInt8[np.ndarray, "H W"]:
    """Values 0..1 in 256 steps. NaN gets any step, since the veil covers it."""
    return np.asarray(cv2.convertScaleAbs(values, alpha=255), np.uint8)


def _look_up(steps: UInt8[np.ndarray, "H W"], table: Shaped[np.ndarray, "256 3"]) -> Colours:
    """The colour of each step, in 8 bits."""
    rows = np.rint(table).astype(np.uint8).reshape(256, 1, 3)
    return np.asarray(cv2.applyColorMap(steps, rows), np.uint8)


def _check_belongs(image: ImageRecord, heatmap: Heatmap) -> None:
    """Raise GradcamError for a heatmap of another picture. The same one through another window is allowed."""
    origin = heatmap.origin
    same = origin is None or origin.picture._replace(window=None) == image.identity._replace(window=None)
    if not same or heatmap.placement.image_size != (image.height, image.width):
        raise GradcamError("This heatmap was computed for another picture.", "Give the picture that it explains.")


def _check_share(word: str, number: Share) -> None:
    if not 0 <= number <= 1:
        raise GradcamError(f"The {word} {number} cannot be drawn.", "Choose a number from 0 to 1.")


def _veil(shown: Colours, ground: Colours, placement: Placement) -> Colours:
    """Darken what the model did not see by 60 %, and hatch it with fine lines of 30 % white."""
    height, width = shown.shape[:2]
    top, left, bottom, right = placement.seen()
    if (top, left, bottom, right) == (0, 0, height, width):
        return shown
    period = max(7, min(height, width) // 72)
    diagonal = np.arange(height + width) % period < period // 7
    hatch = np.lib.stride_tricks.sliding_window_view(diagonal, width)[:height, :, None]
    veiled, across = shown.copy(), slice(top, bottom)
    for part in np.s_[:top, :], np.s_[bottom:, :], np.s_[across, :left], np.s_[across, right:]:
        if veiled[part].size:
            dark = cv2.convertScaleAbs(ground[part], alpha=0.4)
            lined = cv2.convertScaleAbs(ground[part], alpha=0.7 * 0.4, beta=0.3 * 255)
            veiled[part] = np.where(hatch[part], lined, dark)
    return veiled
