"""Numbers of an evaluation -> plain sentences."""

from collections.abc import Iterable, Mapping, Sequence

from gradcam_core.evaluation.records import Edges, Evaluation, Share
from gradcam_core.text import counted, listed, percent

# A class gets a sentence of its own from so many pictures on, where one region decides so large a share of them.
FEWEST, HABIT = 5, 0.5
MOST_LISTED = 5
NO_LABELS = "No picture has a label, so the top answers cannot be compared with labels."
MATCHES = "The top answer matches the label in {count} ({share}; 95\u202f% interval {low} to {high})."
UNLABELLED = "Pictures without a label: {count}."
NO_EDGE = "A corner or border decides the top answer in none of {count}."
EDGE = (
    "A corner or border decides the top answer in {count} ({share}). Where: {regions}. "
    "Top answers of these pictures: {answers}."
)
EDGE_HABIT = (
    "In {part} of {whole} pictures answered {label}, hiding the {region} takes away {lost} of the probability on "
    "average. Look for a marker, a label or a device there."
)
MARKED = (
    "Where a region is marked, the hottest point lies in it or right beside it in {count}, and {heat} of the heat "
    "lies inside on average."
)
CALIBRATION = (
    "The top answers have a probability of {probability} on average, and {accuracy} of them match the label. Among "
    "answers of similar probability, the two differ by {error} percentage points on average."
)
WEAKEST = "Fewest matches: {label}, {part} of {whole} ({share})."
FAILED = "Pictures that could not be evaluated: {count}. They are at the end of the list, with what to do."
UNMATCHED = "Rows of the table without a picture: {count}."
DECIDES = (
    "A corner or border counts as deciding where hiding it takes away more than {threshold} of the top answer’s "
    "probability. The finding itself may lie there."
)


def evaluation_sentences(evaluation: Evaluation) -> tuple[str, ...]:
    """Say the results in plain words, each sentence with its numbers; the most important first."""
    if evaluation.count == len(evaluation.failures):
        return tuple(_failures(evaluation))
    return (
        *_accuracy(evaluation),
        *_edges(evaluation),
        *_habits(evaluation.edges_by_answer),
        *_marks(evaluation),
        *_calibration(evaluation),
        *_weakest(evaluation),
        *_failures(evaluation),
        DECIDES.format(threshold=percent(evaluation.thresholds.numbers["most_lost_at_edge"], 0)),
    )


def _accuracy(evaluation: Evaluation) -> list[str]:
    accuracy, interval = evaluation.accuracy, evaluation.accuracy.interval
    if interval is None:
        return [NO_LABELS]
    low, high = (percent(bound, 0) for bound in interval)
    unlabelled = evaluation.count - len(evaluation.failures) - accuracy.whole
    matches = MATCHES.format(count=_pictures(accuracy), share=percent(accuracy.value, 0), low=low, high=high)
    return [matches, *([UNLABELLED.format(count=unlabelled)] if unlabelled else [])]


def _edges(evaluation: Evaluation) -> list[str]:
    share = evaluation.edges.share
    if not share.part:
        return [NO_EDGE.format(count=counted(share.whole, "picture"))]
    regions = {f"the {region}": lost.count for region, lost in evaluation.edges.regions.items()}
    answers = {edges.label: edges.share.part for edges in evaluation.edges_by_answer}
    words = {"regions": _by_count(regions), "answers": _by_count(answers)}
    return [EDGE.format(count=_pictures(share), share=percent(share.value, 0), **words)]


def _habits(edges_by_answer: Iterable[Edges]) -> list[str]:
    """Name the classes for which one region decides most pictures, as a shortcut does."""
    sentences = []
    for edges in edges_by_answer:
        region = max(edges.regions, key=lambda name: edges.regions[name].count, default="")
        whole = edges.share.whole
        if region and whole >= FEWEST and edges.regions[region].count >= HABIT * whole:
            count, lost = edges.regions[region].count, percent(edges.regions[region].value, 0)
            sentences += [EDGE_HABIT.format(part=count, whole=whole, label=edges.label, region=region, lost=lost)]
    return sentences


def _marks(evaluation: Evaluation) -> list[str]:
    hits, heat = evaluation.localisation["pointing_game"], evaluation.localisation["relevance_mass"]
    if hits.value is None or heat.value is None:
        return []
    inside = Share(round(hits.value * hits.count), hits.count)
    return [MARKED.format(count=_pictures(inside), heat=percent(heat.value, 0))]


def _calibration(evaluation: Evaluation) -> list[str]:
    error, accuracy = evaluation.calibration_error, evaluation.accuracy
    if error is None:
        return []
    mean = sum(group.count * (group.probability or 0) for group in evaluation.bins) / accuracy.whole
    shares = {"probability": percent(mean, 0), "accuracy": percent(accuracy.value, 0)}
    return [CALIBRATION.format(**shares, error=f"{100 * error:.1f}")]


def _weakest(evaluation: Evaluation) -> list[str]:
    """Name the class whose pictures match their label least often, where classes differ."""
    shares = {label: share for label, share in evaluation.classes if share.value is not None}
    if len({share.value for share in shares.values()}) < 2:
        return []
    label = min(shares, key=lambda name: shares[name].value or 0.0)
    share = shares[label]
    return [WEAKEST.format(label=label, part=share.part, whole=share.whole, share=percent(share.value, 0))]


def _failures(evaluation: Evaluation) -> list[str]:
    failed, unmatched = len(evaluation.failures), evaluation.unmatched
    sentences = {FAILED: failed, UNMATCHED: unmatched}
    return [template.format(count=count) for template, count in sentences.items() if count]


def _pictures(share: Share) -> str:
    return f"{share.part:,} of {counted(share.whole, 'picture')}"


def _by_count(counts: Mapping[str, int]) -> str:
    """Write names with their counts, the largest first: "nodule (20) and streak (1)"."""
    ordered = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    parts: Sequence[str] = [f"{name} ({counts[name]:,})" for name in ordered[:MOST_LISTED]]
    rest = len(ordered) - MOST_LISTED
    return listed([*parts, f"{rest} more"] if rest > 0 else parts)
