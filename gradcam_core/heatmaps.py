"""Evidence -> one method's heatmaps: one a target and layer, the fused one last where there are several layers."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradcam_core.capture import capture
from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import DeviceError, MethodError
from gradcam_core.methods import make_maps, own_options, reads_layer, smoothing_of
from gradcam_core.methods.smoothing import average, smoothed
from gradcam_core.placement import Placement, resample
from gradcam_core.records import Evidence, Heatmap, LayerInfo, LoadedModel, Target
from gradcam_core.registry import Member

FUSION = "element-wise maximum of the layers' maps, each scaled to its own peak"
# Noisy copies that are captured at a time: their activations and gradients are all in memory.
COPIES = 4

Tell = Callable[[float, tuple[Heatmap, ...]], None]
TellMaps = Callable[[float, torch.Tensor | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the first pass left for the methods: the model, its input [1 ...], targets, layers and their evidence."""

    model: LoadedModel
    inputs: torch.Tensor
    targets: tuple[Target, ...]
    layers: tuple[LayerInfo, ...]
    evidence: tuple[Evidence, ...]
    placement: Placement


def heatmaps_of(found: Found, entry: Member, options: Mapping[str, Any], tell: Tell) -> list[Heatmap]:
    """Run one method for every target at every layer; those that read no layer give one map of the input."""
    layers = found.layers if reads_layer(entry) else found.layers[:1]
    names = [layer.name if reads_layer(entry) else "" for layer in layers]
    maps: list[np.ndarray] = []
    for place, layer in enumerate(layers):

        def tell_maps(share: float, drafts: torch.Tensor | None, place: int = place) -> None:
            made = (
                [] if drafts is None else _heatmaps(found, entry, options, names[place : place + 1], [_array(drafts)])
            )
            tell((place + share) / len(layers), tuple(made))

        maps.append(_array(_maps(found, entry, options, layer, tell_maps)))
    if not all(np.isfinite(one).all() for one in maps):
        raise MethodError(f"{entry.title} gave numbers that are not finite here.", "Choose another layer or method.")
    tell(1.0, ())
    return _heatmaps(found, entry, options, names, maps)


def heatmaps_of_inputs(
    found: Found, inputs: torch.Tensor, targets: Sequence[Target], entry: Member, options: Mapping[str, Any], tell: Tell
) -> Iterator[list[Heatmap]]:
    """The same method's heatmaps of other inputs [N Cin Hin Win], as lists of one per target and layer, input by input.

    Several inputs share a pass where the method takes no passes of its own. `tell` hears of each input from 0 to 1.
    """
    smoothing = smoothing_of(entry, options)
    needs = set[str]() if smoothing else set(entry.needs)
    batch = 1 if smoothing or {"forward", "tail"} & needs else COPIES
    for some in torch.split(inputs, batch):
        evidence = capture(found.model, some, lambda outputs: targets, found.layers, needs=needs)[2]
        for place in range(len(some)):
            one = tuple(_of_input(part, place) for part in evidence)
            this = dataclasses.replace(found, inputs=some[place : place + 1], targets=tuple(targets), evidence=one)
            yield heatmaps_of(this, entry, options, tell)


def _of_input(evidence: Evidence, place: int) -> Evidence:
    """The evidence of one of several inputs."""
    this = slice(place, place + 1)
    return dataclasses.replace(
        evidence,
        activations=evidence.activations[this],
        gradients=None if evidence.gradients is None else evidence.gradients[:, this],
        scores=evidence.scores[:, this],
        inputs=None if evidence.inputs is None else evidence.inputs[this],
        guided=None if evidence.guided is None else evidence.guided[:, this],
    )


def _maps(found: Found, entry: Member, options: Mapping[str, Any], layer: LayerInfo, tell: TellMaps) -> torch.Tensor:
    """One method at one layer: signed maps [K 1 h w]."""
    smoothing = smoothing_of(entry, options)
    try:
        if not smoothing:
            evidence = found.evidence[found.layers.index(layer)]
            return make_maps(entry, evidence, options, tell)
        return average(_of_copies(found, entry, options, layer, tell))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"The memory is too small for {entry.title} here.", "Use a smaller input, or the processor."
        ) from error


def _of_copies(
    found: Found, entry: Member, options: Mapping[str, Any], layer: LayerInfo, tell: TellMaps
) -> Iterator[tuple[torch.Tensor, bool]]:
    """Maps of noisy and mirrored copies of the input, for the same targets; each copy has a pass of its own."""
    smoothing = smoothing_of(entry, options)
    alone = {"forward", "tail"} & set(entry.needs)
    done = 0
    for copies, mirrored in smoothed(found.inputs, smoothing, 1 if alone else COPIES):

        def tell_share(share: float, drafts: torch.Tensor | None, done: int = done) -> None:
            tell((done + share) / smoothing.passes, None)

        evidence = capture(found.model, copies, lambda outputs: found.targets, [layer], needs=entry.needs)[2][0]
        yield make_maps(entry, evidence, options, tell_share), mirrored
        done += len(copies)
        tell(done / smoothing.passes, None)


def _array(maps: torch.Tensor) -> np.ndarray:
    """Maps [K 1 h w] as an array [K h w]."""
    return np.ascontiguousarray(maps[:, 0].float().cpu().numpy())


def _heatmaps(
    found: Found, entry: Member, options: Mapping[str, Any], names: Sequence[str], maps: Sequence[np.ndarray]
) -> list[Heatmap]:
    """Name the maps [K h w] of each layer; the fused one follows where there are several."""
    smoothing = smoothing_of(entry, options)
    used = {**own_options(entry, options), **(dataclasses.asdict(smoothing) if smoothing else {})}
    heatmaps = []
    for index, target in enumerate(found.targets):
        rows = [
            Heatmap(entry.name, used, target, name, raw[index], found.placement, signed=entry.signed)
            for name, raw in zip(names, maps, strict=True)
        ]
        if len(rows) > 1:
            fused = _fuse([row.raw for row in rows], entry.signed)
            layer = " + ".join(names)
            rows.append(Heatmap(entry.name, used, target, layer, fused, found.placement, FUSION, entry.signed))
        heatmaps += rows
    return heatmaps


def _fuse(maps: Sequence[np.ndarray], signed: bool) -> np.ndarray:
    """Element-wise maximum on the finest grid, each map's positive part scaled to its own peak first.

    After Jiang et al. 2021, who join LayerCAM's maps of several layers so. Of signed maps the largest
    value of either sign is kept.
    """
    finest = max((one.shape for one in maps), key=lambda shape: shape[0] * shape[1])
    parts = [one if signed else np.maximum(one, 0) for one in maps]
    peaks = [float(np.abs(one).max()) for one in parts]
    scaled = [resample(one / peak if peak > 0 else one, finest) for one, peak in zip(parts, peaks, strict=True)]
    stack = np.stack(scaled)
    strongest: np.ndarray = np.take_along_axis(stack, np.abs(stack).argmax(axis=0)[None], axis=0)[0]
    return strongest
