"""The eight parts of a picture's edge, and by how much a class's probability falls when one of them is hidden.

Markers, labels, devices, watermarks and dates stand there. A model that reads one of those instead of the
picture is caught by this, where looking at heatmaps does not catch it (Adebayo et al. 2022,
https://openreview.net/forum?id=xNOVfCCvDpM).
"""

import torch
from jaxtyping import Bool

from gradcam_core.placement import Placement

# A corner's side and a border strip's depth, as shares of the picture.
CORNER, STRIP = 0.22, 0.12
REGIONS = (
    "upper left corner",
    "upper right corner",
    "lower left corner",
    "lower right corner",
    "upper border",
    "lower border",
    "left border",
    "right border",
)


def edge_regions(placement: Placement) -> Bool[torch.Tensor, "8 1 Hin Win"]:
    """The four corners and the four strips between them, in the order of REGIONS, on the input's pixels."""
    top, left, bottom, right = placement.shown()
    height, width = bottom - top, right - left
    tall, wide = max(1, round(CORNER * height)), max(1, round(CORNER * width))
    deep, thick = max(1, round(STRIP * height)), max(1, round(STRIP * width))
    parts = (
        (top, left, top + tall, left + wide),
        (top, right - wide, top + tall, right),
        (bottom - tall, left, bottom, left + wide),
        (bottom - tall, right - wide, bottom, right),
        (top, left + wide, top + deep, right - wide),
        (bottom - deep, left + wide, bottom, right - wide),
        (top + tall, left, bottom - tall, left + thick),
        (top + tall, right - thick, bottom - tall, right),
    )
    hidden = torch.zeros(len(parts), 1, *placement.input_size, dtype=torch.bool)
    for mask, (first, begin, last, end) in zip(hidden, parts, strict=True):
        mask[0, first:last, begin:end] = True
    return hidden
