"""The heatmaps of each class, brought together over the models; and which models give the same answer."""

import itertools
from collections.abc import Sequence

from gradcam_core.comparison.difference import Scale
from gradcam_core.comparison.pairs import pair_of
from gradcam_core.comparison.partners import Partners, label_key
from gradcam_core.comparison.records import ComparedClass, Pair
from gradcam_core.records import Explanation, Heatmap


def compared_classes(
    explanations: Sequence[Explanation], partners: Sequence[Partners], scale: Scale
) -> tuple[ComparedClass, ...]:
    """Bring the heatmaps of each class of the first model together, and compare every two of them."""
    by_index = [{heatmap.target.index: heatmap for heatmap in each.heatmaps} for each in explanations]
    classes = []
    for index, own in by_index[0].items():
        indices = [each[index] for each in partners]
        heatmaps = tuple(
            None if partner is None else known.get(partner) for known, partner in zip(by_index, indices, strict=True)
        )
        classes.append(ComparedClass(index, own.target.label, heatmaps, _pairs(own.target.label, heatmaps, scale)))
    return tuple(classes)


def _pairs(label: str, heatmaps: Sequence[Heatmap | None], scale: Scale) -> tuple[Pair, ...]:
    present = [(place, heatmap) for place, heatmap in enumerate(heatmaps) if heatmap is not None]
    return tuple(
        pair_of(label, (place, other_place), (heatmap, other), scale)
        for (place, heatmap), (other_place, other) in itertools.combinations(present, 2)
    )


def same_answers(explanations: Sequence[Explanation], partners: Sequence[Partners]) -> tuple[int, ...]:
    """Number the models so that those with the same top prediction have the same number, the first model's being 0."""
    groups: list[int] = []
    for place in range(len(explanations)):
        same = (groups[before] for before in range(place) if _same(explanations, partners, before, place))
        groups.append(next(same, max(groups, default=-1) + 1))
    return tuple(groups)


def _same(explanations: Sequence[Explanation], partners: Sequence[Partners], place: int, other: int) -> bool:
    """Whether two models' top predictions are the same class: by their partner, or else by their label."""
    answer, other_answer = (explanations[each].predictions[0] for each in (place, other))
    own = {index for index, partner in enumerate(partners[place]) if partner == answer.index}
    others = {index for index, partner in enumerate(partners[other]) if partner == other_answer.index}
    if own or others:
        return bool(own & others)
    return label_key(answer.label) == label_key(other_answer.label)
