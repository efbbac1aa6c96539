"""A small folder of drawn radiographs with a table of labels and masks, to try an evaluation on."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from gradcam_core.errors import GradcamError
from gradcam_core.registry import nearest
from gradcam_core.samples.radiographs import LABELS, SHOWN, radiograph

FIRST_SEED = SHOWN + 1000
MOST = 1000
# Which classes have a side marker. In the first kind, as if all nodules came from one room of a hospital.
KINDS: Mapping[str, Callable[[str], bool]] = {
    "marked_nodules": lambda label: label == "nodule",
    "no_markers": lambda label: False,
}


@dataclass(frozen=True, slots=True, eq=False)
class DrawnFolder:
    """Files by name: the pictures, the table of their labels, and a mask for each picture with a lesion."""

    pictures: Mapping[str, bytes]
    table: bytes
    masks: Mapping[str, bytes]


def drawn_folder(kind: str, count: int) -> DrawnFolder:
    """Draw `count` pictures, the classes in turn. Raises GradcamError for an unknown kind or an impossible count.

    "marked_nodules": the pictures with a nodule have a side marker, and no others. "no_markers": none has one.
    """
    if kind not in KINDS:
        raise GradcamError(f"There is no drawn folder '{kind}'.", nearest(str(kind), KINDS))
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise GradcamError(f"{count!r} pictures cannot be drawn.", f"Ask for 1 to {MOST}.")
    pictures, masks, rows = {}, {}, [("name", "label", "mask")]
    for place in range(count):
        label, stem = LABELS[place % len(LABELS)], f"drawn_{place + 1:0{len(str(count))}}"
        lesions = () if label == LABELS[0] else (label,)
        drawn = radiograph(FIRST_SEED + place, lesions, marker=KINDS[kind](label))
        pictures[f"{stem}.png"] = _png(drawn.pixels)
        if drawn.lesions:
            masks[f"{stem}_mask.png"] = _png(255 * drawn.lesions[0].mask.astype(np.uint8))
        rows.append((f"{stem}.png", label, f"{stem}_mask.png" if drawn.lesions else ""))
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return DrawnFolder(pictures, text.getvalue().encode(), masks)


def _png(grey: UInt8[np.ndarray, "H W"]) -> bytes:
    _, encoded = cv2.imencode(".png", grey)
    return np.asarray(encoded).tobytes()
