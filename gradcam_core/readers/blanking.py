"""Areas of a picture that are blanked before anything is computed of it, such as text that names the patient."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from gradcam_core.errors import PictureError
from gradcam_core.picture import Area
from gradcam_core.readers.stored import BURNED_NOTE, MAY_BE_BURNED_NOTE, StoredPicture
from gradcam_core.text import counted

MOST_AREAS = 100
STILL_BURNED_NOTE = "Text may be burned into the pixels of this file: look whether the blanked areas cover all of it."
CORNER = 0.2
_WHOLE = 1e-6  # a share of pixels that comes this close to whole pixels means these


def corner_areas(size: float = CORNER) -> tuple[Area, ...]:
    """The four corners of a picture, each `size` of its width and of its height."""
    if not 0 < size < 0.5:
        raise PictureError("The corners to blank need a size between 0 and 0.5.", "For instance 0.2.")
    ends = (0.0, size), (1 - size, 1.0)
    return check_areas([(left, top, right, bottom) for top, bottom in ends for left, right in ends])


def check_areas(areas: Sequence[Sequence[float]]) -> tuple[Area, ...]:
    """Areas as (left, top, right, bottom), in shares of width and height. Raises PictureError for anything else."""
    if len(areas) > MOST_AREAS:
        raise PictureError(f"{len(areas)} areas are to be blanked, and at most {MOST_AREAS} are.", "Draw larger ones.")
    return tuple(map(_checked, areas))


def _checked(area: Sequence[float]) -> Area:
    try:
        left, top, right, bottom = (float(side) for side in area)
    except (TypeError, ValueError, OverflowError):
        left = top = right = bottom = math.nan
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise PictureError(
            "An area to blank needs left, top, right and bottom, in this order, as shares of width and height.",
            "For instance 0 0 0.3 0.1 for the upper left corner.",
        )
    return left, top, right, bottom


def blank(picture: StoredPicture, areas: Sequence[Area]) -> StoredPicture:
    """Blank areas of an upright picture: their values are deleted, count for nothing, and are shown black.

    Pixels that an area touches belong to it. Raises PictureError where nothing would remain.
    """
    if not areas:
        return picture
    mask = _mask(areas, picture.samples.shape[:2])
    if mask.all():
        raise PictureError("Nothing of the picture would remain.", "Blank smaller areas.")
    samples = _without(picture.samples, mask, 0)
    alpha = None if picture.alpha is None else _without(picture.alpha, mask, 1)
    channels = None if picture.channels is None else _without(picture.channels, mask, 0)
    missing = mask if picture.missing is None else mask | picture.missing
    of_text = {BURNED_NOTE, MAY_BE_BURNED_NOTE} & set(picture.notes)
    notes = (*(note for note in picture.notes if note not in of_text), *[STILL_BURNED_NOTE] * bool(of_text))
    notes += (blanked_words(areas),)
    return replace(picture, samples=samples, alpha=alpha, channels=channels, missing=missing, notes=notes)


def blanked_words(areas: Sequence[Area]) -> str:
    """Say how many areas are blanked; "" for none."""
    return f"Blanked before anything was computed: {counted(len(areas), 'area')}." if areas else ""


def _mask(areas: Sequence[Area], size: tuple[int, ...]) -> Bool[np.ndarray, "H W"]:
    height, width = size
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in areas:
        rows = slice(math.floor(top * height + _WHOLE), math.ceil(bottom * height - _WHOLE))
        columns = slice(math.floor(left * width + _WHOLE), math.ceil(right * width - _WHOLE))
        mask[rows, columns] = True
    return mask


def _without(stored: np.ndarray, mask: Bool[np.ndarray, "H W"], value: float) -> np.ndarray:
    remaining = stored.copy()
    remaining[mask] = value
    return remaining
