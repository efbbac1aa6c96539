"""One forward pass, one batched backward pass through the tail -> Evidence."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from gradcam_core.capture.guided import guided_gradients
from gradcam_core.capture.outputs import class_scores, target_scores
from gradcam_core.capture.scores import network_for, scorer
from gradcam_core.capture.tail import tail_of
from gradcam_core.capture.taps import Session, listening
from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import LayerError, TargetError
from gradcam_core.layers import to_grid
from gradcam_core.records import Evidence, LayerInfo, LoadedModel, Target

Choose = Callable[[torch.Tensor], Sequence[Target]]
Clock = Callable[[str], AbstractContextManager[None]]


def capture(
    model: LoadedModel,
    inputs: torch.Tensor,
    choose: Choose,
    layers: Sequence[LayerInfo],
    *,
    needs: Collection[str] = ("gradients", "head"),
    clock: Clock = lambda step: nullcontext(),
) -> tuple[torch.Tensor, tuple[Target, ...], tuple[Evidence, ...]]:
    """Collect the evidence for the targets that `choose` picks, at every layer, in one pass.

    `inputs` [N C H' W']. `needs` names what the methods ask for (see methods/needs.py). Returns the
    outputs [N classes], the targets and one Evidence a layer. Raises LayerError where a target's
    score does not depend on a layer.
    """
    inputs = _recordable(inputs)
    session = Session(frozenset(layer.name for layer in layers), "gradients" in needs)
    with listening(session, model.device):
        with clock("forward"):
            outputs = class_scores(network_for(model, layers)(inputs))
            targets = tuple(choose(outputs.detach()))
        with clock("tail"):
            scores = target_scores(outputs, targets)
            points = _points(session, layers)
            slopes = _gradients(scores, points, layers) if session.gradients else [None] * len(points)
            head = _head_rows(model, outputs, targets) if "head" in needs else None
    shared = _of_the_input(model, inputs, targets, needs, clock)
    evidence = tuple(
        Evidence(
            layer,
            to_grid(point.detach(), layer),
            to_grid(slope, layer) if slope is not None else None,
            scores.detach(),
            head if layer.pooling else None,
            tail=_tail(model, layer, inputs, outputs.detach(), targets) if "tail" in needs else None,
            **shared,
        )
        for layer, point, slope in zip(layers, points, slopes, strict=True)
    )
    return outputs.detach(), targets, evidence


def _recordable(inputs: torch.Tensor) -> torch.Tensor:
    """A tensor made in inference mode cannot enter a graph; a copy made outside of it can."""
    with torch.inference_mode(False):
        return inputs.clone() if inputs.is_inference() else inputs


def _of_the_input(
    model: LoadedModel, inputs: torch.Tensor, targets: Sequence[Target], needs: Collection[str], clock: Clock
) -> dict[str, Any]:
    """The evidence that is the same at every layer, as far as it is needed."""
    shared: dict[str, Any] = {"inputs": inputs}
    if "forward" in needs:
        shared["forward"] = _forward(model, targets)
    if "guided" in needs:
        with clock("guided backpropagation"):
            shared["guided"] = _guided(model, inputs, targets)
    return shared


def _points(session: Session, layers: Sequence[LayerInfo]) -> list[torch.Tensor]:
    """The outputs that the taps took at each layer."""
    silent = [layer.name for layer in layers if layer.name not in session.outputs]
    if silent:
        raise LayerError(f"Layer '{silent[0]}' did not take part in this pass.", "Choose another layer.")
    return [session.outputs[layer.name] for layer in layers]


def _forward(model: LoadedModel, targets: Sequence[Target]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The whole network as a function: inputs [B Cin Hin Win] -> the targets' scores [K B]."""
    scores = scorer(model)
    return lambda inputs: target_scores(scores(inputs), targets)


def _tail(
    model: LoadedModel, layer: LayerInfo, inputs: torch.Tensor, outputs: torch.Tensor, targets: Sequence[Target]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What follows a layer as a function: maps [B C h w] -> the targets' scores [K B]."""
    run = tail_of(network_for(model, [layer]), layer, inputs, outputs)

    def tail(maps: torch.Tensor) -> torch.Tensor:
        return target_scores(run(maps), targets)

    return tail


def _guided(model: LoadedModel, inputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
    return guided_gradients(model.module, inputs, lambda outputs: target_scores(outputs, targets))


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
    present = [slope for slope in slopes if slope is not None]
    if len(present) < len(slopes):
        name = next(layer.name for slope, layer in zip(slopes, layers, strict=True) if slope is None)
        raise LayerError(f"No class score depends on layer '{name}'.", "Choose another layer.")
    return present


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
    return tuple(None if rows[0] is None else torch.stack(rows) for rows in zip(*singles, strict=True))


def _head_rows(model: LoadedModel, outputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor | None:
    """The classifier's weights as the targets use them [K C]: a class's own row, or rows mixed as a target mixes."""
    if model.head is None:
        return None
    with torch.enable_grad():
        free = outputs[:1].detach().requires_grad_()
        shares = [_slope(score, free) for score in target_scores(free, targets)]
    mixed = torch.stack(shares)
    used = mixed.any(dim=0).nonzero().flatten()  # of a thousand classes, the targets use a few
    return mixed[:, used] @ model.head[used]


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
