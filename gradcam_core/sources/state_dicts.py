"""Fit the tensors of a checkpoint to an architecture's own names, and say in words what does not fit."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import torch

from gradcam_core.errors import ModelError

Shape = tuple[int, ...]

# Names that wrappers put between the parts of a name: DataParallel and DDP, torch.compile, FSDP, checkpointing.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# What profilers add, evaluation never reads, or every network computes again when it is built.
EXTRAS = ("num_batches_tracked", "total_ops", "total_params", "relative_position_index", "attn_mask")
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|teacher|momentum|shadow)([._]|$)", re.IGNORECASE)


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
    stored = list(stored)
    wanted = set(expected)
    votes, readings = _best_reading(stored, wanted)
    needed = sum(not name.endswith(EXTRAS) for name in wanted)
    ranked = sorted(votes, key=lambda prefix: (-votes[prefix], bool(AVERAGED.search(prefix)), len(prefix), prefix))
    prefix = ranked[0] if ranked else ""
    names: dict[str, str] = {}
    for name in stored:
        own = readings[name].removeprefix(prefix) if readings[name].startswith(prefix) else ""
        if own in wanted:
            names.setdefault(own, name)
    _add_relatives(names, stored, readings, wanted, prefix)
    taken = set(names.values())
    rest = [name for name in stored if name not in taken]
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


def _add_relatives(
    names: dict[str, str], stored: list[str], readings: Mapping[str, str], wanted: set[str], prefix: str
) -> None:
    """Take what is still missing from shorter prefixes: a `fc` beside a `backbone` that was matched."""
    parts = prefix.split(".")[:-1]
    for length in range(len(parts) - 1, -1, -1):
        shorter = "".join(f"{part}." for part in parts[:length])
        for name in stored:
            own = readings[name].removeprefix(shorter) if readings[name].startswith(shorter) else ""
            if own in wanted:
                names.setdefault(own, name)


def solve_size(
    stored: Mapping[str, Shape], smaller: Mapping[str, Shape], larger: Mapping[str, Shape], start: int
) -> set[int]:
    """Read a size, such as the number of classes, off the tensors that depend on it.

    `smaller` and `larger` are the architecture's shapes at sizes `start` and `start + 1`; where
    they differ, the stored shape gives the size, as dimensions grow evenly with it.
    """
    sizes: set[int] = set()
    for name, shape in smaller.items():
        other, own = larger.get(name, shape), stored.get(name)
        if own is None or other == shape or not len(own) == len(shape) == len(other):
            continue
        axis = next(index for index in range(len(shape)) if shape[index] != other[index])
        sizes.add(start + round((own[axis] - shape[axis]) / (other[axis] - shape[axis])))
    return sizes


def depends_on(smaller: Mapping[str, Shape], larger: Mapping[str, Shape]) -> tuple[str, ...]:
    """Names of the tensors whose shapes differ: the head, or the first convolution."""
    return tuple(name for name, shape in smaller.items() if larger.get(name, shape) != shape)


def check_tensors(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Refuse tensors that cannot be weights; return notes about types that will be converted.

    Raises ModelError for sparse, quantised, complex, empty-handed (meta), stretched and
    non-finite tensors. Shapes are checked before, so nothing large is made here.
    """
    narrow: set[str] = set()
    for name, tensor in tensors.items():
        kind = _unusable(tensor, expected[name])
        if kind:
            raise ModelError(f"The tensor {shorten(name)} is {kind}.", "Save the model's ordinary 32-bit weights.")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(
                f"The tensor {shorten(name)} holds NaN or infinity: training had failed when it was saved.",
                "Load a checkpoint from before that.",
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            narrow.add(str(tensor.dtype).removeprefix("torch."))
    return (f"The file's weights are {', '.join(sorted(narrow))}; they compute as float32 here.",) if narrow else ()


def _unusable(tensor: torch.Tensor, model: torch.Tensor) -> str:
    if tensor.is_quantized:
        return "quantised, which leaves no gradients to explain"
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "sparse, while networks here take dense weights"
    if tensor.device.type != "cpu":
        return "empty: it has a shape but no values (saved from the 'meta' device)"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "stretched: it repeats a few values over a shape that is far larger than what is stored"
    if model.is_floating_point() and not (tensor.is_floating_point() and tensor.element_size() > 1):
        return f"of type {str(tensor.dtype).removeprefix('torch.')}, as quantised or packed weights are"
    return ""


def shorten(name: str) -> str:
    """Keep a name from a file short and printable enough for a message."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in name)
    return plain if len(plain) <= 80 else plain[:77] + "..."
