"""Compare a heatmap with a reference region. Pixels that the model never saw are left out.

These measure where a heatmap points, not whether the model used that place: even an edge detector can do well.
"""

from typing import Annotated

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from gradcam_core.measures.needs import Measured, NotMeasurable, Truth, measurement
from gradcam_core.measures.similar import HOT, overlap, overlap_by_chance
from gradcam_core.registry import Range
from gradcam_core.shapes import Heat

Values = Float32[np.ndarray, "seen"]
Inside = Bool[np.ndarray, "seen"]

BINS = 256
JACCARD = "https://doi.org/10.1111/j.1469-8137.1912.tb05611.x"


@measurement("Overlap of the hottest area", paper="Jaccard 1912", url=JACCARD)
def iou_fixed(
    heat: Heat,
    truth: Truth,
    *,
    threshold: Annotated[float, Range(0.01, 1, "Heat from which on a pixel counts as hot; the peak is 1")] = HOT,
) -> Measured:
    """How well what is at least half as hot as the peak covers the reference region, and no more; 1 is perfectly.

    Intersection over union, as where two heatmaps are compared. The number depends strongly on the threshold.
    """
    values, inside = _seen(heat, truth)
    return _overlapping(values >= np.float32(threshold), inside)


@measurement("Overlap (Otsu threshold)", paper="Otsu 1979", url="https://doi.org/10.1109/TSMC.1979.4310076")
def iou_otsu(heat: Heat, truth: Truth) -> Measured:
    """How well the heatmap's hot part, by Otsu's threshold, and the reference region cover each other; 1 is perfectly.

    Intersection over union; the threshold divides the heat into the two most different groups (largest
    variance between them, over 256 bins from 0 to 1; of equal ones the lowest).
    """
    values, inside = _seen(heat, truth)
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    if bins.min() == bins.max():
        raise NotMeasurable("The heatmap is the same everywhere, so no threshold divides it.")
    return _overlapping(bins > _otsu(bins), inside)


def _otsu(bins: np.ndarray) -> int:
    """The last bin of the cool group: where weight * weight * (difference of means) squared is largest."""
    counts = np.bincount(bins, minlength=BINS).astype(np.float64)
    levels = np.arange(BINS)
    cool, cool_sum = np.cumsum(counts), np.cumsum(counts * levels)
    hot, hot_sum = cool[-1] - cool, cool_sum[-1] - cool_sum
    both = (cool > 0) & (hot > 0)
    means = cool_sum[both] / cool[both] - hot_sum[both] / hot[both]
    between = np.zeros(BINS)
    between[both] = cool[both] * hot[both] * means**2
    return int(between.argmax())


@measurement("Pointing game", paper="Zhang et al. 2018", url="https://arxiv.org/abs/1608.00507")
def pointing_game(
    heat: Heat,
    truth: Truth,
    *,
    tolerance: Annotated[
        float, Range(0, 0.2, "How far beside the region still counts, as a share of the longer side")
    ] = 0.03,
) -> Measured:
    """Whether the hottest point lies in the reference region, or close beside it: 1 is yes, 0 is no.

    The default tolerance is the paper's 15 pixels on its pictures of about 500. Where several pixels
    share the peak, all of them must hit.
    """
    _seen(heat, truth)
    outside = (~(truth & ~np.isnan(heat))).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    farthest = float(np.max(distance[heat == np.nanmax(heat)]))
    return Measured(float(farthest <= tolerance * max(heat.shape)))


@measurement("Energy in the box", paper="Wang et al. 2020", url="https://arxiv.org/abs/1910.01279")
def energy_inside(heat: Heat, truth: Truth) -> Measured:
    """How much of all heat lies in the smallest upright box around the reference region; 1 is all of it.

    The box is that of the part of the region that the model saw.
    """
    values, _ = _seen(heat, truth)
    rows, columns = np.nonzero(truth & ~np.isnan(heat))
    box = heat[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return Measured(_share(np.nansum(box, dtype=np.float64), values))


@measurement("Relevance mass", paper="Arras et al. 2022", url="https://arxiv.org/abs/2003.07258")
def relevance_mass(heat: Heat, truth: Truth) -> Measured:
    """How much of all heat lies inside the reference region; 1 is all of it.

    A heatmap that is the same everywhere gives the region's share of the picture.
    """
    values, inside = _seen(heat, truth)
    return Measured(_share(values[inside].sum(dtype=np.float64), values), chance=float(inside.mean()))


@measurement("Relevance rank", paper="Arras et al. 2022", url="https://arxiv.org/abs/2003.07258")
def relevance_rank(heat: Heat, truth: Truth) -> Measured:
    """Of the hottest pixels, as many as the region has, how many lie inside it; 1 is all of them.

    Pixels that tie for the last places count in proportion, the mean over random orders.
    """
    values, inside = _seen(heat, truth)
    count = int(inside.sum())
    edge = np.partition(values, -count)[-count]
    above, tied = values > edge, values == edge
    share = (count - above.sum()) / tied.sum()
    return Measured(float((inside & above).sum() + share * (inside & tied).sum()) / count, chance=float(inside.mean()))


def _seen(heat: Heat, truth: Truth) -> tuple[Values, Inside]:
    """Heat of the pixels that the model saw, and which of them lie in the region."""
    seen = ~np.isnan(heat)
    values, inside = heat[seen], truth[seen]
    if not inside.any():
        raise NotMeasurable("The reference region lies entirely where the model did not look.")
    if not values.any():
        raise NotMeasurable("The heatmap is 0 everywhere on the picture.")
    return values, inside


def _overlapping(hot: Inside, inside: Inside) -> Measured:
    return Measured(overlap(hot, inside), chance=overlap_by_chance(hot, inside))


def _share(part: float, values: Values) -> float:
    return float(part / values.sum(dtype=np.float64))
