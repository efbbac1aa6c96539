"""Stored numbers -> values with a meaning, such as Hounsfield units, and which pixels hold none.

Source: DICOM PS3.3, C.11.1 (modality LUT), C.7.5.1.1.2 (pixel padding).
"""

import numpy as np
from jaxtyping import Bool, Shaped
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from gradcam_core.readers.dicom.frames import numbers

Samples = Shaped[np.ndarray, "H W C"]
_UNITS = {"HU": "HU", "OD": "thousandths of optical density"}


def values_of(stored: Samples, elements: Dataset) -> Samples:
    """Apply the modality LUT or the rescaling; whole numbers stay so where all of its numbers are whole."""
    if elements.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(stored, elements))
    slope, intercept = _rescaling(elements)
    if (slope, intercept) == (1, 0):
        return stored
    whole = slope.is_integer() and intercept.is_integer() and max(abs(slope), abs(intercept)) < 2**31
    if whole and stored.dtype.kind in "iu":
        return _narrowest(stored.astype(np.int64) * int(slope) + int(intercept))
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def has_sound_rescaling(elements: Dataset) -> bool:
    """Whether slope and intercept are numbers with which values can be told apart, as far as the file has them."""
    slope, intercept = (_as_number(elements, name) for name in ("RescaleSlope", "RescaleIntercept"))
    return slope not in (0, None) and intercept is not None


def unit_of(elements: Dataset) -> str:
    """The unit of the values, "" where there is none or it is not known."""
    if not has_sound_rescaling(elements) and not elements.get("ModalityLUTSequence"):
        return ""
    kind = str(elements.get("RescaleType", "") or "").strip().upper()
    rescaled = _rescaling(elements) != (1, 0) or "RescaleSlope" in elements
    tomogram = elements.get("Modality") == "CT" and "LOCALIZER" not in list(elements.get("ImageType") or [])
    return _UNITS.get(kind, "HU" if tomogram and rescaled and kind in ("", "US") else "")


def padding_of(stored: Samples, elements: Dataset) -> Bool[np.ndarray, "H W"] | None:
    """The pixels that only fill the frame up; None where no pixel or every pixel is one."""
    first = numbers(elements.get("PixelPaddingValue"))
    if len(first) != 1 or stored.shape[2] != 1 or stored.dtype.kind not in "iu":
        return None
    last = numbers(elements.get("PixelPaddingRangeLimit")) or first
    ends = sorted(_as_stored(number, stored.dtype, elements) for number in (first[0], last[0]))
    padding = (stored[..., 0] >= ends[0]) & (stored[..., 0] <= ends[1])
    return padding if padding.any() and not padding.all() else None


def _rescaling(elements: Dataset) -> tuple[float, float]:
    if not has_sound_rescaling(elements):
        return 1.0, 0.0
    return _as_number(elements, "RescaleSlope") or 1.0, _as_number(elements, "RescaleIntercept") or 0.0


def _as_number(elements: Dataset, name: str) -> float | None:
    """The element's number, that of no change where the file lacks it; None where it is no number."""
    if elements.get(name) in (None, ""):
        return 1.0 if name == "RescaleSlope" else 0.0
    values = numbers(elements.get(name))
    return values[0] if len(values) == 1 else None


def _as_stored(number: float, kind: np.dtype[np.generic], elements: Dataset) -> int:
    """A padding value with the sign that the pixels have: many files state it with the other."""
    bits = int(elements.get("BitsAllocated") or 16)
    whole = int(number) % (1 << bits)
    return whole - (1 << bits) if kind.kind == "i" and whole >= 1 << (bits - 1) else whole


def _narrowest(values: Samples) -> Samples:
    """The same whole numbers in 16 bits, where they fit."""
    low, high = int(values.min()), int(values.max())
    for kind in (np.uint16, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    return values.astype(np.float64)
