"""How similar two maps of one picture are: where both are hottest, and by the order of their cells."""

from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import Bool, Float32, Float64

from gradcam_core.placement import on_finest_grid
from gradcam_core.records import Heatmap
from gradcam_core.shapes import Map

HOTTEST = 0.2


def agreement(first: Heatmap, second: Heatmap) -> tuple[float, float] | None:
    """Pearson correlation of two maps' positive parts, and overlap (IoU) of their hottest fifths.

    Taken on the finer of the two grids. None where one of them has no positive evidence or is
    the same everywhere, since then there is nothing to compare.
    """
    one, other = (positive.ravel() for positive in _positive_parts([first.raw, second.raw]))
    if one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1]), overlap(hottest_fifth(one), hottest_fifth(other))


def hottest_fifth(values: Float32[np.ndarray, " cells"]) -> Bool[np.ndarray, " cells"]:
    """The hottest fifth; only what has any heat counts, and all ties at the edge are included."""
    count = max(1, round(HOTTEST * len(values)))
    hottest: np.ndarray = (values >= np.partition(values, -count)[-count]) & (values > 0)
    return hottest


def overlap(first: Bool[np.ndarray, " cells"], second: Bool[np.ndarray, " cells"]) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())


def similarities(first: Map, others: Sequence[np.ndarray]) -> Float64[np.ndarray, " n"]:
    """Rank correlation (Spearman) of one map's positive part with those of others: 1 the same order, 0 no relation.

    The positive parts are what is shown. Taken on the finest of the grids; equal cells share their rank. A map that is
    the same everywhere has no order to compare: 0, and 1 for two of them.
    """
    ranks = scipy.stats.rankdata([positive.ravel() for positive in _positive_parts([first, *others])], axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    own, ranks = ranks[0], ranks[1:]
    if not own.any():
        return np.asarray(~ranks.any(axis=1), np.float64)
    sizes = np.linalg.norm(own) * np.linalg.norm(ranks, axis=1)
    return np.asarray(ranks @ own / np.where(sizes > 0, sizes, 1), np.float64)


def _positive_parts(maps: Sequence[np.ndarray]) -> list[Map]:
    return on_finest_grid([np.maximum(grid, 0) for grid in maps])
