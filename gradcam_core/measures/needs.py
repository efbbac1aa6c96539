"""What a measure may ask for, what it returns, and the mark that makes a function a measure.

heat        [H W]            the heatmap on the picture's pixels, 0..1; NaN where the model did not look
truth       [H W]            the reference region on the picture's pixels
shown       [Hin Win]        the map's positive part on the model input's pixels, its peak 1; 0 in padding
visible     [Hin Win]        which of them show the picture, and not padding
inputs      [1 Cin Hin Win]  the very tensor that the network saw
probability                  inputs [B Cin Hin Win] -> the target's probability [B], 0..1; of an object its score, of
                             a region the part of it that stays as it is

One that takes long also asks for `progress`, and calls it with the share that is done. A measure returns a
Measured, or raises NotMeasurable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32
from torch import Tensor

from gradcam_core.registry import Function, Member, member

NEEDS = ("heat", "truth", "shown", "visible", "inputs", "probability")

Truth = Bool[np.ndarray, "H W"]
Shown = Float32[np.ndarray, "Hin Win"]
Visible = Bool[np.ndarray, "Hin Win"]
Probability = Callable[[Tensor], np.ndarray]

measurement: Callable[..., Callable[[Function], Function]] = partial(member, allowed=NEEDS, better="higher")


def theme_of(member: Member) -> str:
    """What a measure is about: "place" (a reference region), "change" (the picture is changed), or "spread"."""
    return "place" if "truth" in member.needs else "change" if "inputs" in member.needs else "spread"


class NotMeasurable(Exception):
    """Say in a sentence why there is no honest number; raised by measurements, shown as their reason."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The target's probability (`values`) as more and more of the picture is changed (`shares`, 0..1)."""

    shares: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement's number, the curve that it was read off, and what an unrelated heatmap would give, if known."""

    value: float
    curve: Curve | None = None
    chance: float | None = None
