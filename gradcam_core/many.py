"""Many pictures in one pass: each gets the explanation that `explain` gives it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from gradcam_core.capture import BATCH_REFUSALS, capture, centres_of, scorer
from gradcam_core.choosing import Method, choose_methods
from gradcam_core.errors import DeviceError, GradcamError, LayerError, MethodError
from gradcam_core.explanation import (
    Clock,
    Notes,
    check_records,
    choosers_of,
    concluded,
    explain,
    settled_targets,
)
from gradcam_core.heatmaps import FirstPass, of_input
from gradcam_core.layers import wanted_layers
from gradcam_core.methods import smoothing_of
from gradcam_core.placement import Placement
from gradcam_core.preprocess import prepare
from gradcam_core.progress import SILENT
from gradcam_core.records import Evidence, Explanation, ImageRecord, LayerInfo, LoadedModel, Origin, Target
from gradcam_core.registry import Choice
from gradcam_core.suitability.known import mean_features, with_usual_layer
from gradcam_core.targets import ClassTarget, Wanted

# What methods may need where pictures with targets of their own share a pass.
SHARED = frozenset({"activations", "gradients", "head", "scores"})
# How far the outputs of a batch may lie from those of a picture alone, as a share of the largest.
SAME = 1e-3

Settled = tuple[tuple[Target, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _OwnClass:
    """The score of another class for each picture: `indices` [N]."""

    indices: tuple[int, ...]
    label: str = "each picture's own class"
    index: int = 0
    probability: float = 0.0

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the model's outputs [N classes]."""
        places = torch.tensor(self.indices, device=outputs.device)[:, None]
        return outputs.gather(1, places)[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """One pass through the network for N pictures: `settled` has each one's targets, or why it has none."""

    outputs: torch.Tensor
    settled: tuple[Settled | GradcamError, ...]
    evidence: tuple[Evidence, ...]


def explain_many(
    images: Sequence[ImageRecord],
    model: LoadedModel,
    *,
    targets: Sequence[Wanted | Sequence[Wanted] | None] | None = None,
    method: Method = "grad_cam",
    layers: str | Sequence[str] | None = None,
) -> tuple[Explanation | GradcamError, ...]:
    """Explain pictures by one method: for each its explanation, or the error that `explain` would raise for it.

    `targets` has what to explain of each picture; None is its most probable class. Classes of whole pictures share one
    forward and one backward pass where the method reads these alone and the network treats every picture of a batch by
    itself; elsewhere each picture has its own. Raises LayerError and MethodError, which suit no picture.
    """
    wanted, asked = wanted_layers(model, layers), list(targets or [None] * len(images))
    choices, left_out = choose_methods([method], wanted, model)
    needs = set(choices[0].member.needs)
    if len(images) > 1 and needs <= SHARED and not smoothing_of(choices[0]) and not model.outputs.has_places:
        together = _together(images, model, asked, choices[0], wanted, left_out)
        if together is not None:
            return together
    return tuple(_alone(image, model, each, method, layers) for image, each in zip(images, asked, strict=True))


def _alone(
    image: ImageRecord,
    model: LoadedModel,
    targets: Wanted | Sequence[Wanted] | None,
    method: Method,
    layers: str | Sequence[str] | None,
) -> Explanation | GradcamError:
    try:
        return explain(image, model, top_k=1, targets=targets, methods=[method], layers=layers)
    except (MethodError, LayerError):
        raise
    except GradcamError as error:
        return error


def _together(
    images: Sequence[ImageRecord],
    model: LoadedModel,
    asked: Sequence[Wanted | Sequence[Wanted] | None],
    choice: Choice,
    layers: tuple[LayerInfo, ...],
    left_out: Sequence[str],
) -> tuple[Explanation | GradcamError, ...] | None:
    """The explanations out of one pass; None where the pictures cannot share one."""
    prepared: list[tuple[np.ndarray, Placement]] = []
    try:
        for image in images:
            check_records(image, model)
            prepared.append(prepare(image, model.preprocessing))
        shared = _pass(prepared, model, asked, layers, set(choice.member.needs))
    except (*BATCH_REFUSALS, DeviceError, GradcamError):
        return None  # one by one, each picture gets the error that is its own
    centres = centres_of(model, layers)
    results: list[Explanation | GradcamError] = []
    for place, (image, (array, placement), settled) in enumerate(zip(images, prepared, shared.settled, strict=True)):
        if isinstance(settled, GradcamError):
            results.append(settled)
            continue
        targets, sentences = settled
        inputs, outputs = torch.from_numpy(array)[None].to(model.device), shared.outputs[place : place + 1]
        parts = tuple(_own_part(of_input(part, place), targets, model, choice) for part in shared.evidence)
        features = next((mean_features(part) for part in parts if part.layer.name == model.default_layer), None)
        origin = Origin(image.identity, model.fingerprint, model.preprocessing)
        first = FirstPass(model, inputs, outputs, targets, layers, parts[: len(layers)], placement, origin, centres)
        notes = Notes(sentences, tuple(left_out))
        results.append(concluded(image, model, array, first, features, [choice], 1, notes, Clock(), SILENT))
    return tuple(results)


def _pass(
    prepared: Sequence[tuple[np.ndarray, Placement]],
    model: LoadedModel,
    asked: Sequence[Wanted | Sequence[Wanted] | None],
    layers: tuple[LayerInfo, ...],
    needs: set[str],
) -> _Pass:
    """Run the network once for all pictures. Raises LayerError where they cannot share a pass."""
    inputs = torch.from_numpy(np.stack([array for array, _ in prepared])).to(model.device)
    settled: list[Settled | GradcamError] = []

    def own_classes(outputs: torch.Tensor) -> tuple[Target, ...]:
        if outputs.dim() != 2 or len(outputs) != len(prepared):
            raise LayerError("This network does not give a row of scores for each picture.", "Explain one by one.")
        for place, (each, (_, placement)) in enumerate(zip(asked, prepared, strict=True)):
            settled.append(_settled(each, outputs[place : place + 1], placement, model))
        return _rows_of_classes(settled)

    tapped = with_usual_layer(model, layers, needs)
    outputs, _, evidence = capture(model, inputs, own_classes, tapped, needs=needs - {"head"})
    return _Pass(outputs, tuple(settled), evidence)


def _settled(
    asked: Wanted | Sequence[Wanted] | None, outputs: torch.Tensor, placement: Placement, model: LoadedModel
) -> Settled | GradcamError:
    try:
        targets, sentences = settled_targets(choosers_of(asked, None, model, 1), outputs, placement, model)
    except GradcamError as error:
        return error
    if not all(type(target) is ClassTarget for target in targets):
        raise LayerError("A target is no class of a whole picture.", "Explain one by one.")
    return targets, sentences


def _rows_of_classes(settled: Sequence[Settled | GradcamError]) -> tuple[Target, ...]:
    """As many targets as the picture with the most has; a picture with fewer repeats its last one."""
    indices = [(0,) if isinstance(each, GradcamError) else tuple(t.index for t in each[0]) for each in settled]
    most = max(map(len, indices))
    padded = [(*own, *(own[-1:] * (most - len(own)))) for own in indices]
    return tuple(_OwnClass(row) for row in zip(*padded, strict=True))


def _own_part(evidence: Evidence, targets: Sequence[Target], model: LoadedModel, choice: Choice) -> Evidence:
    """The evidence of one picture's own targets [K ...], with the classifier's rows of their classes."""
    count, gradients, head = len(targets), evidence.gradients, None
    if model.head is not None and evidence.layer.pooling and "head" in choice.member.needs:
        head = model.head[[target.index for target in targets]]
    gradients = None if gradients is None else gradients[:count]
    return replace(evidence, gradients=gradients, scores=evidence.scores[:count], head=head)


def pictures_apart(model: LoadedModel) -> bool:
    """Whether the network gives pictures in a batch what it gives each alone: tried on two inputs of noise."""
    shape = (2, model.preprocessing.channels, *model.preprocessing.size)
    inputs = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    try:
        run = scorer(model)
        together, alone = run(inputs), torch.cat([run(single) for single in torch.split(inputs, 1)])
    except (*BATCH_REFUSALS, DeviceError):
        return False
    slack = SAME * float(alone.abs().max())
    return together.shape == alone.shape and torch.allclose(together, alone, rtol=SAME, atol=slack)
