"""A picture as it is displayed: through the window that the session has set. Exports follow it."""

import dataclasses
from typing import Any

import numpy as np

from gradcam_core import ImageRecord
from pages.components import session, windows
from pages.components.analysis import cache


def displayed(image: ImageRecord) -> ImageRecord:
    """The picture through the window of its display, by the viewer's formula (see viewer/__init__.py)."""
    window = windows.window_of(image)
    content = session.content_of(image.sha256)
    if window is None or content is None:
        return image
    values = cache.values(image, content)
    stored = values.offset + values.step * np.arange(65536)
    shades = np.clip((stored - window["level"]) / window["width"] + 0.5, 0, 1)
    if window["invert"] != (image.stored_range[0] > image.stored_range[1]):
        shades = 1 - shades
    if values.empty >= 0:
        shades[values.empty] = 0
    shown = shades.astype(np.float32)[values.levels]
    return dataclasses.replace(image, pixels=np.repeat(shown[..., None], 3, axis=2))


def display_record(image: ImageRecord, scale: str) -> dict[str, Any]:
    """How a picture is displayed, for the record of an export: scale of the heatmaps, and window in stored values."""
    window = windows.window_of(image)
    return {"scale": scale, "display_window": None if window is None else dict(window)}
