"""Two heatmaps of one picture: their values at the same places, and one minus the other."""

from typing import Literal

import numpy as np

from gradcam_core.placement import Placement
from gradcam_core.records import Heatmap
from gradcam_core.shapes import Heat, Map
from gradcam_core.targets import ClassTarget

# "own": each heatmap is scaled to its own peak. "same": both to the larger peak of the two.
Scale = Literal["own", "same"]
Box = tuple[float, float, float, float]
# Cells along the longer side of a grid on which two heatmaps are compared, or as many as the finer map has.
CELLS, MOST_CELLS = 32, 512


def difference_on_picture(first: Heatmap, second: Heatmap, scale: Scale = "own") -> Heat:
    """Subtract the second heatmap from the first on the picture's own pixels [H W], -1..1; NaN where either is."""
    units = _units(first, second, scale)
    values, others = (
        heatmap.placement.restore(_scaled(heatmap, unit)) for heatmap, unit in zip((first, second), units, strict=True)
    )
    difference: Heat = values - others
    return difference


def difference_map(first: Heatmap, second: Heatmap, scale: Scale = "own") -> Heatmap | None:
    """The same over the part that both models saw, with the cells of the finer map: a map with both signs, to be drawn.

    Its raw values are the differences themselves. None where there is no part that both saw.
    """
    box = common_box(first, second)
    if box is None:
        return None
    cells = [heatmap.placement.cell_size((heatmap.raw.shape[0], heatmap.raw.shape[1])) for heatmap in (first, second)]
    height, width = np.min(cells, axis=0)
    size = max(1, round((box[2] - box[0]) / height)), max(1, round((box[3] - box[1]) / width))
    values, others = (
        values_over(heatmap, box, size, unit)
        for heatmap, unit in zip((first, second), _units(first, second, scale), strict=True)
    )
    # A pixel at the edge whose middle one of them did not see: nothing is said about it.
    raw: Map = np.nan_to_num(values - others)
    target = ClassTarget(first.target.index, first.target.label, float("nan"))
    placement = Placement(first.placement.image_size, size, box)
    options = {**first.options, "scale": scale}
    return Heatmap(first.method, options, target, "", raw, placement, signed=True, origin=first.origin)


def common_box(first: Heatmap, second: Heatmap) -> Box | None:
    """Top, left, bottom and right of the part of the picture that both models saw; None where there is none."""
    boxes = np.array([first.placement.box, second.placement.box])
    height, width = first.placement.image_size
    top, left = np.maximum(boxes[:, :2].max(0), 0).tolist()
    bottom, right = np.minimum(boxes[:, 2:].min(0), (height, width)).tolist()
    return (top, left, bottom, right) if top < bottom and left < right else None


def grid_size(first: Heatmap, second: Heatmap, box: Box) -> tuple[int, int]:
    """Rows and columns of a grid over `box` that is as fine as either map, and no finer than the picture."""
    height, width = box[2] - box[0], box[3] - box[1]
    cells = min(max(CELLS, *first.raw.shape, *second.raw.shape), MOST_CELLS, max(height, width))
    rows, columns = (max(1, round(cells * side / max(height, width))) for side in (height, width))
    return rows, columns


def values_over(heatmap: Heatmap, box: Box, size: tuple[int, int], unit: float | None = None) -> Heat:
    """A heatmap's values at the middles of a grid of this size over a part of the picture; NaN where it is unseen.

    1 stands for `unit`, its own peak without one.
    """
    top, left, bottom, right = heatmap.placement.box
    down, across = size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])
    moved = ((top - box[0]) * down, (left - box[1]) * across, (bottom - box[0]) * down, (right - box[1]) * across)
    placement = Placement(size, heatmap.placement.input_size, moved, heatmap.placement.centres)
    return placement.restore(_scaled(heatmap, _peak(heatmap) if unit is None else unit))


def _scaled(heatmap: Heatmap, unit: float) -> Map:
    """The part of a map that is shown, in units; 0 where there is nothing to show."""
    raw = heatmap.raw if heatmap.signed else np.maximum(heatmap.raw, 0)
    return raw / np.float32(unit) if unit > 0 else np.zeros_like(raw)


def _peak(heatmap: Heatmap) -> float:
    return heatmap.raw_size if heatmap.signed else heatmap.raw_peak


def _units(first: Heatmap, second: Heatmap, scale: Scale) -> tuple[float, float]:
    """What 1 stands for in each of the two."""
    peaks = _peak(first), _peak(second)
    return peaks if scale == "own" else (max(peaks), max(peaks))
