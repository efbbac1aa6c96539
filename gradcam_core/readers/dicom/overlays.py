"""Overlays: drawings that a file keeps beside its pixels, or in bits of them that hold no values.

Source: DICOM PS3.3, C.9.2 (overlay plane). Those in unused bits are retired, and still in older files.
"""

import numpy as np
from pydicom.dataset import Dataset

from gradcam_core.readers.dicom.frames import numbers

_GROUPS = range(0x6000, 0x6020, 2)
_POSITION, _DATA = 0x0102, 0x3000
TAGS = [(group << 16) + element for group in _GROUPS for element in (_POSITION, _DATA)]


def has_overlay(dataset: Dataset) -> bool:
    """Whether the file has an overlay in which something is drawn."""
    return any(_is_drawn(dataset, group) for group in _GROUPS)


def _is_drawn(dataset: Dataset, group: int) -> bool:
    if (group, _DATA) in dataset:
        bits = dataset[group, _DATA].value
        return isinstance(bits, bytes) and bool(np.frombuffer(bits, np.uint8).any())
    if (group, _POSITION) not in dataset:
        return False
    position, pixels = numbers(dataset[group, _POSITION].value), dataset.get("PixelData")
    unused = range(int(dataset.get("BitsStored") or 16), 16)
    compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
    if not pixels or not position or position[0] not in unused or dataset.get("BitsAllocated") != 16 or compressed:
        return False
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    words = np.frombuffer(pixels, "<u2" if little else ">u2", len(pixels) // 2)
    return bool((words & np.uint16(1 << int(position[0]))).any())
