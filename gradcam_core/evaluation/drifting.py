"""The straight line of a drift: pictures, each compared in two models -> rows -> the counts over all of them."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gradcam_core.comparison import compare, partners_of, unsuited_models
from gradcam_core.comparison.classes import answers_comparable
from gradcam_core.comparison.comparing import of_model
from gradcam_core.comparison.partners import Match
from gradcam_core.comparison.records import Comparison, Pair
from gradcam_core.errors import TargetError
from gradcam_core.evaluation.drift_records import Drift, DriftModel, DriftRow
from gradcam_core.evaluation.matching import Load
from gradcam_core.evaluation.pictures import PictureWork, completed_rows
from gradcam_core.evaluation.records import Share
from gradcam_core.evaluation.requests import digest, known_rows, parts_of
from gradcam_core.explanation import Method, check_request
from gradcam_core.files import last_part
from gradcam_core.methods import find_method, reads_layer
from gradcam_core.picture import Area
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.readers import Decode, decode, read_image
from gradcam_core.readers.blanking import blanked_words, check_areas
from gradcam_core.records import LoadedModel
from gradcam_core.tasks import TASK_WORDS, Prediction, amount_of
from gradcam_core.version import versions

Layers = Sequence[str | None]


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """What is compared for every picture."""

    models: tuple[LoadedModel, LoadedModel]
    method: Method
    layers: Layers
    match: Match
    blanked: tuple[Area, ...]
    decode: Decode


def drift(
    pictures: Iterable[tuple[str, Load]],
    first: LoadedModel,
    second: LoadedModel,
    *,
    match: Match = "label",
    method: Method = "grad_cam",
    layers: Layers | None = None,
    blanked: Sequence[Area] = (),
    known: Iterable[DriftRow] | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress | None = None,
    decode: Decode = decode,
) -> Drift:
    """Compare two models on many pictures: do the answers agree, and did the evidence move. The worst come first.

    Each picture is a name and a function that returns its bytes. The compared heatmaps are those of the first model's
    top prediction; `match` finds its class in the second model, as in `compare`. `layers` has a layer for each model,
    None for its default. `blanked` areas are deleted in every picture (see ImageRecord). One picture at a time is in
    memory; each costs one explanation in each model. What is wrong with one picture is kept in its row. Raises a
    GradcamError for what suits no picture: the method, the layers, models without a class in common. Raise an
    exception in `on_progress` to cancel.

    `stop` and `known` end a drift early and go on with it, as those of `evaluate` do. `decode` is as that of
    `read_image`.
    """
    layers = (None, None) if layers is None else tuple(layers)
    request = _Request((first, second), method, layers, match, check_areas(blanked), decode)
    _check(request)
    key = _key(request)
    kept = known_rows(known, key, DriftRow)
    works = [
        PictureWork(DriftRow(last_part(name), "", request=key), load, functools.partial(_compared, request=request))
        for name, load in pictures
    ]
    return _summarised(completed_rows(works, kept, stop, Progress(on_progress)), request)


def _key(request: _Request) -> str:
    """The identity of what is compared, by content."""
    models = zip(request.models, request.layers, strict=True)
    match = sorted(request.match.items(), key=repr) if isinstance(request.match, Mapping) else request.match
    return digest((match, request.blanked, *(parts_of(model, request.method, layer) for model, layer in models)))


def _check(request: _Request) -> None:
    """Raise what would be wrong with every picture."""
    if isinstance(request.layers, str) or len(request.layers) != len(request.models):
        raise TargetError("It is not clear which layers are meant.", "Give two: one for each model, or None.")
    for place, (model, layer) in enumerate(zip(request.models, request.layers, strict=True)):
        of_model(place, functools.partial(check_request, model, methods=[request.method], layers=layer))
    first, second = request.models
    if any(model.task == "embedding" for model in request.models):
        raise TargetError(
            f"A model that gives {TASK_WORDS['embedding']} has no class whose evidence could be compared.",
            "Choose two models that answer with classes, findings, objects, regions or numbers.",
        )
    if not any(partner is not None for partner in partners_of(first.labels, second.labels, request.match)):
        raise TargetError(
            "The two models have no class in common.",
            "Match their classes by index or one by one, or choose two models that know the same classes.",
        )


def _compared(row: DriftRow, content: bytes, progress: Progress, *, request: _Request) -> DriftRow:
    comparison = compare(
        read_image(content, name=row.name, blanked=request.blanked, decode=request.decode),
        request.models,
        top_k=1,
        match=request.match,
        method=request.method,
        layers=request.layers,
        on_progress=lambda share, words, drafts: progress(share),
    )
    row = replace(
        row,
        answers=(_words_of(comparison.answers[0]), _words_of(comparison.answers[1])),
        probabilities=(_share_of(comparison.answers[0]), _share_of(comparison.answers[1])),
        same_answer=_same_answer(comparison),
        label=comparison.classes[0].label,
    )
    return _with_evidence(row, comparison)


def _same_answer(comparison: Comparison) -> bool | None:
    """Whether both models answer the same; None for numbers, and for answers of different kinds."""
    numbers = comparison.explanations[0].outputs.task == "regression"
    if numbers or not answers_comparable(comparison.explanations, comparison.answers):
        return None
    return len(set(comparison.same_answer)) == 1


def _words_of(answer: Prediction | None) -> str:
    """A model's answer: a class, a finding and whether it is there, or a number; "" where it has no such class."""
    if answer is None:
        return ""
    if answer.value is not None:
        return f"{answer.label}: {amount_of(answer)}"
    return answer.label if answer.present is None else f"{answer.label}: {'present' if answer.present else 'absent'}"


def _share_of(answer: Prediction | None) -> float:
    return math.nan if answer is None else answer.probability


def _with_evidence(row: DriftRow, comparison: Comparison) -> DriftRow:
    unsuited = unsuited_models(comparison.explanations)
    notes = *filter(None, [blanked_words(comparison.image.blanked)]), *unsuited
    row = replace(row, unsuited=bool(unsuited))
    if not comparison.classes[0].pairs:
        return replace(row, note=" ".join((*notes, _why_alone(comparison))))
    pair = comparison.classes[0].pairs[0]
    reason = f"Evidence: {pair.reason}." if pair.reason else ""
    return replace(
        row,
        evidence="in one model only" if _in_one_only(pair) else pair.standing,
        movement=movement(pair),
        correlation=pair.correlation,
        overlap=pair.overlap,
        chance=pair.chance,
        note=" ".join(filter(None, (*notes, reason))),
    )


def _why_alone(comparison: Comparison) -> str:
    if comparison.partners[1][comparison.classes[0].index] is None:
        return "The second model has no class that is matched with this one."
    return f"The second model finds no {comparison.classes[0].label} in this picture."


def movement(pair: Pair) -> float | None:
    """How far the evidence moved, 0..1: 1 minus the overlap of the hottest areas; 1 where only one model has any.

    Exactly 0 for two equal heatmaps. None where there is nothing to compare.
    """
    if pair.overlap is not None:
        return 1 - pair.overlap
    return 1.0 if _in_one_only(pair) else None


def _in_one_only(pair: Pair) -> bool:
    """Whether one of the two heatmaps has evidence on the picture and the other has none."""
    return sum(heatmap.state == "ok" for heatmap in pair.heatmaps) == 1


def worst_first(rows: Iterable[DriftRow]) -> tuple[DriftRow, ...]:
    """Sort by movement, the largest first; of equal ones, those whose answers differ, then the lowest correlation.

    Pictures without a movement come after the others, and those that could not be compared at all come last.
    """

    def place(row: DriftRow) -> tuple[bool, bool, float, bool, float]:
        moved = row.movement is not None
        return bool(row.problem), not moved, -(row.movement or 0.0), row.same_answer is True, row.correlation or 0.0

    return tuple(sorted(rows, key=place))


def _summarised(rows: Sequence[DriftRow], request: _Request) -> Drift:
    """Count the agreement and the movement over all rows. Rows of pictures that failed are part of no count."""
    answered = [row for row in rows if row.same_answer is not None]
    compared = [row for row in rows if row.movement is not None]
    name, options = (request.method, {}) if isinstance(request.method, str) else request.method
    first, second = (
        _described(model, layer, name, options) for model, layer in zip(request.models, request.layers, strict=True)
    )
    return Drift(
        rows=worst_first(rows),
        models=(first, second),
        method=name,
        options=dict(options),
        agreement=Share(sum(row.same_answer is True for row in answered), len(answered)),
        moved=Share(sum(row.moved for row in compared), len(compared)),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _described(model: LoadedModel, layer: str | None, method: str, options: Mapping[str, object]) -> DriftModel:
    read = reads_layer(find_method(method, options))
    return DriftModel(
        model.reference,
        model.architecture,
        model.fingerprint,
        (layer or " + ".join(model.pyramid) or model.default_layer) if read else "",
        model.preprocessing.to_dict(),
    )
