"""Where a layer's cells look: measured centres against theory, against moved patches, and against mirrored pictures."""

import dataclasses
import functools
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from demonstration import figures
from gradcam_core.capture import centres_of
from gradcam_core.checks.reruns import hottest_part
from gradcam_core.explanation import explain
from gradcam_core.exporters.manifest import to_dict
from gradcam_core.heatmaps import FUSION
from gradcam_core.layers import resolve_layer
from gradcam_core.placement import EVEN, UNMEASURED, Centres, place_words
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.samples.radiographs import EVALUATION, Radiograph, radiograph
from gradcam_core.sources import load_model
from tests import networks

WIDTHS = (3, 16, 24, 32, 48)
PICTURES = 24


class Strided(nn.Module):
    """Four strided convolutions of kernels that are their own mirror images, an average, a classifier.

    `pads` are (left, right, top, bottom) before each step, and `kernel` its size.
    """

    def __init__(self, pads: tuple[int, int, int, int], kernel: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pads = pads
        self.steps = nn.ModuleList(nn.Conv2d(a, b, kernel, 2, bias=False) for a, b in pairwise(WIDTHS))
        self.last = nn.Conv2d(WIDTHS[-1], 64, 1)
        self.head = nn.Linear(64, 20)
        for step in self.steps:
            weight = step.weight.data
            step.weight.data = 2 * sum(weight.flip(axes) for axes in ((), (-1,), (-2,), (-2, -1))) / 4

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            pictures = functional.relu(step(functional.pad(pictures, self.pads)))
        return self.head(self.last(pictures).mean((2, 3)))


# Each of four steps reads from half a pixel (of its own input) before or behind the middle of what its cell covers.
THEORY = -(1 + 2 + 4 + 8) / 2
KINDS = {
    "padded alike": ((1, 1, 1, 1), 3, (THEORY, THEORY)),
    "padded below and right": ((0, 1, 0, 1), 3, (-THEORY, -THEORY)),
    "padded alike down, behind across": ((0, 1, 1, 1), 3, (THEORY, -THEORY)),
    "patches": ((0, 0, 0, 0), 2, (0.0, 0.0)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_whose_steps_are_their_own_mirror_images_looks_where_theory_says(kind: str) -> None:
    pads, kernel, theory = KINDS[kind]
    model = networks.loaded(Strided(pads, kernel), (160, 192))
    centres = centres_of(model, [resolve_layer(model, "last")])["last"]
    np.testing.assert_allclose(centres.offset, theory, atol=0.1 * 16)
    assert all(known is not None and known <= 0.25 * 16 for known in centres.known_to)


@functools.cache
def _model(name: str) -> LoadedModel:
    return figures.demonstration_model(name)


def _activations(model: LoadedModel, inputs: torch.Tensor) -> torch.Tensor:
    taken: list[torch.Tensor] = []
    handle = model.module.get_submodule(model.default_layer).register_forward_hook(lambda *call: taken.append(call[2]))
    with torch.no_grad():
        model.module(inputs)
    handle.remove()
    return taken[0]


def test_measured_centres_are_those_of_the_cells_that_answer_to_a_moved_patch() -> None:
    model, random = _model("clean"), np.random.default_rng(1)
    offset = np.array(centres_of(model, [resolve_layer(model, model.default_layer)])[model.default_layer].offset) / 8
    inputs = [torch.from_numpy(explain(_record(_nodule(n)), model, methods="cam").model_input) for n in range(8)]
    beside = []
    for place, plain in enumerate(inputs):
        other, before = inputs[place - 1], _activations(model, plain[None])[0]
        for top, left in random.integers(44, 80, (6, 2)).tolist():
            changed = plain.clone()
            changed[:, top : top + 4, left : left + 4] = other[:, top : top + 4, left : left + 4]
            answer = ((_activations(model, changed[None])[0] - before) ** 2).sum(0).numpy().astype(float)
            middles = np.arange(16) + 0.5
            cells = np.array([answer.sum(1) @ middles, answer.sum(0) @ middles]) / answer.sum()
            beside.append(np.array([top + 2, left + 2]) / 8 - cells)
    np.testing.assert_allclose(np.median(beside, axis=0), offset, atol=0.15)


def _nodule(number: int) -> Radiograph:
    return radiograph(EVALUATION + 200 + number, ["nodule"])


def _record(picture: Radiograph, axis: int | None = None) -> ImageRecord:
    record = figures.record_of(picture)
    return record if axis is None else dataclasses.replace(record, pixels=np.flip(record.pixels, axis).copy())


def _drawn(heatmap: Heatmap, even: bool) -> np.ndarray:
    placement = dataclasses.replace(heatmap.placement, centres=EVEN) if even else heatmap.placement
    return np.asarray(dataclasses.replace(heatmap, placement=placement).values, float)


@pytest.fixture(scope="module")
def nodules() -> list[tuple[np.ndarray, list[Heatmap]]]:
    """The nodule's mask, and heatmaps of the picture and of its mirror images upside down and left to right."""
    model, rows = _model("clean"), []
    for number in range(PICTURES):
        picture = _nodule(number)
        records = (_record(picture, axis) for axis in (None, 0, 1))
        heatmaps = [explain(x, model, methods="grad_cam", targets=["nodule"]).heatmaps[0] for x in records]
        rows.append((picture.lesions[0].mask, heatmaps))
    return rows


def _apart(first: np.ndarray, second: np.ndarray, axis: int) -> float:
    """How many steps the second stack of heatmaps [n H W] lies further along: where their correlation peaks."""
    count, steps, similar = first.shape[axis], range(-10, 11), []
    for step in steps:
        one = np.take(first, range(max(0, -step), count - max(0, step)), axis)
        other = np.take(second, range(max(0, step), count - max(0, -step)), axis)
        one, other = (part - part.mean((1, 2), keepdims=True) for part in (one, other))
        similar.append(((one * other).sum((1, 2)) / np.sqrt((one**2).sum((1, 2)) * (other**2).sum((1, 2)))).mean())
    best = int(np.argmax(similar))
    before, peak, behind = similar[best - 1 : best + 2]
    return float(steps[best] + (before - behind) / (2 * (before - 2 * peak + behind)))


def test_a_picture_and_its_mirror_image_have_the_same_heat(nodules: list[tuple[np.ndarray, list[Heatmap]]]) -> None:
    for axis in (1, 2):
        for even in (True, False):
            plain = np.stack([_drawn(heatmaps[0], even) for _, heatmaps in nodules])
            mirrored = np.stack([np.flip(_drawn(heatmaps[axis], even), axis - 1) for _, heatmaps in nodules])
            cells = _apart(plain[:, ::2, ::2], mirrored[:, ::2, ::2], axis) / 8
            assert cells < -0.8 if even else abs(cells) <= 0.1


@pytest.mark.slow
def test_heat_moves_onto_the_nodule(nodules: list[tuple[np.ndarray, list[Heatmap]]]) -> None:
    errors: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for mask, heatmaps in nodules:
        for axis, heatmap in zip((None, 0, 1), heatmaps, strict=True):
            nodule = np.argwhere(mask if axis is None else np.flip(mask, axis)).mean(0)
            for even, rows in errors.items():
                rows.append(_middle(_drawn(heatmap, even), nodule) - nodule)
    before, after = (np.array(errors[even]) / 16 for even in (True, False))
    assert (np.mean(before, axis=0) > 0.35).all(), "half a cell too far down and right"
    assert (np.abs(np.mean(after, axis=0)) < 0.1).all()
    assert np.median(np.hypot(*after.T)) < 0.65 * np.median(np.hypot(*before.T))


def _middle(heat: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The centre of mass of the heat within 40 pixels, from the nodule on to where it comes to rest."""
    places = np.stack(np.mgrid[: heat.shape[0], : heat.shape[1]])
    for _ in range(8):
        near = heat * (np.hypot(*(places - start[:, None, None])) < 40)
        start = (near * places).sum((1, 2)) / near.sum()
    return start


def _explained(model: LoadedModel, **arguments: object) -> Explanation:
    return explain(_record(_nodule(0)), model, targets=["nodule"], **arguments)  # type: ignore[arg-type]


def test_raw_maps_stay_as_they_are_and_only_what_is_drawn_moves() -> None:
    model = _model("clean")
    size, layer = model.preprocessing.size, model.default_layer
    unmoved = dataclasses.replace(model, centres={(layer, size): EVEN})
    moved, still = (_explained(usable, methods="grad_cam").heatmaps[0] for usable in (model, unmoved))
    assert moved.raw.tobytes() == still.raw.tobytes()
    assert moved.placement.cell_offset[0] < -6
    assert still.placement.cell_offset == (0, 0)
    down, right = (round(pixels) for pixels in moved.placement.cell_offset)
    np.testing.assert_allclose(
        moved.values[40 + down : 200 + down, 40 + right : 200 + right], still.values[40:200, 40:200], atol=0.1
    )
    hidden, unmoved_hidden = (hottest_part(x, 0.1)[0, 0].float() for x in (moved, still))
    assert np.argwhere(hidden.numpy()).mean() < np.argwhere(unmoved_hidden.numpy()).mean() - 2, "hidden as drawn"


def test_a_record_tells_where_the_cells_were_drawn() -> None:
    explanation = _explained(_model("clean"), methods=("grad_cam", "occlusion"))
    of_layer, of_input = to_dict(explanation)["heatmaps"]
    placement = explanation.heatmaps[0].placement
    assert of_layer["cell_offset"] == list(placement.cell_offset)
    assert of_layer["cell_known_to"] == list(placement.cell_known_to)
    assert of_input["cell_offset"] == of_input["cell_known_to"] == [0, 0], "a map of the input has no layer"


def test_what_cannot_be_measured_stays_and_is_said() -> None:
    """Its classes disagree by more than half a cell."""
    placement = _explained(_model("mobilenet"), methods="grad_cam").heatmaps[0].placement
    assert placement.centres == UNMEASURED
    assert place_words(placement) == "its place is not measured"


def test_the_bundled_network_looks_where_it_is_drawn() -> None:
    """Padded below and right, it would look half a cell too far by theory; training has undone that."""
    model = load_model("bundled:efficientnet_lite0")
    layer = resolve_layer(model, model.default_layer)
    centres = centres_of(model, [layer])[layer.name]
    assert centres.offset == (0, 0)
    assert centres.known_to == (None, pytest.approx(3.2)), "classes disagree on what is upside down"


def test_layers_that_look_elsewhere_are_fused_where_their_heat_is_drawn() -> None:
    """The fused map, as drawn, is the larger of both maps as they are drawn."""
    *single, fused = _explained(_model("clean"), methods="grad_cam", layers=["layer2.0", "layer4.0"]).heatmaps
    fine, coarse = (heatmap.placement.centres for heatmap in single)
    assert fused.fusion == FUSION
    assert fine != coarse
    assert fused.placement.centres.offset == fine.offset
    assert fused.placement.centres.known_to == tuple(map(max, fine.known_to, coarse.known_to))
    drawn = [np.maximum(heatmap.placement.restore(heatmap.raw / heatmap.raw.max()), 0) for heatmap in single]
    together = fused.placement.restore(fused.raw)
    rows, columns = (slice(side // 8, -side // 8) for side in together.shape)
    likeness = np.corrcoef(np.maximum(*drawn)[rows, columns].ravel(), together[rows, columns].ravel())[0, 1]
    assert likeness > 0.97, likeness


def test_a_layer_is_measured_once_for_a_model_and_an_input_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("bundled:radiograph_clean")
    passes = 0
    layer, other = resolve_layer(model, model.default_layer), resolve_layer(model, "layer2.0")

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    handle = model.module.get_submodule("conv1").register_forward_hook(count)
    model = dataclasses.replace(model, folded=None)
    first = centres_of(model, [layer, other])
    assert passes == 24
    assert centres_of(model, [layer]) == {layer.name: first[layer.name]}
    assert passes == 24
    handle.remove()


def test_tokens_lie_where_their_patches_lie() -> None:
    model = networks.loaded(networks.transformer(), 32)
    layer = resolve_layer(model, model.default_layer)
    assert layer.layout == "tokens"
    assert centres_of(model, [layer]) == {layer.name: EVEN}


@pytest.mark.parametrize(
    ("known", "words", "brief"),
    [
        ((0.0, 0.0), "", ""),
        ((3.2, 2.9), "its place is known to about 3 px", "place ± 3 px"),
        (
            (5.0, 3.0),
            "its place is known to about 3 px across and 5 px up and down",
            "place ± 3 px across, 5 px up and down",
        ),
        (
            (None, 3.0),
            "its place is known to about 3 px across and not measured up and down",
            "place ± 3 px across only",
        ),
        (
            (3.0, None),
            "its place is known to about 3 px up and down and not measured across",
            "place ± 3 px up and down only",
        ),
        ((None, None), "its place is not measured", "place not measured"),
    ],
)
def test_how_closely_a_place_is_known_is_said(known: tuple[float | None, float | None], words: str, brief: str) -> None:
    placement = _explained(_model("clean"), methods="grad_cam").heatmaps[0].placement
    halved = Centres(known_to=tuple(x and x / 2 for x in known))  # type: ignore[arg-type]
    placement = dataclasses.replace(placement, centres=halved)
    assert place_words(placement) == words, "in pixels of a picture twice as large"
    assert place_words(placement, brief=True) == brief
