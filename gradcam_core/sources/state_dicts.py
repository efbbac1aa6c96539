"""Compare the tensors in a checkpoint with an architecture's own, and say in words what does not fit."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import torch

from gradcam_core.errors import ModelError
from gradcam_core.sources.family import LIMITS, Architecture
from gradcam_core.sources.own_networks import build_shapes
from gradcam_core.text import one_line

Shape = tuple[int, ...]

# Names that wrappers put between the parts of a name: DataParallel and DDP, torch.compile, FSDP, checkpointing.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# What profilers add, evaluation never reads, or every network computes again when it is built.
EXTRAS = ("num_batches_tracked", "total_ops", "total_params", "relative_position_index", "attn_mask")
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|teacher|momentum|shadow)([._]|$)", re.IGNORECASE)
SHOWN = 3
OTHER = "Give the architecture that the weights were trained with."
# Sizes at which an architecture is built to learn which tensors depend on them; any two in a row do.
PROBE = {"num_classes": 7, "in_chans": 3}
WHAT = {"num_classes": "classes", "in_chans": "channels"}


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Which of a file's names stands for which of the architecture's.

    `names` leads from the architecture's names to the file's. `unexpected` stand among the matched
    ones but mean nothing to the architecture; `elsewhere` are the file's other tensors (loss,
    optimizer, other networks). `rivals` are prefixes under which the file holds as much once more.
    """

    prefix: str
    names: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    elsewhere: tuple[str, ...]
    rivals: tuple[str, ...] = ()


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
    taken = set(names.values())
    rest = [name for name in readings if name not in taken]
    return NameMatch(
        prefix=prefix,
        names=names,
        missing=tuple(name for name in expected if name not in names and not name.endswith(EXTRAS)),
        unexpected=tuple(x for x in rest if readings[x].startswith(prefix) and not x.endswith(EXTRAS)),
        elsewhere=tuple(name for name in rest if not readings[name].startswith(prefix)),
        rivals=tuple(other for other in ranked[1:] if votes[other] >= needed > 0),
    )


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


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A file's tensors compared with an architecture, built at the sizes that the tensors ask for.

    `stored` holds the file's shapes under the architecture's names. `head` are the tensors that depend on the number
    of classes; `options` are what the architecture is built with; `sizes` are its classes and channels where it
    takes them as options.
    """

    architecture: str
    match: NameMatch
    stored: Mapping[str, Shape]
    expected: Mapping[str, torch.Tensor]
    head: tuple[str, ...]
    options: Mapping[str, Any]
    sizes: Mapping[str, int | None]

    @property
    def misshapen(self) -> tuple[str, ...]:
        """Tensors that have another shape in the file."""
        return tuple(name for name, shape in self.stored.items() if shape != tuple(self.expected[name].shape))

    @property
    def complete(self) -> bool:
        """Whether every tensor fits and none is missing."""
        return not (self.match.missing or self.match.unexpected or self.misshapen)


def fit_tensors(
    recipe: Architecture, tensors: Mapping[str, Shape], wanted: Mapping[str, Any] = MappingProxyType({})
) -> Fit:
    """Read classes and channels off the tensors' shapes and compare them with a network of that size.

    `wanted` may hold a `size`. The network is built on the meta device: it takes no memory. Raises ModelError.
    """
    options = {key: PROBE.get(key, wanted.get(key)) for key in recipe.options if key in PROBE or wanted.get(key)}
    probe = shapes_of(build_shapes(recipe, **options))
    match = match_names(tensors, probe)
    stored = {own: tensors[name] for own, name in match.names.items()}
    # Tensors that depend on the number of classes are the head.
    measured = {key: _measure(recipe, key, options, probe, stored) for key in PROBE if key in recipe.options}
    options |= {key: size for key, (size, _) in measured.items()}
    head = measured["num_classes"][1] if "num_classes" in measured else ()
    sizes = {"num_classes": options["num_classes"] if head else None, "in_chans": options.get("in_chans")}
    only_training = [x for x in match.unexpected if any(f".{start}" in f".{x}" for start in recipe.unused)]
    match = replace(match, unexpected=tuple(x for x in match.unexpected if x not in only_training))
    return Fit(recipe.name, match, stored, build_shapes(recipe, **options), head, options, sizes)


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, Shape]:
    """The shapes of tensors by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _measure(
    recipe: Architecture, key: str, options: Mapping[str, Any], probe: Mapping[str, Shape], stored: Mapping[str, Shape]
) -> tuple[int, tuple[str, ...]]:
    """One size, as read off the file's tensors, and the names of the tensors that depend on it.

    Where the architecture's shapes differ between this size and the next, the stored shape gives the size, as
    dimensions grow evenly with it.
    """
    start: int = options[key]
    if key == "in_chans" and all(stored.get(name, shape) == shape for name, shape in probe.items() if len(shape) == 4):
        return start, ()
    try:
        larger = shapes_of(build_shapes(recipe, **{**options, key: start + 1}))
    except ModelError:
        return start, ()
    depending = tuple(name for name, shape in probe.items() if larger.get(name, shape) != shape)
    sizes: set[int] = set()
    for name in depending:
        own, small, large = stored.get(name, ()), probe[name], larger[name]
        if len(own) == len(small) == len(large):
            axis = next(index for index in range(len(small)) if small[index] != large[index])
            sizes.add(start + round((own[axis] - small[axis]) / (large[axis] - small[axis])))
    if len(sizes) > 1 or any(not 1 <= size <= LIMITS[key][1] for size in sizes):
        listed = ", ".join(map(str, sorted(sizes)[:4]))
        raise ModelError(f"The file's tensors do not agree on a usable number of {WHAT[key]}: {listed}.", OTHER)
    return (sizes.pop() if sizes else start), depending


def explain_misfit(fit: Fit, lookalike: tuple[str, str]) -> ModelError:
    """One readable error: counts and examples, then the likely cause and its remedy.

    `lookalike` is what the file's tensors look like, and what to try.
    """
    shapes = [f"{n} (file {_by(fit.stored[n])}, network {_by(fit.expected[n].shape)})" for n in fit.misshapen]
    parts = [
        _listed(f"of {len(fit.expected)} tensors missing", fit.match.missing),
        _listed("tensors not part of it", fit.match.unexpected),
        _listed("tensors of another shape", shapes),
    ]
    message = f"The weights do not fit {fit.architecture}: {'; '.join(part for part in parts if part)}."
    cause, remedy = probable_cause(fit, lookalike)
    return ModelError(f"{message} Probably {cause}.", remedy)


def probable_cause(fit: Fit, lookalike: tuple[str, str]) -> tuple[str, str]:
    """Why tensors do not fit, to follow "Probably", and what to do."""
    needed = [name for name in fit.expected if not name.endswith("num_batches_tracked")]
    if len(fit.match.missing) > len(needed) // 2:
        return _cause_where_most_is_missing(fit.match, lookalike)
    return _likely_cause(fit)


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(one_line(name) for name in names[:SHOWN])
    return f"{len(names)} {what} ({shown}{', ...' if len(names) > SHOWN else ''})"


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _cause_where_most_is_missing(match: NameMatch, lookalike: tuple[str, str]) -> tuple[str, str]:
    what, hint = lookalike
    if what and match.unexpected:
        return f"another architecture: the tensors look like {what}", f"{OTHER} {hint}"
    if match.names and not match.unexpected:
        return "the file holds only a part of the network", "Save the whole model's state_dict()."
    return "another architecture", OTHER


def _likely_cause(fit: Fit) -> tuple[str, str]:
    match = fit.match
    if match.missing and set(match.missing) <= set(fit.head):
        if match.unexpected or match.elsewhere:
            remedy = "Give the architecture as a function that builds the network with that classifier."
            return "the classifier was replaced by one of your own, under other names", remedy
        return "a backbone without its classifier", "Load a file that was saved with its classifier."
    if match.missing and not match.unexpected:
        remedy = f"Save the whole model's state_dict(). {OTHER}"
        return "the file holds only a part of the network, or a smaller one of its family", remedy
    if match.missing:
        return "a variant of this architecture", OTHER
    if match.unexpected:
        return "the file holds a larger network, of which this architecture is only a part", OTHER
    if all("pos_embed" in name or "position" in name for name in fit.misshapen):
        return "the network was trained on pictures of another size", "Give that size in the preprocessing."
    return "another width or variant of the same family", OTHER
