"""The number by which a target is followed when a picture changes, in the model's own units."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from gradcam_core.errors import TargetError
from gradcam_core.targets.boxes import BoxTarget
from gradcam_core.targets.classes import ClassTarget, ContrastTarget, LoweredTarget, share_of
from gradcam_core.targets.segments import SegmentTarget
from gradcam_core.targets.similar import SimilarTarget
from gradcam_core.targets.texts import TextTarget
from gradcam_core.tasks import Outputs, Target, probabilities
from gradcam_core.text import percent, quantity


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What a model gives a target, as a number for each picture.

    `name` is what the number is called in a sentence, `label` what it is about. `values` takes the model's outputs of
    N pictures and returns [N]. A share is 0..1, and 0 where nothing of the target is left. Other numbers, in their
    `unit`, have no such zero. `sign` is -1 where the target's evidence lowers the number.
    """

    name: str
    label: str
    values: Callable[[torch.Tensor], torch.Tensor]
    is_share: bool = True
    unit: str = ""
    sign: int = 1

    def words(self, value: float) -> str:
        """Write one of its values with its unit."""
        return percent(value) if self.is_share else quantity(value, self.unit)


def followed(target: Target, meaning: Outputs, labels: Sequence[str]) -> Followed:
    """Choose the number by which a target is followed.

    A class: its probability, or the model's number where there is none; what lowers a class: the probability of its
    opposite. An object: its score. A region: the part of it that the model still gives the same class. A likeness: the
    similarity. Any other target: its own score. Raises TargetError for an edge of a box.
    """
    if isinstance(target, BoxTarget):
        return _object(target)
    if isinstance(target, SegmentTarget):
        return Followed("the part of the region that stays as it is", target.label, partial(_kept, target))
    if isinstance(target, SimilarTarget | TextTarget):
        return Followed("the similarity", target.label, target, is_share=False)
    if meaning.has_probabilities and _is_class(target, labels):
        return _probability(target, meaning, labels)
    if isinstance(target, ClassTarget | LoweredTarget):
        sign = -1 if isinstance(target, LoweredTarget) else 1
        name = labels[target.index]
        return Followed(name, name, lambda outputs: outputs[:, target.index], False, meaning.unit, sign)
    unit = meaning.unit if isinstance(target, ContrastTarget) else ""
    return Followed(f"the score of {target.label}", target.label, target, False, unit)


def _is_class(target: Target, labels: Sequence[str]) -> bool:
    """Whether a target has the probability of a class of its own."""
    if isinstance(target, ClassTarget | LoweredTarget | ContrastTarget):
        return True
    return 0 <= target.index < len(labels) and not math.isnan(target.probability)


def _probability(target: Target, meaning: Outputs, labels: Sequence[str]) -> Followed:
    label = labels[target.index]
    label = f"“not {label}”" if isinstance(target, LoweredTarget) else label
    return Followed("the probability", label, lambda outputs: share_of(target, probabilities(outputs, meaning)))


def _object(target: BoxTarget) -> Followed:
    if target.edge:
        raise TargetError(
            "An edge of a box is not followed: where its object is no longer found, it has no place.",
            "Choose the object itself.",
        )
    return Followed("the score", target.label, target)


def _kept(target: SegmentTarget, outputs: torch.Tensor) -> torch.Tensor:
    """The share [N] of a target's region that outputs [N classes h w] give its class."""
    mask = target.mask.to(outputs.device)
    same = (outputs.argmax(dim=1) == target.index) & mask
    return same.sum(dim=(1, 2)) / mask.sum().clamp(min=1)
