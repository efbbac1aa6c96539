"""What to explain: classes, objects, regions -> one score per picture."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gradcam_core.errors import TargetError
from gradcam_core.placement import Placement
from gradcam_core.targets.boxes import Box as Box
from gradcam_core.targets.boxes import BoxTarget as BoxTarget
from gradcam_core.targets.boxes import box_on_picture as box_on_picture
from gradcam_core.targets.boxes import choose_objects, is_box, objects, predictions_of
from gradcam_core.targets.classes import Choose as Choose
from gradcam_core.targets.classes import ClassTarget as ClassTarget
from gradcam_core.targets.classes import ContrastTarget as ContrastTarget
from gradcam_core.targets.classes import LoweredTarget as LoweredTarget
from gradcam_core.targets.classes import Wanted as Wanted
from gradcam_core.targets.classes import check_target, choose_classes
from gradcam_core.targets.classes import contrast as contrast
from gradcam_core.targets.classes import find_class as find_class
from gradcam_core.targets.classes import lowers as lowers
from gradcam_core.targets.classes import share_of as share_of
from gradcam_core.targets.classes import with_finite_scores as with_finite_scores
from gradcam_core.targets.following import Followed as Followed
from gradcam_core.targets.following import followed as followed
from gradcam_core.targets.segments import SegmentTarget as SegmentTarget
from gradcam_core.targets.segments import areas, choose_segments, is_segment, outline_of, read_segment
from gradcam_core.targets.similar import SimilarTarget as SimilarTarget
from gradcam_core.targets.texts import SCHEME, text_target
from gradcam_core.targets.texts import TextTarget as TextTarget
from gradcam_core.targets.texts import is_text as is_text
from gradcam_core.targets.texts import similar_to_text as similar_to_text
from gradcam_core.targets.texts import text_notes as text_notes
from gradcam_core.tasks import UNSTATED, Outputs, Prediction, Target, Task, TextEncoder, check_top_k, top_predictions

# What each kind of target needs the model to be.
NEEDS: tuple[tuple[Any, Task, str], ...] = (
    (is_box, "detection", "finds no objects"),
    (is_segment, "segmentation", "paints no regions"),
)


def predictions(
    outputs: torch.Tensor, meaning: Outputs, labels: Sequence[str], top_k: int, placement: Placement
) -> tuple[Prediction, ...]:
    """What the model says about the first picture, sorted and clipped to `top_k`.

    Of a detector, the objects with their boxes on the picture; of a segmenter, the classes with their shares of it.
    """
    if meaning.task == "detection":
        return predictions_of(objects(outputs, labels, top_k), labels, placement)
    if meaning.task == "segmentation":
        return areas(outputs, labels, top_k, placement.shown())
    return top_predictions(outputs, meaning, labels, top_k)


def choose_targets(
    wanted: Wanted | Sequence[Wanted] | None,
    labels: Sequence[str],
    top_k: int,
    meaning: Outputs = UNSTATED,
    text: TextEncoder | None = None,
) -> Choose:
    """Settle which targets to explain: the first `top_k` predictions, or the ones asked for.

    `text` is the model's encoder of texts, if it has one. Returns a function of the outputs and the placement. Names
    and indices are looked up at once, so that a wrong one raises TargetError before anything is computed.
    """
    top_k = check_top_k(top_k)
    asked = None if wanted is None else _with_texts(listed_targets(wanted), labels, meaning, text)
    if asked is not None and not asked:
        raise TargetError("No class is chosen.", "Name at least one class, or leave targets out for the top ones.")
    if asked is None and text and meaning.task == "embedding":
        message = "This model compares pictures with texts, and there is no text to look for."
        raise TargetError(message, "Give one, such as text:a pacemaker, or a reference picture.")
    for target in asked or ():
        _check_kind(target, meaning)
    if meaning.task == "detection":
        return _with_own(asked, lambda rest: choose_objects(_named(rest, labels), labels, top_k))
    if meaning.task == "segmentation":
        return _with_own(asked, lambda rest: choose_segments(_regions(rest, labels), labels, top_k))
    return choose_classes(asked, labels, top_k, meaning)


def choose_contrasts(
    wanted: Wanted | Sequence[Wanted] | None, against: int | str, labels: Sequence[str], top_k: int, meaning: Outputs
) -> Choose:
    """Settle the same targets, each as a contrast with the class `against`. Raises TargetError as above."""
    if meaning.has_places:
        raise TargetError("Objects and regions are not compared with another class.", "Leave the other class out.")
    if any(map(_is_likeness, () if wanted is None else listed_targets(wanted))):
        raise TargetError("A text or a reference picture is not compared with a class.", "Leave the other class out.")
    other = find_class(against, labels)
    choose = choose_targets(wanted, labels, check_top_k(top_k) + 1, meaning)

    def contrasts(outputs: torch.Tensor, placement: Placement | None = None) -> tuple[Target, ...]:
        classes = [target for target in choose(outputs, placement) if target.index != other]
        if not classes:
            raise TargetError("A class cannot be compared with itself.", "Choose another class.")
        if any(isinstance(target, LoweredTarget) for target in classes):
            raise TargetError(
                "What lowers a class is not compared with another one.", "Name the two classes the other way round."
            )
        return tuple(
            replace(contrast(target.index, other, labels), probability=target.probability)
            for target in (classes[:top_k] if wanted is None else classes)
        )

    return contrasts


def outlines_of(target: Target, placement: Placement) -> list[np.ndarray]:
    """What a target is about on the picture, as polygons [P 2] of x and y in its pixels: an object's box, a region.

    None for a class.
    """
    if isinstance(target, BoxTarget):
        left, top, right, bottom = box_on_picture(target.box, placement)
        return [np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]
    return outline_of(target.mask, placement) if isinstance(target, SegmentTarget) else []


def class_name(target: Target) -> str:
    """The name of the class that a target is about: of an object or an edge of one, of a region, of what lowers it."""
    if isinstance(target, BoxTarget):
        name = target.label.rpartition(" · box ")[0]
        return name.removeprefix(f"{target.edge} edge of ") if target.edge else name
    return target.class_label if isinstance(target, LoweredTarget) else target.label


def _check_kind(target: Any, meaning: Outputs) -> None:
    """Refuse an object or a region of a model that has none, and a class's score of one that has such."""
    if meaning.has_places and isinstance(target, ClassTarget | ContrastTarget | LoweredTarget):
        raise TargetError(
            "An object or a region cannot be lowered or compared with a class.",
            "Name the object or the class itself.",
        )
    for is_kind, task, reason in NEEDS:
        if is_kind(target) and meaning.task != task:
            raise TargetError(f"'{target[:60]}' cannot be explained: this model {reason}.", f"Use a model for {task}.")


def _with_texts(asked: list[Any], labels: Sequence[str], meaning: Outputs, text: TextEncoder | None) -> list[Any]:
    """The targets, those that are written as texts read by the model; a class may be called like one."""
    return [
        text_target(target.removeprefix(SCHEME), text, meaning.task)
        if is_text(target) and target not in labels
        else target
        for target in asked
    ]


def _is_likeness(target: Any) -> bool:
    return is_text(target) or isinstance(target, SimilarTarget | TextTarget)


def _with_own(asked: list[Any] | None, settle: Any) -> Choose:
    """Targets that are functions stay as they are, in their places among the others."""
    own = {place: check_target(target) for place, target in enumerate(asked or ()) if callable(target)}
    rest = asked and [target for target in asked if not callable(target)]
    others = settle(rest) if asked is None or rest else None

    def choose(outputs: torch.Tensor, placement: Placement | None = None) -> tuple[Target, ...]:
        settled = list(others(outputs, placement)) if others else []
        for place, target in own.items():
            settled.insert(place, target)
        return tuple(settled)

    return choose


def _named(asked: list[Any] | None, labels: Sequence[str]) -> list[int | str] | None:
    return asked and [target if is_box(target) else find_class(target, labels) for target in asked]


def _regions(
    asked: list[Any] | None, labels: Sequence[str]
) -> list[tuple[int | None, tuple[float, float] | None]] | None:
    pairs = [read_segment(target) if is_segment(target) else (target, None) for target in asked or ()]
    return [(None if place and not label else find_class(label, labels), place) for label, place in pairs] or None


def settle(
    choosers: Sequence[Choose], outputs: torch.Tensor, placement: Placement
) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """The targets of one picture; what is not in it is left out, with a sentence.

    Raises TargetError where nothing is left.
    """
    targets: list[Target] = []
    refusals: list[TargetError] = []
    for choose in choosers:
        try:
            targets += choose(outputs, placement)
        except TargetError as error:
            refusals.append(error)
    if refusals and not targets:
        raise refusals[0]
    return tuple(targets), tuple(map(str, refusals))


def listed_targets(wanted: Any) -> list[Any]:
    """One target or several, as a list; arrays and their single numbers count as what they hold."""
    if isinstance(wanted, str) or callable(wanted):
        return [wanted]
    if hasattr(wanted, "tolist"):
        wanted = wanted.tolist()
    return list(wanted) if isinstance(wanted, Iterable) else [wanted]
