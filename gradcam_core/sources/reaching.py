"""What one backward pass shows at load: the usual layer, layers that no gradient comes back to, and random outputs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Call, Reached, leads_to, moves_scores, reach
from gradcam_core.layers import NO_GRID, choose_default
from gradcam_core.records import LayerInfo
from gradcam_core.sources.places import ELSEWHERE
from gradcam_core.sources.places import UNKNOWN as NO_PLACE
from gradcam_core.text import counted, listed

# The last layers are looked at first: the usual one is nearly always among them.
LAST = 40
ENOUGH = 0.5
UNREAD = "what follows reads the class token alone, and none of its cells"
CUT = "the network cuts its gradients (inference mode, detach, re-entrant checkpointing, or a step outside torch)"
INDEPENDENT = "no class score depends on it"
UNKNOWN = "no gradient comes back to it: no class score depends on it, or the network cuts its gradients behind it"
# So many layers without a gradient are looked into, by two passes each.
MOST_TRIED = 4
RANDOM = (
    "This network uses random numbers in evaluation mode: its probabilities and heatmaps differ from one analysis of "
    "the same picture to the next."
)
BRANCHES = (
    "Parts of this network see the picture side by side. The usual layer, '{}', shows one of them only; {} the others. "
    "Choose all of these layers to see everything."
)
EARLY = (
    "The usual layer, '{}', is an early one: {} behind it cannot be explained ({}). Its heatmaps say little of what "
    "the network makes of the picture."
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
        full = [x for x in usable[-LAST:] if x.name in seen and seen[x.name].share > ENOUGH]
        return _marked(module, inputs, layers, seen), default, (*notes, *_branches(module, inputs, full, default))
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


def _branches(module: nn.Module, inputs: torch.Tensor, layers: Sequence[LayerInfo], default: str) -> tuple[str, ...]:
    """A note where layers before the usual one lead to the scores past it; none where the classifier reads it alone."""
    chosen: list[LayerInfo] = []
    while layers and (not chosen or not chosen[0].pooling):
        name = choose_default(layers, module) if chosen else default
        chosen.append(next(layer for layer in layers if layer.name == name))
        before = layers[: layers.index(chosen[-1])]
        through = leads_to(module, inputs, chosen[-1], before) if before else ()
        layers = [layer for layer in before if layer not in through]
    others = [f"'{layer.name}' ({layer.grid[1]} × {layer.grid[0]} cells)" for layer in chosen[1:]]
    return (BRANCHES.format(default, listed(others)),) if others else ()


def note_if_early(
    default: str, layers: Sequence[LayerInfo], calls: Mapping[str, Call], refused: Mapping[str, str]
) -> tuple[str, ...]:
    """A note where more layers behind the usual one hold tokens or maps without a known place than it has before it."""
    behind = [reason for name, reason in refused.items() if calls[name].begun > calls[default].ended]
    unplaced = Counter(reason for reason in behind if reason in (ELSEWHERE, NO_PLACE) or reason.endswith(NO_GRID))
    before = next(place for place, layer in enumerate(layers) if layer.name == default) + 1
    if unplaced.total() <= before:
        return ()
    return (EARLY.format(default, counted(unplaced.total(), "layer"), unplaced.most_common(1)[0][0]),)


def _why_apart(module: nn.Module, inputs: torch.Tensor, layer: LayerInfo) -> str:
    return CUT if moves_scores(module, inputs, layer) else INDEPENDENT


def _differ(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two passes on the same input gave different scores, rounding apart."""
    return float((first - second).abs().max()) > 1e-3 * float(second.abs().max()) + 1e-6
