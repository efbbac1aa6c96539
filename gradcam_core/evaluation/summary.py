"""Rows -> the numbers over all of them."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from gradcam_core.checks.edges import REGIONS
from gradcam_core.checks.thresholds import Thresholds
from gradcam_core.evaluation.records import EDGE, OUTSIDE, WRONG, Bin, Edges, Evaluation, Mean, Row, Share

BINS = 10
LOCALISATION = ("iou_top_fifth", "pointing_game", "relevance_mass")


def summarise(rows: Iterable[Row], limits: Thresholds, unmatched: int = 0) -> Evaluation:
    """Sum the rows up. The rows that could not be evaluated are counted, and are part of no number."""
    ordered = worst_first(rows)
    found = [row for row in ordered if not row.problem]
    labelled = [row for row in found if row.label_index is not None]
    bins = reliability(labelled)
    return Evaluation(
        rows=ordered,
        accuracy=_accuracy(labelled),
        classes=tuple((label, _accuracy(some)) for label, some in _grouped(labelled, _label).items()),
        bins=bins,
        calibration_error=calibration_error(bins),
        localisation={name: _mean(getattr(row, name) for row in found) for name in LOCALISATION},
        edges=_edges("", found),
        edges_by_answer=tuple(_edges(label, some) for label, some in _grouped(found, _answer).items()),
        edges_by_label=tuple(_edges(label, some) for label, some in _grouped(labelled, _label).items()),
        thresholds=limits,
        unmatched=unmatched,
    )


def worst_first(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Put first what somebody should look at first; equal ones stay in their order.

    1. Wrong answers, the surest first.
    2. Answers as labelled, or without a label, that a corner or border decides: the largest loss first.
    3. Those whose hottest point lies outside the marked region, the least heat inside first.
    4. The rest, the least probability of the label (without one, of the answer) first.
    5. What could not be evaluated.
    """
    return tuple(sorted(rows, key=_place))


def _place(row: Row) -> tuple[int, float]:
    if row.problem:
        return 5, 0.0
    if row.standing == WRONG:
        return 1, -row.probability
    if row.standing == EDGE:
        return 2, -row.lost
    if row.standing == OUTSIDE:
        return 3, row.relevance_mass or 0.0
    return 4, row.probability if row.label_probability is None else row.label_probability


def reliability(labelled: Sequence[Row]) -> tuple[Bin, ...]:
    """Part the pictures by the probability of their first answer, into BINS of equal width, open below.

    The bins of a reliability diagram (Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2).
    """
    edges = [number / BINS for number in range(BINS + 1)]
    bins = []
    for lower, upper in itertools.pairwise(edges):
        # Rounding may take a probability beyond 1 by a hair, and a sure "no" is exactly 0.
        inside = [row for row in labelled if lower < min(max(row.probability, 1e-12), 1.0) <= upper]
        sure = _mean(row.probability for row in inside).value
        bins.append(Bin(lower, upper, len(inside), sure, _accuracy(inside).value))
    return tuple(bins)


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error: what the bins' mean probability and share right differ by, weighted by count.

    Guo et al. 2017, equation 3. None where no picture has a label.
    """
    count = sum(one.count for one in bins)
    gaps = [one.count * abs((one.right or 0) - (one.probability or 0)) for one in bins if one.count]
    return sum(gaps) / count if count else None


def _accuracy(labelled: Sequence[Row]) -> Share:
    return Share(sum(row.as_labelled is True for row in labelled), len(labelled))


def _mean(values: Iterable[float | None]) -> Mean:
    known = [value for value in values if value is not None]
    return Mean(fmean(known) if known else None, len(known))


def _edges(label: str, rows: Sequence[Row]) -> Edges:
    """How often an edge decides in these rows, which one, and what hiding it costs."""
    decided = [row for row in rows if row.edge_decides]
    costs = {region: _mean(row.lost for row in decided if row.region == region) for region in REGIONS}
    regions = {region: cost for region, cost in costs.items() if cost.count}
    return Edges(label, Share(len(decided), len(rows)), regions)


def _label(row: Row) -> tuple[int | None, str]:
    return row.label_index, row.label


def _answer(row: Row) -> tuple[int | None, str]:
    return row.answer_index, row.answer


def _grouped(rows: Sequence[Row], of: Callable[[Row], tuple[int | None, str]]) -> Mapping[str, Sequence[Row]]:
    """The rows of each class, in the model's order of classes. Classes of one name are kept apart by their index."""
    keys = sorted({of(row) for row in rows}, key=lambda key: key[0] or 0)
    names = Counter(name for _, name in keys)
    return {
        name if names[name] == 1 else f"{name} ({index})": [row for row in rows if of(row) == (index, name)]
        for index, name in keys
    }
