"""Pixels -> picture files."""

import cv2
import numpy as np

from gradcam_core.shapes import Colours

# Above level 4, a file gets a tenth smaller and takes four times as long.
COMPRESSION = 4


def png(pixels: Colours) -> bytes:
    """Encode RGB pixels as PNG, lossless and without metadata."""
    _, encoded = cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
    return np.asarray(encoded).tobytes()
