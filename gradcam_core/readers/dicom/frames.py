"""The elements that describe one frame: those of the file, of all frames, or of this frame alone.

Source: DICOM PS3.3, C.7.6.16 (multi-frame functional groups).
"""

import math
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset

_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing",),
    "FrameVOILUTSequence": (
        *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
    ),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
}


def of_frame(dataset: Dataset, frame: int) -> Dataset:
    """The file's elements, with those that the groups of enhanced pictures state for this frame in their place."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    merged = Dataset()
    merged.update(dataset)
    for item in [*shared[:1], *own[frame : frame + 1]]:
        for group, keywords in _GROUPS.items():
            for part in (item.get(group) or [])[:1]:
                for keyword in keywords:
                    if keyword in part:
                        merged[keyword] = part[keyword]
    return merged


def numbers(value: Any) -> tuple[float, ...]:
    """The finite numbers of an element that has one, several or none; () where one of them is no number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    try:
        read = tuple(float(number) for number in values)
    except (TypeError, ValueError):
        return ()
    return read if all(map(math.isfinite, read)) else ()
