"""The straight line of a comparison: one explanation for each model, then what they have in common."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gradcam_core.checks import Thresholds, Trust, trust
from gradcam_core.comparison.classes import answer_of, compared_classes, same_answers
from gradcam_core.comparison.difference import Scale
from gradcam_core.comparison.notes import notes_of
from gradcam_core.comparison.partners import Class, Match, Partners, match_of_each, partners_of
from gradcam_core.comparison.records import Comparison
from gradcam_core.errors import GradcamError, ModelError, PictureError, TargetError
from gradcam_core.explanation import Method, answered, check_request, explain, predict
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.targets import LoweredTarget, Wanted, is_text, lowers
from gradcam_core.tasks import check_top_k

FEWEST, MOST = 2, 4
# Objects of a detector among which the classes to compare are looked for.
MOST_OBJECTS = 100
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
    targets: Sequence[Class] | None


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

    The classes are the `top_k` first ones of the first model, or its `targets`; `match` finds them in the others by
    "label", by "index" or by a mapping, one for all or one for each. `layers` has one for each model, None for its
    default. With `checks`, the heatmaps of the first class are checked. Raises a GradcamError, if possible at once.
    """
    request = _checked(image, models, top_k, targets, match, method, layers, scale)
    start = time.perf_counter()
    explanations, seconds = _explained(request, Progress(on_progress).part(0, 2 if checks else 1))
    classes = compared_classes(explanations, request.partners, scale)
    answers = tuple(map(answer_of, explanations, classes[0].heatmaps))
    comparison = Comparison(
        explanations=explanations,
        partners=request.partners,
        classes=classes,
        answers=answers,
        same_answer=same_answers(explanations, request.partners, answers),
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
    targets: Class | Sequence[Class] | None,
    match: Any,
    method: Method,
    layers: Sequence[str | None] | None,
    scale: str,
) -> _Request:
    """Settle what can be settled before anything is computed."""
    models = tuple(models) if isinstance(models, Iterable) else (models,)
    if not isinstance(image, ImageRecord):
        raise PictureError("There is no picture to compare the models on.", "Read it first: read_image(path).")
    targets = [targets] if isinstance(targets, str) or not isinstance(targets, Sequence | None) else targets
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
    _check_targets(models, targets)
    others = (partners_of(first, model.labels, way) for model, way in zip(models[1:], ways, strict=True))
    return _Request(image, models, top_k, method, wanted, (tuple(range(len(first))), *others), targets)


def _check_targets(models: Sequence[LoadedModel], targets: Sequence[Class] | None) -> None:
    """Raise TargetError for what the first model does not have, and for texts, which no class of another matches."""
    of_texts = targets is None and any(model.text and model.task == "embedding" for model in models)
    if of_texts or any(is_text(target) and target not in models[0].labels for target in targets or ()):
        raise TargetError("Several models are not asked for a text at once.", "Explain it in each of them.")
    if targets is not None:
        check_request(models[0], targets=list(targets))


def of_model(place: int, work: Callable[[], Result]) -> Result:
    """Say which model an error is about."""
    try:
        return work()
    except GradcamError as error:
        raise type(error)(f"Model {place + 1}: {error.message}", error.remedy) from error


def _explained(request: _Request, progress: Progress) -> tuple[tuple[Explanation, ...], tuple[float, ...]]:
    """Explain the picture in each model; the classes of the first one decide which in the others."""
    explanations: list[Explanation] = []
    seconds = []
    wanted = _first_targets(request)
    for place, model in enumerate(request.models):
        start = time.perf_counter()
        if place:
            # Without any of these classes, its own top ones are explained.
            wanted = _partner_targets(request.partners[place], explanations[0].heatmaps, model) or None
        progress.part(place, len(request.models), f"Model {place + 1}")(0.0)
        explain_it = functools.partial(
            _explain,
            request,
            place,
            wanted,
            _report(progress.part(place, len(request.models)), place),
        )
        explanations.append(of_model(place, explain_it))
        seconds.append(time.perf_counter() - start)
    return tuple(explanations), tuple(seconds)


def _first_targets(request: _Request) -> list[Wanted] | None:
    """The targets of the first model; of a detector, the classes of its best objects, each once."""
    if request.targets is not None:
        return list(request.targets)
    if request.models[0].task != "detection":
        return None
    objects = of_model(0, functools.partial(predict, request.image, request.models[0], MOST_OBJECTS))
    classes: list[Wanted] = [*dict.fromkeys(each.index for each in objects)]
    return classes[: request.top_k] or None


def _explain(request: _Request, place: int, wanted: list[Wanted] | None, report: OnProgress) -> Explanation:
    """Explain the picture in one model. A later one that finds none of the objects or regions has no heatmaps."""
    model = request.models[place]
    try:
        return explain(
            request.image,
            model,
            top_k=request.top_k,
            targets=wanted,
            methods=[request.method],
            layers=request.layers[place],
            on_progress=report,
        )
    except TargetError:
        if not (place and model.outputs.has_places):
            raise
        return answered(request.image, model, request.top_k)


def _partner_targets(partners: Partners, heatmaps: Sequence[Heatmap], model: LoadedModel) -> list[Wanted]:
    """The other model's targets for the first one's heatmaps, each once, in the same direction."""
    wanted: dict[tuple[int, bool], Wanted] = {}
    for target in (heatmap.target for heatmap in heatmaps):
        partner, lowered = partners[target.index], isinstance(target, LoweredTarget)
        if partner is not None:
            wanted[partner, lowered] = lowers(partner, model.labels) if lowered else partner
    return list(wanted.values())


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
