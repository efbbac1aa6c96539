"""Numbers of an evaluation, or of a drift -> plain sentences."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gradcam_core.comparison.records import FEW, SAME_PLACE
from gradcam_core.evaluation.records import Drift, DriftRow, Evaluation, Row, Share
from gradcam_core.tasks import TASK_WORDS
from gradcam_core.text import counted, listed, percent, quantity

# A class gets a sentence of its own from so many pictures on, where one region decides so large a share of them.
FEWEST, HABIT = 5, 0.5
MOST_LISTED = 5
SUBJECTS: Mapping[str, str] = {
    "single_label": "top answer",
    "multi_label": "most probable finding",
    "binary": "answer",
}
ANSWERED: Mapping[str, str] = {
    "single_label": "answered",
    "multi_label": "whose most probable finding is",
    "binary": "answered",
}
NO_EDGES = "Corners and borders were not hidden: the model gives a number, and no probability that could fall."


def evaluation_sentences(evaluation: Evaluation) -> tuple[str, ...]:
    """Say the results in plain words, each sentence with its numbers; the most important first."""
    if evaluation.count == len(evaluation.failures):
        return tuple(_failures(evaluation))
    return (
        *_unsuited(evaluation.rows),
        *_accuracy(evaluation),
        *_findings(evaluation),
        *(_followed(evaluation) if evaluation.outputs.has_probabilities else (NO_EDGES,)),
        *_marks(evaluation),
        *_calibration(evaluation),
        *_weakest(evaluation),
        *_failures(evaluation),
        *_closing(evaluation),
    )


def drift_sentences(drift: Drift) -> tuple[str, ...]:
    """Say in plain words whether two models agree and whether their evidence moved; the most important first."""
    if drift.count == len(drift.failures):
        return tuple(_not_compared(drift))
    return (
        *_unsuited(drift.rows),
        f"The answers agree on {_pictures(drift.agreement)} ({_with_interval(drift.agreement)}).{_changes(drift)}",
        *_moved(drift),
        *_same_weights(drift),
        *_not_compared(drift),
        "Evidence counts as moved where the hottest areas of both heatmaps, at least half of the peak, overlap by "
        f"{percent(FEW, 0)} or less or hardly more than chance gives, and as moved in part below "
        f"{percent(SAME_PLACE, 0)}. Models that agree may still be wrong together.",
    )


def _unsuited(rows: Sequence[Row] | Sequence[DriftRow]) -> Iterator[str]:
    """Say on how many pictures the answers may mean nothing: it comes before every number."""
    count = sum(row.unsuited for row in rows)
    if count:
        which = "all pictures" if count == len(rows) else f"{count:,} of {counted(len(rows), 'picture')}"
        yield f"Model and picture do not match on {which}: the answers there may mean nothing. Their notes say why."


def _changes(drift: Drift) -> str:
    changes = Counter(" → ".join(row.answers) for row in drift.rows if row.same_answer is False)
    return f" Where they differ, from the first model to the second: {_by_count(changes)}." if changes else ""


def _moved(drift: Drift) -> Iterator[str]:
    """Say on how many pictures the evidence moved, how many of them have the same answers, and which answers."""
    moved = [row for row in drift.rows if row.moved]
    partly = sum(row.evidence == "partly" for row in drift.rows)
    in_part = f" On {counted(partly, 'more picture' if moved else 'picture')} it moved in part." if partly else ""
    if not drift.moved.whole:
        return
    if not moved:
        yield f"The evidence moved on none of {counted(drift.moved.whole, 'picture')}.{in_part}"
        return
    same = sum(row.same_answer is True for row in moved)
    agreeing = f" On {'all' if same == len(moved) else f'{same:,}'} of these the answers agree." if same else ""
    yield (
        f"The evidence moved on {_pictures(drift.moved)} ({_with_interval(drift.moved)}): the heatmaps of the same "
        f"class are hottest at different places.{agreeing}"
    )
    answers = _by_count(Counter(row.label for row in moved))
    yield f"The first model’s top answers where it moved: {answers}.{in_part}"


def _same_weights(drift: Drift) -> Iterator[str]:
    first, second = drift.models
    if (first.fingerprint, first.preprocessing) == (second.fingerprint, second.preprocessing):
        yield "Both models have the same weights and preprocessing."


def _not_compared(drift: Drift) -> Iterator[str]:
    failed = len(drift.failures)
    without = drift.count - failed - drift.moved.whole
    if without:
        yield f"Pictures whose evidence could not be compared: {without:,}. Their notes say why."
    if failed:
        yield f"Pictures that could not be compared: {failed:,}. They are at the end of the list, with what to do."


def _with_interval(share: Share) -> str:
    """Write a share with its interval: "91 %; 95 % interval 79 to 97 %"."""
    low, high = share.interval or (0.0, 0.0)
    return f"{percent(share.value, 0)}; 95\u202f% interval {percent(low, 0)} to {percent(high, 0)}"


def _followed(evaluation: Evaluation) -> Iterator[str]:
    yield _edges(evaluation)
    yield from _habits(evaluation)


def _closing(evaluation: Evaluation) -> Iterator[str]:
    outputs = evaluation.outputs
    if outputs.has_probabilities:
        threshold = percent(evaluation.thresholds.numbers["most_lost_at_edge"], 0)
        yield (
            f"A corner or border counts as deciding where hiding it takes away more than {threshold} of the "
            f"{SUBJECTS[outputs.task]}’s probability. The finding itself may lie there."
        )
    if outputs.origin == "assumed":
        yield f"What the model gives was assumed: {TASK_WORDS[outputs.task]}."


def _findings(evaluation: Evaluation) -> Iterator[str]:
    """Say of each finding how many of the pictures that have it, and of those that have it not, are told so."""
    for finding in evaluation.findings:
        yes, no = finding.sensitivity, finding.specificity
        with_it = f"{yes.part:,} of {counted(yes.whole, 'picture')} with it ({percent(yes.value, 0)})"
        without = f"{no.part:,} of {no.whole:,} without it ({percent(no.value, 0)})"
        yield (
            f"{finding.label}: present by the model in {with_it}, absent in {without}, "
            f"at a threshold of {percent(finding.threshold, 0)}."
        )


def _accuracy(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.outputs.task == "regression":
        yield _error(evaluation)
        return
    accuracy, interval = evaluation.accuracy, evaluation.accuracy.interval
    if interval is None:
        yield "No picture has a label, so the top answers cannot be compared with labels."
        return
    low, high = (percent(bound, 0) for bound in interval)
    subject = "Every finding is as in the table" if evaluation.findings else "The top answer matches the label"
    yield (f"{subject} in {_pictures(accuracy)} ({percent(accuracy.value, 0)}; 95\u202f% interval {low} to {high}).")
    unlabelled = evaluation.count - len(evaluation.failures) - accuracy.whole
    if unlabelled:
        yield f"Pictures without a label: {unlabelled}."


def _error(evaluation: Evaluation) -> str:
    error, unit = evaluation.error, evaluation.outputs.unit
    if error.value is None:
        return "No picture has a number in the table, so the model’s numbers cannot be compared with any."
    return f"The mean absolute error is {quantity(error.value, unit)} over {counted(error.count, 'picture')}."


def _edges(evaluation: Evaluation) -> str:
    share, subject = evaluation.edges.share, SUBJECTS[evaluation.outputs.task]
    if not share.part:
        return f"A corner or border decides the {subject} in none of {counted(share.whole, 'picture')}."
    regions = {f"the {region}": lost.count for region, lost in evaluation.edges.regions.items()}
    answers = {edges.label: edges.share.part for edges in evaluation.edges_by_answer}
    return (
        f"A corner or border decides the {subject} in {_pictures(share)} ({percent(share.value, 0)}). "
        f"Where: {_by_count(regions)}. {subject.capitalize()}s of these pictures: {_by_count(answers)}."
    )


def _habits(evaluation: Evaluation) -> Iterator[str]:
    """Name the classes for which one region decides most pictures, as a shortcut does."""
    answered = ANSWERED[evaluation.outputs.task]
    for edges in evaluation.edges_by_answer:
        region, lost = max(edges.regions.items(), key=lambda item: item[1].count, default=("", None))
        whole = edges.share.whole
        if lost and whole >= FEWEST and lost.count >= HABIT * whole:
            yield (
                f"In {lost.count} of {whole} pictures {answered} {edges.label}, hiding the {region} takes away "
                f"{percent(lost.value, 0)} of the probability on average. "
                "Look for a marker, a label or a device there."
            )


def _marks(evaluation: Evaluation) -> Iterator[str]:
    hits, heat = evaluation.localisation["pointing_game"], evaluation.localisation["relevance_mass"]
    if hits.value is not None and heat.value is not None:
        inside = Share(round(hits.value * hits.count), hits.count)
        yield (
            f"Where a region is marked, the hottest point lies in it or right beside it in {_pictures(inside)}, and "
            f"{percent(heat.value, 0)} of the heat lies inside on average."
        )


def _calibration(evaluation: Evaluation) -> Iterator[str]:
    error, accuracy = evaluation.calibration_error, evaluation.accuracy
    if error is not None:
        whole = sum(group.count for group in evaluation.bins)
        mean = sum(group.count * (group.probability or 0) for group in evaluation.bins) / whole
        if evaluation.findings:
            right = sum(group.count * (group.right or 0) for group in evaluation.bins) / whole
            yield (
                f"Findings have a probability of {percent(mean, 0)} on average, and {percent(right, 0)} of them are "
                "there by the table. Among those of similar probability, the two differ by "
                f"{100 * error:.1f} percentage points on average."
            )
            return
        yield (
            f"The top answers have a probability of {percent(mean, 0)} on average, and {percent(accuracy.value, 0)} of "
            "them match the label. Among answers of similar probability, the two differ by "
            f"{100 * error:.1f} percentage points on average."
        )


def _weakest(evaluation: Evaluation) -> Iterator[str]:
    """Name the class whose pictures match their label least often, where classes differ."""
    shares = {label: share.value for label, share in evaluation.classes if share.value is not None}
    if len(set(shares.values())) > 1:
        weakest = min(shares, key=lambda label: shares[label])
        share = dict(evaluation.classes)[weakest]
        yield f"Fewest matches: {weakest}, {share.part} of {share.whole} ({percent(share.value, 0)})."


def _failures(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.failures:
        failed = len(evaluation.failures)
        yield f"Pictures that could not be evaluated: {failed}. They are at the end of the list, with what to do."
    if evaluation.unmatched:
        yield f"Rows of the table without a picture: {evaluation.unmatched}."


def _pictures(share: Share) -> str:
    return f"{share.part:,} of {counted(share.whole, 'picture')}"


def _by_count(counts: Mapping[str, int]) -> str:
    """Write names with their counts, the largest first: "nodule (20) and streak (1)"."""
    ordered = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    parts = [f"{name} ({counts[name]:,})" for name in ordered[:MOST_LISTED]]
    rest = len(ordered) - MOST_LISTED
    return listed([*parts, f"{rest} more"] if rest > 0 else parts)
