"""Stored values -> what is shown: 0 (black) to 1 (white), with words for what was done on the way."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from gradcam_core.errors import PictureError
from gradcam_core.readers.stored import StoredPicture
from gradcam_core.shapes import Pixels

WHITE_NOTE = "See-through parts are laid on white."

Samples = Shaped[np.ndarray, "H W C"]
Shown = Float32[np.ndarray, "H W C"]
Window = tuple[float, float]
Range = tuple[float, float]


def show(picture: StoredPicture, window: Window | None) -> tuple[Pixels, int, Range, tuple[str, ...]]:
    """Bring stored values to 0..1; gives the pixels, their bits, the values shown as black and white, and notes.

    8-bit values are divided by 255. Deeper grey is stretched over the values that it holds, and so
    is floating-point colour, all channels alike; other deep colour keeps the range of its type,
    since a photograph's contrast is not ours to change. A window (centre, width) replaces the range.
    """
    samples, notes = _finite(picture.samples)
    if window is not None and (samples == samples[..., :1]).all():
        # Viewers often export grey as RGB; to a window it is grey all the same.
        samples = samples[..., :1]
    grey = samples.shape[2] == 1
    if window is None:
        low, high, words = _range(samples, picture.alpha, grey)
        shown = _stretch(samples, low, high)
        notes += words
    else:
        low, high = _window_range(window, grey)
        shown = _through_window(samples, *window)
    if picture.inverted:
        shown, low, high = 1 - shown, high, low
    if picture.alpha is not None:
        shown = shown * picture.alpha[..., None] + (1 - picture.alpha[..., None])
        notes += (WHITE_NOTE,)
    shown, bits = _steps(shown, samples.dtype, window is not None)
    return np.repeat(shown, 3, axis=2) if grey else np.ascontiguousarray(shown), bits, (low, high), notes


def _finite(samples: Samples) -> tuple[Samples, tuple[str, ...]]:
    """Put the lowest value where there is no finite number."""
    if samples.dtype.kind != "f":
        return samples, ()
    finite = np.isfinite(samples)
    if finite.all():
        return samples, ()
    if not finite.any():
        raise PictureError(
            "No pixel of this picture holds a finite number (all are NaN or infinite).",
            "Check how the file was made, and export it again.",
        )
    count = int((~finite).any(axis=2).sum())
    note = f"Pixels without a finite number (NaN or infinite), shown as the lowest value: {count}."
    return np.where(finite, samples, samples[finite].min()), (note,)


def _range(samples: Samples, alpha: np.ndarray | None, grey: bool) -> tuple[float, float, tuple[str, ...]]:
    """The stored values that become 0 and 1, and words where they are the picture's own."""
    kind = samples.dtype
    whole = kind.kind in "iu"
    low, high = (float(np.iinfo(kind).min), float(np.iinfo(kind).max)) if whole else (0.0, 1.0)
    if kind == np.uint8 or (whole and not grey):
        return low, high, ()
    # What is wholly see-through is not seen, so it must not set the range either.
    visible = samples if alpha is None or not alpha.any() else samples[alpha > 0]
    darkest, lightest = float(visible.min()), float(visible.max())
    if lightest / 2 - darkest / 2 > 0:
        note = f"The stored values {darkest:g} to {lightest:g} are stretched over the whole scale from black to white."
        return darkest, lightest, (note,)
    return low, high, (f"All pixels hold the value {darkest:g}, so there is no range to stretch.",)


def _stretch(samples: Samples, low: float, high: float) -> Shown:
    # Whole numbers of 16 bits are exact in float32. Halves keep the largest numbers from overflowing.
    narrow = samples.dtype.kind in "iu" and samples.dtype.itemsize <= 2
    wide: Samples = samples.astype(np.float32 if narrow else np.float64)
    with np.errstate(all="ignore"):
        return np.clip((wide / 2 - low / 2) / (high / 2 - low / 2), 0, 1).astype(np.float32, copy=False)


def _through_window(samples: Samples, centre: float, width: float) -> Shown:
    with np.errstate(all="ignore"):
        return np.clip((samples.astype(np.float64) - centre) / width + 0.5, 0, 1).astype(np.float32)


def _window_range(window: Window, grey: bool) -> Range:
    """The stored values at a window's two ends."""
    if not grey:
        raise PictureError("A window (centre, width) fits grey pictures only; this one has colours.", "Leave it out.")
    centre, width = window
    low, high = centre - width / 2, centre + width / 2
    if not (math.isfinite(low) and math.isfinite(high) and width > 0):
        raise PictureError(
            "The window needs a finite centre and a finite width above 0.",
            "Give both in the picture's stored values, for instance 40 and 400.",
        )
    return low, high


def _steps(shown: Shown, kind: np.dtype[Any], windowed: bool) -> tuple[Shown, int]:
    """Tell the bits. What was stored in 8 bits stays so, in exact 255ths, unless a window falls between them."""
    if kind != np.uint8:
        return shown, 16 if kind.itemsize <= 2 else 32
    steps = np.rint(shown * 255)
    if windowed and np.abs(shown * 255 - steps).max() > 1e-3:
        return shown, 32
    return steps / np.float32(255), 8
