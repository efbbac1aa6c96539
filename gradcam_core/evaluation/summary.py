"""Rows -> the numbers over all of them."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from statistics import fmean

from gradcam_core.checks.edges import REGIONS
from gradcam_core.checks.thresholds import Thresholds
from gradcam_core.evaluation.records import (
    EDGE,
    NOT_EVALUATED,
    OUTSIDE,
    WRONG,
    Bin,
    Edges,
    Evaluation,
    Mean,
    Row,
    Share,
)

BINS = 10
LABEL, ANSWER = attrgetter("label_index", "label"), attrgetter("answer_index", "answer")
LOCALISATION = ("iou_fixed", "pointing_game", "relevance_mass")


def summarise(rows: Iterable[Row], limits: Thresholds, unmatched: int = 0) -> Evaluation:
    """Compute the numbers over all rows. Rows that could not be evaluated are part of no number."""
    ordered = worst_first(rows)
    evaluated = [row for row in ordered if not row.problem]
    labelled = [row for row in evaluated if row.label_index is not None]
    bins = reliability(labelled)
    return Evaluation(
        rows=ordered,
        accuracy=_accuracy(labelled),
        classes=tuple((label, _accuracy(group)) for label, group in _grouped(labelled, LABEL).items()),
        bins=bins,
        calibration_error=calibration_error(bins),
        localisation={name: _mean(getattr(row, name) for row in evaluated) for name in LOCALISATION},
        edges=_edges("", evaluated),
        edges_by_answer=tuple(_edges(label, group) for label, group in _grouped(evaluated, ANSWER).items()),
        edges_by_label=tuple(_edges(label, group) for label, group in _grouped(labelled, LABEL).items()),
        thresholds=limits,
        unmatched=unmatched,
    )


def worst_first(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Sort the rows by how much they deserve a look; equal ones keep their order."""
    return tuple(sorted(rows, key=_place))


def _place(row: Row) -> tuple[int, float]:
    """Return a row's group, and what its group is sorted by, the smallest first."""
    groups = {
        WRONG: -row.probability,
        EDGE: -row.lost,
        OUTSIDE: row.relevance_mass or 0.0,
        "": row.probability if row.label_probability is None else row.label_probability,
        NOT_EVALUATED: 0.0,
    }
    return list(groups).index(row.standing), groups[row.standing]


def reliability(labelled: Sequence[Row]) -> tuple[Bin, ...]:
    """Divide the pictures by the probability of their top answer, into BINS of equal width, open below.

    The bins of a reliability diagram (Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2).
    """
    edges = [number / BINS for number in range(BINS + 1)]
    bins = []
    for lower, upper in itertools.pairwise(edges):
        # Rounding can take a probability just above 1, and a sure "no" is exactly 0.
        inside = [row for row in labelled if lower < min(max(row.probability, 1e-12), 1.0) <= upper]
        probability = _mean(row.probability for row in inside).value
        bins.append(Bin(lower, upper, len(inside), probability, _accuracy(inside).value))
    return tuple(bins)


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error: the mean difference of the bins' probability and accuracy, weighted by count.

    Guo et al. 2017, equation 3. None where no picture has a label.
    """
    count = sum(group.count for group in bins)
    gaps = [group.count * abs((group.right or 0) - (group.probability or 0)) for group in bins]
    return sum(gaps) / count if count else None


def _accuracy(labelled: Sequence[Row]) -> Share:
    return Share(sum(row.as_labelled is True for row in labelled), len(labelled))


def _mean(values: Iterable[float | None]) -> Mean:
    known = [value for value in values if value is not None]
    return Mean(fmean(known) if known else None, len(known))


def _edges(label: str, rows: Sequence[Row]) -> Edges:
    """Count how often an edge decides in these rows and which one, and average the loss."""
    decided = [row for row in rows if row.edge_decides]
    losses = {region: _mean(row.lost for row in decided if row.region == region) for region in REGIONS}
    regions = {region: loss for region, loss in losses.items() if loss.count}
    return Edges(label, Share(len(decided), len(rows)), regions)


def _grouped(rows: Sequence[Row], of: Callable[[Row], tuple[int | None, str]]) -> Mapping[str, Sequence[Row]]:
    """Group the rows by class, in the model's order. Classes of the same name are told apart by their index."""
    keys = sorted({of(row) for row in rows}, key=lambda key: key[0] or 0)
    names = Counter(name for _, name in keys)
    return {
        name if names[name] == 1 else f"{name} ({index})": [row for row in rows if of(row) == (index, name)]
        for index, name in keys
    }
