"""Results -> what a batch says as a whole: counts, a confusion table, sentences."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gradcam_core.batch.records import FAILED, TRUE, Result
from gradcam_core.evaluation.records import Share
from gradcam_core.evaluation.sentences import matches, pictures
from gradcam_core.runners.processes import FAULT
from gradcam_core.text import counted, percent, to_csv

# From this share on, most of the heat lies on the outer tenth of a picture. Even heat has 0.36.
MOST_AT_BORDER = 0.6
# So many classes and pairs of classes are named.
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """The numbers over all results of a batch.

    `confusion` counts the pictures by (true class, top answer). `at_border` counts those with more than
    `MOST_AT_BORDER` of their heat on the outer tenth, of all whose heat was `measured`. `unknown` have a label that
    is compared with nothing: no class of the model, or a model of another kind. `plain` have no evidence at all.
    `faults` are failures of this program.
    """

    total: int
    failed: int
    confusion: Mapping[tuple[str, str], int]
    at_border: int
    measured: int
    unknown: int
    plain: int
    faults: int = 0

    @property
    def accuracy(self) -> Share:
        """How many of the pictures with a true class are answered with it."""
        correct = sum(count for (true, answer), count in self.confusion.items() if true == answer)
        return Share(correct, sum(self.confusion.values()))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The numbers in words, the most important first."""
        return tuple(_sentences(self))


class Tally:
    """Counts results that go past, so that they are read once."""

    def __init__(self) -> None:
        self._confusion, self._counts = Counter[tuple[str, str]](), Counter[str]()

    def counted(self, results: Iterable[Result]) -> Iterator[Result]:
        """The same results; each is counted as it is taken."""
        for result in results:
            self._count(result)
            yield result

    def _count(self, result: Result) -> None:
        counts = self._counts
        counts["total"] += 1
        if result.status == FAILED:
            counts["failed"] += 1
            counts["faults"] += result.problem.startswith(FAULT.partition("{")[0])
            return
        if result.correct is not None:
            self._confusion[true_class(result), result.label] += 1
        elif result.true_label:
            counts["unknown"] += 1
        if result.border is not None:
            counts["measured"] += 1
            counts["at_border"] += result.border > MOST_AT_BORDER
        counts["plain"] += result.state != "ok"

    def summary(self) -> BatchSummary:
        """The numbers over what was counted so far."""
        names = ("total", "failed", "at_border", "measured", "unknown", "plain", "faults")
        return BatchSummary(confusion=dict(self._confusion), **{name: self._counts[name] for name in names})


def summarise_results(results: Iterable[Result]) -> BatchSummary:
    """Count results, one at a time in memory."""
    tally = Tally()
    for _ in tally.counted(results):
        pass
    return tally.summary()


def confusion_to_csv(summary: BatchSummary) -> bytes:
    """A row for each pair of true class and top answer, the most frequent first."""
    columns = ("true_label", "answer", "pictures")
    pairs = sorted(summary.confusion.items(), key=lambda item: (-item[1], item[0]))
    return to_csv(columns, [dict(zip(columns, (*pair, count), strict=True)) for pair, count in pairs])


def true_class(result: Result) -> str:
    """The true class as the model names it, where it is known; a table may give its number."""
    if result.correct:
        return result.label
    return next((each.label for each in result.maps if each.role == TRUE), result.true_label)


def _sentences(summary: BatchSummary) -> Iterator[str]:
    if summary.accuracy.whole:
        yield matches("The top answer is the true class", summary.accuracy)
        yield from _mistaken(summary)
        yield from _weakest(summary)
    if summary.at_border:
        share, most = Share(summary.at_border, summary.measured), percent(MOST_AT_BORDER, 0)
        yield f"In {pictures(share)}, more than {most} of the heat lies on the outer tenth: look at these first."
    if summary.plain:
        yield f"In {counted(summary.plain, 'picture')}, the map has no evidence for the explained class."
    if summary.unknown:
        yield f"Pictures whose true label is not compared with the model’s answer: {summary.unknown:,}."
    if summary.failed:
        yield f"Pictures that could not be explained: {summary.failed:,}. The table of results says why."
    if summary.faults:
        yield f"Of these, {summary.faults:,} met a fault of CAM Lightbox itself. Please report what the terminal says."


def _mistaken(summary: BatchSummary) -> Iterator[str]:
    wrong = Counter({pair: count for pair, count in summary.confusion.items() if pair[0] != pair[1]})
    if wrong:
        named = [f"{true}, taken for {answer} ({count:,})" for (true, answer), count in wrong.most_common(MOST_NAMED)]
        yield f"Most often mistaken: {'; '.join(named)}."


def _weakest(summary: BatchSummary) -> Iterator[str]:
    """The classes that are recognised least often, where there are several."""
    whole, correct = Counter[str](), Counter[str]()
    for (true, answer), count in summary.confusion.items():
        whole[true] += count
        correct[true] += count * (true == answer)
    shares = {label: correct[label] / whole[label] for label in whole}
    if len(set(shares.values())) > 1:
        lowest = sorted(shares, key=lambda label: (shares[label], -whole[label]))[:MOST_NAMED]
        named = [f"{label} ({correct[label]:,} of {whole[label]:,})" for label in lowest if shares[label] < 1]
        yield f"Recognised least often: {', '.join(named)}."
