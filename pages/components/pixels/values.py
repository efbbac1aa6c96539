"""The stored values of a grey picture in 16 bits, so that the browser can set a window on all of them."""

import dataclasses

import numpy as np
from jaxtyping import Float32, UInt16

from gradcam_core import ImageRecord
from pages.components.analysis.decoding import read_image

# A little more than the values of all types of up to 16 bits: read over this range, none is cut off, and only pixels
# without a value are wholly black, or white where low values are white.
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
    """Read a grey picture's stored values: exact up to 16 bits, otherwise 65,534 steps over all of them."""
    if image.bits <= 16:
        stored = _upwards(image, content, LEAST, MOST) * np.float32(MOST - LEAST)
        stored += np.float32(LEAST)
        whole = np.rint(stored)
        if np.abs(stored - whole).max() < WHOLE_NUMBER:
            return _whole(whole)
    low, high = image.value_range
    step = (high - low) / (LEVELS - 2) or 1.0
    levels = np.rint(_upwards(image, content, low - step, high + step) * np.float32(LEVELS)).astype(np.uint16)
    return GreyValues(levels, low - step, step, LEVELS if _inverted(image) else 0)


def read_frame(image: ImageRecord, content: bytes, frame: int) -> GreyValues:
    """Read another frame of a picture. Those of a DICOM picture of up to 16 bits are alike, and read at once."""
    alike = image.format == "DICOM" and image.bits <= 16
    if not alike:
        return read_values(read_image(content, frame=frame, blanked=image.blanked, sha256=image.sha256), content)
    return read_values(dataclasses.replace(image, frame=frame), content)


def _inverted(image: ImageRecord) -> bool:
    return image.stored_range[0] > image.stored_range[1]


def _upwards(image: ImageRecord, content: bytes, low: float, high: float) -> Float32[np.ndarray, "H W"]:
    """The pixels, 0 at `low` and 1 at `high`. Those without a value are at the end that is shown black."""
    counted = 1 if image.greys.counted else 0  # such a window is one wider than the values between its ends
    window = ((low + high + counted) / 2, high - low + counted)
    shown = read_image(content, frame=image.frame, window=window, blanked=image.blanked, sha256=image.sha256).pixels[
        ..., 0
    ]
    return 1 - shown if _inverted(image) else shown.copy()


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
