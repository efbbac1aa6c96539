"""One look into every module of a network, when it is loaded."""

import itertools
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.capture.scores import class_scores
from gradcam_core.capture.taps import listening

SAMPLE = 64


class Averages(NamedTuple):
    """A tensor's averages over its rows and columns [N C], as it is and after a ReLU; and their number."""

    plain: torch.Tensor
    relu: torch.Tensor
    grid: tuple[int, ...]


@dataclass(slots=True)
class Call:
    """What one module did in a probe.

    `output` keeps shape and type, not the values; `trace` is a few of them and the sum of all, which tell
    two outputs apart. `begun` and `ended` count the events of the whole pass. Of watched modules,
    `channels_first` and `channels_last` are averages of the output, read as NCHW and as NHWC; `entered` are
    those of the input. `follows` names the step that ended just before and whose very output went in.
    """

    module: nn.Module
    output: Any = None
    calls: int = 0
    begun: int = 0
    ended: int = 0
    trace: tuple[torch.Tensor, torch.Tensor] | None = None
    follows: str = ""
    entered: Averages | None = None
    channels_first: Averages | None = None
    channels_last: Averages | None = None


def probe(
    network: nn.Module, inputs: torch.Tensor, watched: Container[str] = ()
) -> tuple[torch.Tensor, dict[str, Call]]:
    """Run a network once and note what every module did. Its hooks are removed afterwards."""
    calls = {name: Call(module) for name, module in network.named_modules() if name}
    clock = itertools.count(1)
    latest = _Latest()
    handles = []
    for name, call in calls.items():
        begin, end = _hooks(name, call, clock, name in watched, latest)
        handles += [call.module.register_forward_pre_hook(begin), call.module.register_forward_hook(end)]
    try:
        with listening(None, inputs.device):
            outputs = class_scores(network(inputs))
    finally:
        for handle in handles:
            handle.remove()
    return outputs, calls


@dataclass(slots=True)
class _Latest:
    """The step without parts that ended last. Its output is kept, so that no other tensor can have its address."""

    name: str = ""
    output: Any = None


def _hooks(
    name: str, call: Call, clock: Iterator[int], watched: bool, latest: _Latest
) -> tuple[Callable[[nn.Module, Any], None], Callable[[nn.Module, Any, Any], None]]:
    """What is noted before a module runs, and after it."""

    def begin(module: nn.Module, inputs: Any) -> None:
        if inputs and inputs[0] is latest.output:
            call.follows = latest.name
        call.begun = call.begun or next(clock)
        if watched and inputs:
            call.entered = _average(inputs[0], (2, 3))

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
            call.trace = trace_of(output)
            call.output = torch.empty_like(output, device="meta")

    return begin, end


def trace_of(output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """A few values and the sum of all."""
    if output.is_quantized or output.layout is not torch.strided or not output.numel():
        return None
    return output.flatten()[:: max(1, output.numel() // SAMPLE)].clone(), output.sum()


def same_output(first: Call, second: Call) -> bool:
    """Whether a module gave the same output in two probes, as far as that is known."""
    if first.trace is None or second.trace is None:
        return False
    return all(torch.equal(one, other) for one, other in zip(first.trace, second.trace, strict=True))


def _average(values: Any, axes: tuple[int, int]) -> Averages | None:
    if not isinstance(values, torch.Tensor) or values.dim() not in (2, 3, 4) or not values.is_floating_point():
        return None
    if values.dim() == 2:
        return Averages(values.clone(), values.relu(), ())
    if values.dim() == 3:  # tokens
        return Averages(values.mean(1), values.relu().mean(1), (values.shape[1],))
    grid = tuple(values.shape[axis] for axis in axes)
    return Averages(values.mean(axes), values.relu().mean(axes), grid)
