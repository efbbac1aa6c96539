"""A private copy of a network that runs forward faster on a processor: BatchNorm folded in, channels last.

Its maps must equal the original's, which is checked. The original stays as it is, and serves every layer
that the copy does not.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from gradcam_core.capture import Call, capture, install_taps
from gradcam_core.errors import GradcamError
from gradcam_core.records import Evidence, Folded, LoadedModel
from gradcam_core.targets import choose_targets

# How far the copy's maps may be off, as a share of their peak.
SLACK = 2e-4
# What a network's own code may raise where it does not run, or a copy of it cannot be built.
# The smallest corner on which a folded copy is compared, and what its sides are multiples of, as networks halve them.
SMALLEST, STRIDE = 64, 32
UNFIT = (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, LookupError, ArithmeticError)


def pairs_of(calls: Mapping[str, Call]) -> dict[str, str]:
    """Each convolution's name with that of the BatchNorm that takes its very output, where each ran once."""
    return {
        call.follows: name
        for name, call in calls.items()
        if (before := calls.get(call.follows))
        and call.calls == before.calls == 1
        and type(before.module) is nn.Conv2d
        and _is_foldable(call.module)
    }


def _is_foldable(norm: nn.Module) -> bool:
    """Whether it is a fixed scale and shift, and at most steps of known order behind it (timm's BatchNormAct2d)."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.training:
        return False
    return type(norm) is nn.BatchNorm2d or [*dict(norm.named_children())] == ["drop", "act"]


def fold(network: nn.Module, calls: Mapping[str, Call]) -> nn.Module | None:
    """Copy a network with its pairs of convolution and BatchNorm folded; None where there are none, or no copy can be.

    `calls` hold what every module did in a probe. Names of modules stay.
    """
    pairs = pairs_of(calls)
    if not pairs:
        return None
    try:
        twin = copy.deepcopy(network)
        for step, norm in pairs.items():
            _fold_pair(twin.get_submodule(step), twin.get_submodule(norm))
            # What is left of a BatchNorm after folding: the dropout and activation that some bring along.
            twin.set_submodule(norm, nn.Sequential(OrderedDict(twin.get_submodule(norm).named_children())))
        return twin.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    except UNFIT:
        return None


def _fold_pair(step: Any, norm: Any) -> None:
    """Give a convolution the weight and bias that make it do what its BatchNorm did behind it."""
    statistics = norm.running_mean, norm.running_var, norm.eps
    step.weight, step.bias = fuse_conv_bn_weights(step.weight, step.bias, *statistics, norm.weight, norm.bias)


def with_folded(model: LoadedModel, twin: nn.Module | None, inputs: torch.Tensor) -> LoadedModel:
    """Add a folded copy to a model if its maps equal the model's own on `inputs` [1 Cin Hin Win].

    The copy serves the usual layer and those behind it. Before that, a rounding difference of 1e-6 can
    turn a ReLU on or off, which moves a gradient by more than a map may be off.
    """
    if twin is None:
        return model
    names = [layer.name for layer in model.layers]
    own = {name for name, part in twin.named_modules() if type(part) is nn.Conv2d}  # BatchNorm may be in them now
    served = frozenset(names[names.index(model.default_layer) :]) - own
    install_taps(twin, served)
    weights = (*model.module.parameters(), *model.module.buffers())
    states = tuple((tensor, tensor.data_ptr(), tensor._version) for tensor in weights)
    candidate = replace(model, folded=Folded(twin, served, states))
    return candidate if any(_fits(model, candidate, part) for part in _parts(inputs)) else model


def _parts(inputs: torch.Tensor) -> Iterator[torch.Tensor]:
    """A corner of the inputs, which most networks take as well and which costs a fraction, and all of them."""
    height, width = (max(SMALLEST, STRIDE * (side // (2 * STRIDE))) for side in inputs.shape[-2:])
    if height < inputs.shape[-2] and width < inputs.shape[-1]:
        yield inputs[..., :height, :width].contiguous()
    yield inputs


def _fits(model: LoadedModel, candidate: LoadedModel, inputs: torch.Tensor) -> bool:
    try:
        return _maps_are_equal(model, candidate, inputs)
    except (*UNFIT, GradcamError):
        return False


def _maps_are_equal(model: LoadedModel, candidate: LoadedModel, inputs: torch.Tensor) -> bool:
    """Compare scores and Grad-CAM's maps at the layers that the copy serves, for the first and the last class."""
    layers = [layer for layer in model.layers if candidate.folded and layer.name in candidate.folded.layers]
    choose = choose_targets([0, len(model.labels) - 1], model.labels, 1, model.outputs)
    outputs, _, evidence = capture(model, inputs, choose, layers, needs={"gradients"})
    other_outputs, _, other_evidence = capture(candidate, inputs, choose, layers, needs={"gradients"})
    maps = zip(map(_grad_cam, evidence), map(_grad_cam, other_evidence), strict=True)
    return all(_are_equal(own, other) for own, other in ((outputs, other_outputs), *maps))


def _are_equal(own: torch.Tensor, other: torch.Tensor) -> bool:
    return float((own - other).abs().max()) <= SLACK * float(own.abs().max())


def _grad_cam(evidence: Evidence) -> torch.Tensor:
    """The map as in its paper; the family of methods cannot be imported here."""
    if evidence.gradients is None:
        return evidence.activations
    return torch.einsum("knc,nchw->knhw", evidence.gradients.mean(dim=(-2, -1)), evidence.activations)
