"""How grey the values are shown: the file's windows by their names, its table of greys, or a sigmoid.

Source: DICOM PS3.3, C.11.2 (VOI LUT).
"""

import numpy as np
from jaxtyping import Shaped
from pydicom.dataset import Dataset

from gradcam_core.picture import GreyCurve, NamedWindow
from gradcam_core.readers.dicom.frames import numbers

Samples = Shaped[np.ndarray, "H W C"]
MOST_WINDOWS = 20
_MOST_STEPS = 1 << 16
# Usual windows of computed tomography, in Hounsfield units.
OF_CT = (
    NamedWindow("Lung", -600, 1500),
    NamedWindow("Mediastinum", 50, 350),
    NamedWindow("Soft tissue", 50, 400),
    NamedWindow("Bone", 400, 1800),
    NamedWindow("Brain", 40, 80),
)


def windows_of(elements: Dataset) -> tuple[NamedWindow, ...]:
    """The file's windows that can be used, in its order."""
    centres, widths = numbers(elements.get("WindowCenter")), numbers(elements.get("WindowWidth"))
    named = elements.get("WindowCenterWidthExplanation") or []
    names = [named] if isinstance(named, str) else [str(name) for name in named]
    least = 0.0 if counts_exactly(elements) else 1.0  # by the usual formula, 1 parts black from white
    windows = [
        NamedWindow(_printable(names[place] if place < len(names) else ""), centre, width)
        for place, (centre, width) in enumerate(zip(centres, widths, strict=False))
        if width > 0 and width >= least
    ]
    return tuple(windows[:MOST_WINDOWS])


def counts_exactly(elements: Dataset) -> bool:
    """Whether a window's centre and width are exact numbers, rather than counts of whole values."""
    return str(elements.get("VOILUTFunction", "") or "").strip().upper() in ("LINEAR_EXACT", "SIGMOID")


def curve_of(values: Samples, elements: Dataset) -> GreyCurve | None:
    """The first table of greys, or the first window where it is a sigmoid; None where the greys are a straight line."""
    if tables := elements.get("VOILUTSequence"):
        return _table(tables[0])
    windows = windows_of(elements)
    if windows and str(elements.get("VOILUTFunction", "")).strip().upper() == "SIGMOID":
        return _sigmoid(values, windows[0])
    return None


def _table(item: Dataset) -> GreyCurve | None:
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = entries or 1 << 16
    stored = item.LUTData
    table = np.frombuffer(stored, "<u2") if isinstance(stored, bytes) else np.asarray(stored)
    if not 1 < entries <= len(table) or not 0 < bits <= 16:
        return None
    first = first - (1 << 16) if item["LUTDescriptor"].VR == "SS" and first >= 1 << 15 else first
    shades = np.clip(table[:entries].astype(np.float32) / np.float32(2**bits - 1), 0, 1)
    return GreyCurve(float(first), 1.0, shades)


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
