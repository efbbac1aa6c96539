"""What a detector finds: objects as rows of numbers, and targets about one of them.

A detector's outputs are [N D 6]: left, top, right and bottom of each object in pixels of the model's input, its class
and its score. Where a picture has fewer objects than another of its batch, rows of zeros follow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, SupportsIndex

import torch
from torch.nn import functional

from gradcam_core.errors import TargetError
from gradcam_core.placement import Placement
from gradcam_core.targets.classes import LONGEST_NUMBER
from gradcam_core.tasks import Prediction, check_top_k

Box = tuple[float, float, float, float]
CLASS, SCORE = 4, 5
# Where an edge stands among an object's numbers, and the sign with which it moves outwards.
EDGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"left": (0, -1), "top": (1, -1), "right": (2, 1), "bottom": (3, 1)}
)


def rows_of_objects(outputs: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    """Bring what torchvision's detectors return, a dict of `boxes`, `labels` and `scores` per picture, to [N D 6]."""
    parts = [
        torch.cat([each["boxes"].float(), each["labels"][:, None].float(), each["scores"][:, None].float()], dim=1)
        for each in outputs
    ]
    return joined([part[None] for part in parts])


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """A detector's outputs [N D 6] of several batches as one; rows of zeros stand where there are fewer objects."""
    most = max(part.shape[1] for part in parts)
    return torch.cat([functional.pad(part, (0, 0, 0, most - part.shape[1])) for part in parts])


@dataclass(frozen=True, slots=True)
class BoxTarget:
    """One object that a detector found: its score, or, with an `edge`, how far out that edge of its box lies.

    The label has its number among the picture's objects. `box` is (left, top, right, bottom) in pixels of the model's
    input. In other inputs, such as those with parts hidden, the object of the same class that overlaps the box most
    stands for it; its score counts by the overlap (intersection over union), after Petsiuk et al. 2021,
    https://arxiv.org/abs/2006.03204.
    """

    index: int
    label: str
    probability: float
    box: Box
    edge: str = ""

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the detector's outputs [N D 6]; 0 where there is no object of the class."""
        if not outputs.shape[1]:
            return outputs.new_zeros(len(outputs)) + 0 * outputs.sum()
        detected = outputs.detach()
        overlap = _overlap(detected[..., :4], self.box) * (detected[..., CLASS] == self.index)
        best, place = (overlap * detected[..., SCORE].sign()).max(dim=1)
        chosen = outputs[torch.arange(len(outputs), device=outputs.device), place]
        if not self.edge:
            return chosen[:, SCORE] * best
        column, outwards = EDGES[self.edge]
        return outwards * chosen[:, column] * best.sign()


def _overlap(boxes: torch.Tensor, box: Box) -> torch.Tensor:
    """Intersection over union of boxes [... 4] with one box; exactly 1 for the same box."""
    other = boxes.new_tensor(box)
    low, high = torch.maximum(boxes[..., :2], other[:2]), torch.minimum(boxes[..., 2:], other[2:])
    common = (high - low).clamp(min=0).prod(dim=-1)
    own, wanted = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1), (other[2:] - other[:2]).prod()
    return torch.where((boxes == other).all(dim=-1), 1.0, common / (own + wanted - common).clamp(min=1e-9))


def objects(outputs: torch.Tensor, labels: Sequence[str], top_k: SupportsIndex) -> tuple[BoxTarget, ...]:
    """The `top_k` objects of the first picture that have the highest scores, sorted."""
    rows = [row for row in outputs[0].tolist() if row[SCORE] > 0]
    rows = sorted(rows, key=lambda row: -row[SCORE])[: check_top_k(top_k)]
    return tuple(
        BoxTarget(
            int(row[CLASS]),
            f"{_name(int(row[CLASS]), labels)} · box {number}",
            row[SCORE],
            (row[0], row[1], row[2], row[3]),
        )
        for number, row in enumerate(rows)
    )


def _name(index: int, labels: Sequence[str]) -> str:
    """The name of a class; the number of one that the labels do not reach."""
    return labels[index] if 0 <= index < len(labels) else f"class {index}"


def choose_objects(
    wanted: Sequence[int | str] | None, labels: Sequence[str], top_k: int
) -> Callable[[torch.Tensor, Placement | None], tuple[BoxTarget, ...]]:
    """Settle which objects to explain: those with the highest scores, or the ones asked for.

    `wanted` has "box:2" for the third, "box:2:left" for that edge of it, or a class's index, which stands for its best
    object. Raises TargetError for one that the detector does not find.
    """

    def choose(outputs: torch.Tensor, placement: Placement | None = None) -> tuple[BoxTarget, ...]:
        detected = objects(outputs, labels, max(outputs.shape[1], 1))
        if not detected:
            raise TargetError(
                "The model finds no object in this picture.",
                "Choose a picture with an object that it knows, or a lower score threshold of the detector.",
            )
        return detected[:top_k] if wanted is None else tuple(_object(one, detected, labels) for one in wanted)

    return choose


def is_box(wanted: object) -> bool:
    """Whether a target is written as an object: "box:0", "box:0:left"."""
    return isinstance(wanted, str) and wanted.startswith("box:")


def _object(wanted: int | str, detected: Sequence[BoxTarget], labels: Sequence[str]) -> BoxTarget:
    if isinstance(wanted, int):
        best = next((target for target in detected if target.index == wanted), None)
        if best is None:
            kinds = ", ".join(dict.fromkeys(_name(target.index, labels) for target in detected[:20]))
            raise TargetError(f"The model finds no '{labels[wanted]}' in this picture.", f"It finds {kinds}.")
        return best
    _, number, *rest = wanted.split(":")
    edge = rest[0] if rest else ""
    if not number.isdecimal() or len(number) > LONGEST_NUMBER or len(rest) > 1 or (rest and edge not in EDGES):
        remedy = f"Write box:0 for the first, or box:0:left for an edge ({', '.join(EDGES)})."
        raise TargetError(f"'{wanted[:40]}' names no object.", remedy)
    if int(number) >= len(detected):
        raise TargetError(
            f"There is no object {number}: the model finds {len(detected)} here.",
            f"Write box:0 to box:{len(detected) - 1}.",
        )
    target = detected[int(number)]
    return replace(target, edge=edge, label=f"{edge} edge of {target.label}") if edge else target


def predictions_of(
    detected: Sequence[BoxTarget], labels: Sequence[str], placement: Placement | None
) -> tuple[Prediction, ...]:
    """Objects as predictions, with their boxes in pixels of the picture."""
    return tuple(
        Prediction(
            target.index, _name(target.index, labels), target.probability, box=box_on_picture(target.box, placement)
        )
        for target in detected
    )


def box_on_picture(box: Box, placement: Placement | None) -> Box:
    """Bring a box from the model's input to the picture, cut off at its edges."""
    if placement is None:
        return box
    top, left, bottom, right = placement.box
    down, across = (bottom - top) / placement.input_size[0], (right - left) / placement.input_size[1]
    height, width = placement.image_size
    x = [min(max(left + value * across, 0.0), float(width)) for value in box[::2]]
    y = [min(max(top + value * down, 0.0), float(height)) for value in box[1::2]]
    return x[0], y[0], x[1], y[1]
