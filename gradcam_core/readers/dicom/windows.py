"""How grey the values are shown: the file's tables of greys and its windows, by their names.

Source: DICOM PS3.3, C.11.2 (VOI LUT).
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Shaped
from pydicom.dataset import Dataset

from gradcam_core.picture import GreyCurve, NamedWindow
from gradcam_core.readers.dicom.frames import numbers

Samples = Shaped[np.ndarray, "H W C"]
MOST_WINDOWS, MOST_CURVES = 20, 8
_MOST_STEPS = 1 << 16
# Usual windows of computed tomography, in Hounsfield units.
OF_CT = (
    NamedWindow("Lung", -600, 1500),
    NamedWindow("Mediastinum", 50, 350),
    NamedWindow("Soft tissue", 50, 400),
    NamedWindow("Bone", 400, 1800),
    NamedWindow("Brain", 40, 80),
)


def windows_of(values: Samples, elements: Dataset) -> tuple[NamedWindow, ...]:
    """The file's tables of greys, then its windows, as far as they can be used, in its order. The first is usual."""
    return (*_tables(elements), *_windows(values, elements))


def _windows(values: Samples, elements: Dataset) -> tuple[NamedWindow, ...]:
    centres, widths = numbers(elements.get("WindowCenter")), numbers(elements.get("WindowWidth"))
    named = elements.get("WindowCenterWidthExplanation") or []
    names = [named] if isinstance(named, str) else [str(name) for name in named]
    least = 0.0 if counts_exactly(elements) else 1.0  # by the usual formula, 1 parts black from white
    windows = [
        NamedWindow(_printable(names[place] if place < len(names) else ""), centre, width)
        for place, (centre, width) in enumerate(zip(centres, widths, strict=False))
        if width > 0 and width >= least
    ]
    if _function(elements) != "SIGMOID":
        return tuple(windows[:MOST_WINDOWS])
    return tuple(replace(window, curve=_sigmoid(values, window)) for window in windows[:MOST_CURVES])


def _tables(elements: Dataset) -> tuple[NamedWindow, ...]:
    """The tables of greys; the level and width of each are those of the values in it."""
    counted, named = (not counts_exactly(elements)), list[NamedWindow]()
    for place, item in enumerate((elements.get("VOILUTSequence") or [])[:MOST_CURVES], 1):
        if (curve := _table(item)) is not None:
            name = _printable(str(item.get("LUTExplanation", "") or "")) or f"Table {place} of the file"
            span = len(curve.shades) - 1
            named.append(NamedWindow(name, curve.first + (span + counted) / 2, float(span + counted), curve))
    return tuple(named)


def counts_exactly(elements: Dataset) -> bool:
    """Whether a window's centre and width are exact numbers, rather than counts of whole values."""
    return _function(elements) in ("LINEAR_EXACT", "SIGMOID")


def _function(elements: Dataset) -> str:
    return str(elements.get("VOILUTFunction", "") or "").strip().upper()


def _table(item: Dataset) -> GreyCurve | None:
    """A table of greys; None for one that is incomplete."""
    descriptor, stored = numbers(item.get("LUTDescriptor")), item.get("LUTData")
    if len(descriptor) != 3 or stored is None:
        return None
    entries, first, bits = int(descriptor[0]) or 1 << 16, int(descriptor[1]), int(descriptor[2])
    table = np.frombuffer(stored, _kind(item, entries, bits)) if isinstance(stored, bytes) else np.asarray(stored)
    if not 1 < entries <= len(table) or not 0 < bits <= 16:
        return None
    first = first - (1 << 16) if item["LUTDescriptor"].VR == "SS" and first >= 1 << 15 else first
    shades = np.clip(table[:entries].astype(np.float32) / np.float32(2**bits - 1), 0, 1)
    return GreyCurve(float(first), 1.0, shades)


def _kind(item: Dataset, entries: int, bits: int) -> str:
    """How a table's numbers are written: as the file's, or as single bytes (PS3.3, C.11.1.1.1)."""
    if bits <= 8 and len(item.LUTData) < 2 * entries:
        return "u1"
    return ">u2" if item.original_encoding[1] is False else "<u2"


def _sigmoid(values: Samples, window: NamedWindow) -> GreyCurve:
    """Sampled at each whole value of the picture, or at 65,536 places where there are more."""
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind in "iu" and high - low < _MOST_STEPS
    step = 1.0 if whole else max(high - low, 1e-9) / (_MOST_STEPS - 1)
    places = low + step * np.arange(max(round((high - low) / step) + 1, 2))
    with np.errstate(over="ignore"):
        shades = 1 / (1 + np.exp(-4 * (places - window.centre) / window.width))
    return GreyCurve(low, step, shades.astype(np.float32))


def _printable(name: str) -> str:
    return "".join(sign for sign in name if sign.isprintable()).strip()[:40]
