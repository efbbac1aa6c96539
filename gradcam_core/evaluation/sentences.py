"""Numbers of an evaluation -> plain sentences."""

from collections.abc import Iterator, Mapping, Sequence

from gradcam_core.evaluation.drift_records import DriftRow
from gradcam_core.evaluation.records import Evaluation, FindingSummary, Row, Share
from gradcam_core.tasks import TASK_WORDS
from gradcam_core.text import counted, listed, percent, quantity

# A class gets a sentence of its own from so many pictures on, where one region decides so large a share of them.
FEWEST, HABIT = 5, 0.5
MOST_LISTED = 5
SUBJECTS: Mapping[str, str] = {
    "single_label": "top answer",
    "multi_label": "most probable finding",
    "binary": "answer",
    "regression": "number",
    "embedding": "similarity",
    "detection": "explained object",
    "segmentation": "explained region",
}
# What hiding a corner takes away, or changes.
FOLLOWED: Mapping[str, str] = {"detection": "score", "segmentation": "region"}
NUMBERS = ("regression", "embedding")
ANSWERED: Mapping[str, str] = {
    "single_label": "answered",
    "multi_label": "whose most probable finding is",
    "binary": "answered",
    "detection": "whose explained object is",
    "segmentation": "whose explained region is",
}
RIGHT: Mapping[str, str] = {
    "multi_label": "Every finding is as in the table",
    "binary": "Every finding is as in the table",
    "detection": "The objects found are as in the table",
    "segmentation": "The regions are as in the table",
}


def evaluation_sentences(evaluation: Evaluation) -> tuple[str, ...]:
    """Say the results in plain words, each sentence with its numbers; the most important first."""
    if evaluation.count == len(evaluation.failures):
        return tuple(_failures(evaluation))
    return (
        *unsuited_pictures(evaluation.rows),
        *_accuracy(evaluation),
        *_findings(evaluation),
        *_followed(evaluation),
        *_blanked(evaluation),
        *_marks(evaluation),
        *_calibration(evaluation),
        *_weakest(evaluation),
        *_failures(evaluation),
        *_closing(evaluation),
    )


def unsuited_pictures(rows: Sequence[Row] | Sequence[DriftRow]) -> Iterator[str]:
    """Say on how many pictures the answers may mean nothing: it comes before every number."""
    count = sum(row.unsuited for row in rows)
    if count:
        which = "all pictures" if count == len(rows) else f"{count:,} of {counted(len(rows), 'picture')}"
        yield f"Model and picture do not match on {which}: the answers there may mean nothing. Their notes say why."


def _followed(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.edges.share.whole:
        yield _edges(evaluation)
        yield from _habits(evaluation)


def _blanked(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.blanked:
        areas, verb = counted(evaluation.blanked, "area"), "was" if evaluation.blanked == 1 else "were"
        yield f"{areas} of every picture {verb} blanked before, and a black area can decide an answer by itself."


def _closing(evaluation: Evaluation) -> Iterator[str]:
    outputs = evaluation.outputs
    threshold = percent(evaluation.thresholds.numbers["most_lost_at_edge"], 0)
    if evaluation.edges.share.whole:
        subject = SUBJECTS[outputs.task]
        what = f"takes away more than {threshold} of the {subject}’s {FOLLOWED.get(outputs.task, 'probability')}"
        if outputs.task == "segmentation":
            what = f"takes away more than {threshold} of the {subject}"
        if outputs.task in NUMBERS:
            what = f"changes the {subject} by more than {threshold} of what the picture’s mean colour alone changes"
        yield f"A corner or border counts as deciding where hiding it {what}. The finding itself may lie there."
    if outputs.origin == "assumed":
        yield f"What the model gives was assumed: {TASK_WORDS[outputs.task]}."


def _findings(evaluation: Evaluation) -> Iterator[str]:
    """Say of each finding how many of the pictures that have it, and of those that have it not, are told so."""
    for finding in evaluation.findings:
        yes, no = finding.sensitivity, finding.specificity
        with_it = f"{yes.part:,} of {counted(yes.whole, 'picture')} with it ({percent(yes.value, 0)})"
        without = f"{no.part:,} of {no.whole:,} without it ({percent(no.value, 0)})"
        if evaluation.outputs.has_places:
            yield from _found(finding)
            continue
        yield (
            f"{finding.label}: present by the model in {with_it}, absent in {without}, "
            f"at a threshold of {percent(finding.threshold, 0)}."
        )


def _found(finding: FindingSummary) -> Iterator[str]:
    """Say in how many pictures an object or region is found where it is, and where it is not."""
    yes, no = finding.sensitivity, finding.specificity
    parts = [f"found in {pictures(yes)} with it ({percent(yes.value, 0)})"] if yes.whole else []
    if no.part < no.whole:
        parts.append(f"found in {pictures(Share(no.whole - no.part, no.whole))} without it")
    if parts:
        yield f"{finding.label}: {listed(parts)}."


def _accuracy(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.outputs.task == "regression":
        yield _error(evaluation)
        return
    if evaluation.outputs.task == "embedding":
        yield _likeness(evaluation)
        return
    accuracy = evaluation.accuracy
    if not accuracy.whole:
        yield "No picture has a label, so the answers cannot be compared with labels."
        return
    yield matches(RIGHT.get(evaluation.outputs.task, "The top answer matches the label"), accuracy)
    unlabelled = evaluation.count - len(evaluation.failures) - accuracy.whole
    if unlabelled:
        yield f"Pictures without a label: {unlabelled}."


def _error(evaluation: Evaluation) -> str:
    error, unit = evaluation.error, evaluation.outputs.unit
    if error.value is None:
        return "No picture has a number in the table, so the model’s numbers cannot be compared with any."
    return f"The mean absolute error is {quantity(error.value, unit)} over {counted(error.count, 'picture')}."


def _likeness(evaluation: Evaluation) -> str:
    values = evaluation.values
    mean, least, most = (quantity(value) for value in (sum(values) / len(values), min(values), max(values)))
    return (
        f"The similarity to the reference picture is {mean} on average over {counted(len(values), 'picture')}, between "
        f"{least} and {most}."
    )


def _edges(evaluation: Evaluation) -> str:
    share, subject = evaluation.edges.share, SUBJECTS[evaluation.outputs.task]
    if not share.part:
        return f"A corner or border decides the {subject} in none of {counted(share.whole, 'picture')}."
    regions = {f"the {region}": lost.count for region, lost in evaluation.edges.regions.items()}
    answers = {edges.label: edges.share.part for edges in evaluation.edges_by_answer}
    several = "" if evaluation.outputs.task in NUMBERS else f" {subject.capitalize()}s of these pictures: "
    return (
        f"A corner or border decides the {subject} in {pictures(share)} ({percent(share.value, 0)}). "
        f"Where: {by_count(regions)}.{f'{several}{by_count(answers)}.' if several else ''}"
    )


def _habits(evaluation: Evaluation) -> Iterator[str]:
    """Name the classes for which one region decides most pictures, as a shortcut does."""
    task = evaluation.outputs.task
    if task in NUMBERS:
        return
    answered, what = ANSWERED[task], FOLLOWED.get(task, "probability")
    for edges in evaluation.edges_by_answer:
        region, lost = max(edges.regions.items(), key=lambda item: item[1].count, default=("", None))
        whole = edges.share.whole
        if lost and whole >= FEWEST and lost.count >= HABIT * whole:
            yield (
                f"In {lost.count} of {whole} pictures {answered} {edges.label}, hiding the {region} takes away "
                f"{percent(lost.value, 0)} of the {what} on average. "
                "Look for a marker, a label or a device there."
            )


def _marks(evaluation: Evaluation) -> Iterator[str]:
    hits, heat = evaluation.localisation["pointing_game"], evaluation.localisation["relevance_mass"]
    if hits.value is not None and heat.value is not None:
        inside = Share(round(hits.value * hits.count), hits.count)
        yield (
            f"Where a region is marked, the hottest point lies in it or right beside it in {pictures(inside)}, and "
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


def matches(subject: str, share: Share) -> str:
    """Write how often something is so, with its 95 % interval. The share may not be of nothing."""
    low, high = (percent(bound, 0) for bound in share.interval or (0.0, 1.0))
    return f"{subject} in {pictures(share)} ({percent(share.value, 0)}; 95\u202f% interval {low} to {high})."


def pictures(share: Share) -> str:
    """Write a share of pictures: "3 of 20 pictures"."""
    return f"{share.part:,} of {counted(share.whole, 'picture')}"


def by_count(counts: Mapping[str, int]) -> str:
    """Write names with their counts, the largest first: "nodule (20) and streak (1)"."""
    ordered = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    parts = [f"{name} ({counts[name]:,})" for name in ordered[:MOST_LISTED]]
    rest = len(ordered) - MOST_LISTED
    return listed([*parts, f"{rest} more"] if rest > 0 else parts)
