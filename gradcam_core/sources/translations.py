"""Tensors under names of old, or of another tool: turned into an architecture's own where it can do that itself."""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from gradcam_core.errors import ModelError
from gradcam_core.sources.family import Architecture
from gradcam_core.sources.names import AVERAGED, EXTRAS, WRAPPERS, Shape, large_prefixes, match_in_order, match_names
from gradcam_core.sources.own_networks import build
from gradcam_core.sources.state_dicts import Fit, fit_tensors, shapes_of

MOST_PREFIXES, LEAST_SHARE = 5, 0.3
# A pruned tensor and its mask, and the two parts of a weight that is normalised, newer and older: how their names end.
PARTS = (
    ("_orig", "_mask", ""),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1", ".weight"),
    (".weight_g", ".weight_v", ".weight"),
)
COMPUTED = "Some layers were pruned or normalised: their weights were computed from the parts in the file."
TURNED = "The file's tensors have names of old or of another tool, which the architecture turned into its own."


class FittedTensors(NamedTuple):
    """Tensors as an architecture takes them, how they fit it, and notes about how they were read."""

    fit: Fit
    tensors: Mapping[str, torch.Tensor]
    notes: tuple[str, ...] = ()


def fit_to(
    recipe: Architecture, tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, Any] = MappingProxyType({})
) -> FittedTensors:
    """Fit a file's tensors to an architecture: by their names, else by the architecture's own translation of names.

    The reading by names is returned where neither fits. `wanted` may hold a `size`, and `weights`, "plain" or
    "averaged", where a file holds both. Raises ModelError.
    """
    tensors, notes = _computed(_chosen(tensors, wanted.get("weights")))
    plain = FittedTensors(fit_tensors(recipe, shapes_of(tensors), wanted), tensors, notes)
    match = plain.fit.match
    if plain.fit.complete:
        return plain._replace(notes=(*notes, *match.notes))
    if not match.missing or not (match.unexpected or match.elsewhere) or not _are_plain(tensors):
        return plain
    needed = {name for name in plain.fit.expected if not name.endswith(EXTRAS)}
    for prefix in _prefixes(tensors):
        for turned in _turned(recipe, _under(tensors, prefix), plain.fit.options):
            if not needed <= set(turned):
                continue
            fit = _fit(recipe, shapes_of(turned), wanted)
            if fit:
                return FittedTensors(fit, turned, (*notes, TURNED, *fit.match.notes))
    return plain


def fit_in_order(recipe: Architecture, fitted: FittedTensors, wanted: Mapping[str, Any]) -> FittedTensors | None:
    """Fit the same tensors by their order alone; None where that does not fit entirely, or names do."""
    if fitted.fit.complete:
        return None
    shapes, expected = shapes_of(fitted.tensors), shapes_of(fitted.fit.expected)
    for prefix in _prefixes(fitted.tensors):
        if match_in_order(shapes, expected, prefix).missing:
            continue
        fit = _fit(recipe, shapes, wanted, prefix)
        if fit:
            return FittedTensors(fit, fitted.tensors, (*fitted.notes, *fit.match.notes))
    return None


def _prefixes(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Prefixes under which a whole network may be: none, and those of many tensors, averaged ones last."""
    prefixes = ["", *large_prefixes(tensors, max(2, int(LEAST_SHARE * len(tensors))))[:MOST_PREFIXES]]
    return sorted(prefixes, key=lambda prefix: bool(AVERAGED.search(prefix)))


def _fit(
    recipe: Architecture, shapes: Mapping[str, Shape], wanted: Mapping[str, Any], prefix: str | None = None
) -> Fit | None:
    """A complete fit, by order where there is a prefix; None where there is none."""
    by_order = partial(match_in_order, prefix=prefix or "")
    try:
        fit = fit_tensors(recipe, shapes, wanted, match_names if prefix is None else by_order)
    except ModelError:
        return None
    return fit if fit.complete else None


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under a prefix by the rest of their names, without what wrappers put into them."""
    rest = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {".".join(part for part in name.split(".") if part not in WRAPPERS): x for name, x in rest.items()}


def _turned(
    recipe: Architecture, tensors: dict[str, torch.Tensor], options: Mapping[str, Any]
) -> Iterator[Mapping[str, torch.Tensor]]:
    """The tensors under the architecture's own names: by its recipe, and by its network's way of loading them.

    The network is built on the meta device, so that no memory is needed and what was loaded is told from what was not.
    """
    try:
        with torch.device("meta"):
            network = build(recipe, **options)
        if recipe.translate:
            turned = recipe.translate(dict(tensors), network)
            if _same_places(tensors, turned):
                yield turned
        network.load_state_dict(tensors, strict=False, assign=True)
        yield {name: x for name, x in network.state_dict().items() if isinstance(x, torch.Tensor) and not x.is_meta}
    # Foreign code on foreign tensors may raise anything; then this is no way to read them.
    except Exception:
        return


def _same_places(tensors: Mapping[str, torch.Tensor], turned: Mapping[str, torch.Tensor]) -> bool:
    """Whether no table of places was computed for another size of pictures: that would be another network."""
    sizes = {tensor.numel() for tensor in tensors.values()}
    return all(tensor.numel() in sizes for name, tensor in turned.items() if "pos" in name or "relative" in name)


def _are_plain(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether tensors hold values of their own, so that computing with them takes no more memory than the file."""
    if any(x.layout is not torch.strided or x.is_nested or x.is_quantized or x.is_meta for x in tensors.values()):
        return False
    stored = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors.values()}
    return sum(x.numel() * x.element_size() for x in tensors.values()) <= 2 * sum(stored.values()) + 1_000_000


def _computed(tensors: Mapping[str, torch.Tensor]) -> tuple[Mapping[str, torch.Tensor], tuple[str, ...]]:
    """Compute the weights of pruned and of weight-normalised layers, which files keep in two parts."""
    computed = dict(tensors)
    if not any(name.endswith(ends) for name in tensors for ends, _, _ in PARTS) or not _are_plain(tensors):
        return tensors, ()
    for first_end, second_end, end in PARTS:
        for name in [name for name in tensors if name.endswith(first_end)]:
            stem = name.removesuffix(first_end)
            first, second = tensors[name], tensors.get(stem + second_end)
            if second is None or not (first.is_floating_point() and second.is_floating_point()):
                continue
            if end == "" and first.shape == second.shape:
                weight = first * second
            elif end and first.shape == (len(second), *[1] * (second.ndim - 1)):
                weight = torch._weight_norm(second, first, 0)
            else:
                continue
            del computed[name], computed[stem + second_end]
            computed[stem + end] = weight
    return computed, () if len(computed) == len(tensors) else (COMPUTED,)


def _chosen(tensors: Mapping[str, torch.Tensor], weights: str | None) -> Mapping[str, torch.Tensor]:
    """The plain or the averaged tensors, where the caller chose. Raises ModelError where there are none of them."""
    if weights is None:
        return tensors
    chosen = {name: x for name, x in tensors.items() if bool(AVERAGED.search(name)) == (weights == "averaged")}
    if not chosen:
        raise ModelError(f"The file holds no {weights} weights.", "Leave the choice of weights out.", "weights")
    return chosen
