"""Draw the sample radiographs that come with the project, and their masks."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from gradcam_core.samples.radiographs import SHOWN, radiograph

SEED = SHOWN + 14
DRAWN: Mapping[str, tuple[tuple[str, ...], bool]] = {
    "radiograph_marked": (("nodule",), True),
    "radiograph_nodule": (("nodule",), False),
    "radiograph_two": (("nodule", "streak"), False),
    "radiograph_healthy": ((), True),
}


def drawn_samples() -> dict[str, bytes]:
    """Names and contents of the files: each picture, and a mask for each of its lesions."""
    files = {}
    for name, (kinds, marker) in DRAWN.items():
        picture = radiograph(SEED, kinds, marker=marker)
        files[f"{name}.png"] = _png(picture.pixels)
        files |= {
            f"{name}_{lesion.kind}_mask.png": _png(255 * lesion.mask.astype(np.uint8)) for lesion in picture.lesions
        }
    return files


def write_samples(folder: Path) -> None:
    """Write the files into a folder."""
    for name, content in drawn_samples().items():
        (folder / name).write_bytes(content)


def _png(pixels: np.ndarray) -> bytes:
    """A grey picture [H W] as PNG."""
    return bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
