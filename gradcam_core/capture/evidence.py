"""One forward pass, one batched backward pass through the tail -> Evidence."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from gradcam_core.capture.attention import block_attention, block_gradients
from gradcam_core.capture.backward import moves_scores
from gradcam_core.capture.guided import guided_gradients
from gradcam_core.capture.rows import Cuts
from gradcam_core.capture.scores import class_scores, gradients_of, network_for, scorer, target_scores
from gradcam_core.capture.tail import tail_of
from gradcam_core.capture.taps import Session, listening
from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import GradcamError, LayerError, ModelError, TargetError
from gradcam_core.layers import layers_by_depth, to_grid
from gradcam_core.records import Evidence, LayerInfo, LoadedModel, Target
from gradcam_core.targets import ContrastTarget
from gradcam_core.text import one_line

Choose = Callable[[torch.Tensor], Sequence[Target]]
Clock = Callable[[str], AbstractContextManager[None]]
Run = Callable[[torch.Tensor], torch.Tensor]
# What torch says where a network allows no gradients, and what that means.
FORBIDDEN = MappingProxyType(
    {
        "inplace operation": "this network overwrites values that its gradients need",
        "use_reentrant": "this network computes steps again for its gradients (reentrant checkpointing)",
    }
)


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
    names = frozenset(layer.name for layer in layers)
    session = Session(names, "gradients" in needs, cuts=None if "similar" in needs else Cuts(names))
    with listening(session, model.device):
        with clock("forward"):
            outputs = _outputs(network_for(model, layers), inputs)
            targets = tuple(choose(outputs.detach()))
        with clock("tail"):
            scores = target_scores(outputs, targets)
            points = _points(session, layers)
            wanted = session.gradients
            levels = len(layers) > 1 and bool(model.pyramid)
            slopes = _gradients(scores, points, layers, levels, session.cuts) if wanted else (None,) * len(points)
            cut = [layer for layer, slope in zip(layers, slopes, strict=True) if wanted and slope is None]
            head = _head_rows(model, outputs, targets) if "head" in needs else None
    if cut:
        raise _unreached(network_for(model, cut), inputs, cut[0])
    guided = _guided(model, inputs, targets, clock) if "guided" in needs else None
    evidence = []
    for layer, point, slope in zip(layers, points, slopes, strict=True):
        maps, gradients = to_grid(point.detach(), layer), None if slope is None else to_grid(slope, layer)
        passes = _passes(model, inputs, outputs, targets, layer, point, needs)
        rows = head if layer.pooling else None
        evidence.append(Evidence(layer, maps, gradients, scores.detach(), rows, inputs, guided, passes))
    return outputs.detach(), targets, tuple(evidence)


def _outputs(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Run the network. It ran when it was loaded, so what it raises now is about this picture: a ModelError."""
    try:
        return class_scores(network(inputs))
    except GradcamError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        kind, line = type(error).__name__, one_line(str(error), 160)
        message = f"The model does not run on this picture ({kind}{f': {line}' if line else ''})."
        raise ModelError(message, "Choose another picture, or correct the network.") from error


def _recordable(inputs: torch.Tensor) -> torch.Tensor:
    """A tensor made in inference mode cannot enter a graph; a copy made outside of it can."""
    with torch.inference_mode(False):
        return inputs.clone() if inputs.is_inference() else inputs


def _points(session: Session, layers: Sequence[LayerInfo]) -> list[torch.Tensor]:
    """The outputs that the taps took at each layer."""
    silent = [layer.name for layer in layers if layer.name not in session.outputs]
    if silent:
        raise LayerError(f"Layer '{silent[0]}' did not take part in this pass.", "Choose another layer.")
    return [session.outputs[layer.name] for layer in layers]


def _passes(
    model: LoadedModel,
    inputs: torch.Tensor,
    outputs: torch.Tensor,
    targets: Sequence[Target],
    layer: LayerInfo,
    point: torch.Tensor,
    needs: Collection[str],
) -> dict[str, Callable[..., Any]]:
    """What methods call to run the network, or a part of it, themselves (see methods/needs.py)."""
    passes: dict[str, Callable[..., Any]] = {}
    if "forward" in needs:
        passes["forward"] = _scoring(scorer(model), targets)
    if "tail" in needs:
        passes["tail"] = _scoring(tail_of(network_for(model, [layer]), layer, inputs, outputs.detach()), targets)
    if "similar" in needs:
        passes["similar"] = partial(similar_gradients, outputs, targets, layer, point)
    if "levels" in needs:
        passes["levels"] = partial(_levels, model, inputs, targets, layer)
    if "attention" in needs and model.attention:
        passes["attention"] = partial(block_attention, model, inputs)
    if "attention_gradients" in needs and model.attention:
        passes["attention_gradients"] = partial(block_gradients, model, inputs, targets)
    return passes


def _scoring(run: Run, targets: Sequence[Target]) -> Run:
    """A function that gives outputs [B classes], continued to the targets' scores [K B]."""
    return lambda values: target_scores(run(values), targets)


def _levels(
    model: LoadedModel, inputs: torch.Tensor, targets: Sequence[Target], layer: LayerInfo, count: int
) -> tuple[Evidence, ...]:
    """Activations and gradients at `count` layers of the network's depth, of which this one is the last."""
    layers = layers_by_depth(replace(model, default_layer=layer.name), count)
    return capture(model, inputs, lambda outputs: tuple(targets), layers, needs=("gradients",))[2]


def similar_gradients(
    outputs: torch.Tensor, targets: Sequence[Target], layer: LayerInfo, point: torch.Tensor, count: int
) -> torch.Tensor:
    """Gradients [K N C h w], at a layer, of the mean score of the `count` classes most like each target's class.

    Those are the classes whose scores are nearest to the target's own, without its class. Raises TargetError
    for a contrast, for a model with one class, and for what is no class: an object, a region, a likeness.
    """
    if outputs.dim() != 2 or any(target.index < 0 for target in targets):
        raise TargetError(
            "This method compares a class with similar classes, and the target is not a class of a whole picture.",
            "Use Grad-CAM.",
        )
    if any(isinstance(target, ContrastTarget) for target in targets):
        raise TargetError("A contrast compares two classes already.", "Explain a class itself, or use Grad-CAM.")
    if outputs.shape[1] < 2:
        raise TargetError("This model has one class, so no class is similar to it.", "Use Grad-CAM.")
    with torch.enable_grad():
        means = []
        for target in targets:
            distances = (outputs - target(outputs)[:, None]).detach().abs()
            distances[:, target.index] = torch.inf
            nearest = distances.topk(min(count, outputs.shape[1] - 1), dim=1, largest=False).indices
            means.append(outputs.gather(1, nearest).mean(dim=1))
        slopes = _gradients(torch.stack(means), [point], [layer])[0]
    assert slopes is not None
    return to_grid(slopes, layer)


def _guided(model: LoadedModel, inputs: torch.Tensor, targets: Sequence[Target], clock: Clock) -> torch.Tensor:
    with clock("guided backpropagation"):
        return guided_gradients(model.module, inputs, lambda outputs: target_scores(outputs, targets))


def _gradients(
    scores: torch.Tensor,
    points: Sequence[torch.Tensor],
    layers: Sequence[LayerInfo],
    levels: bool = False,
    cuts: Cuts | None = None,
) -> tuple[torch.Tensor | None, ...]:
    """Gradients [K N ...] of the scores [K N] at each point. Raises LayerError where the network forbids them."""
    try:
        with torch.enable_grad():
            slopes = gradients_of(scores, points, cuts.finish() if cuts else ())
    except RuntimeError as error:
        reason = next((words for part, words in FORBIDDEN.items() if part in str(error)), "")
        if not reason:
            raise
        raise LayerError(
            f"Behind layer '{layers[0].name}' {reason}.",
            "Choose a layer nearer to the output, or CAM, which needs no gradients.",
        ) from error
    if levels and any(slope is not None for slope in slopes):
        # An object of a detector depends on some levels of its pyramid only.
        return tuple(
            point.new_zeros(len(scores), *point.shape) if slope is None else slope
            for point, slope in zip(points, slopes, strict=True)
        )
    return slopes


def _unreached(network: nn.Module, inputs: torch.Tensor, layer: LayerInfo) -> LayerError:
    """Say why a layer has no gradient: the scores do not depend on it, or they do and the network cuts it."""
    if not moves_scores(network, inputs, layer):
        return LayerError(f"No class score depends on layer '{layer.name}'.", "Choose another layer.")
    return LayerError(
        f"The network cuts its gradients behind layer '{layer.name}' (no_grad, detach, a step outside torch, or "
        "re-entrant checkpointing), though its scores depend on it.",
        "Use a method without gradients, such as Eigen-CAM or Score-CAM, or choose a layer nearer to the output.",
    )


def _head_rows(model: LoadedModel, outputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor | None:
    """The classifier's weights as the targets use them [K C]: a class's own row, or rows mixed as a target mixes."""
    if model.head is None:
        return None
    with torch.enable_grad():
        free = outputs[:1].detach().requires_grad_()
        scores = [target(free) for target in targets]
        depends = all(score.requires_grad for score in scores)
        slopes = gradients_of(torch.stack(scores), [free])[0] if depends else None
    if slopes is None:
        raise TargetError(
            "The target does not depend on the model's scores.", "Compute it from the outputs it is given."
        )
    mixed = slopes[:, 0]
    columns = mixed.any(dim=0).nonzero().flatten()  # of a thousand classes, the targets use a few
    return mixed[:, columns] @ model.head[columns]
