"""One forward pass, one batched backward pass through the tail. The only file with hooks and autograd.

The hooks ("taps") are put on once, when a model is loaded, and do nothing but look into a context
variable, which every thread has for itself. So many analyses run through one shared model at
once, without a lock, and nothing is ever written on it.
"""

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import LayerError, ModelError, TargetError
from gradcam_core.layers import to_grid
from gradcam_core.records import Evidence, LayerInfo, LoadedModel, Target


@dataclass(slots=True)
class _Session:
    """What one analysis wants to hear from the taps, and what it has heard."""

    wanted: frozenset[str]
    gradients: bool
    heard: dict[str, torch.Tensor] = field(default_factory=dict)


SAMPLE = 64
_session: ContextVar[_Session | None] = ContextVar("capture_session", default=None)


def install_taps(network: nn.Module, names: Iterable[str]) -> None:
    """Put a tap behind every named module, for good."""
    modules = dict(network.named_modules())
    for name in names:
        modules[name].register_forward_hook(_tap(name))


def _tap(name: str) -> Callable[[nn.Module, Any, Any], Any]:
    def tap(module: nn.Module, inputs: Any, output: Any) -> Any:
        session = _session.get()
        if session is None or name not in session.wanted:
            return None
        return _cut(session, name, output)

    return tap


def _cut(session: _Session, name: str, output: torch.Tensor) -> torch.Tensor:
    """Start the graph at this layer, and hand on a copy, which a later in-place step may overwrite.

    A second layer behind the first keeps its place in the graph that the first one started.
    """
    if not session.gradients:
        session.heard[name] = output.clone()
        return output
    torch.set_grad_enabled(True)
    leaf = output if output.requires_grad else output.detach().requires_grad_()
    session.heard[name] = leaf
    return leaf.clone()


@contextmanager
def _listening(session: _Session | None, device: torch.device) -> Iterator[None]:
    """Run with this session's taps, whatever modes the caller is in; all are restored at the end."""
    token = _session.set(session)
    try:
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        _session.reset(token)


def capture(
    model: LoadedModel,
    inputs: torch.Tensor,
    choose: Callable[[torch.Tensor], Sequence[Target]],
    layers: Sequence[LayerInfo],
    *,
    gradients: bool = True,
) -> tuple[torch.Tensor, tuple[Target, ...], tuple[Evidence, ...]]:
    """Collect the evidence for the targets that `choose` picks, at every layer, in one pass.

    `inputs` [N C H' W']. Returns the outputs [N classes], the targets and one Evidence a layer.
    Raises LayerError where a target's score does not depend on a layer.
    """
    session = _Session(frozenset(layer.name for layer in layers), gradients)
    with _listening(session, model.device):
        # A tensor made in inference mode cannot enter a graph; a copy made here can.
        outputs = class_scores(model.module(inputs.clone() if inputs.is_inference() else inputs))
        targets = tuple(choose(outputs.detach()))
        scores = _scores(outputs, targets)
        silent = [layer.name for layer in layers if layer.name not in session.heard]
        if silent:
            raise LayerError(f"Layer '{silent[0]}' did not take part in this pass.", "Choose another layer.")
        points = [session.heard[layer.name] for layer in layers]
        slopes = _gradients(scores, points, layers) if gradients else [None] * len(points)
        head = _head_rows(model, outputs, targets) if any(layer.pooling for layer in layers) else None
    evidence = tuple(
        Evidence(
            layer,
            to_grid(point.detach(), layer),
            to_grid(slope, layer) if slope is not None else None,
            scores.detach(),
            head if layer.pooling else None,
        )
        for layer, point, slope in zip(layers, points, slopes, strict=True)
    )
    return outputs.detach(), targets, evidence


def _gradients(scores: torch.Tensor, points: list[torch.Tensor], layers: Sequence[LayerInfo]) -> list[torch.Tensor]:
    """Gradients [K ...] of the K scores [K N] at each point, batched where every operator allows it."""
    with torch.enable_grad():
        if not scores.requires_grad:
            raise LayerError(f"No class score depends on layer '{layers[0].name}'.", "Choose another layer.")
        count = scores.shape[0]
        rows = torch.eye(count, dtype=scores.dtype, device=scores.device)[:, :, None].expand(count, *scores.shape)
        slopes: tuple[torch.Tensor | None, ...]
        try:
            slopes = torch.autograd.grad(
                scores, points, rows, is_grads_batched=True, retain_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            slopes = _gradients_one_by_one(scores, points, rows, layers)
    found = [slope for slope in slopes if slope is not None]
    if len(found) < len(slopes):
        name = next(layer.name for slope, layer in zip(slopes, layers, strict=True) if slope is None)
        raise LayerError(f"No class score depends on layer '{name}'.", "Choose another layer.")
    return found


def _gradients_one_by_one(
    scores: torch.Tensor, points: list[torch.Tensor], rows: torch.Tensor, layers: Sequence[LayerInfo]
) -> tuple[torch.Tensor | None, ...]:
    """The slower way, for networks with an operator that has no batching rule."""
    try:
        singles = [torch.autograd.grad(scores, points, row, retain_graph=True, allow_unused=True) for row in rows]
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        raise LayerError(
            f"Behind layer '{layers[0].name}' this network overwrites values that its gradients need.",
            "Choose a layer nearer to the output, or CAM, which needs no gradients.",
        ) from error
    return tuple(None if one[0] is None else torch.stack(one) for one in zip(*singles, strict=True))


def _scores(outputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
    """The targets' scores [K N]."""
    scores = [target(outputs) for target in targets]
    for target, score in zip(targets, scores, strict=True):
        if not isinstance(score, torch.Tensor) or score.shape != outputs.shape[:1]:
            raise TargetError(
                f"Target '{target.label}' does not give one score per picture.",
                "Let it take outputs [pictures, classes] and return scores [pictures].",
            )
    return torch.stack(scores)


def _head_rows(model: LoadedModel, outputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor | None:
    """The classifier's weights as the targets use them [K C]: a class's own row, or rows mixed as a target mixes."""
    if model.head is None:
        return None
    with torch.enable_grad():
        free = outputs[:1].detach().requires_grad_()
        shares = [_slope(score, free) for score in _scores(free, targets)]
    return torch.stack(shares) @ model.head


def _slope(score: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """How a score [1] follows the outputs [1 classes]: a class's own score gives 1 there and 0 elsewhere."""
    slope = (
        torch.autograd.grad(score, outputs, retain_graph=True, allow_unused=True)[0] if score.requires_grad else None
    )
    if slope is None:
        raise TargetError(
            "The target does not depend on the model's scores.", "Compute it from the outputs it is given."
        )
    return slope[0]


def class_scores(outputs: Any) -> torch.Tensor:
    """Find the class scores [N classes] in whatever a classifier returns."""
    if isinstance(outputs, dict):
        outputs = outputs.get("logits", outputs.get("out"))
    outputs = getattr(outputs, "logits", outputs)
    if isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    if isinstance(outputs, torch.Tensor) and outputs.dim() == 4 and outputs.shape[2:] == (1, 1):
        outputs = outputs.flatten(1)
    if not isinstance(outputs, torch.Tensor) or outputs.dim() != 2 or outputs.shape[1] < 1:
        found = list(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise ModelError(
            f"The model returns {found} instead of one score per class.",
            "Use a classifier, or wrap yours so that it returns [pictures, classes].",
        )
    if not outputs.is_floating_point():
        raise ModelError(
            "The model returns whole numbers, not scores.", "Let it return its scores before any rounding."
        )
    return outputs.float()


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
    averages of the output, read as NCHW and as NHWC; `entered` are those of what went in.
    """

    module: nn.Module
    output: Any = None
    calls: int = 0
    begun: int = 0
    ended: int = 0
    sample: torch.Tensor | None = None
    entered: Averages | None = None
    channels_first: Averages | None = None
    channels_last: Averages | None = None


def probe(
    network: nn.Module, inputs: torch.Tensor, watched: Container[str] = ()
) -> tuple[torch.Tensor, dict[str, Call]]:
    """Run a network once and tell what every module did. Its hooks are gone afterwards."""
    calls = {name: Call(module) for name, module in network.named_modules() if name}
    clock = itertools.count(1)
    handles = []
    for name, call in calls.items():
        handles.append(call.module.register_forward_pre_hook(_begin(call, clock, name in watched)))
        handles.append(call.module.register_forward_hook(_end(call, clock, name in watched)))
    try:
        with _listening(None, inputs.device):
            outputs = class_scores(network(inputs))
    finally:
        for handle in handles:
            handle.remove()
    return outputs, calls


def _begin(call: Call, clock: Iterator[int], watched: bool) -> Callable[[nn.Module, Any], None]:
    def begin(module: nn.Module, inputs: Any) -> None:
        call.begun = call.begun or next(clock)
        if watched and inputs:
            call.entered = _average(inputs[0], (2, 3))

    return begin


def _end(call: Call, clock: Iterator[int], watched: bool) -> Callable[[nn.Module, Any, Any], None]:
    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        call.calls += 1
        call.ended = next(clock)
        # Values are taken at once, since a later in-place step may overwrite them.
        if watched:
            call.channels_first, call.channels_last = _average(output, (2, 3)), _average(output, (1, 2))
        call.output = output
        if isinstance(output, torch.Tensor):
            call.sample = output.flatten()[:: max(1, output.numel() // SAMPLE)].clone()
            call.output = torch.empty_like(output, device="meta")

    return end


def _average(values: Any, axes: tuple[int, int]) -> Averages | None:
    if not isinstance(values, torch.Tensor) or values.dim() not in (2, 3, 4) or not values.is_floating_point():
        return None
    if values.dim() == 2:
        return Averages(values.clone(), values.relu(), ())
    if values.dim() == 3:  # tokens
        return Averages(values.mean(1), values.relu().mean(1), (values.shape[1],))
    grid = tuple(values.shape[axis] for axis in axes)
    return Averages(values.mean(axes), values.relu().mean(axes), grid)
