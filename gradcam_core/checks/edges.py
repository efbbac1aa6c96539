"""Is the model reading a corner or border?

Markers, labels, devices, watermarks and dates stand there. Hiding those places exposes a model that reads
one of them, where looking at heatmaps does not (Adebayo et al. 2022,
https://openreview.net/forum?id=xNOVfCCvDpM).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Bool

from gradcam_core.checks.amounts import Amount, testable_amount
from gradcam_core.checks.needs import Finding, check
from gradcam_core.checks.reruns import Rerun, without
from gradcam_core.placement import Placement

# A corner's side, a border strip's depth and a frame's depth, as shares of the picture.
CORNER, STRIP, FRAME = 0.22, 0.12, 0.06
FAR_CORNER, FAR_STRIP = 1 - CORNER, 1 - STRIP
Rectangle = tuple[float, float, float, float]
_CORNERS: tuple[Rectangle, ...] = (
    (0, 0, CORNER, CORNER),
    (FAR_CORNER, 0, 1, CORNER),
    (0, FAR_CORNER, CORNER, 1),
    (FAR_CORNER, FAR_CORNER, 1, 1),
)
# Each region as rectangles (left, top, right, bottom) in shares of the picture. The first eight tile the
# picture's edge; the others hide a mark that lies across two of them, in several corners, or all around.
EDGE_REGIONS: Mapping[str, tuple[Rectangle, ...]] = MappingProxyType(
    {
        "upper left corner": _CORNERS[:1],
        "upper right corner": _CORNERS[1:2],
        "lower left corner": _CORNERS[2:3],
        "lower right corner": _CORNERS[3:],
        "upper border": ((CORNER, 0, FAR_CORNER, STRIP),),
        "lower border": ((CORNER, FAR_STRIP, FAR_CORNER, 1),),
        "left border": ((0, CORNER, STRIP, FAR_CORNER),),
        "right border": ((FAR_STRIP, CORNER, 1, FAR_CORNER),),
        "whole upper border": ((0, 0, 1, STRIP),),
        "whole lower border": ((0, FAR_STRIP, 1, 1),),
        "whole left border": ((0, 0, STRIP, 1),),
        "whole right border": ((FAR_STRIP, 0, 1, 1),),
        "four corners": _CORNERS,
        "outer frame": ((0, 0, 1, FRAME), (0, 1 - FRAME, 1, 1), (0, 0, FRAME, 1), (1 - FRAME, 0, 1, 1)),
    }
)
REGIONS = tuple(EDGE_REGIONS)
# A region that costs this share of what the costliest one costs is named, if it is smaller.
NEARLY_AS_MUCH = 0.9
# A loss below this share is not worth naming the region.
LITTLE = 0.05


@check(
    "Is the model reading a corner or border?",
    paper="Adebayo et al. 2022",
    url="https://openreview.net/forum?id=xNOVfCCvDpM",
)
def edges(rerun: Rerun, most_lost_at_edge: float) -> Finding:
    """Hide each corner and border: none of them should take the answer away."""
    amount = testable_amount(rerun)
    after, filled = without_edges(rerun)
    losses = [amount.changed(value) for value in after]
    place = costliest(losses)
    lost, region = losses[place], REGIONS[place]
    numbers = {"lost": lost, "before": amount.before, **dict(zip(REGIONS, after, strict=True))}
    change = f"takes {amount.name} from {amount.words(amount.before)} to {amount.words(after[place])}"
    shown = filled[place].float().cpu().numpy()
    if lost > most_lost_at_edge:
        words = (
            f"Hiding the {region} {change}.{amount.empty_words} Check what is there: a marker, a label or a device may "
            "be read instead of the rest of the picture. It can also be the object itself, where that lies at the edge."
        )
        return Finding("attention", words, numbers, shown, f"the {region} hidden")
    if lost < LITTLE:
        return Finding("passed", _little(amount, after), numbers)
    most = "costs most" if amount.is_share else "changes most"
    words = f"Of all the corners and borders, hiding the {region} {most}: it {change}.{amount.empty_words}"
    return Finding("passed", words, numbers, shown, f"the {region} hidden")


def _little(amount: Amount, after: Sequence[float]) -> str:
    least, most, before = (amount.words(value) for value in (min(after), max(after), amount.before))
    if amount.is_share:
        stays = f"it stays at {least} or more, from {before}"
        return f"Hiding any corner or border hardly lowers {amount.name}: {stays}."
    stays = f"it stays between {least} and {most}, from {before}"
    return f"Hiding any corner or border hardly changes {amount.name}: {stays}.{amount.empty_words}"


def without_edges(rerun: Rerun) -> tuple[list[float], torch.Tensor]:
    """Hide each of REGIONS: what the model gives the target without it, and the inputs with it hidden."""
    return without(rerun, edge_regions(rerun.heatmap.placement))


def costliest(lost: Sequence[float]) -> int:
    """Which of REGIONS costs most when hidden, by its loss; a smaller one is preferred that costs nearly as much."""
    enough = NEARLY_AS_MUCH * max(lost) if max(lost) > 0 else max(lost)
    return next(place for place, value in enumerate(lost) if value >= enough)


def edge_regions(placement: Placement) -> Bool[torch.Tensor, "regions 1 Hin Win"]:
    """Masks of REGIONS on the input's pixels."""
    top, left, bottom, right = placement.shown()
    height, width = bottom - top, right - left
    masks = torch.zeros(len(REGIONS), 1, *placement.input_size, dtype=torch.bool)
    for mask, rectangles in zip(masks, EDGE_REGIONS.values(), strict=True):
        for x0, y0, x1, y1 in rectangles:
            rows, columns = _pixels(y0, y1, height), _pixels(x0, x1, width)
            mask[0, top : top + height][rows, left : left + width][:, columns] = True
    return masks


def _pixels(start: float, end: float, length: int) -> slice:
    """The pixels between two shares of a length, at least one."""
    first, last = round(start * length), round(end * length)
    if first < last:
        return slice(first, last)
    return slice(last - 1, last) if end == 1 else slice(first, first + 1)
