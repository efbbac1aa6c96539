"""The numbers of two heatmaps of one class: rank correlation, and overlap of the hottest areas."""

import numpy as np
from scipy.stats import rankdata

from gradcam_core.comparison.difference import Scale, common_box, grid_size, values_over
from gradcam_core.comparison.records import Pair
from gradcam_core.measures.similar import hottest, overlap, overlap_by_chance
from gradcam_core.records import Heatmap

# Interpolation makes equal cells differ in the seventh decimal; rounding makes them ties again.
DECIMALS = 5


def pair_of(label: str, places: tuple[int, int], heatmaps: tuple[Heatmap, Heatmap], scale: Scale) -> Pair:
    """Compare two models' heatmaps of a class on the part of the picture that both models saw."""
    for place, heatmap in zip(places, heatmaps, strict=True):
        if heatmap.state != "ok":
            return Pair(label, places, heatmaps, scale, reason=f"model {place + 1} has {heatmap.state} there")
    box = common_box(*heatmaps)
    if box is None:
        return Pair(label, places, heatmaps, scale, reason="the models saw no part of the picture in common")
    size = grid_size(*heatmaps, box)
    values, others = (values_over(heatmap, box, size).round(DECIMALS) for heatmap in heatmaps)
    seen = ~(np.isnan(values) | np.isnan(others))
    values, others = values[seen], others[seen]
    for place, flat in zip(places, (values, others), strict=True):
        if not len(flat) or flat.min() == flat.max() or flat.max() <= 0:
            what = "no positive evidence" if len(flat) and flat.max() <= 0 else "the same heat everywhere"
            return Pair(label, places, heatmaps, scale, reason=f"model {place + 1} has {what} on what both models saw")
    areas = hottest(values), hottest(others)
    numbers = rank_correlation(values, others), overlap(*areas), overlap_by_chance(*areas)
    return Pair(label, places, heatmaps, scale, *numbers)


def rank_correlation(values: np.ndarray, others: np.ndarray) -> float:
    """Spearman's rank correlation of two series that are not the same everywhere; equal values share their rank."""
    both = rankdata(np.stack([values, others]), axis=1)
    ranks, other_ranks = both - both.mean(axis=1, keepdims=True)
    return float((ranks @ other_ranks) / np.sqrt((ranks @ ranks) * (other_ranks @ other_ranks)))
