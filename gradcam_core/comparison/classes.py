"""The heatmaps of each class, brought together over the models; and which models give the same answer."""

import itertools
from collections.abc import Sequence

from gradcam_core.comparison.difference import Scale
from gradcam_core.comparison.pairs import pair_of
from gradcam_core.comparison.partners import Partners, label_key
from gradcam_core.comparison.records import ComparedClass, Pair
from gradcam_core.records import Explanation, Heatmap
from gradcam_core.targets import LoweredTarget, class_name
from gradcam_core.tasks import Outputs, Prediction


def compared_classes(
    explanations: Sequence[Explanation], partners: Sequence[Partners], scale: Scale
) -> tuple[ComparedClass, ...]:
    """Bring the heatmaps of each class of the first model together, and compare every two of them."""
    by_class = [_by_class(each.heatmaps) for each in explanations]
    classes = []
    for (index, lowered), own in by_class[0].items():
        indices = [each[index] for each in partners]
        heatmaps = tuple(
            None if partner is None else known.get((partner, lowered))
            for known, partner in zip(by_class, indices, strict=True)
        )
        label = own.target.label if lowered else class_name(own.target)
        classes.append(ComparedClass(index, label, heatmaps, _pairs(label, heatmaps, scale)))
    return tuple(classes)


def _by_class(heatmaps: Sequence[Heatmap]) -> dict[tuple[int, bool], Heatmap]:
    """The heatmap of each class: of several layers the fused one, of several objects that of the first."""
    chosen: dict[tuple[int, bool], Heatmap] = {}
    for heatmap in heatmaps:
        if chosen.setdefault(_key(heatmap), heatmap).target is heatmap.target:
            chosen[_key(heatmap)] = heatmap
    return chosen


def _pairs(label: str, heatmaps: Sequence[Heatmap | None], scale: Scale) -> tuple[Pair, ...]:
    present = [(place, heatmap) for place, heatmap in enumerate(heatmaps) if heatmap is not None]
    return tuple(
        pair_of(label, (place, other_place), (heatmap, other), scale)
        for (place, heatmap), (other_place, other) in itertools.combinations(present, 2)
    )


def _key(heatmap: Heatmap) -> tuple[int, bool]:
    return heatmap.target.index, isinstance(heatmap.target, LoweredTarget)


def answer_of(explanation: Explanation, heatmap: Heatmap | None) -> Prediction | None:
    """A model's answer: its top class; of findings, objects, regions or a regression, that on the compared class.

    None where it says nothing: of an embedding, and of a class that it does not have or does not find.
    """
    outputs = explanation.outputs
    if outputs.task == "single_label":
        return explanation.predictions[0]
    if heatmap is None or outputs.task == "embedding":
        return None
    target = heatmap.target
    present = target.probability >= outputs.threshold(target.index) if outputs.has_findings else None
    value, unit = getattr(target, "value", None), getattr(target, "unit", "")
    return Prediction(target.index, class_name(target), target.probability, value, unit, present)


def answers_comparable(explanations: Sequence[Explanation], answers: Sequence[Prediction | None]) -> bool:
    """Whether all models answer, and in one kind: a class, a finding, an object, a region, or a number of one unit."""
    kinds = {(_kind(each.outputs), each.outputs.unit) for each in explanations}
    finds_none = explanations[0].outputs.has_places and any(answers)
    return len(kinds) == 1 and (None not in answers or finds_none)


def _kind(outputs: Outputs) -> str:
    return "finding" if outputs.has_findings else outputs.task


def same_answers(
    explanations: Sequence[Explanation], partners: Sequence[Partners], answers: Sequence[Prediction | None]
) -> tuple[int, ...]:
    """Number the models so that those with the same answer have the same number, the first model's being 0.

    Numbers of a regression are not judged, and answers that cannot be compared do not differ. Of objects and regions,
    those answers are the same that find the class, or do not.
    """
    if not answers_comparable(explanations, answers) or explanations[0].outputs.task == "regression":
        return (0,) * len(explanations)
    if explanations[0].outputs.has_places:
        return tuple(int((answer is None) != (answers[0] is None)) for answer in answers)
    groups: list[int] = []
    for place in range(len(explanations)):
        same = (groups[before] for before in range(place) if _same(answers, partners, before, place))
        groups.append(next(same, max(groups, default=-1) + 1))
    return tuple(groups)


def _same(answers: Sequence[Prediction | None], partners: Sequence[Partners], place: int, other: int) -> bool:
    """Whether two models give the same answer: both or neither find it; or one class, by its partner or its label."""
    answer, other_answer = answers[place], answers[other]
    if answer is None or other_answer is None:
        return False
    if answer.present is not None:
        return answer.present == other_answer.present
    own = {index for index, partner in enumerate(partners[place]) if partner == answer.index}
    others = {index for index, partner in enumerate(partners[other]) if partner == other_answer.index}
    if own or others:
        return bool(own & others)
    return label_key(answer.label) == label_key(other_answer.label)
