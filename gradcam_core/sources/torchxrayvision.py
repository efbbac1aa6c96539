"""Networks of the package torchxrayvision: radiographs of one channel from -1024 to 1024, several findings at once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import Checkpoint
from gradcam_core.sources.stand_ins import SETTINGS

# Black is -1024 and white 1024 for a picture from 0 to 1: (x - 0.5) * 2048.
PREPROCESSING = Preprocessing((224, 224), (224, 224), (0.5,), (1 / 2048,), "bilinear", channels=1)
THRESHOLDS = "op_threshs"
NOTE = (
    "The file is torchxrayvision's: its pictures are grey and run from -1024 to 1024, and each finding has a "
    "probability of its own, as before the package's scaling to its operating points."
)


def is_torchxrayvision(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint holds a network of that package, by its class or by the package's thresholds."""
    content = checkpoint.content
    wholes = (place.get(SETTINGS, {}) for place in (content, *content.values()) if isinstance(place, Mapping))
    named = any(str(settings.get("class", "")).startswith("torchxrayvision.") for settings in wholes)
    return named or any(name.rpartition(".")[2] == THRESHOLDS for name in checkpoint.tensors)


def as_plain(checkpoint: Checkpoint) -> Checkpoint:
    """Leave the package's thresholds out, and say what it is."""
    tensors = {name: x for name, x in checkpoint.tensors.items() if name.rpartition(".")[2] != THRESHOLDS}
    metadata: dict[str, Any] = {**checkpoint.metadata, "multi_label": True}
    return replace(checkpoint, tensors=tensors, metadata=metadata, notes=(*checkpoint.notes, NOTE))
