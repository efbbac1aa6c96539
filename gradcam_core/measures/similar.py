"""How similar two maps of one picture are, by the order of their cells."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from gradcam_core.placement import resample
from gradcam_core.shapes import Map


def similarity(first: Map, second: np.ndarray) -> float:
    """Rank correlation (Spearman) of the positive parts, which are what is shown: 1 the same order, 0 no relation.

    Taken on the finer of the two grids; equal cells share their rank. Where one of the maps is the same
    everywhere there is no order to compare: 0, and 1 where both are.
    """
    return float(similarities(first, [second])[0])


def similarities(first: Map, others: Sequence[np.ndarray]) -> Float[np.ndarray, " n"]:
    """The similarity of one map [h w] with each of several, which share a grid."""
    finest = max(first.shape, *(other.shape for other in others), key=lambda shape: shape[0] * shape[1])
    own = _ranks(_positive(first, finest)[None])
    ranks = _ranks(np.stack([_positive(other, finest) for other in others]))
    sizes = np.sqrt((own**2).sum() * (ranks**2).sum(axis=1))
    flat = ~ranks.any(axis=1)
    alike = (ranks @ own[0]) / np.where(sizes > 0, sizes, 1)
    return np.asarray(alike if own.any() else flat, np.float64)


def _positive(raw: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    positive = np.maximum(raw, 0)
    return positive if positive.shape == size else resample(positive, (size[0], size[1]))


def _ranks(maps: np.ndarray) -> np.ndarray:
    """Ranks [n cells] of maps [n h w], less their mean; 0 for a map that is the same everywhere."""
    ranks: np.ndarray = rankdata(maps.reshape(len(maps), -1), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    return ranks
