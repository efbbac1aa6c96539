"""What a measurement may ask for, and the mark that makes a function a measurement.

heat        [H W]            the heatmap on the picture's pixels, 0..1; NaN where the model did not look
truth       [H W]            what somebody marked on the picture's pixels
shown       [Hin Win]        the map's positive part on the model input's pixels, its peak 1; 0 in padding
visible     [Hin Win]        which of them show the picture, and not padding
inputs      [1 Cin Hin Win]  the very tensor that the network saw
probability                  inputs [B Cin Hin Win] -> what the model gives the target [B], 0..1

One that takes long also asks for `report`, and calls it with the share that is done; it may raise,
which is how a measuring is cancelled. A measurement returns a Reading, or raises NotMeasurable.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32
from torch import Tensor

from gradcam_core.registry import Function, member

NEEDS = ("heat", "truth", "shown", "visible", "inputs", "probability")

Truth = Bool[np.ndarray, "H W"]
Shown = Float32[np.ndarray, "Hin Win"]
Visible = Bool[np.ndarray, "Hin Win"]
Probability = Callable[[Tensor], np.ndarray]
Report = Callable[[float], None]


def measurement(
    title: str, *, paper: str, url: str, better: Literal["higher", "lower", ""] = "higher"
) -> Callable[[Function], Function]:
    """Mark a function as a measurement. `better` says which values speak for the heatmap; "" where none do."""

    def mark(function: Function) -> Function:
        function.better = better  # type: ignore[attr-defined]
        return member(title, paper=paper, url=url, allowed=NEEDS)(function)

    return mark
