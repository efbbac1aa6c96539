"""A picture as it is displayed: through the window that the session has set. Exports follow it."""

import dataclasses
from typing import Any

import numpy as np

from gradcam_core import Drawing, ImageRecord
from pages.components import session, windows
from pages.components.analysis import cache
from pages.components.viewer import Settings, Window

NARROWEST = 1e-6  # as viewer/window.js has it


@dataclasses.dataclass(frozen=True, eq=False)
class Display:
    """How a picture and its heatmaps are displayed. Files are made later, outside of the session's run."""

    image: ImageRecord
    settings: Settings
    window: Window | None
    content: bytes | None

    @property
    def style(self) -> dict[str, Any]:
        """How heatmaps are drawn."""
        settings = self.settings
        return {
            "opacity": settings["opacity"],
            "threshold": settings["threshold"],
            "colormap": settings["colormap"],
        }

    @property
    def shared_scale(self) -> bool:
        """Whether 1 stands for the same raw value in all heatmaps of one method and layer."""
        return self.settings["scale"] == "shared"

    @property
    def cells(self) -> bool:
        """Whether the map's cells are outlined."""
        return self.settings["cells"]

    def to_dict(self) -> dict[str, Any]:
        """The display beside the style, for the record of an export: scale, outlines, window in stored values."""
        window = self.window and dict(self.window)
        return {"scale": self.settings["scale"], "cells": self.cells, "display_window": window}


def display_of(image: ImageRecord, settings: Settings) -> Display:
    """How this session displays a picture at the moment."""
    return Display(image, settings, windows.window_of(image), session.content_of(image.sha256))


def _shades(stored: np.ndarray, image: ImageRecord, window: Window) -> np.ndarray:
    """0 (black) to 1 (white) for stored values, as if low values were black."""
    greys, (first, last) = image.greys, sorted(image.stored_range)
    counted = 1 if greys.counted else 0
    usual = ((first + last + counted) / 2, last - first + counted)
    curve = greys.curve if image.window is None and (window["level"], window["width"]) == usual else None
    if "named" in window:
        curve = greys.windows[window["named"]].curve if window["named"] < len(greys.windows) else None
    if curve is not None:
        places = (stored - curve.first) / curve.step
        return np.interp(places, np.arange(len(curve.shades)), curve.shades)
    level, width = window["level"] - counted / 2, max(window["width"] - counted, NARROWEST)
    return np.clip((stored - level) / width + 0.5, 0, 1)


def displayed(display: Display) -> ImageRecord:
    """The picture through the window of its display, by the viewer's formula (see viewer/__init__.py)."""
    image, window = display.image, display.window
    if window is None or display.content is None:
        return image
    values = cache.values(image, display.content)
    stored = values.offset + values.step * np.arange(65536)
    shades = _shades(stored, image, window)
    if window["invert"] != (image.stored_range[0] > image.stored_range[1]):
        shades = 1 - shades
    if values.empty >= 0:
        shades[values.empty] = 0
    shown = shades.astype(np.float32)[values.levels]
    return dataclasses.replace(image, pixels=np.repeat(shown[..., None], 3, axis=2))


def drawing_of(display: Display, captions: bool = False) -> Drawing:
    """How files are drawn so that they look as it is displayed."""
    return Drawing(
        **display.style,
        shared_scale=display.shared_scale,
        outlined=display.cells,
        captions=captions,
        shown=displayed(display),
        display=display.to_dict(),
    )
