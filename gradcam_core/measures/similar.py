"""How alike two maps of one picture are, by the order of their cells."""

import numpy as np
from jaxtyping import Float, Float32

from gradcam_core.placement import resample
from gradcam_core.shapes import Map


def similarity(one: Map, other: Float32[np.ndarray, "other_h other_w"]) -> float:
    """Rank correlation (Spearman) of the positive parts, which are what is shown: 1 the same order, 0 no relation.

    Taken on the finer of the two grids, cells of equal value sharing their rank. Where one of the maps
    shows the same everywhere there is no order to compare: 0, and 1 where both do.
    """
    finest = max(one.shape, other.shape, key=lambda shape: shape[0] * shape[1])
    shown = [
        np.maximum(part, 0) if part.shape == finest else resample(np.maximum(part, 0), finest) for part in (one, other)
    ]
    flat = [bool(part.min() == part.max()) for part in shown]
    if any(flat):
        return float(all(flat))
    first, second = (_ranks(part.ravel()) for part in shown)
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 1, equal values sharing the average of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count).astype(np.float64)
    return (last - (count - 1) / 2)[place]
