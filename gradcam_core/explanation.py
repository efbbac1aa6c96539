"""The straight line: picture -> input -> evidence -> maps -> heatmaps. Read this second."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from gradcam_core.capture import capture, centres_of, scorer
from gradcam_core.choosing import DEFAULT_METHODS as DEFAULT_METHODS
from gradcam_core.choosing import Method as Method
from gradcam_core.choosing import choose_methods
from gradcam_core.devices import with_enough_memory
from gradcam_core.errors import GradcamError, LayerError, MethodError, ModelError, PictureError, TargetError
from gradcam_core.heatmaps import FirstPass, heatmaps_of
from gradcam_core.layers import wanted_layers
from gradcam_core.methods import smoothing_of
from gradcam_core.placement import Placement
from gradcam_core.preprocess import prepare
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import (
    Explanation,
    Heatmap,
    ImageRecord,
    LayerInfo,
    LoadedModel,
    Origin,
    Prediction,
    Target,
)
from gradcam_core.registry import Choice
from gradcam_core.suitability import converted, unsuited
from gradcam_core.suitability.known import Features, mean_features, with_usual_layer
from gradcam_core.targets import (
    Choose,
    Wanted,
    choose_contrasts,
    choose_targets,
    listed_targets,
    predictions,
    settle,
    text_notes,
    with_finite_scores,
)
from gradcam_core.tasks import check_top_k
from gradcam_core.version import versions

# What says that one method, or one target, cannot be served, while others can.
REFUSALS = (MethodError, TargetError, LayerError)


def explain(
    image: ImageRecord,
    model: LoadedModel,
    *,
    top_k: int = 5,
    targets: Wanted | Sequence[Wanted] | None = None,
    against: int | str | None = None,
    methods: Method | Sequence[Method] | None = None,
    layers: str | Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Explanation:
    """Show where a picture moves the model's class scores: one heatmap per method, target and layer.

    `targets` are class indices, labels or Target objects instead of the `top_k` most probable classes; "-cat" asks
    what lowers the score of cat; with `against` each becomes a contrast with that class. A method is a name or
    (name, {option: value}); None are the default methods that this network allows. With several `layers` a fused
    heatmap follows. Methods that read activations and gradients share one forward pass and one backward pass through
    the network's tail. Of several targets or methods, those that cannot be served are left out, with a note. Raises a
    GradcamError where none is left, before anything is computed where possible.
    """
    check_records(image, model)
    clock = Clock()
    wanted = wanted_layers(model, layers)
    choices, left_out = choose_methods(methods, wanted, model)
    choosers = choosers_of(targets, against, model, top_k)
    with clock("preprocess"):
        prepared = prepare(image, model.preprocessing)
    needs = {need for choice in choices if not smoothing_of(choice) for need in choice.member.needs}
    (first, features, broken), moved = with_enough_memory(
        model, lambda usable: _first_pass(usable, image, prepared, choosers, wanted, needs, clock)
    )
    notes = Notes(broken, tuple(left_out), moved)
    return concluded(image, model, prepared[0], first, features, choices, top_k, notes, clock, Progress(on_progress))


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences of an analysis so far: about targets, about methods that were left out, about the device."""

    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    device: tuple[str, ...] = ()


def concluded(
    image: ImageRecord,
    model: LoadedModel,
    array: np.ndarray,
    first: FirstPass,
    features: Features | None,
    choices: Sequence[Choice],
    top_k: int,
    notes: Notes,
    clock: "Clock",
    progress: Progress,
) -> Explanation:
    """What follows the first pass of one picture, whose input is `array` [C H' W']: heatmaps, predictions, notes."""
    heatmaps, refused = _heatmaps(first, choices, clock, progress)
    answers = predictions(first.outputs, model.outputs, model.labels, top_k, first.placement)
    misfit = unsuited(image, model, first.outputs, features) if first.outputs.dim() == 2 else ()
    also = (*text_notes(first.targets, first.outputs), *converted(image, model))
    said = (*misfit, *notes.targets, *also, *image.notes, *model.notes, *notes.methods, *refused, *notes.device)
    return _record(image, model, array, first, heatmaps, answers, clock.seconds, said, misfit)


def _heatmaps(
    first: FirstPass, choices: Sequence[Choice], clock: "Clock", progress: Progress
) -> tuple[tuple[Heatmap, ...], list[str]]:
    """Every method's heatmaps, and a sentence for each method that has none here. Raises its error where all fail."""
    heatmaps: list[Heatmap] = []
    refusals: list[GradcamError] = []
    titles = []
    for place, choice in enumerate(choices):
        try:
            with clock(choice.member.name):
                heatmaps += heatmaps_of(first, choice, progress.part(place, len(choices), choice.member.title))
        except REFUSALS as error:
            refusals.append(error)
            titles.append(choice.member.title)
    if refusals and not heatmaps:
        raise refusals[0]
    return tuple(heatmaps), [f"{title}: {error}" for title, error in zip(titles, refusals, strict=True)]


def predict(image: ImageRecord, model: LoadedModel, top_k: int = 5) -> tuple[Prediction, ...]:
    """The `top_k` most probable classes of a picture, sorted: one forward pass, no heatmap.

    Of a regression, its numbers; () for an embedding, and for a detector that finds nothing.
    """
    return answered(image, model, top_k).predictions


def answered(image: ImageRecord, model: LoadedModel, top_k: int = 5, notes: tuple[str, ...] = ()) -> Explanation:
    """What the model says of a picture, as an explanation without any heatmap."""
    check_records(image, model)
    check_top_k(top_k)
    array, placement = prepare(image, model.preprocessing)
    inputs = torch.tensor(array)[None]
    outputs, _ = with_enough_memory(model, lambda usable: scorer(usable)(inputs))
    _check_finite(outputs, model)
    first = FirstPass(model, inputs, outputs, (), (), (), placement, None)
    answers = predictions(outputs, model.outputs, model.labels, top_k, placement)
    return _record(image, model, array, first, (), answers, {}, (*image.notes, *model.notes, *notes), ())


def check_records(image: ImageRecord, model: LoadedModel) -> None:
    """Raise PictureError or ModelError for what is no picture or no model."""
    if not isinstance(image, ImageRecord):
        raise PictureError(f"Expected a picture, got {_a(image)}.", "Read it first: read_image(path).")
    if not isinstance(model, LoadedModel):
        raise ModelError(f"Expected a loaded model, got {_a(model)}.", "Load it first: load_model(reference).")


def _a(thing: object) -> str:
    name = type(thing).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _first_pass(
    model: LoadedModel,
    image: ImageRecord,
    prepared: tuple[np.ndarray, Placement],
    choosers: Sequence[Choose],
    layers: tuple[LayerInfo, ...],
    needs: Collection[str],
    clock: "Clock",
) -> tuple[FirstPass, Features | None, tuple[str, ...]]:
    """Run the model once; where it is calibrated, give the features of its usual layer too.

    Adds sentences about targets that cannot be explained here. Raises ModelError where no score is finite.
    """
    broken: list[str] = []

    def usable(outputs: torch.Tensor) -> tuple[Target, ...]:
        targets, sentences = settled_targets(choosers, outputs, prepared[1], model)
        broken.extend(sentences)
        return targets

    # Two copies, since a network's first step may work in place.
    inputs, given = (torch.tensor(prepared[0])[None].to(model.device) for _ in range(2))
    tapped = with_usual_layer(model, layers, needs)
    outputs, targets, evidence = capture(model, given, usable, tapped, needs=needs, clock=clock)
    origin = Origin(image.identity, model.fingerprint, model.preprocessing)
    features = next((mean_features(part) for part in evidence if part.layer.name == model.default_layer), None)
    with clock("centres"):
        centres = centres_of(model, layers)
    first = FirstPass(model, inputs, outputs, targets, layers, evidence[: len(layers)], prepared[1], origin, centres)
    return first, features, tuple(broken)


def settled_targets(
    choosers: Sequence[Choose], outputs: torch.Tensor, placement: Placement, model: LoadedModel
) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """The targets of one picture that can be explained, and a sentence for each of the others.

    Raises ModelError where no score is finite, TargetError where no target is left.
    """
    _check_finite(outputs, model)
    settled, refused = settle(choosers, outputs, placement)
    targets, sentences = with_finite_scores(settled, outputs)
    return targets, (*refused, *sentences)


def _record(
    image: ImageRecord,
    model: LoadedModel,
    array: np.ndarray,
    first: FirstPass,
    heatmaps: tuple[Heatmap, ...],
    answers: tuple[Prediction, ...],
    seconds: Mapping[str, float],
    notes: tuple[str, ...],
    misfit: tuple[str, ...],
) -> Explanation:
    return Explanation(
        image=image,
        reference=model.reference,
        architecture=model.architecture,
        fingerprint=model.fingerprint,
        device=str(first.model.device),
        preprocessing=model.preprocessing,
        placement=first.placement,
        predictions=answers,
        heatmaps=heatmaps,
        model_input=array,
        seconds=seconds,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        outputs=model.outputs,
        notes=notes,
        unsuited=misfit,
    )


class Clock:
    """Measure the seconds that each step takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Add the seconds of a `with` block to this step."""
        start = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


def choosers_of(
    targets: Wanted | Sequence[Wanted] | None, against: int | str | None, model: LoadedModel, top_k: int
) -> tuple[Choose, ...]:
    """A function for each target that is asked for: one that is not in the picture does not lose the others."""
    asked = [None] if targets is None else [[target] for target in listed_targets(targets)] or [[]]
    if against is None:
        return tuple(choose_targets(each, model.labels, top_k, model.outputs, model.text) for each in asked)
    return tuple(choose_contrasts(each, against, model.labels, top_k, model.outputs) for each in asked)


def _check_finite(outputs: torch.Tensor, model: LoadedModel) -> None:
    """Raise ModelError where nothing can be said; of independent outputs, some may be without a finite score."""
    if not outputs.numel():  # a detector that finds nothing
        return
    finite = outputs.isfinite()
    if not (finite.all() if model.task == "single_label" else finite.any()):
        raise ModelError(
            "The model's scores are not finite numbers for this picture.", "Check its weights and preprocessing."
        )


def check_request(
    model: LoadedModel,
    *,
    targets: Wanted | Sequence[Wanted] | None = None,
    methods: Method | Sequence[Method] | None = None,
    layers: str | Sequence[str] | None = None,
) -> None:
    """Raise the error that `explain` would raise for these arguments whatever the picture; compute nothing."""
    wanted = wanted_layers(model, layers)
    choose_methods(methods, wanted, model)
    if targets is not None:
        choose_targets(targets, model.labels, 1, model.outputs, model.text)
