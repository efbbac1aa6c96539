"""Recompute a heatmap for changed inputs, other targets, or randomised classifiers; and the target's number likewise.

Nothing is judged here. For a method that reads gradients the six checks take 29 forward passes and 5 backward
passes, one of them batched over classes (30 and 7 where random classifiers need passes of their own).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from gradcam_core.capture import can_randomise_head, capture, centres_of, random_weights, scorer, with_randomised_head
from gradcam_core.errors import TargetError
from gradcam_core.heatmaps import FirstPass, heatmaps_of_inputs
from gradcam_core.layers import resolve_layer
from gradcam_core.measures.given import check_same, visible_in
from gradcam_core.measures.hiding import fill_in
from gradcam_core.methods import choose_method, make_maps, smoothing_of
from gradcam_core.placement import Placement
from gradcam_core.progress import SILENT, Progress
from gradcam_core.records import Explanation, Heatmap, LoadedModel, Target
from gradcam_core.registry import Choice
from gradcam_core.shapes import InputArray, InputTensor, Map
from gradcam_core.targets import (
    BoxTarget,
    ClassTarget,
    ContrastTarget,
    Followed,
    LoweredTarget,
    SegmentTarget,
    choose_targets,
    followed,
    share_of,
)
from gradcam_core.tasks import Outputs, probabilities

# Random classifiers whose maps need no further pass, and others: their number, and the models they may take.
RANDOM_HEADS, FEW_HEADS, FEW_MODELS = 256, 8, 2
HEADS_AT_ONCE = 32
COPIES, PATCHES, OTHER_CLASSES = 4, 3, 5
# The parts of the picture that are hidden, and the noise as a share of the input's standard deviation.
HOTTEST, NOISE = (0.1, 0.3), 0.05
CANDIDATES = 64
SEED = 0
# Where the classifier reads only the layer's average, a random classifier's gradients follow from its weights.
DIRECT = ("mean", "mean of relu", "convolution")
CLASS_TARGETS = (ClassTarget, ContrastTarget, LoweredTarget)
# Objects or regions of a picture that are looked at for others than the heatmap's own.
MOST_OBJECTS = 50
OF_ONE_PASS = frozenset({"activations", "gradients", "head", "scores"})


@dataclass(frozen=True, slots=True, eq=False)
class Rerun:
    """A heatmap with what is needed to compute it again. `probabilities` [classes] are those of the whole picture."""

    heatmap: Heatmap
    first: FirstPass
    choice: Choice
    probabilities: Tensor
    progress: Progress = SILENT

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's classes."""
        return self.first.model.labels

    @property
    def index(self) -> int:
        """The heatmap's class."""
        return self.heatmap.target.index

    @property
    def followed(self) -> Followed:
        """The number by which the heatmap's target is followed. Raises TargetError where there is none."""
        return followed(self.heatmap.target, self.outputs, self.labels)

    @property
    def outputs(self) -> Outputs:
        """What the model's outputs mean."""
        return self.first.model.outputs

    @property
    def threshold(self) -> float:
        """The probability from which on the finding, or its opposite, counts as present."""
        threshold = self.outputs.threshold(self.index)
        return 1 - threshold if isinstance(self.heatmap.target, LoweredTarget) else threshold

    @property
    def against(self) -> bool:
        """Whether the heatmap compares two classes."""
        return isinstance(self.heatmap.target, ContrastTarget)

    @property
    def probability(self) -> float:
        """The probability of the heatmap's class, or of its opposite; an object's score; NaN where there is none."""
        target = self.heatmap.target
        if self.outputs.has_probabilities and self.is_about_a_class:
            return float(share_of(target, self.probabilities))
        return target.probability

    @property
    def is_about_a_class(self) -> bool:
        """Whether the heatmap is about a class's own score, alone or compared with another's."""
        return isinstance(self.heatmap.target, CLASS_TARGETS)


def begin_rerun(explanation: Explanation, heatmap: Heatmap, model: LoadedModel) -> Rerun:
    """Prepare to compute a heatmap again. Raises a GradcamError where explanation or model is another."""
    check_same(heatmap, explanation, model)
    if isinstance(heatmap.target, CLASS_TARGETS) and not 0 <= heatmap.target.index < len(model.labels):
        raise TargetError("This target is not a class of the model.", "Check a heatmap of one of its classes.")
    names = heatmap.layer.split(" + ") if heatmap.fusion else [heatmap.layer or model.default_layer]
    layers = tuple(resolve_layer(model, name) for name in names)
    inputs = torch.tensor(explanation.model_input)[None].to(model.device)
    outputs = scorer(model)(inputs)
    centres = centres_of(model, layers)
    first = FirstPass(model, inputs, outputs, (heatmap.target,), layers, (), heatmap.placement, heatmap.origin, centres)
    choice = choose_method(heatmap.method, heatmap.options)
    return Rerun(heatmap, first, choice, probabilities(outputs, model.outputs)[0])


def randomised_maps(rerun: Rerun) -> list[Map]:
    """The map after the classifier's weights were randomised, many times; none where there is no such classifier."""
    first = rerun.first
    if not can_randomise_head(first.model):
        return []
    direct = len(first.layers) == 1 and first.layers[0].pooling in DIRECT
    if direct and not smoothing_of(rerun.choice) and set(rerun.choice.member.needs) <= OF_ONE_PASS:
        return _directly_randomised(rerun)
    maps: list[Map] = []
    for seed in range(SEED, SEED + FEW_MODELS):
        count = min(len(rerun.labels), FEW_HEADS - len(maps))
        rows = [ClassTarget(row, "", float("nan")) for row in range(count)]
        model = with_randomised_head(first.model, seed)
        maps += _maps(rerun, replace(first, model=model), first.inputs, rows)[0] if rows else []
    return maps


def _directly_randomised(rerun: Rerun) -> list[Map]:
    """The same without a backward pass: each random row of weights is the gradient of its score by the average."""
    layer = rerun.first.layers[0]
    _, _, (evidence,) = capture(rerun.first.model, rerun.first.inputs, lambda _: rerun.first.targets, [layer], needs=())
    head, grid = rerun.first.model.head, evidence.activations.shape[-2:]
    if head is None:
        return []
    seeded = torch.Generator().manual_seed(SEED)
    rows = random_weights(head, (RANDOM_HEADS, head.shape[1]), seeded).to(evidence.activations)
    open_cells = evidence.activations > 0 if layer.pooling == "mean of relu" else torch.ones_like(evidence.activations)
    means = (evidence.activations * open_cells).mean(dim=(-2, -1))
    maps: list[Map] = []
    for part in torch.split(rows, HEADS_AT_ONCE):
        gradients = (part / grid.numel())[:, None, :, None, None] * open_cells
        given = replace(evidence, head=part, gradients=gradients, scores=part @ means.T)
        maps += list(make_maps(rerun.choice, given)[:, 0].float().cpu().numpy())
    return maps


def noisy_maps(rerun: Rerun) -> list[Map]:
    """The maps of COPIES of the input with noise that is too faint to be seen."""
    inputs = rerun.first.inputs
    noise = torch.randn(COPIES, *inputs.shape[1:], generator=torch.Generator().manual_seed(SEED)).to(inputs.device)
    copies = inputs + NOISE * float(inputs.std()) * noise
    return [maps[0] for maps in _maps(rerun, rerun.first, copies, [rerun.heatmap.target])]


def other_class_maps(rerun: Rerun) -> tuple[list[Target], list[Map]]:
    """Other classes, from the most to the least probable one, and their maps; of a contrast, other contrasts.

    At most OTHER_CLASSES, at equal steps of their rank: the first is the next most probable class.
    """
    others = _other_targets(rerun)
    steps = np.linspace(0, len(others) - 1, min(len(others), OTHER_CLASSES)).round().astype(int)
    targets = [others[step] for step in steps]
    return targets, _maps(rerun, rerun.first, rerun.first.inputs, targets)[0] if targets else []


def _other_targets(rerun: Rerun) -> list[Target]:
    """All other classes, objects or regions, from the most to the least probable or largest one."""
    target, first = rerun.heatmap.target, rerun.first
    if isinstance(target, BoxTarget | SegmentTarget):
        several = choose_targets(None, rerun.labels, MOST_OBJECTS, rerun.outputs)(first.outputs, first.placement)
        return _other_than(target, several)
    if not isinstance(target, CLASS_TARGETS):
        return []
    taken = {target.index, target.against} if isinstance(target, ContrastTarget) else {target.index}
    order = rerun.probabilities.argsort(descending=True).tolist()
    return [
        replace(target, index=index, label=rerun.labels[index], probability=float(rerun.probabilities[index]))
        for index in order
        if index not in taken
    ]


def _other_than(target: BoxTarget | SegmentTarget, several: Sequence[Target]) -> list[Target]:
    """Those that are another object, or the region of another class; objects are asked for the same edge."""
    if isinstance(target, SegmentTarget):
        return [other for other in several if other.index != target.index]
    boxes = (other for other in several if isinstance(other, BoxTarget) and other.box != target.box)
    return [replace(other, edge=target.edge) for other in boxes]


def _maps(rerun: Rerun, first: FirstPass, inputs: Tensor, targets: Sequence[Target]) -> list[list[Map]]:
    """The same kind of map of each target for each of some inputs [N ...]; with several layers, the fused one."""
    # Only methods with passes of their own take long enough for progress, or to be cancelled, within a check.
    progress = rerun.progress if rerun.choice.member.reports else SILENT
    computed = list(heatmaps_of_inputs(first, inputs, targets, rerun.choice, progress))
    layers = len(computed[0]) // len(targets)
    return [[heatmap.raw for heatmap in heatmaps[layers - 1 :: layers]] for heatmaps in computed]


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """One size of hot area: the share of the picture that is hidden, and what the model gives the target without it.

    `elsewhere` are the numbers without areas of its size and form at other places, `shown` [Cin Hin Win] the
    input with the hot area hidden.
    """

    share: float
    after: float
    elsewhere: tuple[float, ...]
    shown: InputArray


def without_hot_areas(rerun: Rerun) -> list[Hidden]:
    """Hide the hottest parts of HOTTEST sizes, and PATCHES areas of each size and form elsewhere."""
    placement = rerun.heatmap.placement
    hot = [hottest_part(rerun.heatmap, size) for size in HOTTEST]
    parts = torch.stack([torch.cat([area, moved_elsewhere(area, placement, PATCHES)]) for area in hot])
    after, filled = without(rerun, parts.flatten(0, 1))
    shares = (parts[:, 0].sum(dim=(1, 2, 3)).double() / int(visible_in(placement).sum())).tolist()
    shown, rows = filled[:: PATCHES + 1].float().cpu().numpy(), np.reshape(after, parts.shape[:2]).tolist()
    return [
        Hidden(share, hottest, tuple(elsewhere), picture)
        for share, (hottest, *elsewhere), picture in zip(shares, rows, shown, strict=True)
    ]


def without(rerun: Rerun, hidden: Bool[Tensor, "N 1 Hin Win"]) -> tuple[list[float], InputTensor]:
    """Hide each of some parts: what the model gives the target without it, and the inputs with it hidden."""
    inputs = rerun.first.inputs
    visible = visible_in(rerun.heatmap.placement)
    filled = fill_in(inputs.expand(len(hidden), -1, -1, -1), hidden.to(inputs.device), visible)
    model = rerun.first.model
    kept: list[float] = rerun.followed.values(scorer(model)(filled)).tolist()
    return kept, filled


def hottest_part(heatmap: Heatmap, share: float) -> Bool[Tensor, "1 1 Hin Win"]:
    """The hottest `share` of the picture on the input's pixels; less where less has any evidence."""
    placement = heatmap.placement
    visible = visible_in(placement)
    warm = np.where(visible, np.maximum(placement.on_input(heatmap.raw), 0), 0)
    order = np.argsort(-warm, axis=None, kind="stable")[: max(1, round(share * int(visible.sum())))]
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
    moved = sorted((window.roll(shift, (0, 1)) for shift in shifts), key=lambda area: int((area & window).sum()))
    placed = torch.zeros(count, 1, *hot.shape[2:], dtype=torch.bool)
    placed[:, 0, top:bottom, left:right] = torch.stack(moved[:count])
    return placed
