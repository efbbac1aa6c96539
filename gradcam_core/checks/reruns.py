"""One heatmap on trial: made again for other inputs, another class and a classifier that learned nothing.

What a check or a calibration needs is computed here, without judging it. For a method that reads gradients all of
it takes 25 forward and 8 backward passes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from gradcam_core.capture import can_randomise_head, scorer, with_randomised_head
from gradcam_core.checks.edges import edge_regions
from gradcam_core.errors import ModelError, TargetError
from gradcam_core.heatmaps import Found, heatmaps_of_inputs
from gradcam_core.layers import resolve_layer
from gradcam_core.measures.given import visible_in
from gradcam_core.measures.infill import fill_in
from gradcam_core.methods import find_method
from gradcam_core.placement import Placement, resample
from gradcam_core.records import Explanation, Heatmap, LoadedModel, Target
from gradcam_core.shapes import InputTensor, Map
from gradcam_core.targets import ClassTarget, probabilities

REDRAWS, COPIES, PATCHES = 3, 4, 8
# The part of the picture that is hidden, and the noise as a share of the input's own deviation.
HOTTEST, NOISE = 0.1, 0.05
CANDIDATES = 64
SEED = 0


def _silent() -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A heatmap with what is needed to make it again. `chances` [classes] is what the model gives each class.

    `alive` is called now and then while a method takes passes of its own; what it raises ends the work.
    """

    heatmap: Heatmap
    found: Found
    chances: Tensor
    alive: Callable[[], None] = _silent

    @property
    def probability(self) -> float:
        """What the model gives the heatmap's class."""
        return float(self.chances[self.heatmap.target.index])


def begin_trial(explanation: Explanation, heatmap: Heatmap, model: LoadedModel) -> Trial:
    """Take up one of an explanation's heatmaps with its model. Raises ModelError where the model is another."""
    if model.fingerprint != explanation.fingerprint or model.preprocessing != explanation.preprocessing:
        raise ModelError(
            "This heatmap was made with another model, or prepared otherwise.", "Explain the picture anew."
        )
    if not 0 <= heatmap.target.index < len(model.labels):
        raise TargetError("This target stands for no class of the model.", "Check a heatmap of one of its classes.")
    names = heatmap.layer.split(" + ") if heatmap.fusion else [heatmap.layer or model.default_layer]
    layers = tuple(resolve_layer(model, name) for name in names)
    inputs = torch.tensor(explanation.model_input)[None].to(model.device)
    found = Found(model, inputs, (heatmap.target,), layers, (), heatmap.placement)
    return Trial(heatmap, found, probabilities(scorer(model)(inputs), model.outputs)[0])


def redrawn_maps(trial: Trial) -> list[Map] | None:
    """The map after the classifier's weights were drawn anew, REDRAWS times; None where there is no such classifier."""
    model = trial.found.model
    if not can_randomise_head(model):
        return None
    drawn = [replace(trial.found, model=with_randomised_head(model, seed)) for seed in range(REDRAWS)]
    return [_maps(trial, one, one.inputs, trial.heatmap.target)[0] for one in drawn]


def noisy_maps(trial: Trial) -> list[Map]:
    """The maps of COPIES of the input with noise that is too faint to be seen."""
    inputs = trial.found.inputs
    noise = torch.randn(COPIES, *inputs.shape[1:], generator=torch.Generator().manual_seed(SEED)).to(inputs.device)
    return _maps(trial, trial.found, inputs + NOISE * float(inputs.std()) * noise, trial.heatmap.target)


def next_class_map(trial: Trial) -> tuple[Target, Map] | None:
    """The most probable other class, and its map; None where there is no other class."""
    own, labels = trial.heatmap.target.index, trial.found.model.labels
    other = next((index for index in trial.chances.argsort(descending=True).tolist() if index != own), None)
    if other is None:
        return None
    target = ClassTarget(other, labels[other], float(trial.chances[other]))
    return target, _maps(trial, trial.found, trial.found.inputs, target)[0]


def _maps(trial: Trial, found: Found, inputs: Tensor, target: Target) -> list[Map]:
    """The same kind of map for each of some inputs [N ...]; the fused one, where there are several layers."""
    entry = find_method(trial.heatmap.method, trial.heatmap.options)

    def tell(share: float, drafts: tuple[Heatmap, ...]) -> None:
        if entry.reports:  # the others are over before anybody could wish so
            trial.alive()

    made = heatmaps_of_inputs(found, inputs, (target,), entry, trial.heatmap.options, tell)
    return [heatmaps[-1].raw for heatmaps in made]


def without_hot_area(trial: Trial) -> tuple[float, list[float], InputTensor]:
    """Hide the hottest part, then PATCHES areas of its size and form elsewhere.

    Gives the share of the picture that the hottest part is, the class's probability without each, the hottest part
    first, and the inputs with the parts hidden.
    """
    placement = trial.heatmap.placement
    hot = hottest_part(trial.heatmap, HOTTEST)
    chances, filled = _without(trial, torch.cat([hot, moved_elsewhere(hot, placement, PATCHES)]))
    top, left, bottom, right = placement.shown()
    return float(hot.sum()) / ((bottom - top) * (right - left)), chances, filled


def without_edges(trial: Trial) -> tuple[list[float], InputTensor]:
    """Hide each of edges.REGIONS: the class's probability without it, and the inputs with it hidden."""
    return _without(trial, edge_regions(trial.heatmap.placement))


def _without(trial: Trial, hidden: Bool[Tensor, "N 1 Hin Win"]) -> tuple[list[float], InputTensor]:
    inputs = trial.found.inputs
    filled = fill_in(inputs.expand(len(hidden), -1, -1, -1), hidden.to(inputs.device))
    model = trial.found.model
    outputs = scorer(model)(filled)
    chances: list[float] = probabilities(outputs, model.outputs)[:, trial.heatmap.target.index].tolist()
    return chances, filled


def hottest_part(heatmap: Heatmap, share: float) -> Bool[Tensor, "1 1 Hin Win"]:
    """The hottest `share` of the picture on the input's pixels; less where less is warm at all."""
    placement = heatmap.placement
    seen = visible_in(placement)
    warm = np.where(seen, np.maximum(resample(heatmap.raw, placement.input_size), 0), 0)
    order = np.argsort(-warm, axis=None, kind="stable")[: max(1, round(share * int(seen.sum())))]
    hot = np.zeros(warm.size, bool)
    hot[order] = warm.ravel()[order] > 0
    return torch.from_numpy(hot.reshape(1, 1, *warm.shape))


def moved_elsewhere(
    hot: Bool[Tensor, "1 1 Hin Win"], placement: Placement, count: int
) -> Bool[Tensor, "count 1 Hin Win"]:
    """The same area moved within the picture, around its edges, to the `count` of many places that overlap it least."""
    top, left, bottom, right = placement.shown()
    window = hot[0, 0, top:bottom, left:right]
    random = np.random.default_rng(SEED)
    shifts = [tuple(int(random.integers(0, side)) for side in window.shape) for _ in range(CANDIDATES)]
    moved = sorted((window.roll(shift, (0, 1)) for shift in shifts), key=lambda one: int((one & window).sum()))
    placed = torch.zeros(count, 1, *hot.shape[2:], dtype=torch.bool)
    placed[:, 0, top:bottom, left:right] = torch.stack(moved[:count])
    return placed
