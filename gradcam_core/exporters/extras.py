"""What an archive and a report contain beside the explanation, and the scale that heatmaps share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradcam_core.checks.panel import Trust
from gradcam_core.reading import Reading
from gradcam_core.records import Explanation, Heatmap, ImageRecord


@dataclass(frozen=True, slots=True)
class Extras:
    """What else is exported: the picture as it was displayed, captions, outcomes of checks, the reader's note.

    `display` adds to the record how the picture was displayed. `checks` are by the heatmap's position. `outlined`
    draws the cells of each map. `captions` are those in the pictures of an archive. `note` is the reader's own text.
    `reading` is what the reader thought before the answer was shown, and afterwards.
    """

    shown: ImageRecord | None = None
    captions: bool = False
    shared_scale: bool = False
    display: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[int, Trust] = field(default_factory=dict)
    outlined: bool = False
    note: str = ""
    reading: Reading | None = None


def shared_peak(explanation: Explanation, heatmap: Heatmap) -> float:
    """The highest peak among the heatmaps of one method and layer, whose raw values can be compared."""
    alike = [h for h in explanation.heatmaps if (h.method, h.layer) == (heatmap.method, heatmap.layer)]
    return max(h.raw_size if h.signed else h.raw_peak for h in alike)
