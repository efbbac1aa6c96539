"""How spread or how focused a heatmap is. Neither is good or bad: a finding may be small or large."""

import numpy as np
import scipy
from jaxtyping import Float64

from gradcam_core.measures.needs import Measured, NotMeasurable, measurement
from gradcam_core.shapes import Heat

Shares = Float64[np.ndarray, "seen"]


@measurement("Spread (entropy)", paper="Bhatt et al. 2020", url="https://arxiv.org/abs/2005.00631", better="")
def entropy(heat: Heat) -> Measured:
    """How widely the heat is spread: 0 is all in one pixel, 1 is the same everywhere.

    Shannon's entropy of the heat as a distribution over the n pixels that the model saw, divided by its
    largest possible value, log n.
    """
    shares = _shares(heat)
    return Measured(max(0.0, float(scipy.stats.entropy(shares, base=len(shares)))))


@measurement("Focus (Gini index)", paper="Chalasani et al. 2020", url="https://arxiv.org/abs/1810.06583", better="")
def gini(heat: Heat) -> Measured:
    """How focused the heat is: 0 is the same everywhere, near 1 is all in very few pixels.

    With the n values rising, 1 - 2 * sum of c_k / |c| * (n - k + 1/2) / n (Hurley & Rickard 2009,
    https://doi.org/10.1109/TIT.2009.2027527), over the pixels that the model saw.
    """
    shares = np.sort(_shares(heat))
    above = np.arange(len(shares))[::-1] + 0.5
    return Measured(max(0.0, float(1 - 2 * shares @ above / len(shares))))


def _shares(heat: Heat) -> Shares:
    """Each seen pixel's share of all heat."""
    values = heat[~np.isnan(heat)].astype(np.float64)
    if len(values) < 2:
        raise NotMeasurable("The model saw fewer than two of the picture's pixels.")
    if not values.any():
        raise NotMeasurable("The heatmap is 0 everywhere on the picture.")
    shares: Shares = values / values.sum()
    return shares
