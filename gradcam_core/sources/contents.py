"""What is inside a file or folder of a model, found out without running anything in it and before it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradcam_core.errors import GradcamError
from gradcam_core.kinds import SAVE_WEIGHTS
from gradcam_core.sources.checkpoints import Checkpoint, guarded, require_weights
from gradcam_core.sources.folders import CONFIG, beside, read_weights
from gradcam_core.sources.heads import stated_task
from gradcam_core.sources.labels import labels_in
from gradcam_core.sources.names import AVERAGED
from gradcam_core.sources.onnx_files import is_onnx
from gradcam_core.sources.open_clip_folders import CONFIG as OPEN_CLIP
from gradcam_core.sources.suggestions import Suggestion, advise, suggest
from gradcam_core.sources.torchxrayvision import as_plain, is_torchxrayvision
from gradcam_core.tasks import Task
from gradcam_core.text import one_line

MOST_BESIDE, LONGEST_KEY, LEAST_AVERAGED = 12, 40, 0.3
OPTIMIZERS = ("optimizer", "optim.")
OF_ITS_OWN = "An ONNX model: the file holds a network of its own."
OF_BOTH = "A folder of open_clip: its configuration describes a network for pictures and texts."
WEIGHTS = ("state_dict", "model", "net", "network", "module", "weights", "params")


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What a file or folder of a model holds.

    `tensors` with `numbers` in all, of the types `types`; 0 where the file holds a network of its own. `beside` names
    what else stands in the file, such as an epoch. `labels` and `task` are what it says itself, None where it says
    nothing. `configured` is true where a configuration names the architecture, `averaged` where plain weights stand
    beside averaged ones. Without a configuration there are `suggestions`, the best first; where no one fits all
    tensors, `advice` says what they look like. `notes` are sentences about how it was read.
    """

    tensors: int
    numbers: int
    types: tuple[str, ...]
    beside: tuple[str, ...]
    labels: tuple[str, ...] | None
    task: Task | None
    configured: bool
    suggestions: tuple[Suggestion, ...]
    averaged: bool = False
    advice: str = ""
    notes: tuple[str, ...] = ()


def look_inside(path: str | Path) -> Contents:
    """Read a file or folder of a model and compare it with known networks. Raises ModelError where it holds none."""
    place = Path(path).expanduser()
    if is_onnx(place):
        return Contents(0, 0, (), (), None, None, configured=True, suggestions=(), notes=(OF_ITS_OWN,))
    if (place / OPEN_CLIP).is_file():
        return Contents(0, 0, (), (), None, "embedding", configured=True, suggestions=(), notes=(OF_BOTH,))
    checkpoint, config = read_weights(place), beside(place, CONFIG)
    require_weights(checkpoint)
    checkpoint = as_plain(checkpoint) if is_torchxrayvision(checkpoint) else checkpoint
    configured = ("architecture" in config and "num_classes" in config) or "model_type" in config
    sayings = (config, checkpoint.metadata, checkpoint.content)
    with guarded("The file's content cannot be used", f"Save the weights alone: {SAVE_WEIGHTS}."):
        suggestions = () if configured else suggest(checkpoint)
        complete = bool(suggestions) and suggestions[0].complete
        tensors = list(checkpoint.tensors.values())
        return Contents(
            tensors=len(tensors),
            numbers=sum(tensor.numel() for tensor in tensors),
            types=_types(tensors),
            beside=_beside(checkpoint),
            labels=labels_in(*sayings),
            task=stated_task(*sayings),
            configured=configured,
            suggestions=suggestions,
            averaged=_has_averaged(checkpoint),
            advice="" if configured or complete else _advice(checkpoint, suggestions),
            notes=checkpoint.notes,
        )


def _advice(checkpoint: Checkpoint, suggestions: tuple[Suggestion, ...]) -> str:
    try:
        return advise(checkpoint, suggestions)
    except GradcamError as error:
        return str(error)


def _has_averaged(checkpoint: Checkpoint) -> bool:
    """Whether a file holds about as many averaged weights as plain ones."""
    own = [name for name in checkpoint.tensors if not name.startswith(OPTIMIZERS)]
    averaged = sum(AVERAGED.search(name) is not None for name in own)
    return min(averaged, len(own) - averaged) >= LEAST_AVERAGED * len(own)


def _types(tensors: list[torch.Tensor]) -> tuple[str, ...]:
    """The types of the weights, the commonest first; counters are left out."""
    counts: dict[str, int] = {}
    for tensor in tensors:
        if tensor.numel() > 1:
            name = str(tensor.dtype).removeprefix("torch.")
            counts[name] = counts.get(name, 0) + tensor.numel()
    return tuple(sorted(counts, key=lambda name: -counts[name]))


def _beside(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Names of what stands beside the weights at the top of a file; never the values, which can name people."""
    content: Mapping[Any, Any] = checkpoint.content
    keys = [key for key, value in content.items() if isinstance(key, str) and not isinstance(value, torch.Tensor)]
    shown = [one_line(key, LONGEST_KEY) for key in keys if key not in WEIGHTS and not key.startswith("_")]
    return (*shown[:MOST_BESIDE], *(("…",) if len(shown) > MOST_BESIDE else ()))
