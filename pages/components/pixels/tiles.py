"""Parts of a picture, as the viewer asks for them: tiles of its own pixels, or all of it reduced."""

import math

import cv2
import numpy as np
from jaxtyping import Shaped

from gradcam_core import ImageRecord
from pages.components.analysis.decoding import read_image
from pages.components.pixels.values import GreyValues

TILE = 512
MOST_LEVEL = 6
LONGEST_SIDE, LONGEST_OF_STACK = 1600, 768

Samples = Shaped[np.ndarray, "H W ..."]


def tile_of(picture: ImageRecord | GreyValues, level: int, column: int, row: int) -> Samples | None:
    """Cut a tile of at most 512 pixels a side, each the mean of 2^level by 2^level; None where there is none.

    Grey values stay levels (uint16 [H W]); others are the colours that are shown (uint8 [H W 3]).
    """
    samples = picture.levels if isinstance(picture, GreyValues) else picture.pixels
    span = TILE << level
    part = samples[row * span : (row + 1) * span, column * span : (column + 1) * span]
    if level > MOST_LEVEL or part.size == 0:
        return None
    part = _reduced(part, 1 << level)
    return part if part.dtype == np.uint16 else np.rint(np.clip(part, 0, 1) * 255).astype(np.uint8)


def whole_of(values: GreyValues) -> Samples:
    """All of a grey picture, reduced to at most 1600 pixels a side."""
    return _reduced(values.levels, max(1.0, max(values.levels.shape) / LONGEST_SIDE))


def levels_of_frame(values: GreyValues) -> Samples:
    """One frame of many, reduced to at most 768 pixels a side: hundreds stay in the browser's memory."""
    return _reduced(values.levels, max(1.0, max(values.levels.shape) / LONGEST_OF_STACK))


def colours_of_frame(image: ImageRecord, content: bytes, frame: int) -> Samples:
    """The same of a frame in colour (uint8 [H W 3])."""
    pixels = read_image(content, frame=frame, blanked=image.blanked, sha256=image.sha256).pixels
    reduced = _reduced(pixels, max(1.0, max(pixels.shape[:2]) / LONGEST_OF_STACK))
    return np.rint(np.clip(reduced, 0, 1) * 255).astype(np.uint8)


def _reduced(part: Samples, factor: float) -> Samples:
    if factor == 1:
        return part
    height, width = (math.ceil(length / factor - 1e-6) for length in part.shape[:2])
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))
