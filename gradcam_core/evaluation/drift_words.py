"""Numbers of a drift -> plain sentences."""

from collections import Counter
from collections.abc import Iterator

from gradcam_core.comparison.records import FEW, SAME_PLACE
from gradcam_core.evaluation.drift_records import Drift
from gradcam_core.evaluation.records import Share
from gradcam_core.evaluation.sentences import by_count, pictures, unsuited_pictures
from gradcam_core.text import counted, percent


def drift_sentences(drift: Drift) -> tuple[str, ...]:
    """Say in plain words whether two models agree and whether their evidence moved; the most important first."""
    if drift.count == len(drift.failures):
        return tuple(_not_compared(drift))
    return (
        *unsuited_pictures(drift.rows),
        _agreement(drift),
        *_moved(drift),
        *_same_weights(drift),
        *_not_compared(drift),
        "Evidence counts as moved where the hottest areas of both heatmaps, at least half of the peak, overlap by "
        f"{percent(FEW, 0)} or less or hardly more than chance gives, and as moved in part below "
        f"{percent(SAME_PLACE, 0)}. Models that agree may still be wrong together.",
    )


def _agreement(drift: Drift) -> str:
    if not drift.agreement.whole:
        return "The answers are numbers, or of different kinds, so that they cannot agree: the evidence is compared."
    return f"The answers agree on {pictures(drift.agreement)} ({_with_interval(drift.agreement)}).{_changes(drift)}"


def _changes(drift: Drift) -> str:
    changes = Counter(" → ".join(row.answers) for row in drift.rows if row.same_answer is False)
    return f" Where they differ, from the first model to the second: {by_count(changes)}." if changes else ""


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
        f"The evidence moved on {pictures(drift.moved)} ({_with_interval(drift.moved)}): the heatmaps of the same "
        f"class are hottest at different places.{agreeing}"
    )
    answers = by_count(Counter(row.label for row in moved))
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
