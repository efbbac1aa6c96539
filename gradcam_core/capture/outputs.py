"""What a classifier returns -> class scores -> the targets' scores."""

from collections.abc import Sequence
from typing import Any

import torch

from gradcam_core.errors import ModelError, TargetError
from gradcam_core.records import Target


def class_scores(outputs: Any) -> torch.Tensor:
    """Find the class scores [N classes] in what a classifier returns."""
    if isinstance(outputs, dict):
        outputs = outputs.get("logits", outputs.get("out"))
    outputs = getattr(outputs, "logits", outputs)
    if isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    if isinstance(outputs, torch.Tensor) and outputs.dim() == 4 and outputs.shape[2:] == (1, 1):
        outputs = outputs.flatten(1)
    if not isinstance(outputs, torch.Tensor) or outputs.dim() != 2 or outputs.shape[1] < 1:
        returned = list(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise ModelError(
            f"The model returns {returned} instead of one score per class.",
            "Use a classifier, or wrap yours so that it returns [pictures, classes].",
        )
    if not outputs.is_floating_point():
        raise ModelError(
            "The model returns whole numbers, not scores.", "Let it return its scores before any rounding."
        )
    return outputs.float()


def target_scores(outputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
    """Compute the targets' scores [K N] from outputs [N classes]; raises TargetError for anything else."""
    scores = [target(outputs) for target in targets]
    for target, score in zip(targets, scores, strict=True):
        if not isinstance(score, torch.Tensor) or score.shape != outputs.shape[:1]:
            raise TargetError(
                f"Target '{target.label}' does not give one score per picture.",
                "Let it take outputs [pictures, classes] and return scores [pictures].",
            )
    return torch.stack(scores)
