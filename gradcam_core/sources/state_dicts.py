"""Compare the tensors in a checkpoint with an architecture's own, and say in words what does not fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch

from gradcam_core.errors import ModelError
from gradcam_core.sources.family import LIMITS, Architecture
from gradcam_core.sources.names import NameMatch, Shape, match_names
from gradcam_core.sources.own_networks import build_shapes
from gradcam_core.text import one_line

Match = Callable[[Mapping[str, Shape], Mapping[str, Shape]], NameMatch]
SHOWN = 3
OTHER = "Give the architecture that the weights were trained with."
# Sizes at which an architecture is built to learn which tensors depend on them; any two in a row do.
PROBE = {"num_classes": 7, "in_chans": 3}
WHAT = {"num_classes": "classes", "in_chans": "channels"}


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A file's tensors compared with an architecture, built at the sizes that the tensors ask for.

    `stored` holds the file's shapes under the architecture's names. `head` are the tensors that depend on the number
    of classes; `options` are what the architecture is built with; `sizes` are its classes and channels where it
    takes them as options, 0 classes where it is to have none.
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
    recipe: Architecture,
    tensors: Mapping[str, Shape],
    wanted: Mapping[str, Any] = MappingProxyType({}),
    match_with: Match = match_names,
) -> Fit:
    """Read classes and channels off the tensors' shapes and compare them with a network of that size.

    `wanted` may hold a `size`; `match_with` finds which tensor of the file is which of the network's. The network
    is built on the meta device: it takes no memory. Raises ModelError.
    """
    options = {key: PROBE.get(key, wanted.get(key)) for key in recipe.options if key in PROBE or wanted.get(key)}
    probe = shapes_of(build_shapes(recipe, **options))
    match = match_with(tensors, probe)
    stored = {own: tensors[name] for own, name in match.names.items()}
    # Tensors that depend on the number of classes are the head.
    measured = {key: _measure(recipe, key, options, probe, stored) for key in PROBE if key in recipe.options}
    options |= {key: size for key, (size, _) in measured.items()}
    head = measured["num_classes"][1] if "num_classes" in measured else ()
    sizes = {
        "num_classes": 0 if recipe.headless else options["num_classes"] if head else None,
        "in_chans": options.get("in_chans"),
    }
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


def explain_misfit(fit: Fit, lookalike: tuple[str, str], known: str = "") -> ModelError:
    """One readable error: counts and examples, then the likely cause and its remedy.

    `lookalike` is what the file's tensors look like, and what to try; `known` is the network that all of them fit.
    """
    shapes = [f"{n} (file {_by(fit.stored[n])}, network {_by(fit.expected[n].shape)})" for n in fit.misshapen]
    parts = [
        _listed(f"of {len(fit.expected)} tensors missing", fit.match.missing),
        _listed("tensors not part of it", fit.match.unexpected),
        _listed("tensors of another shape", shapes),
    ]
    message = f"The weights do not fit {fit.architecture}: {'; '.join(part for part in parts if part)}."
    cause, remedy = probable_cause(fit, lookalike)
    if known == lookalike[0] and known not in ("", fit.architecture):
        cause, remedy = f"another architecture: the tensors look like {known}", f"Try {known}: all of them fit it."
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
        remedy = "Load a file that was saved with its classifier; for features alone, leave num_classes out."
        return "a backbone without its classifier", remedy
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
