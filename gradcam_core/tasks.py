"""What a network's outputs mean: its task, what it predicts, and what can be explained of it."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol, SupportsIndex, get_args, runtime_checkable

import torch
from torch import nn

from gradcam_core.errors import TargetError
from gradcam_core.text import percent, quantity

Task = Literal["single_label", "multi_label", "binary", "regression", "embedding", "detection", "segmentation"]
Origin = Literal["read", "given", "assumed"]
TASKS: tuple[Task, ...] = get_args(Task)
# Those whose outputs are about places of the picture, objects or pixels, instead of the whole picture.
PLACED = frozenset[Task]({"detection", "segmentation"})
# What a task means, for people; `{}` stands for the number of outputs.
TASK_WORDS: Mapping[Task, str] = MappingProxyType(
    {
        "single_label": "one class of several",
        "multi_label": "several findings, each with a probability of its own",
        "binary": "one finding: yes or no",
        "regression": "a number and no probability",
        "embedding": "features and no classes",
        "detection": "objects with their places",
        "segmentation": "a class for each pixel",
    }
)
ORIGIN_WORDS: Mapping[Origin, str] = MappingProxyType(
    {"read": "read off the model", "given": "as given", "assumed": "assumed"}
)
PRESENT = 0.5


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the numbers mean that a network gives for a picture.

    `origin` says how the task is known. `are_probabilities` is true where the network itself ends with a softmax or
    sigmoid, so that its outputs are in 0..1 already. `unit` is that of a regression. `thresholds` has one number per
    class: the finding is present where its probability reaches it; () stands for PRESENT everywhere.
    """

    task: Task = "single_label"
    origin: Origin = "assumed"
    are_probabilities: bool = False
    unit: str = ""
    thresholds: tuple[float, ...] = ()

    @property
    def has_probabilities(self) -> bool:
        """Whether each output has a probability."""
        return self.task in ("single_label", "multi_label", "binary")

    @property
    def has_findings(self) -> bool:
        """Whether each output is a yes or no of its own: probabilities do not add up to 1."""
        return self.task in ("multi_label", "binary")

    @property
    def has_places(self) -> bool:
        """Whether the outputs are about places of the picture instead of the whole picture."""
        return self.task in PLACED

    @property
    def words(self) -> str:
        """The task for people, and how it is known: "one finding: yes or no (assumed)"."""
        return f"{TASK_WORDS[self.task]} ({ORIGIN_WORDS[self.origin]})"

    def threshold(self, index: int) -> float:
        """The probability from which on a finding counts as present."""
        return self.thresholds[index] if self.thresholds else PRESENT

    def to_dict(self) -> dict[str, Any]:
        """The values that JSON shows: the task, how it is known, and unit or thresholds where they apply."""
        unit = {"unit": self.unit} if self.task == "regression" else {}
        thresholds = {"thresholds": list(self.thresholds) or PRESENT} if self.has_findings else {}
        return {"task": self.task, "task_origin": self.origin, **unit, **thresholds}


# What holds where nothing is said: one class of several, assumed.
UNSTATED = Outputs()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one of its classes.

    `probability` is NaN where there is none. Of a regression, `value` is the number in its `unit`; of a segmentation,
    the share of the picture. `present` says whether a finding reaches its threshold; None where the classes are no
    findings of their own. Of a detection, `box` is (left, top, right, bottom) in pixels of the picture.
    """

    index: int
    label: str
    probability: float
    value: float | None = None
    unit: str = ""
    present: bool | None = None
    box: tuple[float, float, float, float] | None = None


@runtime_checkable
class Target(Protocol):
    """What to explain: one score per picture out of the model's outputs [N classes]."""

    @property
    def index(self) -> int:
        """The class that it is about."""

    @property
    def label(self) -> str:
        """Its name for people."""

    @property
    def probability(self) -> float:
        """What the model gives it, 0..1; NaN where that means nothing."""

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the model's outputs [N classes]."""


@dataclass(frozen=True, slots=True, eq=False)
class TextEncoder:
    """What a model has for texts, to compare with its features of pictures.

    `encode` gives a text's features [D] on the processor, and how many tokens it has, of which the first `longest` are
    read. `scale` is what similarities are multiplied with before a softmax over texts, 0 without one. `network` holds
    the weights.
    """

    encode: Callable[[str], tuple[torch.Tensor, int]]
    longest: int
    scale: float
    network: nn.Module


def amount_of(thing: Prediction | Target) -> str:
    """What the model says of a prediction or target: "83.0 %", "54.2 years", or a dash where there is neither."""
    value = getattr(thing, "value", None)
    return percent(thing.probability) if value is None else quantity(value, getattr(thing, "unit", ""))


def probabilities(outputs: torch.Tensor, meaning: Outputs) -> torch.Tensor:
    """The probabilities [N classes] in a model's outputs; NaN where its task has none.

    Those that are probabilities already stay as they are. Otherwise one class of several takes the softmax over the
    classes, and a finding of its own the sigmoid.
    """
    if not meaning.has_probabilities:
        return torch.full_like(outputs, math.nan)
    if meaning.are_probabilities:
        return outputs
    return outputs.sigmoid() if meaning.has_findings else outputs.softmax(dim=1)


def top_predictions(
    outputs: torch.Tensor, meaning: Outputs, labels: Sequence[str], top_k: SupportsIndex
) -> tuple[Prediction, ...]:
    """The `top_k` most probable classes of the first picture, sorted; clipped to what there is.

    A regression's numbers stay in the model's order, as they cannot be compared. An embedding predicts nothing.
    """
    count = min(check_top_k(top_k), outputs.shape[1])
    if meaning.task == "embedding":
        return ()
    shares = probabilities(outputs, meaning)[0]
    best = shares.nan_to_num(-1).topk(count).indices.tolist() if meaning.has_probabilities else range(count)
    return tuple(
        Prediction(index, labels[index], share, *number_of(outputs, meaning, index), _is_present(share, meaning, index))
        for index, share in ((index, float(shares[index])) for index in best)
    )


def number_of(outputs: torch.Tensor, meaning: Outputs, index: int) -> tuple[float | None, str]:
    """A regression's number for the first picture, and its unit; None and "" for any other task."""
    return (float(outputs[0, index]), meaning.unit) if meaning.task == "regression" else (None, "")


def _is_present(share: float, meaning: Outputs, index: int) -> bool | None:
    return share >= meaning.threshold(index) if meaning.has_findings and not math.isnan(share) else None


def check_top_k(top_k: SupportsIndex) -> int:
    """A number of classes, as a plain int. Raises TargetError for anything below 1."""
    if isinstance(top_k, bool) or not hasattr(top_k, "__index__") or operator.index(top_k) < 1:
        raise TargetError(f"{top_k!r} classes cannot be shown.", "Ask for at least one.", "top_k")
    return operator.index(top_k)
