"""What a segmenter paints: a class for each pixel, and targets about the region of one class.

A segmenter's outputs are [N classes h w], scores before any softmax, on the grid of the model's input.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import cv2
import numpy as np
import torch

from gradcam_core.errors import TargetError
from gradcam_core.placement import Placement
from gradcam_core.tasks import Prediction, check_top_k

# Top, left, bottom and right of the outputs' pixels that show the picture.
Shown = tuple[int, int, int, int]
UNIT = "% of the picture"


@dataclass(frozen=True, slots=True, eq=False)
class SegmentTarget:
    """The score of a class, summed over a region of the picture (Vinogradova et al. 2020, arXiv:2002.11434).

    `mask` is the region [h w] on the grid of the outputs: where the model itself sees the class. `value` is the
    region's share of the picture in per cent.
    """

    index: int
    label: str
    mask: torch.Tensor
    value: float
    unit: str = UNIT
    probability: float = float("nan")

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the segmenter's outputs [N classes h w]."""
        return (outputs[:, self.index] * self.mask.to(outputs)).sum(dim=(1, 2))


def shares_of(outputs: torch.Tensor, shown: Shown | None) -> torch.Tensor:
    """Each class's share [classes] of the first picture's pixels, padding left out."""
    painted = _on_picture(outputs[0].argmax(dim=0), shown)
    return torch.bincount(painted.flatten(), minlength=outputs.shape[1]) / max(painted.numel(), 1)


def areas(
    outputs: torch.Tensor, labels: Sequence[str], top_k: SupportsIndex, shown: Shown | None
) -> tuple[Prediction, ...]:
    """The `top_k` classes that cover most of the first picture, sorted; those that cover nothing are left out."""
    shares = shares_of(outputs, shown).tolist()
    best = sorted(range(len(shares)), key=lambda index: -shares[index])[: check_top_k(top_k)]
    return tuple(
        Prediction(index, labels[index], float("nan"), 100 * shares[index], UNIT) for index in best if shares[index]
    )


def choose_segments(
    wanted: Sequence[tuple[int | None, tuple[float, float] | None]] | None, labels: Sequence[str], top_k: int
) -> Callable[[torch.Tensor, Placement | None], tuple[SegmentTarget, ...]]:
    """Settle which regions to explain: the classes that cover most, or the ones asked for.

    `wanted` are classes, each with a place (x, y) in pixels of the picture, which chooses the connected region there,
    or None for all of the class. Without a class, the place decides. Raises TargetError where the model paints no pixel
    with a class that is asked for.
    """

    def choose(outputs: torch.Tensor, placement: Placement | None = None) -> tuple[SegmentTarget, ...]:
        shown = placement.shown() if placement else None
        asked = wanted or [(prediction.index, None) for prediction in areas(outputs, labels, top_k, shown)]
        return tuple(_segment(outputs, labels, index, place, placement) for index, place in asked)

    return choose


def read_segment(wanted: str) -> tuple[str, tuple[float, float] | None]:
    """Split "segment:cat", "segment:cat@120,80" or "segment:@120,80" into the class and the place on the picture."""
    label, at, place = wanted.removeprefix("segment:").rpartition("@")
    if not at:
        return place, None
    try:
        x, y = map(float, place.split(","))
    except ValueError:
        x = y = math.nan
    return (label, (x, y)) if math.isfinite(x + y) else (wanted.removeprefix("segment:"), None)


def is_segment(wanted: object) -> bool:
    """Whether a target is written as a region: "segment:cat", "segment:cat@120,80"."""
    return isinstance(wanted, str) and wanted.startswith("segment:")


def _segment(
    outputs: torch.Tensor,
    labels: Sequence[str],
    index: int | None,
    place: tuple[float, float] | None,
    placement: Placement | None,
) -> SegmentTarget:
    shown = placement.shown() if placement else None
    painted = _on_picture(outputs[0].argmax(dim=0), shown)
    cell = place and _cell(painted.shape, place, placement, outputs.shape[2:])
    index = int(painted[cell]) if index is None and cell else index or 0
    mask = painted == index
    if cell is not None:
        mask = _connected(mask, cell, labels[index])
    if not mask.any():
        others = [labels[i] for i, share in enumerate(shares_of(outputs, shown).tolist()) if share]
        raise TargetError(f"The model sees no '{labels[index]}' in this picture.", f"It sees {', '.join(others[:20])}.")
    share = 100 * float(mask.float().mean())
    whole = torch.zeros(outputs.shape[2:], dtype=torch.bool, device=outputs.device)
    _on_picture(whole, shown).copy_(mask)
    return SegmentTarget(index, labels[index], whole, share)


def _cell(
    shape: Sequence[int], place: tuple[float, float], placement: Placement | None, grid: Sequence[int]
) -> tuple[int, int]:
    """Row and column, on the part [h w] of the outputs' `grid` that shows the picture, of a place (x, y) on it."""
    height, width = grid
    top, left, bottom, right = placement.box if placement else (0.0, 0.0, height, width)
    first_row, first_column, *_ = placement.shown() if placement else (0, 0)
    row = math.floor((place[1] - top) / (bottom - top) * height) - first_row
    column = math.floor((place[0] - left) / (right - left) * width) - first_column
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise TargetError("The model did not look at this place.", "Choose a place inside the part that it saw.")
    return row, column


def _connected(mask: torch.Tensor, cell: tuple[int, int], label: str) -> torch.Tensor:
    """The part of a mask [h w] that is connected to a cell (row, column)."""
    if not mask[cell]:
        raise TargetError(f"The model sees no '{label}' at this place.", "Choose a place inside one of its regions.")
    _, numbers = cv2.connectedComponents(mask.cpu().numpy().astype(np.uint8))
    return torch.from_numpy(numbers == numbers[cell]).to(mask.device)


def _on_picture(values: torch.Tensor, shown: Shown | None) -> torch.Tensor:
    """The part of a grid [h w] that shows the picture, as a view."""
    if shown is None:
        return values
    top, left, bottom, right = shown
    return values[top:bottom, left:right]


def outline_of(mask: torch.Tensor, placement: Placement) -> list[np.ndarray]:
    """The edges of a region as polygons [P 2] of x and y in pixels of the picture."""
    top, left, bottom, right = placement.box
    down, across = (bottom - top) / mask.shape[0], (right - left) / mask.shape[1]
    contours, _ = cv2.findContours(mask.cpu().numpy().astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    corner, step = np.array([left, top]), np.array([across, down])
    return [corner + (contour[:, 0] + 0.5) * step for contour in contours]
