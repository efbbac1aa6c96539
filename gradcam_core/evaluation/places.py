"""What the table and a detector or segmenter say about a picture: which classes it has, and where one of them is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradcam_core.evaluation.records import FindingResult
from gradcam_core.records import LoadedModel
from gradcam_core.targets import Wanted
from gradcam_core.tasks import PRESENT, Prediction, Target

NO_FINDING = "none"
# Objects of a picture that are looked at; a detector sorts them by their scores.
MOST_OBJECTS = 300


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a row gets of the table and the model before any heatmap.

    `wanted` is what is explained; None where the model does not find it, and `note` says so. `edge` is the target that
    is followed at the edge, where that is another one.
    """

    wanted: Wanted | None
    edge: Target | None
    fields: Mapping[str, Any]
    note: str = ""


def places_answer(predictions: Sequence[Prediction], truths: Mapping[int, bool], model: LoadedModel) -> Answer:
    """The best object or the region of the table's first class is explained; without a label, the first one.

    An object counts as found from a score of PRESENT on, a region if it has a pixel.
    """
    best = {p.index: p for p in reversed(predictions)}
    results = tuple(_result(index, best.get(index), truths, model) for index in sorted({*best, *truths}))
    positive = [result for result in results if result.truth]
    wanted, note = _explained(predictions, positive)
    fields = {
        "label": "; ".join(result.label for result in positive) or (NO_FINDING if truths else ""),
        "answer": "; ".join(result.label for result in results if result.present) or NO_FINDING,
        "answer_index": wanted,
        "probability": predictions[0].probability if predictions else math.nan,
        "edge_class": "" if wanted is None else best[wanted].label,
        "findings": results,
        "objects": sum(p.probability >= PRESENT for p in predictions) if model.task == "detection" else None,
    }
    return Answer(wanted, None, fields, note)


def _explained(predictions: Sequence[Prediction], positive: Sequence[FindingResult]) -> tuple[int | None, str]:
    """The class to explain; None, with a sentence, where the model does not find it."""
    seen = {p.index for p in predictions}
    if not positive:
        return (predictions[0].index, "") if predictions else (None, "The model finds nothing in this picture.")
    wanted = next((result.index for result in positive if result.index in seen), None)
    if wanted is None:
        names = " or ".join(result.label for result in positive)
        return None, f"The model finds no {names} in this picture, so there is no heatmap."
    return wanted, ""


def _result(index: int, prediction: Prediction | None, truths: Mapping[int, bool], model: LoadedModel) -> FindingResult:
    """A class in one picture: the score of its best object, or the share of the picture that its region covers."""
    label = prediction.label if prediction else model.labels[index]
    if model.task == "segmentation":
        area = (prediction.value or 0.0) / 100 if prediction else 0.0
        return FindingResult(index, label, math.nan, area > 0, truths.get(index), area)
    score = prediction.probability if prediction else 0.0
    return FindingResult(index, label, score, score >= PRESENT, truths.get(index))
