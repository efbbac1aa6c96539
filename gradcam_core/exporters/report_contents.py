"""What a report and an archive contain beside the explanation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcam_core.checks.panel import Trust
from gradcam_core.exporters.drawing import Drawing
from gradcam_core.exporters.names import Names
from gradcam_core.reading import Reading


@dataclass(frozen=True, slots=True)
class ReportContents:
    """What else is exported, and how it is drawn.

    With names "hash", neither the picture nor a model file is named. `checks` are by the heatmap's position. `note` is
    the reader's own text. `reading` is what the reader thought before the answer was shown, and afterwards.
    """

    drawing: Drawing = field(default_factory=Drawing)
    names: Names = "hash"
    checks: Mapping[int, Trust] = field(default_factory=dict)
    note: str = ""
    reading: Reading | None = None


PLAIN = ReportContents()
