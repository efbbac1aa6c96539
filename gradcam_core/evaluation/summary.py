"""Rows -> the numbers over all of them."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from statistics import fmean

from gradcam_core.checks.edges import REGIONS
from gradcam_core.checks.thresholds import Thresholds
from gradcam_core.evaluation.records import (
    EDGE,
    NOT_EVALUATED,
    OTHER_FINDINGS,
    OUTSIDE,
    WRONG,
    Bin,
    Edges,
    Evaluation,
    FindingResult,
    FindingSummary,
    Mean,
    Row,
    Share,
)
from gradcam_core.tasks import Outputs

BINS = 10
ONE_CLASS = Outputs("single_label", "read")
LABEL = attrgetter("label_index", "label")
LOCALISATION = ("iou_fixed", "pointing_game", "relevance_mass")


def summarise(rows: Iterable[Row], limits: Thresholds, unmatched: int = 0, outputs: Outputs = ONE_CLASS) -> Evaluation:
    """Compute the numbers over all rows. Rows that could not be evaluated are part of no number."""
    ordered = worst_first(rows, outputs)
    evaluated = [row for row in ordered if not row.problem]
    labelled = [row for row in evaluated if row.label_index is not None]
    known = [row for row in evaluated if row.known_findings]
    followed = [row for row in evaluated if row.region]
    bins = reliability([pair for row in evaluated for pair in _judged(row)] if outputs.has_probabilities else [])
    return Evaluation(
        rows=ordered,
        accuracy=_accuracy(known or labelled),
        classes=tuple((label, _accuracy(group)) for label, group in _grouped(labelled, LABEL).items()),
        bins=bins,
        calibration_error=calibration_error(bins),
        localisation={name: _mean(getattr(row, name) for row in evaluated) for name in LOCALISATION},
        edges=_edges("", followed),
        edges_by_answer=tuple(_edges(label, group) for label, group in _grouped(followed, _followed).items()),
        edges_by_label=tuple(_edges(label, group) for label, group in _grouped(labelled, LABEL).items()),
        thresholds=limits,
        unmatched=unmatched,
        outputs=outputs,
        findings=_findings(known, outputs),
        error=_mean(row.error for row in evaluated),
        values=tuple(row.value for row in evaluated if row.value is not None),
    )


def _judged(row: Row) -> list[tuple[float, bool]]:
    """Probabilities with whether they were right: the top answer's, or each known finding's."""
    if row.known_findings:
        return [(finding.probability, bool(finding.truth)) for finding in row.known_findings]
    return [] if row.as_labelled is None else [(row.probability, row.as_labelled)]


def _findings(known: Sequence[Row], outputs: Outputs) -> tuple[FindingSummary, ...]:
    """Each finding that the table knows, in the model's order."""
    results: dict[tuple[int, str], list[FindingResult]] = {}
    for finding in (finding for row in known for finding in row.known_findings):
        results.setdefault((finding.index, finding.label), []).append(finding)
    return tuple(
        FindingSummary(
            label,
            outputs.threshold(index),
            _share(result.present for result in results[index, label] if result.truth),
            _share(not result.present for result in results[index, label] if not result.truth),
        )
        for index, label in sorted(results)
    )


def _share(outcomes: Iterable[bool]) -> Share:
    listed = list(outcomes)
    return Share(sum(listed), len(listed))


def worst_first(rows: Iterable[Row], outputs: Outputs = ONE_CLASS) -> tuple[Row, ...]:
    """Sort the rows by how much they deserve a look; equal ones keep their order."""
    return tuple(sorted(rows, key=lambda row: _place(row, outputs)))


def _place(row: Row, outputs: Outputs) -> tuple[int, float]:
    """Return a row's group, and what its group is sorted by, the smallest first."""
    groups = {
        WRONG: -row.probability,
        OTHER_FINDINGS: -max(map(_missed, row.known_findings), default=0.0),
        EDGE: -row.lost,
        OUTSIDE: row.relevance_mass or 0.0,
        "": _least_sure(row, outputs),
        NOT_EVALUATED: 0.0,
    }
    # A number's error has no threshold, so it comes before what stands out otherwise.
    standing = "" if row.error is not None else row.standing
    return list(groups).index(standing), groups[standing]


def _missed(finding: FindingResult) -> float:
    """How far a finding is from what the table says; of a region, whether it is there counts."""
    given = finding.present if math.isnan(finding.probability) else finding.probability
    return abs(given - bool(finding.truth))


def _least_sure(row: Row, outputs: Outputs) -> float:
    """What pictures without anything odd are sorted by: the label's probability, the error or the similarity."""
    if row.value is not None:
        return row.value if outputs.task == "embedding" else -(row.error or 0.0)
    if math.isnan(row.probability):
        return 0.0
    return row.probability if row.label_probability is None else row.label_probability


def reliability(judged: Sequence[tuple[float, bool]]) -> tuple[Bin, ...]:
    """Divide probabilities, each with whether it was right, into BINS of equal width, open below.

    The bins of a reliability diagram (Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2).
    """
    edges = [number / BINS for number in range(BINS + 1)]
    bins = []
    for lower, upper in itertools.pairwise(edges):
        # Rounding can take a probability just above 1, and a sure "no" is exactly 0.
        inside = [pair for pair in judged if lower < min(max(pair[0], 1e-12), 1.0) <= upper]
        probability = _mean(share for share, _ in inside).value
        bins.append(Bin(lower, upper, len(inside), probability, _share(right for _, right in inside).value))
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


def _followed(row: Row) -> tuple[int | None, str]:
    """The class whose probability is followed at the edge."""
    return row.answer_index, row.edge_class or row.answer


def _grouped(rows: Sequence[Row], of: Callable[[Row], tuple[int | None, str]]) -> Mapping[str, Sequence[Row]]:
    """Group the rows by class, in the model's order. Classes of the same name are told apart by their index."""
    keys = sorted({of(row) for row in rows}, key=lambda key: key[0] or 0)
    names = Counter(name for _, name in keys)
    return {
        name if names[name] == 1 else f"{name} ({index})": [row for row in rows if of(row) == (index, name)]
        for index, name in keys
    }
