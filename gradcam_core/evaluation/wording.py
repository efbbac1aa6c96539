"""Numbers -> plain evaluation_sentences, for people who are not engineers."""

from collections.abc import Mapping, Sequence

from gradcam_core.evaluation.records import Edges, Evaluation, Share

# From so many pictures on, and where so large a share of them hangs on one region, a class is spoken of by itself.
FEWEST, HABIT = 5, 0.5


def evaluation_sentences(evaluation: Evaluation) -> tuple[str, ...]:
    """Say in plain words what was found, each sentence with its numbers; the most important first."""
    if evaluation.count == len(evaluation.failures):
        return tuple(filter(None, [_failures(evaluation)]))
    habits = [words for one in evaluation.edges_by_answer for words in _habit(one)]
    found = [_answers(evaluation), _edges(evaluation), *habits, _marks(evaluation), _sureness(evaluation)]
    return tuple(filter(None, [*found, _weakest(evaluation), _failures(evaluation), _what_decides(evaluation)]))


def _answers(evaluation: Evaluation) -> str:
    accuracy, interval = evaluation.accuracy, evaluation.accuracy.interval
    if interval is None:
        return "No picture has a label, so nothing can be said about how many answers are as they should be."
    found = evaluation.count - len(evaluation.failures)
    without = f" {found - accuracy.whole} more have no label." if found > accuracy.whole else ""
    low, high = (f"{100 * bound:.0f}" for bound in interval)
    return (
        f"Of {_counted(accuracy.whole, 'picture')} {accuracy.part} {_were(accuracy.part)} answered as labelled "
        f"({_percent(accuracy)}; 95\u202f% interval {low} to {high}\u202f%).{without}"
    )


def _edges(evaluation: Evaluation) -> str:
    edges = evaluation.edges
    if not edges.share.part:
        return f"In none of {_counted(edges.share.whole, 'picture')} does a corner or border decide."
    count = f"{edges.share.part} of {_counted(edges.share.whole, 'picture')} ({_percent(edges.share)})"
    regions = _times({f"the {region}": cost.count for region, cost in edges.regions.items()})
    answers = {one.label: one.share.part for one in evaluation.edges_by_answer if one.share.part}
    only = next(iter(answers))
    who = f"answered {only}" if len(answers) == 1 else f"answered {_times(answers)}"
    all_of_them = "It was" if edges.share.part == 1 else "All of them were" if len(answers) == 1 else "They were"
    return (
        f"On {count} a corner or border decides: {regions}. {all_of_them} {who}. "
        "Look for a marker, a label or a device there."
    )


def _habit(edges: Edges) -> list[str]:
    """A class that hangs on one region in most of its pictures: what a shortcut looks like."""
    region = max(edges.regions, key=lambda name: edges.regions[name].count, default="")
    if not region or edges.share.whole < FEWEST or edges.regions[region].count < HABIT * edges.share.whole:
        return []
    cost = edges.regions[region]
    return [
        f"In {cost.count} of {edges.share.whole} pictures answered {edges.label}, hiding the {region} takes "
        f"{100 * (cost.value or 0):.0f}\u202f% of the probability away on average."
    ]


def _what_decides(evaluation: Evaluation) -> str:
    most = evaluation.thresholds.numbers["most_lost_at_edge"]
    return (
        "A corner or border is said to decide where hiding it takes more than "
        f"{100 * most:.0f}\u202f% of the first answer’s probability away. "
        "It can also be the finding itself, where that lies at the edge."
    )


def _marks(evaluation: Evaluation) -> str:
    hits, heat = evaluation.localisation["pointing_game"], evaluation.localisation["relevance_mass"]
    if hits.value is None or heat.value is None:
        return ""
    count = f"{round(hits.value * hits.count)} of {_counted(hits.count, 'picture')}"
    return (
        f"Where a region was marked, the hottest point lay in it or right beside it in {count}, and on average "
        f"{100 * heat.value:.0f}\u202f% of the heat lay inside."
    )


def _sureness(evaluation: Evaluation) -> str:
    error, accuracy = evaluation.calibration_error, evaluation.accuracy.value
    if error is None or accuracy is None:
        return ""
    count = evaluation.accuracy.whole
    mean = sum(one.count * (one.probability or 0) for one in evaluation.bins) / count
    return (
        f"The first answers had a probability of {100 * mean:.0f}\u202f% on average, where {100 * accuracy:.0f}\u202f% "
        f"were as labelled. Among answers of like probability the two lie {_points(error)} apart on average."
    )


def _weakest(evaluation: Evaluation) -> str:
    """The class that is answered as labelled least often, where classes differ."""
    shares = {label: share for label, share in evaluation.classes if share.value is not None}
    if len({share.value for share in shares.values()}) < 2:
        return ""
    label = min(shares, key=lambda name: shares[name].value or 0.0)
    share = shares[label]
    return f"Least often as labelled: {label}, {share.part} of {share.whole} ({_percent(share)})."


def _failures(evaluation: Evaluation) -> str:
    count, missing = len(evaluation.failures), evaluation.unmatched
    words = f"{_counted(count, 'picture')} could not be evaluated; the end of the list says what to do."
    rows = f"{_counted(missing, 'row')} of the table name{'s' if missing == 1 else ''} a picture that is not there."
    return " ".join(filter(None, (words if count else "", rows if missing else "")))


def _times(counts: Mapping[str, int]) -> str:
    """Counts from the largest down: "20 times nodule and once streak"."""
    ordered = sorted(counts, key=lambda name: -counts[name])
    return _listed([f"{'once' if counts[name] == 1 else f'{counts[name]} times'} {name}" for name in ordered])


def _points(share: float) -> str:
    """A difference of two percentages."""
    points = f"{100 * share:.0f}"
    return f"{points} percentage point{'' if points == '1' else 's'}"


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _percent(share: Share) -> str:
    return f"{100 * (share.value or 0):.0f}\u202f%"
