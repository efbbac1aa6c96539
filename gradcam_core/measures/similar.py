"""How similar two maps of one picture are: where both are hottest, and by the order of their cells."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy.stats import rankdata

from gradcam_core.placement import resample
from gradcam_core.records import Heatmap
from gradcam_core.shapes import Map

HOTTEST = 0.2


def agreement(first: Heatmap, second: Heatmap) -> tuple[float, float] | None:
    """Pearson correlation of two maps' positive parts, and overlap (IoU) of their hottest fifths.

    Taken on the finer of the two grids. None where one of them has no positive evidence or is
    the same everywhere, since then there is nothing to compare.
    """
    one, other = (positive.ravel() for positive in _on_one_grid([first.raw, second.raw]))
    if one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1]), overlap(hottest_fifth(one), hottest_fifth(other))


def hottest_fifth(values: Float32[np.ndarray, "cells"]) -> Bool[np.ndarray, "cells"]:
    """The hottest fifth; only what has any heat counts, and all ties at the edge are included."""
    count = max(1, round(HOTTEST * len(values)))
    hottest: np.ndarray = (values >= np.partition(values, -count)[-count]) & (values > 0)
    return hottest


def overlap(first: Bool[np.ndarray, "cells"], second: Bool[np.ndarray, "cells"]) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())


def similarity(first: Map, second: Map) -> float:
    """Rank correlation (Spearman) of the positive parts, which are what is shown: 1 the same order, 0 no relation.

    Taken on the finer of the two grids; equal cells share their rank. Where one of the maps is the same
    everywhere there is no order to compare: 0, and 1 where both are.
    """
    return float(similarities(first, [second])[0])


def similarities(first: np.ndarray, others: Sequence[np.ndarray]) -> Float[np.ndarray, " n"]:
    """The similarity of one map [h w] with each of several."""
    own, *ranks = rankdata([positive.ravel() for positive in _on_one_grid([first, *others])], axis=1)
