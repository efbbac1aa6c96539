"""What to explain: class targets, chosen by rank, index or label -> one score per picture."""

import difflib
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import torch

from gradcam_core.errors import TargetError
from gradcam_core.records import Prediction, Target

Wanted = int | str | Target


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """A class's own score: what the model gives it, before any softmax or sigmoid of ours."""

    index: int
    label: str
    probability: float

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the model's outputs [N classes]."""
        return outputs[:, self.index]


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


def probabilities(outputs: torch.Tensor, kind: str) -> torch.Tensor:
    """The probabilities [N classes] in a model's outputs of a `kind` (LoadedModel.outputs).

    Those that are probabilities already stay as they are. Scores take the softmax over the classes;
    independent ones, and a single yes/no score, the sigmoid.
    """
    if kind in ("probabilities", "independent probabilities"):
        return outputs
    independent = kind == "independent scores" or outputs.shape[1] == 1
    return outputs.sigmoid() if independent else outputs.softmax(dim=1)


def top_predictions(outputs: torch.Tensor, kind: str, labels: Sequence[str], top_k: int) -> tuple[Prediction, ...]:
    """The `top_k` most probable classes of the first picture, sorted; clipped to what there is."""
    best = probabilities(outputs, kind)[0].topk(min(check_top_k(top_k), outputs.shape[1]))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple(Prediction(index, labels[index], value) for index, value in pairs)


def check_top_k(top_k: SupportsIndex) -> int:
    """A number of classes, as a plain int. Raises TargetError for anything below 1."""
    if isinstance(top_k, bool) or not hasattr(top_k, "__index__") or operator.index(top_k) < 1:
        raise TargetError(f"{top_k!r} classes cannot be shown.", "Ask for at least one.", "top_k")
    return operator.index(top_k)


def choose_targets(
    wanted: Wanted | Sequence[Wanted] | None, labels: Sequence[str], top_k: int, kind: str = "scores"
) -> Callable[[torch.Tensor], tuple[Target, ...]]:
    """Settle which targets to explain: the most probable classes, or the ones asked for.

    Names and indices are looked up at once, so that a wrong one raises TargetError before anything
    is computed; the probabilities follow from the outputs, which are of a `kind` (LoadedModel.outputs).
    """
    top_k = check_top_k(top_k)
    if wanted is None:
        return lambda outputs: tuple(
            ClassTarget(p.index, p.label, p.probability) for p in top_predictions(outputs, kind, labels, top_k)
        )
    asked = _listed(wanted)
    if not asked:
        raise TargetError("No class is chosen.", "Name at least one class, or leave targets out for the top ones.")
    targets = [_check_target(target) if callable(target) else find_class(target, labels) for target in asked]

    def choose(outputs: torch.Tensor) -> tuple[Target, ...]:
        shares = probabilities(outputs, kind)[0].tolist()
        return tuple(_with_probability(target, labels, shares) for target in targets)

    return choose


def _with_probability(target: int | Target, labels: Sequence[str], shares: Sequence[float]) -> Target:
    """A class by its index becomes a target; a contrast learns what the model gives its class."""
    if isinstance(target, ContrastTarget):
        return replace(target, probability=shares[target.index])
    return target if isinstance(target, Target) else ClassTarget(target, labels[target], shares[target])


def _check_target(target: Any) -> Target:
    """Require what a record of the target needs: its class, its name and its probability."""
    missing = [name for name in ("index", "label", "probability") if not hasattr(target, name)]
    if missing:
        raise TargetError(
            f"A target without {', '.join(missing)} cannot be explained.",
            "Give an object with index, label and probability that takes outputs [pictures, classes].",
        )
    checked: Target = target
    return checked


def _listed(wanted: Any) -> list[Any]:
    """One target or several, as a list; arrays and their single numbers count as what they hold."""
    if isinstance(wanted, str) or callable(wanted):
        return [wanted]
    if hasattr(wanted, "tolist"):
        wanted = wanted.tolist()
    return list(wanted) if isinstance(wanted, Iterable) else [wanted]


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
    if wanted.strip().isdecimal():
        return find_class(int(wanted), labels)
    near = list(dict.fromkeys(difflib.get_close_matches(wanted, labels, n=3, cutoff=0.5)))
    near = near or [label for label in labels if wanted.casefold() in label.casefold()][:3]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Give a label as written, or 0 to {len(labels) - 1}."
    raise TargetError(f"This model has no class '{wanted}'.", hint)
