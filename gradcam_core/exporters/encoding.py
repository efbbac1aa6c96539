"""Pixels, raw maps and plain values -> the bytes of files."""

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from gradcam_core.shapes import Colours, Map

# Above level 4, a file gets a tenth smaller and takes four times as long.
COMPRESSION = 4
# JSON text never contains a bare line break, so nothing in quotes matches this.
NUMBERS = re.compile(r"\[\n[-+\d.eE,\s]+\]")


def png(pixels: Colours) -> bytes:
    """Encode RGB pixels as PNG, lossless and without metadata."""
    _, encoded = cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
    return np.asarray(encoded).tobytes()


def npy(raw: Map) -> bytes:
    """Encode a raw map [h w] as a NumPy file."""
    written = io.BytesIO()
    np.save(written, np.ascontiguousarray(raw), allow_pickle=False)
    return written.getvalue()


def to_json(values: Mapping[str, Any]) -> bytes:
    """Write strict JSON in UTF-8, with each list of numbers on one line."""
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    text = NUMBERS.sub(lambda numbers: " ".join(numbers[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
    return text.encode("utf-8", "backslashreplace") + b"\n"
