"""The straight line of a comparison: one explanation for each model, then what they have in common."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gradcam_core.checks import Thresholds, Trust, trust
from gradcam_core.comparison.classes import compared_classes, same_answers
from gradcam_core.comparison.difference import Scale
from gradcam_core.comparison.notes import notes_of
from gradcam_core.comparison.partners import Class, Match, Partners, match_of_each, partners_of
from gradcam_core.comparison.records import Comparison
from gradcam_core.errors import GradcamError, ModelError, PictureError
from gradcam_core.explanation import Method, check_request, explain
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.targets import check_top_k

FEWEST, MOST = 2, 4
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """What is explained in every model, and how. `layers` and `partners` have one for each model."""

    image: ImageRecord
    models: tuple[LoadedModel, ...]
    top_k: int
    method: Method
    layers: tuple[str | None, ...]
    partners: tuple[Partners, ...]


def compare(
    image: ImageRecord,
    models: Sequence[LoadedModel],
    *,
    top_k: int = 5,
    targets: Class | Sequence[Class] | None = None,
    match: Match | Sequence[Match] = "label",
    method: Method = "grad_cam",
    layers: Sequence[str | None] | None = None,
    scale: Scale = "own",
    checks: bool = False,
    thresholds: Thresholds | None = None,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Compare two to four models on one picture: their answers, and their heatmaps of the same classes.

    The classes are the `top_k` most probable ones of the first model, or its `targets` (indices or labels). `match`
    finds them in the other models: "label", "index", or a mapping, one for all or one for each other model. `layers`
    has a layer for each model, None for its default. With `checks`, the heatmaps of the first class are checked.
    Costs one explanation for each model. Raises a GradcamError, before anything is computed where possible.
    """
    targets = [targets] if isinstance(targets, str) or not isinstance(targets, Sequence | None) else targets
    request = _checked(image, models, top_k, targets, match, method, layers, scale)
    start = time.perf_counter()
    explanations, seconds = _explained(request, targets, Progress(on_progress).part(0, 2 if checks else 1))
    classes = compared_classes(explanations, request.partners, scale)
    comparison = Comparison(
        explanations=explanations,
        partners=request.partners,
        classes=classes,
        same_answer=same_answers(explanations, request.partners),
        scale=scale,
        seconds=seconds,
        comparing_seconds=time.perf_counter() - start - sum(seconds),
        notes=notes_of(request.models, request.partners, explanations, classes, scale),
    )
    if not checks:
        return comparison
    part = Progress(on_progress).part(1, 2)
    return replace(comparison, checks=_checks(request, explanations, classes[0].heatmaps, thresholds, part))


def _checked(
    image: ImageRecord,
    models: Sequence[LoadedModel],
    top_k: int,
    targets: Sequence[Class] | None,
    match: Any,
    method: Method,
    layers: Sequence[str | None] | None,
    scale: str,
) -> _Request:
    """Settle what can be settled before anything is computed."""
    models = tuple(models) if isinstance(models, Iterable) else (models,)
    if not isinstance(image, ImageRecord):
        raise PictureError("There is no picture to compare the models on.", "Read it first: read_image(path).")
    if not FEWEST <= len(models) <= MOST or not all(isinstance(model, LoadedModel) for model in models):
        raise ModelError(f"{len(models)} models cannot be compared.", f"Give {FEWEST} to {MOST} loaded models.")
    if scale not in ("own", "same"):
        raise GradcamError(f"There is no scale {scale!r}.", 'Give "own" or "same".')
    check_top_k(top_k)
    wanted = (None,) * len(models) if layers is None else tuple(layers) if isinstance(layers, Sequence) else ()
    if isinstance(layers, str) or len(wanted) != len(models):
        raise ModelError("It is not clear which layers are meant.", f"Give {len(models)}: one for each model, or None.")
    first, ways = models[0].labels, match_of_each(match, len(models) - 1)
    for place, (model, layer) in enumerate(zip(models, wanted, strict=True)):
        of_model(place, functools.partial(check_request, model, methods=[method], layers=layer))
    if targets is not None:
        check_request(models[0], targets=list(targets))
    others = (partners_of(first, model.labels, way) for model, way in zip(models[1:], ways, strict=True))
    return _Request(image, models, top_k, method, wanted, (tuple(range(len(first))), *others))


def of_model(place: int, work: Callable[[], Result]) -> Result:
    """Say which model an error is about."""
    try:
        return work()
    except GradcamError as error:
        raise type(error)(f"Model {place + 1}: {error.message}", error.remedy) from error


def _explained(
    request: _Request, targets: Sequence[Class] | None, progress: Progress
) -> tuple[tuple[Explanation, ...], tuple[float, ...]]:
    """Explain the picture in each model; the classes of the first one decide which in the others."""
    explanations: list[Explanation] = []
    seconds = []
    wanted = None if targets is None else list(targets)
    for place, model in enumerate(request.models):
        start = time.perf_counter()
        if place:
            partners = [request.partners[place][heatmap.target.index] for heatmap in explanations[0].heatmaps]
            # Without any of these classes, its own top ones are explained.
            wanted = list(dict.fromkeys(partner for partner in partners if partner is not None)) or None
        progress.part(place, len(request.models), f"Model {place + 1}")(0.0)
        explain_it = functools.partial(
            explain,
            request.image,
            model,
            top_k=request.top_k,
            targets=wanted,
            methods=[request.method],
            layers=request.layers[place],
            on_progress=_report(progress.part(place, len(request.models)), place),
        )
        explanations.append(of_model(place, explain_it))
        seconds.append(time.perf_counter() - start)
    return tuple(explanations), tuple(seconds)


def _checks(
    request: _Request,
    explanations: Sequence[Explanation],
    heatmaps: Sequence[Heatmap | None],
    thresholds: Thresholds | None,
    progress: Progress,
) -> tuple[Trust | None, ...]:
    """Check each model's heatmap of one class; None where it has no such class."""
    checks: list[Trust | None] = []
    for place, (model, explanation, heatmap) in enumerate(zip(request.models, explanations, heatmaps, strict=True)):
        report = _report(progress.part(place, len(request.models)), place)
        checks.append(
            None if heatmap is None else trust(explanation, heatmap, model, thresholds=thresholds, on_progress=report)
        )
    return tuple(checks)


def _report(part: Progress, place: int) -> OnProgress:
    """Place a model's own progress within the whole, and say which model it is about."""

    def report(share: float, words: str, drafts: tuple[Any, ...] = ()) -> None:
        part(share, drafts, f"Model {place + 1}: {words}")

    return report
