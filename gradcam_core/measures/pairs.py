"""How well two heatmaps of one picture agree."""

import numpy as np

from gradcam_core.placement import resample
from gradcam_core.records import Heatmap
from gradcam_core.shapes import Map

HOTTEST = 0.2


def agreement(first: Heatmap, second: Heatmap) -> tuple[float, float] | None:
    """Pearson correlation of two maps' positive parts, and overlap (IoU) of their hottest fifths.

    Taken on the finer of the two grids. None where one of them has no positive evidence or is
    the same everywhere, since then there is nothing to compare.
    """
    finest = max(first.raw.shape, second.raw.shape, key=lambda shape: shape[0] * shape[1])
    one, other = (resample(np.maximum(heatmap.raw, 0), finest) for heatmap in (first, second))
    if one.std() == 0 or other.std() == 0:
        return None
    correlation = float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    hot_one, hot_other = _hottest(one), _hottest(other)
    return correlation, float((hot_one & hot_other).sum() / (hot_one | hot_other).sum())


def _hottest(values: Map) -> np.ndarray:
    """The hottest fifth of the cells; only cells with evidence count, and all ties at the edge are included."""
    count = max(1, round(HOTTEST * values.size))
    edge = np.partition(values.ravel(), -count)[-count]
    hottest: np.ndarray = (values >= edge) & (values > 0)
    return hottest
