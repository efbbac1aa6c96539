"""What a network returns -> class scores -> the targets' scores, and their gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from gradcam_core.capture.rows import Cut
from gradcam_core.capture.taps import listening
from gradcam_core.devices import is_out_of_memory, pictures_at_once
from gradcam_core.errors import ModelError, TargetError
from gradcam_core.records import LayerInfo, LoadedModel, Target
from gradcam_core.targets.boxes import joined, rows_of_objects

# What networks raise over a batch; which of them is the network's own affair.
BATCH_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ModelError)


def class_scores(outputs: Any) -> torch.Tensor:
    """Find the class scores in what a network returns.

    [N classes] of a classifier, [N classes h w] of a segmenter; [N D 6] of a detector (see targets/boxes.py).
    """
    if are_objects(outputs):
        return rows_of_objects(outputs)
    if isinstance(outputs, dict):
        outputs = outputs.get("logits", outputs.get("out"))
    outputs = getattr(outputs, "logits", outputs)
    if isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    if isinstance(outputs, torch.Tensor) and outputs.dim() == 4 and outputs.shape[2:] == (1, 1):
        outputs = outputs.flatten(1)
    if not isinstance(outputs, torch.Tensor) or outputs.dim() not in (2, 4) or outputs.shape[1] < 1:
        returned = list(outputs.shape) if isinstance(outputs, torch.Tensor) else f"a {type(outputs).__name__}"
        raise ModelError(
            f"The model returns {returned} instead of one score per class.",
            "Use a classifier, or wrap yours so that it returns [pictures, classes].",
        )
    if outputs.is_complex():
        raise ModelError("The model returns complex numbers, not scores.", "Let it return real scores.")
    if not outputs.is_floating_point():
        raise ModelError(
            "The model returns whole numbers, not scores.", "Let it return its scores before any rounding."
        )
    return outputs.float()


def are_objects(outputs: Any) -> bool:
    """Whether a network returns, for each picture, boxes with labels and scores."""
    keys = {"boxes", "labels", "scores"}
    return (
        isinstance(outputs, list) and bool(outputs) and all(isinstance(x, dict) and keys <= x.keys() for x in outputs)
    )


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


def gradients_of(
    scores: torch.Tensor, points: Sequence[torch.Tensor], cuts: Sequence[Cut] = ()
) -> tuple[torch.Tensor | None, ...]:
    """Differentiate scores [K N] by tensors [N ...] of the same pictures: [K N ...] each, None without dependence.

    Where the graph is cut, the way goes on from each cut to the points.
    """
    # Pictures do not depend on each other, so the sum over them has every picture's own gradient.
    sums = scores.sum(dim=1)
    leaves = [cut.leaf for cut in cuts]
    rows = torch.eye(len(sums), dtype=sums.dtype, device=sums.device)
    slopes = differentiate(sums, rows, [*points, *leaves])
    totals = slopes[: len(points)]
    for cut, slope in zip(cuts, slopes[len(points) :], strict=True):
        if slope is not None:
            totals = tuple(map(_sum, totals, differentiate(*cut.again(slope), points)))
    return totals


def _sum(one: torch.Tensor | None, other: torch.Tensor | None) -> torch.Tensor | None:
    return other if one is None else one if other is None else one + other


def differentiate(
    values: torch.Tensor, rows: torch.Tensor, points: Sequence[torch.Tensor]
) -> tuple[torch.Tensor | None, ...]:
    """Differentiate values [...], weighted by each of K rows [K ...], by tensors: [K ...] each, or None.

    All K in one pass, or one by one where the network has an operator without a batching rule.
    """
    if not values.requires_grad:
        return (None,) * len(points)
    try:
        batched: tuple[torch.Tensor | None, ...] = torch.autograd.grad(
            values, points, rows, is_grads_batched=True, retain_graph=True, allow_unused=True
        )
        return batched
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
    singles = [torch.autograd.grad(values, points, row, retain_graph=True, allow_unused=True) for row in rows]
    return tuple(None if single[0] is None else torch.stack(single) for single in zip(*singles, strict=True))


def network_for(model: LoadedModel, layers: Sequence[LayerInfo]) -> nn.Module:
    """Choose the folded copy if it is up to date and serves all these layers, the network itself otherwise."""
    folded = model.folded
    if folded is None or not all(layer.name in folded.layers for layer in layers):
        return model.module
    current = all(x.data_ptr() == address and x._version == version for x, address, version in folded.weights)
    return folded.network if current else model.module


def scorer(model: LoadedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give a model as a function: inputs [B Cin Hin Win] -> class scores [B classes], without gradients.

    It takes as many pictures at a time as pay on the model's device, and leaves its inputs as they are. Where
    the network accepts no batches, or memory is short, the pictures go one by one.
    """
    network = network_for(model, ())

    def scores_of(part: torch.Tensor) -> torch.Tensor:
        with listening(None, model.device):
            # A copy, since a network's first step may work in place.
            return class_scores(network(part.to(model.device, copy=True)))

    def scores(inputs: torch.Tensor) -> torch.Tensor:
        parts = torch.split(inputs, pictures_at_once(model.device))
        return _joined([_in_batches(scores_of, part) for part in parts])

    return scores


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Outputs of several pictures as one tensor."""
    return joined(parts) if parts[0].dim() == 3 else torch.cat(list(parts))


def _in_batches(function: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Apply a function to inputs [B ...] at once, or one by one where it refuses several or mixes them up."""
    try:
        outputs = function(inputs)
        if len(outputs) == len(inputs):
            return outputs
    except BATCH_REFUSALS:
        if len(inputs) == 1:
            raise
    return _joined([function(single) for single in torch.split(inputs, 1)])
