"""Which of a file's tensors is which of an architecture's, told by their names, or by their order."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gradcam_core.text import one_line

Shape = tuple[int, ...]

# Names that wrappers put between the parts of a name: DataParallel and DDP, torch.compile, FSDP, checkpointing.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# What profilers add, evaluation never reads, or every network computes again when it is built.
EXTRAS = ("num_batches_tracked", "total_ops", "total_params", "relative_position_index", "attn_mask")
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|teacher|momentum|shadow|encoder_k)([._]|$)", re.IGNORECASE)
# Tensors of these kinds can have the same shape side by side.
KINDS = ("weight", "bias", "running_mean", "running_var")
LARGEST_HEAD, DEEPEST_PREFIX = 8, 3
HEAD_BESIDE = "The classifier was taken from '{}', beside the rest of the network."
HEAD_IN_STEP = (
    "The classifier was taken from '{}' in the file. Steps without weights before it would be missed, except dropout."
)
BY_ORDER = (
    "The file's tensors have other names than the architecture's: they were taken by their order, in which every "
    "shape fits. Check the answers on a picture that you know."
)


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Which of a file's names stands for which of the architecture's.

    `names` leads from the architecture's names to the file's. `unexpected` stand among the matched
    ones but mean nothing to the architecture; `elsewhere` are the file's other tensors (loss,
    optimizer, other networks). `rivals` are prefixes under which the file holds as much once more.
    `notes` are sentences about names that were read in an unusual way.
    """

    prefix: str
    names: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    elsewhere: tuple[str, ...]
    rivals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def match_names(stored: Iterable[str], expected: Collection[str]) -> NameMatch:
    """Strip wrappers and prefixes wherever they stand, guided by the architecture's own names.

    Every name votes for the prefixes that would make it one of the expected names, so an
    architecture that itself begins with `model.` keeps that part. Of equal sets the one that is no
    moving average wins, then the shortest prefix.
    """
    wanted = set(expected)
    votes, readings = _best_reading(list(stored), wanted)
    needed = sum(not name.endswith(EXTRAS) for name in wanted)
    ranked = sorted(votes, key=lambda prefix: (-votes[prefix], bool(AVERAGED.search(prefix)), len(prefix), prefix))
    prefix = ranked[0] if ranked else ""
    names = _names_under(prefix, readings, wanted)
    head, notes = _head_elsewhere(prefix, readings, [name for name in expected if name not in names])
    names |= head
    taken = set(names.values())
    rest = [name for name in readings if name not in taken]
    return NameMatch(
        prefix=prefix,
        names=names,
        missing=tuple(name for name in expected if name not in names and not name.endswith(EXTRAS)),
        unexpected=tuple(x for x in rest if readings[x].startswith(prefix) and not x.endswith(EXTRAS)),
        elsewhere=tuple(name for name in rest if not readings[name].startswith(prefix)),
        rivals=tuple(other for other in ranked[1:] if votes[other] >= needed > 0),
        notes=notes,
    )


def _head_elsewhere(
    prefix: str, readings: Mapping[str, str], missing: Sequence[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Find the few tensors that are missing, a classifier, under a prefix of its own or in a numbered step.

    Only where all of them are in one such place, and in no other. Returns names as in NameMatch, and a note.
    """
    missing = [name for name in missing if not name.endswith(EXTRAS)]
    if not 0 < len(missing) <= LARGEST_HEAD:
        return {}, ()
    own = {reading: name for name, reading in readings.items() if reading.startswith(prefix)}
    votes = _vote((reading for reading in readings.values() if reading not in own), set(missing))
    beside = [x for x, count in votes.items() if count == len(missing) and not AVERAGED.search(x)]
    if len(beside) == 1:
        by_reading = {reading: name for name, reading in readings.items()}
        return {x: by_reading[beside[0] + x] for x in missing}, (HEAD_BESIDE.format(one_line(beside[0].rstrip("."))),)
    steps = {name.rpartition(".")[0] for name in missing}
    if len(steps) != 1:
        return {}, ()
    inside = re.compile(re.escape(prefix + steps.pop()) + r"\.(\d+)\.(\w+)")
    numbered = [step for reading in own if (step := inside.fullmatch(reading))]
    if len({step[1] for step in numbered}) != 1 or len(numbered) != len(missing):
        return {}, ()
    stored = {step[2]: own[step[0]] for step in numbered}
    names = {name: stored[name.rpartition(".")[2]] for name in missing if name.rpartition(".")[2] in stored}
    note = HEAD_IN_STEP.format(one_line(numbered[0][0].rpartition(".")[0]))
    return (names, (note,)) if len(names) == len(missing) else ({}, ())


def match_in_order(stored: Mapping[str, Shape], expected: Mapping[str, Shape], prefix: str = "") -> NameMatch:
    """Match tensors by their order alone, where both lists agree in length and in what kind each tensor is.

    Whether shapes agree is for the caller to compare. Where the lists differ, all are missing.
    """
    own = [name for name in stored if name.startswith(prefix)]
    listed = [name for name in own if not name.endswith(EXTRAS)]
    wanted = [name for name in expected if not name.endswith(EXTRAS)]
    pairs = list(zip(wanted, listed, strict=False))
    alike = all(_kind(name) == _kind(other) for name, other in pairs)
    if len(wanted) != len(listed) or not alike:
        return NameMatch(prefix, {}, tuple(wanted), tuple(listed), ())
    elsewhere = tuple(name for name in stored if not name.startswith(prefix))
    return NameMatch(prefix, dict(pairs), (), (), elsewhere, notes=(BY_ORDER,))


def _kind(name: str) -> str:
    last = name.rpartition(".")[2]
    return last if last in KINDS else ""


def large_prefixes(names: Collection[str], least: int) -> list[str]:
    """Prefixes of up to three parts under which at least so many names stand, but not all of them; largest first."""
    counts: Counter[str] = Counter()
    for name in names:
        pieces = name.split(".")[:-1]
        counts.update(".".join(pieces[:depth]) + "." for depth in range(1, min(len(pieces), DEEPEST_PREFIX) + 1))
    return [prefix for prefix, count in counts.most_common() if least <= count]


def _best_reading(stored: list[str], wanted: set[str]) -> tuple[Counter[str], dict[str, str]]:
    """Read the names with as few wrappers left out as give the most matches."""
    present = [wrapper for wrapper in WRAPPERS if any(wrapper in name.split(".") for name in stored)]
    best: tuple[Counter[str], dict[str, str]] = (Counter(), {name: name for name in stored})
    most = 0
    for count in range(len(present) + 1):
        for dropped in combinations(present, count):
            readings = {name: ".".join(part for part in name.split(".") if part not in dropped) for name in stored}
            votes = _vote(readings.values(), wanted)
            if votes and max(votes.values()) > most:
                best, most = (votes, readings), max(votes.values())
    return best


def _vote(names: Iterable[str], wanted: set[str]) -> Counter[str]:
    """Count for each prefix how many names are wanted ones behind it."""
    votes: Counter[str] = Counter()
    most = max((name.count(".") for name in wanted), default=0) + 1
    for name in names:
        start = len(name)
        for _ in range(most):
            start = name.rfind(".", 0, start)
            if name[start + 1 :] in wanted:
                votes[name[: start + 1]] += 1
            if start < 0:
                break
    return votes


def _names_under(prefix: str, readings: Mapping[str, str], wanted: set[str]) -> dict[str, str]:
    """Find the wanted names under a prefix, and what is missing under shorter ones: a `fc` beside a `backbone`."""
    names: dict[str, str] = {}
    parts = prefix.split(".")[:-1]
    for length in range(len(parts), -1, -1):
        start = "".join(f"{part}." for part in parts[:length])
        for name, reading in readings.items():
            if reading.startswith(start) and reading[len(start) :] in wanted:
                names.setdefault(reading[len(start) :], name)
    return names
