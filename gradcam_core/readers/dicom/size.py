"""How large pixels are, in mm, and the true shape of pictures whose pixels are not square.

Source: DICOM PS3.3, 10.7.1.1 (pixel spacing), C.7.6.3.1.7 (aspect ratio), C.8.5.5 (regions of ultrasound).
"""

from dataclasses import replace

import cv2
import numpy as np
from pydicom.dataset import Dataset

from gradcam_core.readers.dicom.frames import numbers
from gradcam_core.readers.stored import StoredPicture, check_size

DETECTOR_NOTE = "Lengths in mm hold at the detector; in the patient they are smaller."
_SQUARE = 0.01  # pixels are taken as square within this share
_MOST_RATIO = 20
_CENTIMETRES = 3


def spacing_of(elements: Dataset) -> tuple[tuple[float, float] | None, bool]:
    """mm from row to row and from column to column, None where it is not stated; whether that is at the detector."""
    for keyword in ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(elements.get(keyword))
        if len(spacing) == 2 and all(1e-5 < length < 1e3 for length in spacing):
            return (spacing[0], spacing[1]), keyword == "ImagerPixelSpacing"
    return _of_ultrasound(elements), False


def _of_ultrasound(elements: Dataset) -> tuple[float, float] | None:
    """The spacing where the picture has one region alone that is measured in centimetres both ways."""
    regions = elements.get("SequenceOfUltrasoundRegions") or []
    if len(regions) != 1:
        return None
    region = regions[0]
    units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
    steps = numbers([region.get("PhysicalDeltaY") or 0, region.get("PhysicalDeltaX") or 0])
    if units != (_CENTIMETRES, _CENTIMETRES) or len(steps) != 2 or not all(1e-6 < abs(step) < 1e2 for step in steps):
        return None
    return abs(steps[0]) * 10, abs(steps[1]) * 10


def in_true_shape(
    picture: StoredPicture, elements: Dataset, spacing: tuple[float, float] | None, max_pixels: int
) -> StoredPicture:
    """Stretch a picture whose pixels are not square, along the side where they lie farther apart."""
    high, wide = spacing or numbers(elements.get("PixelAspectRatio")) or (1.0, 1.0)
    if not (high > 0 and wide > 0) or abs(high / wide - 1) <= _SQUARE:
        return picture
    ratio = high / wide
    if not 1 / _MOST_RATIO < ratio < _MOST_RATIO:
        note = "The file gives its pixels a shape that cannot be right; they are shown square."
        return replace(picture, notes=(*picture.notes, note))
    height, width = picture.samples.shape[:2]
    size = (width, round(height * ratio)) if ratio > 1 else (round(width / ratio), height)
    check_size("DICOM", *size, max_pixels, picture.samples.dtype.itemsize * picture.samples.shape[2] + 8)
    note = f"Its pixels are not square ({high:.3g} high, {wide:.3g} wide): the picture is stretched to its true shape."
    missing = picture.missing
    if missing is not None:  # a pixel that is partly made of one without a value has none either
        missing = cv2.resize(missing.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0
    return replace(picture, samples=_resized(picture.samples, size), missing=missing, notes=(*picture.notes, note))


def _resized(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    kind = samples.dtype
    exact = np.float32 if kind.itemsize <= 2 or kind == np.float32 else np.float64
    resized = cv2.resize(samples.astype(exact), size, interpolation=cv2.INTER_LINEAR)
    resized = np.rint(resized) if kind.kind in "iu" else resized
    return resized.astype(kind).reshape(size[1], size[0], samples.shape[2])
