"""Which layers a gradient comes back to: one backward pass when a model is loaded."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.capture.scores import class_scores
from gradcam_core.capture.shadow import shadow_of
from gradcam_core.capture.taps import Session, listening
from gradcam_core.layers import to_grid, to_tokens
from gradcam_core.records import LayerInfo


class Reached(NamedTuple):
    """How a gradient comes back to a layer: is there a way, to which share of its cells, to the tokens before them?"""

    connected: bool
    share: float = 0.0
    before: bool = False


def reach(
    network: nn.Module, inputs: torch.Tensor, layers: Sequence[LayerInfo], head: str
) -> tuple[torch.Tensor, dict[str, Reached]]:
    """Run forward once and backward once, to these layers; taps must be installed.

    Returns the class scores [1 classes], and how a gradient comes back to each layer; `before`: to the tokens before
    the patches.
    A random mix of what the linear step `head` reads is differentiated, since its weights may still be 0; without
    such a step it is the largest score. Empty where the network allows no backward pass.
    """
    session = Session(frozenset(layer.name for layer in layers), gradients=True)
    read: list[torch.Tensor] = []
    step = network.get_submodule(head) if head else nn.Identity()
    handle = step.register_forward_pre_hook(lambda step, given: read.append(given[0]))
    try:
        with listening(session, inputs.device):
            outputs = class_scores(network(inputs))
            source = read[0] if read else outputs.max()
            generator = torch.Generator().manual_seed(0)
            mixed = source * torch.randn(source.shape, generator=generator).to(source)
            points = [session.outputs.get(layer.name) for layer in layers]
            reached = _reached(mixed.sum(), points, layers)
    finally:
        handle.remove()
    return outputs.detach(), reached


def _reached(
    score: torch.Tensor, points: Sequence[torch.Tensor | None], layers: Sequence[LayerInfo]
) -> dict[str, Reached]:
    tapped = [(layer, point) for layer, point in zip(layers, points, strict=True) if point is not None]
    if not score.requires_grad or not tapped:
        return {layer.name: Reached(False) for layer in layers}
    try:
        slopes: Any = torch.autograd.grad(score, [point for _, point in tapped], allow_unused=True)
    except RuntimeError:  # a step of the network's own that has no gradient, or overwrote what it needs
        return {}
    return {layer.name: _reached_by(slope, layer) for (layer, _), slope in zip(tapped, slopes, strict=True)}


def _reached_by(slope: torch.Tensor | None, layer: LayerInfo) -> Reached:
    if slope is None:
        return Reached(False)
    share = float((to_grid(slope, layer)[0] != 0).any(dim=0).float().mean())
    before = to_tokens(slope, layer)[0, : layer.prefix_tokens] if layer.prefix_tokens else slope.new_zeros(1)
    return Reached(True, share, bool(before.any()))


def leads_to(
    network: nn.Module, inputs: torch.Tensor, layer: LayerInfo, others: Sequence[LayerInfo]
) -> tuple[LayerInfo, ...]:
    """Those of the other layers from which the way to the scores leads through this layer; taps must be installed.

    All of them where the network allows no backward pass.
    """
    session = Session(frozenset(x.name for x in (layer, *others)), gradients=True)
    try:
        with listening(session, inputs.device):
            network(inputs)
            here, points = session.outputs[layer.name], [session.outputs[other.name] for other in others]
            slopes = torch.autograd.grad(here.sum(), points, allow_unused=True)
    except (RuntimeError, KeyError):  # a step of the network's own that has no gradient, or a layer that did not run
        return tuple(others)
    return tuple(other for other, slope in zip(others, slopes, strict=True) if slope is not None)


def moves_scores(network: nn.Module, inputs: torch.Tensor, layer: LayerInfo) -> bool:
    """Whether the class scores change when this layer's map is halved: by forward passes alone."""
    shadow = shadow_of(network, {layer.name})
    with listening(None, inputs.device):
        plain = class_scores(network(inputs))
        again = class_scores(network(inputs))
        shadow.get_submodule(layer.name).register_forward_hook(lambda module, given, output: output * 0.5)
        halved = class_scores(shadow(inputs))
    return float((halved - plain).abs().max()) > 2 * float((again - plain).abs().max()) + 1e-6 * float(
        plain.abs().max()
    )
