"""The checks of a heatmap: each number against a literal twin, each outcome on a case whose truth is known."""

import dataclasses
import math
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from gradcam_core import explain, list_checks, list_methods, load_model, read_image, read_sample, trust
from gradcam_core.capture import can_randomise_head, scorer, with_randomised_head
from gradcam_core.checks import calibration, edges, matters, reruns
from gradcam_core.checks.amounts import Amount
from gradcam_core.checks.calibration import BOUNDS, derive_thresholds
from gradcam_core.checks.edges import REGIONS, costliest, edge_regions
from gradcam_core.checks.matters import _judged
from gradcam_core.checks.needs import NEEDS, check
from gradcam_core.checks.panel import Check, Trust
from gradcam_core.checks.thresholds import OWN, Thresholds, read_thresholds, write_thresholds
from gradcam_core.errors import DeviceError, GradcamError, ModelError, TargetError
from gradcam_core.measures.hiding import fill_in
from gradcam_core.measures.similar import similarities
from gradcam_core.methods import why_not
from gradcam_core.placement import Placement
from gradcam_core.records import Explanation, ImageRecord, LoadedModel
from gradcam_core.targets import Followed, contrast
from tests import networks
from tests.test_capture import state_of

LIMITS = read_thresholds()
NAMES = [one.name for one in list_checks()]
QUESTIONS = {one.name: one.title for one in list_checks()}
FORBIDDEN = ("reason", "explains why", "correct", "disease", "because")


def with_numbers(**numbers: float) -> Thresholds:
    return dataclasses.replace(LIMITS, numbers={**LIMITS.numbers, **numbers})


def checks_of(found: Explanation, model: LoadedModel, place: int = 0, **options: object) -> dict[str, Check]:
    return {one.name: one for one in trust(found, found.heatmaps[place], model, **options).checks}  # type: ignore[arg-type]


def explained(model: LoadedModel, **options: object) -> Explanation:
    return explain(networks.picture(), model, **{"top_k": 2, "methods": "grad_cam", **options})  # type: ignore[arg-type]


# How alike two maps are


def ranks_twin(values: list[float]) -> list[float]:
    """A value's rank: how many are smaller, and half of its equals."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    return float(similarities(one, [other])[0])


def similarity_twin(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman 1904: the correlation of the ranks, cell by cell."""
    first, second = (ranks_twin([max(value, 0.0) for value in part.ravel().tolist()]) for part in (one, other))
    mean = (len(first) + 1) / 2
    together = sum((a - mean) * (b - mean) for a, b in zip(first, second, strict=True))
    spread = math.sqrt(sum((a - mean) ** 2 for a in first) * sum((b - mean) ** 2 for b in second))
    return together / spread


@pytest.mark.parametrize("seed", range(6))
def test_similarity_equals_its_twin_with_many_equal_cells(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = (random.normal(0, 1, (5, 6)).round(1).astype(np.float32) for _ in range(2))
    found = similarity(one, other)
    assert found == pytest.approx(similarity_twin(one, other), abs=1e-9)
    assert found == pytest.approx(spearmanr(one.clip(0).ravel(), other.clip(0).ravel()).statistic, abs=1e-9)


def test_similarity_knows_no_scale_and_no_negative_part() -> None:
    raw = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    changed = np.where(raw > 0, 50 * raw**3, 3 * raw).astype(np.float32)
    assert similarity(raw, changed) == pytest.approx(1)
    assert similarity(raw, -raw) < 0


def test_an_empty_map_is_like_another_empty_one_and_like_no_other() -> None:
    raw = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    empty = -np.abs(raw)
    assert similarity(raw, empty) == 0
    assert similarity(empty, 2 * empty) == 1


def test_maps_on_other_grids_are_compared_on_the_finer_one() -> None:
    fine = (np.linspace(0, 1, 28)[:, None] * np.linspace(1, 2, 28)).astype(np.float32)
    coarse = fine.reshape(7, 4, 7, 4).mean((1, 3)).astype(np.float32)
    assert similarity(fine, coarse) > 0.98


# Hiding parts of a picture


def blur_twin(values: np.ndarray, row: int, column: int, reach: int) -> float:
    """The mean over a square, mirrored at the border with the edge itself repeated."""
    height, width = values.shape
    total = 0.0
    for down in range(-(reach // 2), reach // 2 + 1):
        for across in range(-(reach // 2), reach // 2 + 1):
            y, x = row + down, column + across
            y = -1 - y if y < 0 else 2 * height - 1 - y if y >= height else y
            x = -1 - x if x < 0 else 2 * width - 1 - x if x >= width else x
            total += values[y, x]
    return total / reach**2


def pulled_twin(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Pull-push: means of 2 x 2 where anything is known, and the coarser grid's bilinear values where nothing is."""
    height, width = values.shape
    if (known > 0).all() or max(height, width) == 1:
        return np.where(known > 0, values, 0)
    rows, columns = -(-height // 2), -(-width // 2)
    coarse, weight = np.zeros((rows, columns)), np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            cells = [(y, x) for y in (2 * i, 2 * i + 1) for x in (2 * j, 2 * j + 1) if y < height and x < width]
            weight[i, j] = sum(known[cell] for cell in cells) / len(cells)
            total = sum(values[cell] * known[cell] for cell in cells) / len(cells)
            coarse[i, j] = total / weight[i, j] if weight[i, j] > 0 else 0
    large = pulled_twin(coarse, weight)
    filled = values.copy()
    for y in range(height):
        for x in range(width):
            if known[y, x] == 0:
                filled[y, x] = bilinear_twin(large, (y + 0.5) * rows / height - 0.5, (x + 0.5) * columns / width - 0.5)
    return filled


def bilinear_twin(values: np.ndarray, y: float, x: float) -> float:
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), values.shape[0] - 1), min(int(x), values.shape[1] - 1)
    bottom, right = min(top + 1, values.shape[0] - 1), min(left + 1, values.shape[1] - 1)
    upper = values[top, left] * (1 - (x - left)) + values[top, right] * (x - left)
    lower = values[bottom, left] * (1 - (x - left)) + values[bottom, right] * (x - left)
    return float(upper * (1 - (y - top)) + lower * (y - top))


@pytest.mark.parametrize("shape", [(16, 16), (13, 21), (9, 30)])
def test_filling_in_equals_its_literal_twin(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(shape))
    values = random.normal(size=shape)
    hidden = np.zeros(shape, bool)
    hidden[2:8, 3:9] = hidden[-1, -4:] = True
    truth = np.where(hidden, pulled_twin(np.where(hidden, 0, values), (~hidden).astype(float)), values)
    for _ in range(2):
        near = np.array([[blur_twin(truth, y, x, 7) for x in range(shape[1])] for y in range(shape[0])])
        truth = np.where(hidden, near, truth)
    made = fill_in(
        torch.tensor(values, dtype=torch.float32)[None, None],
        torch.from_numpy(hidden)[None, None],
        np.ones(shape, bool),
    )
    np.testing.assert_allclose(made[0, 0].numpy(), truth, atol=2e-5)


def test_what_is_not_hidden_stays_as_it_is_and_nothing_of_the_hidden_part_is_left() -> None:
    inputs = torch.randn(2, 3, 40, 30)
    hidden = torch.zeros(2, 1, 40, 30, dtype=torch.bool)
    hidden[0, 0, 5:20, 5:15] = hidden[1, 0, :, :10] = True
    other = torch.where(hidden, 100 * torch.randn(2, 3, 40, 30), inputs)
    everywhere = np.ones((40, 30), bool)
    made = fill_in(inputs, hidden, everywhere)
    assert torch.equal(made, fill_in(other, hidden, everywhere))
    assert torch.equal(made[~hidden.expand(-1, 3, -1, -1)], inputs[~hidden.expand(-1, 3, -1, -1)])
    assert made.abs().max() <= inputs.abs().max()


def test_a_picture_hidden_everywhere_becomes_the_mean_colour() -> None:
    everything = torch.ones(1, 1, 12, 12, dtype=torch.bool)
    assert not fill_in(torch.randn(1, 3, 12, 12), everything, np.ones((12, 12), bool)).any()


@pytest.mark.parametrize("box", [(0, 0, 60, 80), (-10, 0, 70, 80), (0, -40, 60, 120), (10, 20, 50, 60)])
def test_the_edge_regions_frame_what_the_model_sees_of_the_picture(box: tuple[float, ...]) -> None:
    placement = Placement((60, 80), (48, 64), box)
    top, left, bottom, right = placement.shown()
    regions = edge_regions(placement)[:, 0]
    assert len(regions) == len(REGIONS)
    assert regions[:8].sum(0).max() == 1, "the first eight do not overlap"
    assert not (regions.any(0) & ~regions[:8].any(0)).any(), "and the others lie within them"
    covered = regions.any(0)
    assert not covered[:top].any()
    assert not covered[:, :left].any()
    assert covered[top, left:right].all()
    assert covered[bottom - 1, left:right].all()
    assert covered[top:bottom, left].all()
    assert covered[top:bottom, right - 1].all()
    assert not covered[(top + bottom) // 2, (left + right) // 2]


def test_a_mark_that_lies_across_a_corner_and_a_border_is_hidden_whole() -> None:
    placement = Placement((480, 640), (224, 224), (0.0, 0.0, 480.0, 640.0))
    stamp = torch.zeros(224, 224, dtype=torch.bool)
    stamp[205:220, 150:210] = True
    hidden = [bool((region[0] | ~stamp).all()) for region in edge_regions(placement)]
    assert [name for name, whole in zip(REGIONS, hidden, strict=True) if whole] == ["whole lower border"]
    corners = edge_regions(placement)[REGIONS.index("four corners")]
    assert torch.equal(corners, edge_regions(placement)[:4].any(0))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (5, 7), (33, 224), (100, 101)])
def test_every_region_hides_something_on_the_smallest_picture(height: int, width: int) -> None:
    regions = edge_regions(Placement((height, width), (height, width), (0.0, 0.0, float(height), float(width))))
    assert regions.flatten(1).any(1).all()


def test_of_regions_that_cost_nearly_the_same_the_smallest_is_named() -> None:
    after = [0.9] * len(REGIONS)
    after[REGIONS.index("whole upper border")], after[REGIONS.index("upper right corner")] = 0.10, 0.12
    assert REGIONS[costliest([0.9 - value for value in after])] == "upper right corner"
    after[REGIONS.index("upper right corner")] = 0.5
    assert REGIONS[costliest([0.9 - value for value in after])] == "whole upper border"
    assert costliest([-0.1, -0.05, *[-0.2] * (len(REGIONS) - 2)]) == 1, "the least gain, where nothing costs"


def test_the_hottest_part_has_the_wanted_share_and_moves_without_changing(tiny: LoadedModel) -> None:
    heatmap = explained(tiny).heatmaps[0]
    raw = np.random.default_rng(1).random((8, 8)).astype(np.float32)
    heatmap = dataclasses.replace(heatmap, raw=raw)
    hot = reruns.hottest_part(heatmap, 0.3)
    assert int(hot.sum()) == round(0.3 * 32 * 32)
    elsewhere = reruns.moved_elsewhere(hot, heatmap.placement, 6)
    assert elsewhere.sum((1, 2, 3)).tolist() == [int(hot.sum())] * 6
    assert all(int((one & hot[0]).sum()) < 0.5 * int(hot.sum()) for one in elsewhere)


def test_of_a_map_with_one_warm_cell_no_more_than_its_surroundings_are_hidden(tiny: LoadedModel) -> None:
    raw = np.zeros((16, 16), np.float32)
    raw[3, 3] = 1
    hot = reruns.hottest_part(dataclasses.replace(explained(tiny).heatmaps[0], raw=raw), 0.5)
    assert 0 < int(hot.sum()) < 0.05 * 32 * 32


def test_of_a_letterboxed_picture_nothing_is_hidden_and_nothing_is_filled_from_the_padding() -> None:
    model = networks.loaded(networks.conv_net(), fit="letterbox")
    white = dataclasses.replace(networks.picture(20, 60), pixels=np.ones((20, 60, 3), np.float32))
    found = explain(white, model, top_k=1, methods="grad_cam")
    raw = np.random.default_rng(1).random((8, 8)).astype(np.float32)
    rerun = reruns.begin_rerun(found, dataclasses.replace(found.heatmaps[0], raw=raw), model)
    hidden = torch.cat([edge_regions(found.placement), reruns.hottest_part(rerun.heatmap, 0.3)])
    _, filled = reruns.without(rerun, hidden)
    for picture in filled:
        torch.testing.assert_close(picture, rerun.first.inputs[0], rtol=0, atol=1e-4)


# Randomised classifiers


def test_a_randomised_head_shares_everything_else_and_leaves_the_model_as_it_is(bundled: LoadedModel) -> None:
    before = state_of(bundled.module)
    drawn = with_randomised_head(bundled, 0)
    own, new = (dict(one.module.named_parameters()) for one in (bundled, drawn))
    changed = {name for name in own if own[name] is not new[name]}
    assert changed == {f"{bundled.head_name}.weight", f"{bundled.head_name}.bias"}
    weight = new[f"{bundled.head_name}.weight"]
    assert float(weight.std()) == pytest.approx(float(own[f"{bundled.head_name}.weight"].std()), rel=0.02)
    assert torch.equal(drawn.head, weight)
    inputs = torch.randn(1, 3, 224, 224)
    assert not torch.allclose(scorer(drawn)(inputs), scorer(bundled)(inputs), atol=0.5)
    assert torch.equal(scorer(drawn)(inputs), scorer(with_randomised_head(bundled, 0))(inputs))
    assert not torch.equal(scorer(drawn)(inputs), scorer(with_randomised_head(bundled, 1))(inputs))
    assert state_of(bundled.module) == before


def test_the_folded_copy_of_a_randomised_model_answers_as_its_own_network_does(bundled: LoadedModel) -> None:
    drawn = with_randomised_head(bundled, 3)
    inputs = torch.randn(2, 3, 224, 224)
    assert bundled.folded is not None
    plain = dataclasses.replace(drawn, folded=None)
    torch.testing.assert_close(scorer(drawn)(inputs), scorer(plain)(inputs), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["cam", "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam"])
@pytest.mark.parametrize("pooling", ["mean", "mean of relu"])
def test_maps_of_random_classifiers_need_no_pass_where_the_head_reads_the_average(
    tiny: LoadedModel, method: str, pooling: str
) -> None:
    info = next(layer for layer in tiny.layers if layer.pooling == pooling)
    found = explained(tiny, top_k=1, methods=method, layers=info.name)
    rerun = reruns.begin_rerun(found, found.heatmaps[0], tiny)
    maps = reruns.randomised_maps(rerun)
    assert len(maps) == reruns.RANDOM_HEADS
    # The same random rows as the weights of a whole network, by ordinary gradients.
    assert tiny.head is not None
    generator = torch.Generator().manual_seed(reruns.SEED)
    rows = float(tiny.head.std(correction=0)) * torch.randn(reruns.RANDOM_HEADS, 12, generator=generator)
    network = networks.without_taps(tiny.module)
    network[-1].weight.data = rows[:5].clone()
    random = networks.loaded(network)
    again = explain(networks.picture(), random, targets=[0, 1, 4], methods=method, layers=info.name)
    for heatmap in again.heatmaps:
        size = np.abs(heatmap.raw).max()
        np.testing.assert_allclose(maps[heatmap.target.index], heatmap.raw, rtol=0, atol=2e-4 * size)


def test_elsewhere_random_classifiers_share_few_passes(tiny: LoadedModel) -> None:
    found = explained(tiny, top_k=1, layers="2")
    rerun = reruns.begin_rerun(found, found.heatmaps[0], tiny)
    maps = reruns.randomised_maps(rerun)
    assert len(maps) == reruns.FEW_HEADS
    randomised = with_randomised_head(tiny, reruns.SEED)
    again = explain(networks.picture(), randomised, methods="grad_cam", layers="2", top_k=5)
    for heatmap in again.heatmaps:
        np.testing.assert_allclose(maps[heatmap.target.index], heatmap.raw, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["efficientnet", "radiograph"])
def test_whether_a_map_follows_what_was_learned_does_not_depend_on_the_draw(
    kind: str, bundled: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "radiograph":
        bundled = load_model("bundled:radiograph_shortcut", device="cpu")
    content = read_sample("cat" if kind == "efficientnet" else "radiograph_marked")
    found = explain(read_image(content), bundled, top_k=1, methods="grad_cam")
    means = []
    for seed in range(0, 2000, 100):
        monkeypatch.setattr(reruns, "SEED", seed)
        rerun = reruns.begin_rerun(found, found.heatmaps[0], bundled)
        means.append(float(similarities(rerun.heatmap.raw, reruns.randomised_maps(rerun)).mean()))
    assert np.std(means) < 0.05


# The panel


@pytest.mark.parametrize("layer", ["bn2", "blocks.5"])
def test_the_panel_takes_at_most_thirty_forward_and_ten_backward_passes(bundled: LoadedModel, layer: str) -> None:
    plain = dataclasses.replace(bundled, folded=None)
    found = explained(plain, top_k=1, layers=layer)
    forward, backward = [], []
    last = plain.module.get_submodule("conv_head")
    handles = [
        last.register_forward_hook(lambda module, given, output: forward.append(len(output))),
        plain.module.get_submodule("global_pool").register_full_backward_hook(
            lambda module, given, slopes: backward.append(len(slopes[0]))
        ),
    ]
    try:
        trust(found, found.heatmaps[0], plain)
    finally:
        for handle in handles:
            handle.remove()
    assert 20 <= sum(forward) <= 30
    assert 5 <= sum(backward) <= 10


def test_every_method_can_be_checked_and_each_check_is_a_sentence_with_its_numbers(tiny: LoadedModel) -> None:
    transformer = networks.loaded(networks.transformer())
    for entry in list_methods():
        few = {"rise": {"masks": 50}}.get(entry.name, {})
        model = transformer if why_not(entry, tiny.layers[-1], tiny) else tiny
        found = explained(model, top_k=1, methods=[(entry.name, few)])
        checked = trust(found, found.heatmaps[0], model)
        assert [one.name for one in checked.checks] == NAMES
        for one in checked.checks:
            assert one.question == QUESTIONS[one.name]
            assert one.sentence.endswith((".", ".)"))
            assert one.outcome in ("passed", "attention", "not tested")
            assert not any(word in one.sentence.lower() for word in FORBIDDEN), one.sentence
            assert one.numbers or one.outcome == "not tested"
            assert (one.shown is None) == (one.shown_words == "")


@pytest.mark.parametrize("method", ["eigen_cam", "random"])
def test_a_method_that_ignores_the_class_fails_by_construction(
    method: str, bundled: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    by_name = checks_of(explain(cat_and_cup, bundled, top_k=1, methods=method), bundled)
    assert by_name["learned"].outcome == by_name["class_specific"].outcome == "attention"
    assert by_name["learned"].numbers["similarity"] == pytest.approx(1)
    assert "by construction" in by_name["class_specific"].sentence


def test_a_sister_class_with_the_same_map_is_named_and_needs_no_attention(bundled: LoadedModel) -> None:
    found = explain(read_image(read_sample("cat")), bundled, top_k=1, methods="grad_cam")
    one = checks_of(found, bundled)["class_specific"]
    assert one.outcome == "passed"
    assert one.numbers["next_class"] > LIMITS.numbers["most_like_other_class"]
    assert "as related classes often do" in one.sentence


def test_an_empty_map_is_said_to_be_empty_and_not_tested(tiny: LoadedModel) -> None:
    found = explained(tiny)
    empty = dataclasses.replace(found.heatmaps[0], raw=-np.abs(found.heatmaps[0].raw) - 1)
    checked = trust(found, empty, tiny)
    outcomes = {one.name: one.outcome for one in checked.checks}
    assert outcomes["support"] == "attention"
    assert {outcomes[name] for name in ("learned", "matters", "stable", "class_specific")} == {"not tested"}
    assert outcomes["edges"] != "not tested", "whether a border is read does not depend on the map"
    assert "4 not tested" in checked.outcome


def test_evidence_in_the_padding_only_is_said_and_never_hidden() -> None:
    model = networks.loaded(networks.conv_net(), fit="letterbox")
    found = explain(networks.picture(20, 60), model, top_k=1, methods="grad_cam")
    raw = np.zeros((8, 8), np.float32)
    raw[0, 3] = 1
    checked = trust(found, dataclasses.replace(found.heatmaps[0], raw=raw), model)
    by_name = {one.name: one for one in checked.checks}
    assert "lies in the padding only" in by_name["support"].sentence
    assert by_name["support"].outcome == "attention"
    assert by_name["matters"].outcome == "not tested"
    assert not any("0\u202f% of the picture" in one.sentence for one in checked.checks)


def test_a_class_that_the_model_gives_nothing_has_nothing_to_lose(tiny: LoadedModel) -> None:
    network = networks.conv_net()
    with torch.no_grad():
        network[-1].bias[2] = -200.0  # its probability is exactly 0 in single precision
    model = networks.loaded(network)
    found = explained(model, targets=[2])
    assert found.heatmaps[0].target.probability == 0
    outcomes = checks_of(found, model)
    assert outcomes["matters"].outcome == outcomes["edges"].outcome == "not tested"
    assert "is almost 0" in outcomes["edges"].sentence


def test_a_target_that_is_not_a_class_is_refused(tiny: LoadedModel) -> None:
    found = explained(tiny)
    stray = dataclasses.replace(found.heatmaps[0].target, index=99)
    with pytest.raises(TargetError, match="not a class"):
        trust(found, dataclasses.replace(found.heatmaps[0], target=stray), tiny)


def test_one_yes_or_no_score_is_answered_with_no_and_has_no_other_class() -> None:
    network = networks.conv_net(classes=1)
    with torch.no_grad():
        network[-1].bias[0] = -3.0
    one = networks.loaded(network)
    found = explained(one, top_k=1, methods="layer_cam")
    assert found.predictions[0].probability < 0.5
    by_name = checks_of(found, one)
    assert "The model’s answer is no." in by_name["support"].sentence
    assert by_name["class_specific"].outcome == "not tested"
    assert by_name["learned"].outcome != "not tested"


def test_a_network_without_one_linear_classifier_says_what_cannot_be_tested() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
            self.one, self.other = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            means = self.body(x).mean((2, 3))
            return (self.one(means) + self.other(means)) / 2

    model = networks.loaded(TwoHeads())
    assert not can_randomise_head(model)
    by_name = checks_of(explained(model), model)
    assert by_name["learned"].outcome == "not tested"
    assert "no single linear classifier" in by_name["learned"].sentence


def test_fused_layers_and_smoothed_maps_are_checked_as_they_were_made(tiny: LoadedModel) -> None:
    names = [layer.name for layer in tiny.layers][-2:]
    found = explained(tiny, top_k=1, layers=names, methods=[("grad_cam", {"copies": 2})])
    fused = found.heatmaps[-1]
    assert fused.fusion
    rerun = reruns.begin_rerun(found, fused, tiny)
    targets, maps = reruns.other_class_maps(rerun)
    again = explained(tiny, targets=[targets[0].index], layers=names, methods=[("grad_cam", {"copies": 2})])
    np.testing.assert_allclose(maps[0], again.heatmaps[-1].raw, rtol=1e-3, atol=1e-5)
    assert len(trust(found, fused, tiny).checks) == len(NAMES)


def test_contrasts_are_worded_by_their_classes_and_compared_with_contrasts(tiny: LoadedModel) -> None:
    top, second = (p.index for p in explained(tiny).predictions)
    found = explained(tiny, targets=[contrast(top, second, tiny.labels)])
    label = tiny.labels[top]
    support = checks_of(found, tiny, thresholds=with_numbers(least_probability=1.0))["support"].sentence
    assert support.startswith(f"The probability of {label} is only ")
    assert "It is still the top answer." in support
    assert (
        f"This map compares {label} rather than {tiny.labels[second]}; the probability is that of {label}." in support
    )
    rerun = reruns.begin_rerun(found, found.heatmaps[0], tiny)
    targets, maps = reruns.other_class_maps(rerun)
    assert top not in {target.index for target in targets}
    assert second not in {target.index for target in targets}
    wanted = explained(tiny, targets=[contrast(target.index, second, tiny.labels) for target in targets])
    for raw, heatmap in zip(maps, wanted.heatmaps, strict=True):
        np.testing.assert_allclose(raw, heatmap.raw, rtol=1e-3, atol=1e-5)


def test_a_contrast_without_a_third_class_is_not_compared() -> None:
    two = networks.loaded(networks.conv_net(classes=2))
    by_name = checks_of(explained(two, targets=[contrast(0, 1, two.labels)]), two)
    assert by_name["class_specific"].outcome == "not tested"
    assert "no third one" in by_name["class_specific"].sentence


def test_the_same_maps_are_tested_that_explain_makes(tiny: LoadedModel) -> None:
    found = explained(tiny)
    targets, maps = reruns.other_class_maps(reruns.begin_rerun(found, found.heatmaps[0], tiny))
    assert len(targets) == len(maps) == 4
    assert targets[0].index == found.predictions[1].index
    for target, raw in zip(targets, maps, strict=True):
        other = explained(tiny, targets=[target.index]).heatmaps[0]
        np.testing.assert_allclose(raw, other.raw, rtol=1e-4, atol=1e-6)


def test_what_does_not_belong_together_is_refused(tiny: LoadedModel) -> None:
    found = explained(tiny)
    with pytest.raises(ModelError, match="another model"):
        trust(found, found.heatmaps[0], networks.loaded(networks.conv_net(seed=5)))
    other = dataclasses.replace(tiny, preprocessing=networks.plain(48))
    with pytest.raises(ModelError, match="another preprocessing"):
        trust(found, found.heatmaps[0], other)
    another = explain(dataclasses.replace(networks.picture(seed=3), sha256="1" * 64), tiny, methods="grad_cam")
    with pytest.raises(GradcamError, match="does not belong to this explanation"):
        trust(another, found.heatmaps[0], tiny)


def test_a_network_that_accepts_one_picture_at_a_time_is_checked_with_the_same_result() -> None:
    single, plain = networks.loaded(networks.OneByOne()), networks.loaded(networks.conv_net())
    one, other = (checks_of(explained(model, top_k=1), model) for model in (single, plain))
    for name in NAMES:
        assert one[name].outcome == other[name].outcome
        assert one[name].numbers == pytest.approx(other[name].numbers, abs=0.02)


def test_where_a_cards_memory_is_too_small_the_checks_run_on_the_processor_and_say_so(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a graphics card: a device that fails for want of memory as soon as it computes."""
    found = explained(tiny)
    card = dataclasses.replace(tiny, device=torch.device("meta"))
    real = reruns.scorer

    def scorer_of(model: LoadedModel) -> object:
        if model.device.type == "meta":
            raise torch.OutOfMemoryError("full")
        return real(model)

    monkeypatch.setattr(reruns, "scorer", scorer_of)
    checked = trust(found, found.heatmaps[0], card)
    assert len(checked.checks) == len(NAMES)
    assert any("memory of meta was too small" in words for words in checked.always)

    def full(model: LoadedModel) -> object:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(reruns, "scorer", full)
    with pytest.raises(DeviceError, match="too little memory"):
        trust(found, found.heatmaps[0], tiny)


def test_progress_names_every_question_and_may_cancel(tiny: LoadedModel) -> None:
    found, heard = explained(tiny), []
    trust(found, found.heatmaps[0], tiny, on_progress=lambda share, words, drafts: heard.append((share, words)))
    assert [words for _, words in heard] == [*QUESTIONS.values(), "Done"]
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)

    def stop(share: float, words: str, drafts: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        trust(found, found.heatmaps[0], tiny, on_progress=stop)


def test_a_method_with_passes_of_its_own_can_be_cancelled_in_the_middle_of_a_check(tiny: LoadedModel) -> None:
    found = explained(tiny, top_k=1, methods=[("rise", {"masks": 200})])
    heard: list[str] = []

    def stop(share: float, words: str, drafts: object) -> None:
        heard.append(words)
        if heard.count(QUESTIONS["stable"]) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trust(found, found.heatmaps[0], tiny, on_progress=stop)
    assert heard[-3:] == [QUESTIONS["stable"]] * 3


def test_the_model_is_untouched_and_threads_find_what_one_alone_finds(tiny: LoadedModel) -> None:
    found, before = explained(tiny), state_of(tiny.module)

    def numbers(place: int) -> list[dict[str, float]]:
        return [dict(one.numbers) for one in trust(found, found.heatmaps[place % 2], tiny).checks]

    alone = [numbers(0), numbers(1)]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(numbers, range(16)))
    assert together == alone * 8
    assert state_of(tiny.module) == before


def test_the_outcome_line_counts_gives_no_score_and_is_no_clearance() -> None:
    def line(*outcomes: str) -> str:
        rows = tuple(Check("support", "?", outcome, ".") for outcome in outcomes)  # type: ignore[arg-type]
        return Trust(None, rows, (3.0, 3.0), LIMITS).outcome  # type: ignore[arg-type]

    mixed = line("passed", "passed", "attention", "not tested")
    assert mixed == "2 of 4 checks passed; 1 needs your attention; 1 not tested."
    assert line("passed", "passed") == "2 of 2 checks passed. That is not a clearance."


@pytest.mark.parametrize("lost", [0.24, 0.26])
def test_the_edges_turn_at_their_threshold(lost: float, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    found = explained(tiny, top_k=1)
    before = reruns.begin_rerun(found, found.heatmaps[0], tiny).probability
    after = [before] * len(REGIONS)
    after[7] = before * (1 - lost)
    monkeypatch.setattr(edges, "without_edges", lambda rerun: (after, torch.zeros(len(REGIONS), 3, 4, 4)))
    one = checks_of(found, tiny, thresholds=with_numbers(most_lost_at_edge=0.25))["edges"]
    assert one.outcome == ("passed" if lost < 0.25 else "attention")
    assert REGIONS[7] in one.sentence


def test_edges_that_cost_nothing_are_said_to_cost_nothing(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    found = explained(tiny, top_k=1)
    before = reruns.begin_rerun(found, found.heatmaps[0], tiny).probability
    after = [before + 0.01] * len(REGIONS)
    monkeypatch.setattr(edges, "without_edges", lambda rerun: (after, torch.zeros(len(REGIONS), 3, 4, 4)))
    sentence = checks_of(found, tiny)["edges"].sentence
    assert "hardly lowers the probability" in sentence
    assert "costs most" not in sentence


@pytest.mark.parametrize(
    ("lost", "more", "outcome", "words"),
    [
        (0.19, 0.19, "attention", "No single area carries this answer: look for colour, texture or a frame."),
        (-0.1, 0.0, "attention", "No single area carries this answer"),
        (0.55, 0.01, "attention", "Other areas of that size cost about as much"),
        (0.55, 0.50, "passed", ""),
    ],
)
def test_what_a_fall_means_depends_on_its_size_and_on_other_areas(
    lost: float, more: float, outcome: str, words: str
) -> None:
    after = 0.8 * (1 - lost)
    area = reruns.Hidden(0.3, after, (after + 0.8 * more,) * 3, np.zeros((3, 4, 4), np.float32))
    amount = Amount(Followed("the probability", "cat", lambda outputs: outputs), 0.8)
    found, sentence = _judged(amount, area, 0.2, 0.05)
    assert found == outcome
    assert words in sentence
    assert "sure" not in sentence


def test_a_check_asks_for_thresholds_by_name_and_for_nothing_unknown() -> None:
    for one in list_checks():
        assert set(one.needs) <= set(NEEDS)
        assert one.title.endswith("?")
        assert one.summary.endswith(".")
    used = {need for one in list_checks() for need in one.needs}
    assert set(LIMITS.numbers) <= used, "no threshold without a check"
    with pytest.raises(TypeError, match="least_moon"):

        @check("Is the moon out?")
        def moon(least_moon: float) -> None:
            """Look out of the window."""


# Thresholds


def test_thresholds_survive_being_written_and_read(tmp_path: Path) -> None:
    changed = dataclasses.replace(with_numbers(least_lost=0.1234), version=7, set='mine "quoted" \\ and\nbroken')
    (tmp_path / "mine.toml").write_text(write_thresholds(changed), "utf-8")
    again = read_thresholds(tmp_path / "mine.toml")
    assert dataclasses.replace(again, set="") == dataclasses.replace(changed, set="")
    assert again.version == 7


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"version = 1",
        b"a = [" * 5000,
        OWN.read_bytes().replace(b"0.25", b"nan"),
        OWN.read_bytes().replace(b"0.25", b"true"),
        OWN.read_bytes().replace(b"0.25", b"7.5"),
        OWN.read_bytes() + b"\nextra = 1",
        OWN.read_bytes() + b"#" * 200_000,
    ],
    ids=["empty", "no text", "one line", "nested", "nan", "bool", "beyond", "extra", "huge"],
)
def test_a_file_that_holds_no_thresholds_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "patient-name.toml"
    path.write_bytes(content)
    with pytest.raises(GradcamError) as caught:
        read_thresholds(path)
    assert "patient" not in str(caught.value)


def test_thresholds_can_be_derived_and_too_few_pictures_are_refused(tiny: LoadedModel) -> None:
    sure = networks.loaded(networks.conv_net(classes=1))  # its only class: the sigmoid is above a half on some
    images = [dataclasses.replace(networks.picture(seed=seed), sha256=f"{seed:064}") for seed in range(30)]
    with pytest.raises(GradcamError, match="can be used"):
        derive_thresholds(images[:5], tiny, name="few")
    usable = [x for x in images if explain(x, sure, top_k=1).predictions[0].probability >= 0.5]
    if len(usable) < 20:
        pytest.fail(f"only {len(usable)} of the pictures suit this test")
    derived = derive_thresholds(usable, sure, name="mine", version=3)
    assert derived.set == "mine"
    for name, value in derived.numbers.items():
        low, high = BOUNDS.get(name, (LIMITS.numbers[name],) * 2)
        assert low <= value <= high
    assert set(LIMITS.numbers) - set(BOUNDS) == {"least_probability", "least_lost"}


def test_pictures_to_calibrate_on_are_read_one_at_a_time() -> None:
    sure = networks.loaded(networks.conv_net(classes=1))
    alive: list[weakref.ref[np.ndarray]] = []

    def pictures() -> Iterator[ImageRecord]:
        for seed in range(40):
            assert sum(one() is not None for one in alive) <= 2, "earlier pictures are released"
            image = dataclasses.replace(networks.picture(seed=seed), sha256=f"{seed:064}")
            alive.append(weakref.ref(image.pixels))
            yield image
            del image

    heard: list[float] = []
    with suppress(GradcamError):
        derive_thresholds(pictures(), sure, name="x", count=40, on_progress=lambda share, *_: heard.append(share))
    assert heard == sorted(heard)
    assert len(heard) == 40


def test_an_area_is_not_compared_with_a_mean_that_contains_it(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = explained(tiny, top_k=1)
    rerun = reruns.begin_rerun(found, found.heatmaps[0], tiny)
    area = reruns.Hidden(0.3, 0.0, (0.1, 0.2, 0.3), np.zeros((3, 4, 4), np.float32))
    monkeypatch.setattr(calibration, "without_hot_areas", lambda rerun: [area])
    values = calibration._numbers(rerun)["least_lost_more"]
    expected = [(0.25 - 0.1), (0.2 - 0.2), (0.15 - 0.3)]
    assert values == pytest.approx([value / rerun.probability for value in expected])


def test_either_size_of_hidden_area_is_enough(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    found = explained(tiny, top_k=1)
    before = reruns.begin_rerun(found, found.heatmaps[0], tiny).probability
    shown = np.zeros((3, 4, 4), np.float32)
    lost, kept = (reruns.Hidden(share, before * rest, (before,) * 3, shown) for share, rest in ((0.1, 0.3), (0.3, 0.9)))
    for areas, outcome, share in (
        ((lost, kept), "passed", "10"),
        ((kept, lost), "passed", "10"),
        ((kept, kept), "attention", "30"),
    ):
        monkeypatch.setattr(matters, "without_hot_areas", lambda rerun, areas=areas: list(areas))
        one = checks_of(found, tiny)["matters"]
        assert one.outcome == outcome
        assert f"the hottest {share}\u202f%" in one.sentence


def test_the_hottest_areas_are_hidden_in_two_sizes_with_others_of_their_form(bundled: LoadedModel) -> None:
    found = explain(read_image(read_sample("cat")), bundled, top_k=1, methods="grad_cam")
    small, large = reruns.without_hot_areas(reruns.begin_rerun(found, found.heatmaps[0], bundled))
    assert (small.share, large.share) == pytest.approx((0.1, 0.3), abs=0.01)
    assert len(small.elsewhere) == len(large.elsewhere) == reruns.PATCHES
    assert (small.shown != large.shown).any()
