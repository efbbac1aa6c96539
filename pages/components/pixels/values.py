"""The stored values of a grey picture in 16 bits, so that the browser can set a window on all of them."""

import dataclasses

import numpy as np
from jaxtyping import Float32, UInt16

from gradcam_core import ImageRecord
from pages.components.analysis.decoding import read_image

# A window a little wider than the values of all types of up to 16 bits: read through it, none is cut off, and only
# pixels without a value are wholly black, or white where low values are white.
LEAST, MOST = -32769, 65536
LEVELS = 65535
WHOLE_NUMBER = 0.05  # float32 pixels are off by less than this, brought back to stored values


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GreyValues:
    """Stored values as `offset + step * levels`. Pixels without a value have the level `empty`; -1: there are none."""

    levels: UInt16[np.ndarray, "H W"]
    offset: float
    step: float
    empty: int = -1


def read_values(image: ImageRecord, content: bytes) -> GreyValues:
    """Read a grey picture's stored values: exact up to 16 bits, otherwise 65,536 steps over the range that is shown."""
    usual = image if image.window is None else read_image(content, frame=image.frame)
    inverted = usual.stored_range[0] > usual.stored_range[1]
    if usual.bits <= 16:
        window = ((LEAST + MOST) / 2, MOST - LEAST)
        stored = _upwards(read_image(content, frame=image.frame, window=window), inverted) * np.float32(MOST - LEAST)
        stored += np.float32(LEAST)
        whole = np.rint(stored)
        if np.abs(stored - whole).max() < WHOLE_NUMBER:
            return _whole(whole)
    low, high = sorted(usual.stored_range)
    levels = np.rint(_upwards(usual, inverted) * np.float32(LEVELS)).astype(np.uint16)
    return GreyValues(levels, low, (high - low) / LEVELS)


def _upwards(image: ImageRecord, inverted: bool) -> Float32[np.ndarray, "H W"]:
    """The pixels, growing with the stored values."""
    shown = image.pixels[..., 0]
    return 1 - shown if inverted else shown.copy()


def _whole(stored: Float32[np.ndarray, "H W"]) -> GreyValues:
    """Pack whole numbers; pixels without a value get a level that no other has."""
    missing = (stored <= LEAST) | (stored >= MOST)
    if not missing.any() or missing.all():
        low = float(stored.min())
        return GreyValues((stored - low).astype(np.uint16), low, 1.0)
    low = float(stored[~missing].min())
    levels = np.where(missing, 0, stored - low).astype(np.uint16)
    counts = np.bincount(levels[~missing], minlength=LEVELS + 1)
    empty = int(counts.argmin()) if counts.min() == 0 else -1
    levels[missing] = max(empty, 0)
    return GreyValues(levels, low, 1.0, empty)
