"""Stored values -> what is shown: 0 (black) to 1 (white), with words for what was done on the way."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float32, Shaped

from gradcam_core.errors import PictureError
from gradcam_core.picture import GreyCurve
from gradcam_core.readers.ranges import Mask, Range, Samples, bands, extremes, range_of
from gradcam_core.readers.stored import StoredPicture
from gradcam_core.shapes import Pixels
from gradcam_core.text import number

WHITE_NOTE = "See-through parts are laid on white."
CLEAR_NOTE = "The file says that the whole picture is see-through; it is shown opaque."
_NARROWEST = 1e-6  # a window of one value parts black from white


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What is shown: `stored_range` as black and white, in stored values; `usual_range` is that without a window.

    `value_range` are the least and the largest value.
    """

    pixels: Pixels
    bits: int
    stored_range: Range
    usual_range: Range
    value_range: Range
    laid_on_white: bool
    notes: tuple[str, ...]


def show(picture: StoredPicture, window: Range | None) -> Shown:
    """Bring stored values to 0..1.

    8-bit values are divided by 255. Deeper grey and floating-point colour are stretched over their own
    values, without far outliers; deep colour over the bits in use. The file's own window or curve comes before that,
    and a window (centre, width) before all.
    """
    samples = _as_grey(picture.samples, window is not None)
    valid, notes = _valid(samples, picture)
    alpha, clear = _opacity(picture)
    own, words = _own_range(picture, samples, _both(valid, alpha))
    low, high = own if window is None else _window_range(window, samples.shape[2] == 1, picture.greys.counted)
    notes += clear + ((*words, *filter(None, [picture.greys_note])) if window is None else (_window_note(window),))
    curve = picture.greys.curve if window is None else None
    through = window or picture.greys.usual
    straight = _exact(through, picture.greys.counted) if through and curve is None else None
    eight = samples.dtype == np.uint8 and curve is None and (straight is None or _keeps_steps(*straight))
    exact = eight and (straight is not None or alpha is not None or picture.inverted)
    plain = eight and straight is None and valid is None and alpha is None and not picture.inverted
    shade = _shader(curve, straight, (low, high))
    pixels = np.empty((*samples.shape[:2], 3), np.float32)
    for rows in bands(samples):
        if plain:
            np.divide(samples[rows], np.float32(255), out=pixels[rows])
            continue
        shown = shade(samples[rows])
        if picture.inverted:
            shown = 1 - shown
        if valid is not None:
            shown[~valid[rows]] = 0
        if alpha is not None:
            shown = shown * alpha[rows, :, None] + (1 - alpha[rows, :, None])
        pixels[rows] = np.rint(shown * 255) / np.float32(255) if exact else shown
    bits = 8 if eight else 16 if samples.dtype.itemsize <= 2 and samples.dtype != np.uint8 else 32
    ends, own_ends = ((second, first) if picture.inverted else (first, second) for first, second in ((low, high), own))
    values = (0.0, 255.0) if samples.dtype == np.uint8 else extremes(samples, valid, -math.inf, math.inf)
    return Shown(pixels, bits, ends, own_ends, values, alpha is not None, notes + (WHITE_NOTE,) * (alpha is not None))


def _window_note(window: Range) -> str:
    level, width = (number(value) for value in window)
    return f"The model was given level {level} and window {width}, as they were set."


def range_of_channels(picture: StoredPicture) -> Range:
    """The stored values that a model for all of a picture's channels gets as 0 and 1: the same in every channel."""
    samples = picture.samples if picture.channels is None else picture.channels
    low, high, _ = range_of(samples, _valid(samples, picture)[0], False, False)
    return low, high


def _own_range(picture: StoredPicture, samples: Samples, seen: Mask | None) -> tuple[Range, tuple[str, ...]]:
    """The values at the ends of what is shown without a window, and words where they are the picture's own."""
    if picture.greys.curve is not None:
        first, steps = picture.greys.curve.first, len(picture.greys.curve.shades) - 1
        return (first, first + picture.greys.curve.step * steps), ()
    if picture.greys.usual is not None:
        return _window_range(picture.greys.usual, True, picture.greys.counted), ()
    low, high, words = range_of(samples, seen, samples.shape[2] == 1, picture.inverted)
    return (low, high), words


def _shader(curve: GreyCurve | None, window: Range | None, ends: Range) -> Callable[[Samples], Samples]:
    """How stored values become 0..1: along a curve, through a window, or from end to end."""
    if curve is not None:
        return partial(_through_curve, curve=curve)
    if window is not None:
        return partial(_through_window, centre=window[0], width=window[1])
    return partial(_stretch, low=ends[0], high=ends[1])


def _opacity(picture: StoredPicture) -> tuple[Float32[np.ndarray, "H W"] | None, tuple[str, ...]]:
    """The opacity where it matters, and words where all of the picture would be see-through."""
    if picture.alpha is None or picture.alpha.min() == 1:
        return None, ()
    return (picture.alpha, ()) if picture.alpha.any() else (None, (CLEAR_NOTE,))


def _as_grey(samples: Samples, windowed: bool) -> Shaped[np.ndarray, "H W D"]:
    """Three equal channels are grey: viewers often export grey as RGB. 8-bit colour is alike either way."""
    if samples.shape[2] == 1 or (samples.dtype == np.uint8 and not windowed):
        return samples
    first = samples[..., 0]
    return samples[..., :1] if all(np.array_equal(first, samples[..., other]) for other in (1, 2)) else samples


def _valid(samples: Samples, picture: StoredPicture) -> tuple[Mask | None, tuple[str, ...]]:
    """Which pixels hold a value: a finite number other than the file's own "no data"; None where all do."""
    nodata = picture.nodata
    valid = np.ones(samples.shape[:2], bool)
    notes: tuple[str, ...] = ()
    if samples.dtype.kind == "f":
        for rows in bands(samples):
            valid[rows] = np.isfinite(samples[rows]).all(axis=2)
        if not valid.any():
            raise PictureError(
                "No pixel of this picture holds a finite number (all are NaN or infinite).",
                "Check how the file was made, and export it again.",
            )
        count = valid.size - int(valid.sum())
        notes = (f"Pixels without a finite number (NaN or infinite), shown black: {count:,}.",) * bool(count)
    if nodata is not None and math.isfinite(nodata):
        empty = np.zeros_like(valid)
        with np.errstate(over="ignore"):
            for rows in bands(samples):
                empty[rows] = valid[rows] & (samples[rows] == nodata).all(axis=2)
        count = int(empty.sum())
        # Where nothing else is stored, the value counts as an ordinary one.
        if 0 < count < int(valid.sum()):
            valid &= ~empty
            notes += (f"Pixels that the file marks as having no data (value {nodata:,g}), shown black: {count:,}.",)
    if picture.missing is not None and (valid & ~picture.missing).any():
        valid &= ~picture.missing
    return (None if valid.all() else valid), notes


def _both(valid: Mask | None, alpha: Float32[np.ndarray, "H W"] | None) -> Mask | None:
    """The pixels that set the range: those that hold a value and are not wholly see-through."""
    if alpha is None:
        return valid
    seen = alpha > 0 if valid is None else valid & (alpha > 0)
    return seen if seen.any() else valid


def _stretch(band: Samples, low: float, high: float) -> Float32[np.ndarray, "rows W C"]:
    if band.dtype == np.uint8:
        steps: Float32[np.ndarray, "rows W C"] = np.divide(band, np.float32(255), dtype=np.float32, casting="unsafe")
        return steps
    # Whole numbers of 16 bits are exact in float32. Halves keep the largest numbers from overflowing.
    narrow = band.dtype.kind in "iu" and band.dtype.itemsize <= 2
    wide: Samples = band.astype(np.float32 if narrow else np.float64)
    with np.errstate(all="ignore"):
        return np.clip((wide / 2 - low / 2) / (high / 2 - low / 2), 0, 1).astype(np.float32, copy=False)


def _through_window(band: Samples, centre: float, width: float) -> Float32[np.ndarray, "rows W C"]:
    with np.errstate(all="ignore"):
        return np.clip((band.astype(np.float64) - centre) / width + 0.5, 0, 1).astype(np.float32)


def _through_curve(band: Samples, curve: GreyCurve) -> Float32[np.ndarray, "rows W C"]:
    """The shade at each value; beyond its ends, that of its ends."""
    places = (band.astype(np.float64) - curve.first) / curve.step
    last = len(curve.shades) - 1
    if band.dtype.kind in "iu" and curve.step == 1:
        shades: Float32[np.ndarray, "rows W C"] = curve.shades[np.clip(places, 0, last).astype(np.int64)]
        return shades
    return np.asarray(np.interp(places, np.arange(last + 1), curve.shades), np.float32)


def _exact(window: Range, counted: bool) -> Range:
    """A window's exact centre and width. One that counts whole values is one narrower, half a value lower."""
    centre, width = window
    return (centre - 0.5, max(width - 1, _NARROWEST)) if counted else window


def _keeps_steps(centre: float, width: float) -> bool:
    """Whether a window maps 8-bit values to whole 255ths again."""
    steps = _through_window(np.arange(256, dtype=np.uint8).reshape(1, 256, 1), centre, width) * 255
    return bool(np.abs(steps - np.rint(steps)).max() <= 1e-3)


def _window_range(window: Range, grey: bool, counted: bool) -> Range:
    """The stored values at a window's two ends."""
    if not grey:
        raise PictureError("A window (centre, width) fits grey pictures only; this one has colours.", "Leave it out.")
    centre, width = _exact(window, counted)
    low, high = centre - width / 2, centre + width / 2
    if not (math.isfinite(low) and math.isfinite(high) and window[1] > 0):
        raise PictureError(
            "The window needs a finite centre and a finite width above 0.",
            "Give both in the picture's stored values, for instance 40 and 400.",
        )
    return low, high
