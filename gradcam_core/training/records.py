"""What one epoch shows of one picture, and where it goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gradcam_core.shapes import Map


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One picture at one epoch: its answer, its true class ("" where unknown), and a heatmap of each.

    `answer_map` and `true_map` are raw maps at the layer's grid, `answer_picture` and `true_picture` the overlays as
    JPEG. Where the answer is the true class, both are the same.
    """

    picture: str
    answer: str
    answer_probability: float | None
    answer_map: Map
    answer_picture: bytes
    truth: str = ""
    true_probability: float | None = None
    true_map: Map | None = None
    true_picture: bytes = b""


class Writer(Protocol):
    """Takes what an epoch shows."""

    def __call__(self, epoch: int, scenes: Sequence[Scene]) -> None:
        """Write one epoch. What it raises is logged; the training goes on."""
