"""What one backward pass shows at load: the usual layer, layers that no gradient comes back to, and random outputs."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Call, moves_scores, reach
from gradcam_core.layers import choose_default
from gradcam_core.records import LayerInfo

# The last layers are looked at first: the usual one is nearly always among them.
LAST = 40
ENOUGH = 0.5
UNREAD = "no class score depends on more than half of its cells; what follows reads other tokens or cells"
CUT = "the network cuts its gradients (no_grad, detach, or a step outside torch)"
INDEPENDENT = "no class score depends on it"
UNKNOWN = "no gradient comes back to it: no class score depends on it, or the network cuts its gradients behind it"
# So many layers without a gradient are looked into, by two passes each.
MOST_TRIED = 4
RANDOM = (
    "This network uses random numbers in evaluation mode: its probabilities and heatmaps differ from one analysis of "
    "the same picture to the next."
)
NO_GRADIENTS = "{} Only methods without gradients can explain it, such as Eigen-CAM, Score-CAM and occlusion."


def reached(
    module: nn.Module,
    inputs: torch.Tensor,
    layers: tuple[LayerInfo, ...],
    calls: Mapping[str, Call],
    outputs: torch.Tensor,
    head: str,
) -> tuple[tuple[LayerInfo, ...], str, tuple[str, ...]]:
    """Mark the layers that no gradient comes back to, choose the usual layer, and say what was noticed.

    `outputs` [1 classes] are those of an earlier pass on the same inputs.
    """
    again, shares = reach(module, inputs, layers[-LAST:], head)
    if shares and max(shares.values()) <= ENOUGH:
        _, shares = reach(module, inputs, layers, head)
    notes = (RANDOM,) if _differ(again, outputs) else ()
    before = calls[head].begun if head else float("inf")
    marked = tuple(replace(layer, blocked=UNREAD if shares.get(layer.name, 1.0) <= ENOUGH else "") for layer in layers)
    default = choose_default([x for x in marked if calls[x.name].ended < before] or marked, module)
    if not shares or max(shares.values()) > 0:
        apart = [layer for layer in marked if shares.get(layer.name, 1.0) < 0]
        reasons = {x.name: _why_apart(module, inputs, x) if x in apart[:MOST_TRIED] else UNKNOWN for x in apart}
        return tuple(replace(x, blocked=reasons.get(x.name, x.blocked)) for x in marked), default, notes
    # No gradient anywhere: either it is cut, or nothing depends on the layers for this input.
    if not moves_scores(module, inputs, next(x for x in layers if x.name == default)):
        return layers, default, notes
    cut = tuple(replace(layer, blocked=CUT) for layer in layers)
    return cut, default, (*notes, NO_GRADIENTS.format(f"No gradient comes back to any layer: {CUT}."))


def _why_apart(module: nn.Module, inputs: torch.Tensor, layer: LayerInfo) -> str:
    return CUT if moves_scores(module, inputs, layer) else INDEPENDENT


def _differ(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two passes on the same input gave different scores, rounding apart."""
    return float((first - second).abs().max()) > 1e-3 * float(second.abs().max()) + 1e-6
