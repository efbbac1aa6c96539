"""One look into every module of a network, when it is loaded."""

import itertools
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.capture.taps import listening
from gradcam_core.layers import TOKENS, TOKENS_FIRST

SAMPLE = 64
# How many values of a map are kept to see where a change of the input shows.
KEPT = 16_384


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
    those of the input. `follows` names the step that ended just before and whose very output went in. `cells` are
    some channels of a map: [c h w], or [c tokens]. `weights`: its rows sum to one, as attention weights do.
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
    cells: torch.Tensor | None = None
    weights: bool = False


def probe(
    network: nn.Module,
    inputs: torch.Tensor,
    watched: Container[str] = (),
    layouts: Mapping[str, str] = MappingProxyType({}),
    running: list[str] | None = None,
) -> tuple[Any, dict[str, Call]]:
    """Run a network once and note what every module did. Its hooks are removed afterwards.

    `layouts` names the modules whose `cells` are kept. `running` is kept up to date with the names of the modules
    that are at work, outermost first. Returns what the network returns, and the calls.
    """
    calls = {name: Call(module) for name, module in network.named_modules() if name}
    clock = itertools.count(1)
    latest = _Latest(running=[] if running is None else running)
    handles = []
    for name, call in calls.items():
        if isinstance(call.module, torch.jit.ScriptModule):  # takes no hooks
            continue
        begin, end = _hooks(name, call, clock, name in watched, layouts.get(name, ""), latest)
        handles += [call.module.register_forward_pre_hook(begin), call.module.register_forward_hook(end)]
    try:
        with listening(None, inputs.device):
            outputs = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, calls


@dataclass(slots=True)
class _Latest:
    """The step without parts that ended last, and the modules at work.

    The step's output is kept, so that no other tensor can have its address.
    """

    running: list[str]
    name: str = ""
    output: Any = None


def _hooks(
    name: str, call: Call, clock: Iterator[int], watched: bool, layout: str, latest: _Latest
) -> tuple[Callable[[nn.Module, Any], None], Callable[[nn.Module, Any, Any], None]]:
    """What is noted before a module runs, and after it."""

    def begin(module: nn.Module, inputs: Any) -> None:
        if inputs and inputs[0] is latest.output:
            call.follows = latest.name
        call.begun = call.begun or next(clock)
        latest.running.append(name)
        if watched and inputs:
            call.entered = _average(inputs[0], (2, 3))

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        if not module._modules:
            latest.name, latest.output = name, output
        call.calls += 1
        call.ended = next(clock)
        latest.running.pop()
        # Values are taken at once, since a later in-place step may overwrite them.
        output = output.detach() if isinstance(output, torch.Tensor) else output
        if watched:
            call.channels_first, call.channels_last = _average(output, (2, 3)), _average(output, (1, 2))
        call.output = output
        if isinstance(output, torch.Tensor):
            call.trace = trace_of(output)
            call.cells, call.weights = _cells(output, layout), bool(layout) and _rows_sum_to_one(output)
            kind = torch.uint8 if output.is_quantized else output.dtype
            call.output = torch.empty(output.shape, dtype=kind, device="meta")

    return begin, end


def trace_of(output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """A few values and the sum of all."""
    if output.is_quantized or output.layout is not torch.strided or not output.numel():
        return None
    return output.flatten()[:: max(1, output.numel() // SAMPLE)].clone(), output.sum()


def _cells(output: torch.Tensor, layout: str) -> torch.Tensor | None:
    """Some channels of the first picture's map; all of them where as many tokens as channels leave the axes open."""
    tokens = layout in (TOKENS, TOKENS_FIRST)
    if output.dim() != (3 if tokens else 4) or not layout or not output.is_floating_point():
        return None
    own = output[:, 0] if layout == TOKENS_FIRST else output[0]
    values = own if layout == "NCHW" else own.movedim(-1, 0)
    every = 1 if tokens and values.shape[0] == values.shape[1] else max(1, values.numel() // KEPT)
    return values[::every].float().clone()


def _rows_sum_to_one(output: torch.Tensor) -> bool:
    """Whether all rows are shares of 1; most outputs are ruled out by their first row."""
    if output.dim() not in (3, 4) or not output.is_floating_point() or not output.numel() or output.shape[-1] == 1:
        return False
    first = output[(0,) * (output.dim() - 1)]
    if bool((first < 0).any()) or abs(float(first.sum()) - 1) > 1e-3:
        return False
    return bool((output >= 0).all()) and bool(((output.sum(-1) - 1).abs() < 1e-3).all())


def same_output(first: Call, second: Call) -> bool:
    """Whether a module gave the same output in two probes, as far as that is known."""
    if first.trace is None or second.trace is None:
        return False
    return all(torch.equal(one, other) for one, other in zip(first.trace, second.trace, strict=True))


def _average(values: Any, axes: tuple[int, int]) -> Averages | None:
    if not isinstance(values, torch.Tensor) or values.dim() not in (2, 3, 4) or not values.is_floating_point():
        return None
    values = values.detach()
    if values.dim() == 2:
        return Averages(values.clone(), values.relu(), ())
    if values.dim() == 3:  # tokens
        return Averages(values.mean(1), values.relu().mean(1), (values.shape[1],))
    grid = tuple(values.shape[axis] for axis in axes)
    return Averages(values.mean(axes), values.relu().mean(axes), grid)
