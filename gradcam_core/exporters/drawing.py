"""How heatmaps are drawn in exported pictures: colours, scale, outlines, captions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from gradcam_core.exporters.caption import Captioned, caption_lines, meaning_of_one, with_caption
from gradcam_core.exporters.names import Names
from gradcam_core.records import Explanation, Heatmap, ImageRecord
from gradcam_core.render import COLOUR_MAP, OPACITY, THRESHOLD, Share, colour_heatmap, outline_cells, overlay


class Style(TypedDict):
    """How heatmaps are drawn over the picture, as `overlay` takes it."""

    opacity: Share
    threshold: Share
    colormap: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """How heatmaps are drawn; `shown` is the picture as it was displayed.

    With `shared_scale`, 1 stands for the same raw value in all heatmaps of one method and layer (of models that are
    compared, also of one architecture). `outlined` draws the cells of each map, and `captions` writes below each
    picture what it shows. `display` adds to the record how the picture was displayed.
    """

    opacity: Share = OPACITY
    threshold: Share = THRESHOLD
    colormap: str = COLOUR_MAP
    shared_scale: bool = False
    outlined: bool = False
    captions: bool = False
    shown: ImageRecord | None = None
    display: Mapping[str, Any] = field(default_factory=dict)

    @property
    def style(self) -> Style:
        """What `overlay` takes."""
        return {"opacity": self.opacity, "threshold": self.threshold, "colormap": self.colormap}

    @property
    def window(self) -> Mapping[str, Any] | None:
        """The window (level, width, invert) of the display where it differs from the model's."""
        return self.display.get("display_window")

    def to_dict(self) -> dict[str, Any]:
        """The values for a record."""
        return {**self.style, **self.display}


def draw_heatmap(
    explanation: Explanation,
    heatmap: Heatmap,
    drawing: Drawing,
    peak: float | None = None,
    *,
    alone: bool = False,
    names: Names = "hash",
) -> Captioned:
    """Draw a heatmap over its picture, or `alone`. `peak` is the raw value that 1 stands for (None: its own)."""
    if alone:
        pixels = colour_heatmap(heatmap, threshold=drawing.threshold, colormap=drawing.colormap, peak=peak)
    else:
        pixels = overlay(drawing.shown or explanation.image, heatmap, **drawing.style, peak=peak)
    pixels = outline_cells(pixels, heatmap) if drawing.outlined else pixels
    if not drawing.captions:
        return pixels
    lines = caption_lines(explanation, heatmap, names=names, display_window=drawing.window)
    meaning = meaning_of_one(heatmap, peak)
    return with_caption(pixels, lines, colormap=drawing.colormap, signed=heatmap.signed, meaning=meaning)


def shared_peak(explanation: Explanation, heatmap: Heatmap) -> float:
    """The highest peak among the heatmaps of one method and layer, whose raw values can be compared."""
    alike = [h for h in explanation.heatmaps if (h.method, h.layer) == (heatmap.method, heatmap.layer)]
    return max(h.raw_size if h.signed else h.raw_peak for h in alike)
