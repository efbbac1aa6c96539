"""Class targets, chosen by rank, index or label -> one score per picture."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from gradcam_core.errors import TargetError
from gradcam_core.targets.similar import SimilarTarget
from gradcam_core.targets.texts import TextTarget
from gradcam_core.tasks import UNSTATED, Outputs, Target, number_of, probabilities, top_predictions
from gradcam_core.text import counted, one_line

# Longer numbers are no class of any model.
LONGEST_NUMBER = 9

Wanted = int | str | Target
Choose = Callable[..., tuple[Target, ...]]
LOWERS = "lowers "


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """A class's own score: what the model gives it, before any softmax or sigmoid of ours.

    Of a regression, `value` is the number that the model gives, in its `unit`.
    """

    index: int
    label: str
    probability: float
    value: float | None = None
    unit: str = ""

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the model's outputs [N classes]."""
        return outputs[:, self.index]


@dataclass(frozen=True, slots=True)
class LoweredTarget:
    """A class's score with its sign turned: what lowers the score is what raises this one.

    `probability` and `value` are those of the class itself.
    """

    index: int
    label: str
    probability: float
    value: float | None = None
    unit: str = ""

    @property
    def class_label(self) -> str:
        """The name of the class itself."""
        return self.label.removeprefix(LOWERS)

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the model's outputs [N classes]."""
        return -outputs[:, self.index]


@dataclass(frozen=True, slots=True)
class ContrastTarget:
    """One class's score less another's, before any softmax: what speaks for the first rather than the second.

    Its probability is that of the first class.
    """

    index: int
    label: str
    probability: float
    against: int

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the model's outputs [N classes]."""
        return outputs[:, self.index] - outputs[:, self.against]


def contrast(wanted: int | str, against: int | str, labels: Sequence[str]) -> ContrastTarget:
    """Ask what speaks for one class rather than another; each is an index or a label.

    Pass the model's labels, and the result to `explain(..., targets=)`, which fills in the probability.
    Raises TargetError where a class does not exist or both are one.
    """
    first, second = find_class(wanted, labels), find_class(against, labels)
    if first == second:
        raise TargetError("A class cannot be compared with itself.", "Name two different classes.")
    return ContrastTarget(first, f"{labels[first]} rather than {labels[second]}", float("nan"), second)


def lowers(wanted: int | str, labels: Sequence[str]) -> LoweredTarget:
    """Ask what lowers a class's score; the class is an index or a label.

    Pass the model's labels, and the result to `explain(..., targets=)`, which fills in the probability. In a list of
    labels, "-cat" means the same. Raises TargetError where the class does not exist.
    """
    index = find_class(wanted, labels)
    return LoweredTarget(index, f"{LOWERS}{labels[index]}", float("nan"))


def share_of(target: Target, shares: torch.Tensor) -> torch.Tensor:
    """The probability that a target stands for, out of those of all classes [... classes]: of one lowered, the rest."""
    share = shares[..., target.index]
    return 1 - share if isinstance(target, LoweredTarget) else share


def choose_classes(
    wanted: Sequence[Wanted] | None, labels: Sequence[str], top_k: int, meaning: Outputs = UNSTATED
) -> Choose:
    """Settle which classes to explain: the first `top_k` predictions, or the ones asked for.

    Names and indices are looked up at once, so that a wrong one raises TargetError before anything is computed; the
    probabilities follow from the outputs. A label with a minus before it asks what lowers that class.
    """
    if wanted is None:
        if meaning.task == "embedding":
            raise TargetError(
                f"This model gives {counted(len(labels), 'feature')} and no classes, so no class can be explained.",
                "Name one of its features by its index, compare it with a reference picture, or use a classifier.",
            )
        return lambda outputs, placement=None: tuple(
            ClassTarget(p.index, p.label, p.probability, p.value, p.unit)
            for p in top_predictions(outputs, meaning, labels, top_k)
        )
    targets = [check_target(target) if callable(target) else _find_target(target, labels) for target in wanted]

    def choose(outputs: torch.Tensor, placement: Any = None) -> tuple[Target, ...]:
        shares = probabilities(outputs, meaning)[0].tolist()
        return tuple(_with_amount(target, outputs, shares, meaning) for target in targets)

    return choose


def with_finite_scores(targets: Sequence[Target], outputs: torch.Tensor) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Leave out targets whose score is no finite number for this picture, each with a sentence.

    Raises TargetError where none is left.
    """
    scores = [target(outputs) for target in targets]
    broken = [isinstance(score, torch.Tensor) and not bool(score.isfinite().all()) for score in scores]
    remedy = "Check the model's weights and preprocessing."
    sentences = tuple(
        f"The score of {target.label} is not a finite number for this picture, so it has no heatmap. {remedy}"
        for target, is_broken in zip(targets, broken, strict=True)
        if is_broken
    )
    if targets and all(broken):
        raise TargetError("None of the targets' scores is a finite number for this picture.", remedy)
    return tuple(target for target, is_broken in zip(targets, broken, strict=True) if not is_broken), sentences


def _find_target(wanted: int | str, labels: Sequence[str]) -> Target:
    """The target of an index or label: the class itself, or, with a minus before it, what lowers the class."""
    lowered = isinstance(wanted, str) and wanted.startswith(("-", "−")) and len(wanted) > 1
    if lowered and not any(label.casefold() == str(wanted).casefold() for label in labels):
        return lowers(str(wanted)[1:], labels)
    index = find_class(wanted, labels)
    return ClassTarget(index, labels[index], float("nan"))


def _with_amount(target: Target, outputs: torch.Tensor, shares: Sequence[float], meaning: Outputs) -> Target:
    """One of our own targets learns what the model gives its class; others stay as they are."""
    if isinstance(target, ContrastTarget):
        return replace(target, probability=shares[target.index])
    if isinstance(target, ClassTarget | LoweredTarget):
        value, unit = number_of(outputs, meaning, target.index)
        return replace(target, probability=shares[target.index], value=value, unit=unit)
    if isinstance(target, SimilarTarget | TextTarget):
        return replace(target, value=float(target(outputs)[0]))
    return target


def check_target(target: Any) -> Target:
    """Require what a record of the target needs: its class, its name and its probability."""
    missing = [name for name in ("index", "label", "probability") if not hasattr(target, name)]
    if missing:
        raise TargetError(
            f"A target without {', '.join(missing)} cannot be explained.",
            "Give an object with index, label and probability that takes outputs [pictures, classes].",
        )
    checked: Target = target
    return checked


def find_class(wanted: int | str, labels: Sequence[str]) -> int:
    """Index of a class given by index or label; upper and lower case may differ where that is clear."""
    if isinstance(wanted, str):
        return _find_label(wanted, labels)
    if isinstance(wanted, bool) or not hasattr(wanted, "__index__"):
        raise TargetError(f"{wanted!r} is no class.", "Give a class index, a label, or a target object.")
    index = int(wanted)
    if not 0 <= index < len(labels):
        raise TargetError(
            f"There is no class {index}: this model has {len(labels)}.", f"Give an index from 0 to {len(labels) - 1}."
        )
    return index


def _find_label(wanted: str, labels: Sequence[str]) -> int:
    exact = [index for index, label in enumerate(labels) if label == wanted]
    loose = [index for index, label in enumerate(labels) if label.casefold() == wanted.casefold()]
    for indices in (exact, loose):
        if len(indices) == 1:
            return indices[0]
        if indices:
            listed = ", ".join(map(str, indices[:10]))
            raise TargetError(f"{len(indices)} classes are called '{wanted}'.", f"Give the index: {listed}.")
    if wanted.strip().isdecimal() and len(wanted) <= LONGEST_NUMBER:
        return find_class(int(wanted), labels)
    near = list(dict.fromkeys(difflib.get_close_matches(wanted, labels, n=3, cutoff=0.5)))
    near = near or [label for label in labels if wanted.casefold() in label.casefold()][:3]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Give a label as written, or 0 to {len(labels) - 1}."
    raise TargetError(f"This model has no class '{one_line(wanted)}'.", hint)
