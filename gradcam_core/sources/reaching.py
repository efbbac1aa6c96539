"""What one backward pass shows at load: the usual layer, layers that no gradient comes back to, and random outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Call, Reached, moves_scores, reach
from gradcam_core.layers import choose_default
from gradcam_core.records import LayerInfo

# The last layers are looked at first: the usual one is nearly always among them.
LAST = 40
ENOUGH = 0.5
UNREAD = "what follows reads the class token alone, and none of its cells"
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
    again, seen = reach(module, inputs, layers[-LAST:], head)
    if seen and max(way.share for way in seen.values()) <= ENOUGH:
        _, seen = reach(module, inputs, layers, head)
    notes = (RANDOM,) if _differ(again, outputs) else ()
    before = calls[head].begun if head else float("inf")
    usable = [x for x in layers if calls[x.name].ended < before] or layers
    default = choose_default([x for x in usable if x.name not in seen or seen[x.name].share > ENOUGH] or usable, module)
    if any(way.share > 0 for way in seen.values()) or not seen:
        return _marked(module, inputs, layers, seen), default, notes
    # No gradient anywhere: either it is cut, or nothing depends on the layers for this input.
    if not moves_scores(module, inputs, next(x for x in layers if x.name == default)):
        return layers, default, notes
    cut = tuple(replace(layer, blocked=CUT) for layer in layers)
    return cut, default, (*notes, NO_GRADIENTS.format(f"No gradient comes back to any layer: {CUT}."))


def _marked(
    module: nn.Module, inputs: torch.Tensor, layers: Sequence[LayerInfo], seen: Mapping[str, Reached]
) -> tuple[LayerInfo, ...]:
    """Say at each layer why no gradient can come back to its map. One that is 0 for this input alone is no reason."""
    apart = [layer for layer in layers if layer.name in seen and not seen[layer.name].connected]
    blocked = {x.name: _why_apart(module, inputs, x) if x in apart[:MOST_TRIED] else UNKNOWN for x in apart}
    blocked |= {name: UNREAD for name, way in seen.items() if way.share == 0 and way.before}
    return tuple(replace(layer, blocked=blocked.get(layer.name, "")) for layer in layers)


def _why_apart(module: nn.Module, inputs: torch.Tensor, layer: LayerInfo) -> str:
    return CUT if moves_scores(module, inputs, layer) else INDEPENDENT


def _differ(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two passes on the same input gave different scores, rounding apart."""
    return float((first - second).abs().max()) > 1e-3 * float(second.abs().max()) + 1e-6
