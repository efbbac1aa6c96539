"""Order the pixels of the model's input from hot to cold, equal ones in a random but repeatable order.

A threshold cannot do this: half of many heatmaps is exactly 0, and a threshold of 0 takes all of it or nothing.
"""

import numpy as np
from jaxtyping import Int64

from gradcam_core.measures.needs import Shown, Visible
from gradcam_core.measures.readings import NotMeasurable

Order = Int64[np.ndarray, "visible"]


def hottest_first(shown: Shown, visible: Visible, seed: int) -> Order:
    """Order the visible pixels, as places in the flattened input, from hot to cold.

    Raises NotMeasurable where there is no order: the heatmap is 0, or the same everywhere.
    """
    places = np.flatnonzero(visible)
    heat = shown.ravel()[places]
    if not heat.any():
        raise NotMeasurable("The heatmap is 0 everywhere on the picture, so no pixel comes before another.")
    if heat.min() == heat.max():
        raise NotMeasurable("The heatmap is the same everywhere, so no pixel comes before another.")
    chance = np.random.default_rng(seed).permutation(len(places))
    order: Order = places[np.lexsort((chance, -heat))]
    return order


def mask_of(places: Order, size: tuple[int, int]) -> Visible:
    """The input's pixels [Hin Win] that are among these places."""
    mask = np.zeros(size, bool)
    mask.ravel()[places] = True
    return mask
