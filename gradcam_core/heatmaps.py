"""Evidence -> one method's heatmaps: one per target and layer; with several layers, the fused map comes last."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from gradcam_core.capture import BATCH_REFUSALS, capture
from gradcam_core.devices import memory_for
from gradcam_core.errors import MethodError
from gradcam_core.methods import make_maps, reads_layer, smoothing_of
from gradcam_core.methods.needs import OWN_PASSES
from gradcam_core.methods.smoothing import average, smoothed
from gradcam_core.placement import EVEN, UNMEASURED, Centres, Placement, on_common_grid
from gradcam_core.progress import SILENT, Progress
from gradcam_core.records import Evidence, Heatmap, LayerInfo, LoadedModel, Origin, Target
from gradcam_core.registry import Choice

FUSION = "element-wise maximum of the layers' maps, each scaled to its own peak, without LayerCAM's tanh scaling"
# Noisy copies per pass: the activations and gradients of all of them are in memory.
COPIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class FirstPass:
    """The first pass through a network, for the methods to work on.

    `inputs` [1 Cin Hin Win], `outputs` [1 classes], `evidence` one per layer. `placement` and `origin` go
    into every heatmap; `centres` are those of the layers' cells, where they were measured.
    """

    model: LoadedModel
    inputs: torch.Tensor
    outputs: torch.Tensor
    targets: tuple[Target, ...]
    layers: tuple[LayerInfo, ...]
    evidence: tuple[Evidence, ...]
    placement: Placement
    origin: Origin | None
    centres: Mapping[str, Centres] = field(default_factory=dict)


def heatmaps_of(first: FirstPass, choice: Choice, progress: Progress) -> list[Heatmap]:
    """Run one method for every target at every layer; those that read no layer give one map of the input."""
    reads = reads_layer(choice.member)
    layers = first.layers if reads else first.layers[:1]
    names = [layer.name if reads else "" for layer in layers]
    maps = []
    for place, (layer, name) in enumerate(zip(layers, names, strict=True)):
        drafts = partial(_drafts, first, choice, name)
        maps.append(_maps(first, choice, layer, progress.part(place, len(layers), convert=drafts)).float())
    if not all(part.isfinite().all() for part in maps):
        raise MethodError(
            f"{choice.member.title} gave numbers that are not finite here.", "Choose another layer or method."
        )
    progress(1.0)
    return _heatmaps(first, choice, names, maps)


def _drafts(first: FirstPass, choice: Choice, name: str, maps: torch.Tensor) -> tuple[Heatmap, ...]:
    return tuple(_heatmaps(first, choice, [name], [maps]))


def heatmaps_of_inputs(
    first: FirstPass, inputs: torch.Tensor, targets: Sequence[Target], choice: Choice, progress: Progress = SILENT
) -> Iterator[list[Heatmap]]:
    """The same method's heatmaps of other inputs [N Cin Hin Win]: a list per input, of one per target and layer.

    Several inputs share a pass where the method runs no passes of its own.
    """
    needs = set[str]() if smoothing_of(choice) else set(choice.member.needs)
    batch = 1 if smoothing_of(choice) or OWN_PASSES & needs else COPIES
    done = 0
    for part in torch.split(inputs, batch):
        for chunk, evidence in _captured(first.model, part, targets, first.layers, needs):
            for place in range(len(chunk)):
                single, alone = tuple(of_input(whole, place) for whole in evidence), chunk[place : place + 1]
                this = dataclasses.replace(first, inputs=alone, targets=tuple(targets), evidence=single)
                yield heatmaps_of(this, choice, progress.part(done, len(inputs)).without_drafts())
                done += 1


def _captured(
    model: LoadedModel,
    inputs: torch.Tensor,
    targets: Sequence[Target],
    layers: Sequence[LayerInfo],
    needs: Collection[str],
) -> Iterable[tuple[torch.Tensor, tuple[Evidence, ...]]]:
    """Inputs [N ...] with their evidence: all in one pass, or one by one where the network refuses several."""

    def with_evidence(part: torch.Tensor) -> tuple[torch.Tensor, tuple[Evidence, ...]]:
        return part, capture(model, part, lambda outputs: tuple(targets), layers, needs=needs)[2]

    try:
        return [with_evidence(inputs)]
    except BATCH_REFUSALS:
        if len(inputs) == 1:
            raise
    return map(with_evidence, torch.split(inputs, 1))


def of_input(evidence: Evidence, place: int) -> Evidence:
    """The evidence of one of several inputs."""

    def part(values: torch.Tensor | None, axis: int) -> Any:
        return None if values is None else values.narrow(axis, place, 1)

    return dataclasses.replace(
        evidence,
        activations=part(evidence.activations, 0),
        gradients=part(evidence.gradients, 1),
        scores=part(evidence.scores, 1),
        inputs=part(evidence.inputs, 0),
        guided=part(evidence.guided, 1),
    )


def _maps(first: FirstPass, choice: Choice, layer: LayerInfo, progress: Progress) -> torch.Tensor:
    """One method at one layer: signed maps [K 1 h w]."""
    with memory_for(choice.member.title):
        if not smoothing_of(choice):
            return make_maps(choice, first.evidence[first.layers.index(layer)], progress)
        return average(_of_copies(first, choice, layer, progress))


def _of_copies(
    first: FirstPass, choice: Choice, layer: LayerInfo, progress: Progress
) -> Iterator[tuple[torch.Tensor, bool]]:
    """Maps of noisy and mirrored copies of the input, for the same targets."""
    smoothing, needs = smoothing_of(choice), choice.member.needs
    done = 0
    for copies, mirrored in smoothed(first.inputs, smoothing, 1 if OWN_PASSES & set(needs) else COPIES):
        for chunk, (evidence,) in _captured(first.model, copies, first.targets, [layer], needs):
            # The drafts of one copy are not those of the average.
            yield make_maps(choice, evidence, progress.part(done, smoothing.passes).without_drafts()), mirrored
            done += len(chunk)
            progress(done / smoothing.passes)


def _heatmaps(first: FirstPass, choice: Choice, names: Sequence[str], maps: Sequence[torch.Tensor]) -> list[Heatmap]:
    """Name the maps [K 1 h w] of each layer; the fused one follows where there are several."""
    arrays = [np.ascontiguousarray(part[:, 0].float().cpu().numpy()) for part in maps]
    member, smoothing = choice.member, smoothing_of(choice)
    options: dict[str, Any] = {**choice.options, **(choice.shared if smoothing else {})}
    placements = [_placement(first, name, raw.shape[1:]) for name, raw in zip(names, arrays, strict=True)]
    heatmaps = []
    for index, target in enumerate(first.targets):
        row = [
            Heatmap(member.name, options, target, name, raw[index], placement, "", member.signed, first.origin)
            for name, raw, placement in zip(names, arrays, placements, strict=True)
        ]
        if len(row) > 1:
            raw, fused = _fuse([heatmap.raw for heatmap in row], placements, member.signed)
            row.append(dataclasses.replace(row[0], layer=" + ".join(names), raw=raw, fusion=FUSION, placement=fused))
        heatmaps += row
    return heatmaps


def _placement(first: FirstPass, name: str, grid: tuple[int, ...]) -> Placement:
    """Where the cells of a layer's map lie. Those of a map of the input's own pixels tile it evenly."""
    if name not in first.centres:
        return first.placement
    own = EVEN if grid == first.placement.input_size else UNMEASURED
    same = any(layer.name == name and layer.grid == grid for layer in first.layers)
    return dataclasses.replace(first.placement, centres=first.centres[name] if same else own)


def _fuse(maps: Sequence[np.ndarray], placements: Sequence[Placement], signed: bool) -> tuple[np.ndarray, Placement]:
    """Element-wise maximum on the finest grid, each map's positive part scaled to its own peak first; and its place.

    After Jiang et al. 2021, without the tanh(2 M / max M) that they apply to early stages: which layers
    are early is known of their networks only. Of signed maps the largest value of either sign is kept.
    """
    parts = [grid if signed else np.maximum(grid, 0) for grid in maps]
    peaks = [float(np.abs(grid).max()) for grid in parts]
    scaled = [grid / (peak or 1) for grid, peak in zip(parts, peaks, strict=True)]
    together, placement = on_common_grid(scaled, placements)
    stack = np.stack(together)
    strongest: np.ndarray = np.take_along_axis(stack, np.abs(stack).argmax(axis=0)[None], axis=0)[0]
    return strongest, placement
