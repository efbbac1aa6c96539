"""Run a network when it is loaded, and record what each of its modules does."""

import itertools
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.capture.outputs import class_scores
from gradcam_core.capture.taps import listening

SAMPLE = 64
# How far the last steps' values are driven to see whether the outputs are bounded, and how many steps are tried.
AMPLIFIED, LAST_STEPS = 1e6, 3
# Rounding may bring a sum of probabilities slightly above 1.
ROUNDING = 1e-6


class Averages(NamedTuple):
    """A tensor's averages over its rows and columns [N C], as it is and after a ReLU; and their number."""

    plain: torch.Tensor
    relu: torch.Tensor
    grid: tuple[int, ...]


@dataclass(slots=True)
class Call:
    """What one module did in a probe.

    `output` keeps shape and type, not the values; `sample` is a few of them. `begun` and `ended`
    count the events of the whole pass. Of watched modules, `channels_first` and `channels_last` are
    averages of the output, read as NCHW and as NHWC; `entered` are those of the input. `follows`
    names the step that ended just before, where its output is this module's input.
    """

    module: nn.Module
    output: Any = None
    calls: int = 0
    begun: int = 0
    ended: int = 0
    sample: torch.Tensor | None = None
    follows: str = ""
    entered: Averages | None = None
    channels_first: Averages | None = None
    channels_last: Averages | None = None


class Probe(NamedTuple):
    """A pass through a network: its class scores [N classes], and what every module did."""

    outputs: torch.Tensor
    calls: dict[str, Call]


def probe(network: nn.Module, inputs: torch.Tensor, watched: Container[str] = ()) -> Probe:
    """Run a network once and record what every module did. Its hooks are removed afterwards."""
    calls = {name: Call(module) for name, module in network.named_modules() if name}
    clock = itertools.count(1)
    latest = _Latest()
    handles = []
    for name, call in calls.items():
        handles.append(call.module.register_forward_pre_hook(_begin(call, clock, name in watched, latest)))
        handles.append(call.module.register_forward_hook(_end(call, clock, name in watched, latest, name)))
    try:
        with listening(None, inputs.device):
            outputs = class_scores(network(inputs))
    finally:
        for handle in handles:
            handle.remove()
    return Probe(outputs, calls)


@dataclass(slots=True)
class _Latest:
    """The step without parts that ended last. Its output is kept, so that no other tensor gets the same address."""

    name: str = ""
    output: Any = None


def _begin(call: Call, clock: Iterator[int], watched: bool, latest: _Latest) -> Callable[[nn.Module, Any], None]:
    def begin(module: nn.Module, inputs: Any) -> None:
        if inputs and inputs[0] is latest.output:
            call.follows = latest.name
        call.begun = call.begun or next(clock)
        if watched and inputs:
            call.entered = _average(inputs[0], (2, 3))

    return begin


def _end(
    call: Call, clock: Iterator[int], watched: bool, latest: _Latest, name: str
) -> Callable[[nn.Module, Any, Any], None]:
    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        if not module._modules:
            latest.name, latest.output = name, output
        call.calls += 1
        call.ended = next(clock)
        # Values are taken at once, since a later in-place step may overwrite them.
        if watched:
            call.channels_first, call.channels_last = _average(output, (2, 3)), _average(output, (1, 2))
        call.output = output
        if isinstance(output, torch.Tensor):
            call.sample = _sample(output)
            call.output = torch.empty_like(output, device="meta")

    return end


def _sample(output: torch.Tensor) -> torch.Tensor:
    """Some of a tensor's values, evenly spaced; where these are all zero, the number of those that are not."""
    sample = output.flatten()[:: max(1, output.numel() // SAMPLE)].clone()
    return sample if sample.any() else output.count_nonzero()


def _average(values: Any, axes: tuple[int, int]) -> Averages | None:
    if not isinstance(values, torch.Tensor) or values.dim() not in (2, 3, 4) or not values.is_floating_point():
        return None
    if values.dim() == 2:
        return Averages(values.clone(), values.relu(), ())
    if values.dim() == 3:  # tokens
        return Averages(values.mean(1), values.relu().mean(1), (values.shape[1],))
    grid = tuple(values.shape[axis] for axis in axes)
    return Averages(values.mean(axes), values.relu().mean(axes), grid)


def within_0_and_1(outputs: torch.Tensor) -> bool:
    """Whether all outputs could be probabilities."""
    return bool(((outputs >= 0) & (outputs <= 1 + ROUNDING)).all())


def is_bounded(network: nn.Module, calls: Mapping[str, Call], inputs: torch.Tensor) -> bool:
    """Whether the outputs stay within 0..1 however large the values of the last weighted step are, of either sign.

    Probabilities do; scores that lie within 0..1 by chance do not. `calls` are those of a probe.
    """
    steps = sorted((call for call in calls.values() if call.calls and _is_weighted(call.module)), key=lambda x: x.ended)
    for step in reversed(steps[-LAST_STEPS:]):
        low, high = (_amplified(network, step.module, inputs, factor) for factor in (-AMPLIFIED, AMPLIFIED))
        if not within_0_and_1(low) or not within_0_and_1(high):
            return False
        if not torch.equal(low, high):  # else the outputs may not depend on this step
            return True
    return False


def _is_weighted(module: nn.Module) -> bool:
    return not module._modules and isinstance(module._parameters.get("weight"), torch.Tensor)


def _amplified(network: nn.Module, step: nn.Module, inputs: torch.Tensor, factor: float) -> torch.Tensor:
    """The network's outputs with one step's output scaled to a largest value of `factor`."""

    def scale(module: nn.Module, given: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return output
        return output * (factor / output.abs().max().clamp_min(1e-12))

    handle = step.register_forward_hook(scale)
    try:
        with listening(None, inputs.device):
            return class_scores(network(inputs))
    finally:
        handle.remove()
