"""The checks of a heatmap: each number against a literal twin, each outcome on a case whose truth is known."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from gradcam_core import explain, list_methods, trust
from gradcam_core.capture import can_randomise_head, scorer, with_randomised_head
from gradcam_core.checks import reruns, sentences
from gradcam_core.checks.calibration import BOUNDS, derive_thresholds
from gradcam_core.checks.edges import REGIONS, edge_regions
from gradcam_core.checks.sentences import QUESTIONS
from gradcam_core.checks.thresholds import NUMBERS, OWN, read_thresholds, write_thresholds
from gradcam_core.errors import GradcamError, ModelError, TargetError
from gradcam_core.measures.infill import fill_in
from gradcam_core.measures.similar import similarity
from gradcam_core.placement import Placement
from gradcam_core.records import Explanation, LoadedModel
from gradcam_core.targets import contrast
from tests import networks
from tests.test_capture import state_of

LIMITS = read_thresholds()
FORBIDDEN = ("reason", "explains why", "correct", "disease", "because")


def explained(model: LoadedModel, **options: object) -> Explanation:
    return explain(networks.picture(), model, **{"top_k": 2, "methods": "grad_cam", **options})  # type: ignore[arg-type]


# How alike two maps are


def ranks_twin(values: list[float]) -> list[float]:
    """A value's rank: how many are smaller, and half of its equals."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


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
    made = fill_in(torch.tensor(values, dtype=torch.float32)[None, None], torch.from_numpy(hidden)[None, None])
    np.testing.assert_allclose(made[0, 0].numpy(), truth, atol=2e-5)


def test_what_is_not_hidden_stays_as_it_is_and_nothing_of_the_hidden_part_is_left() -> None:
    inputs = torch.randn(2, 3, 40, 30)
    hidden = torch.zeros(2, 1, 40, 30, dtype=torch.bool)
    hidden[0, 0, 5:20, 5:15] = hidden[1, 0, :, :10] = True
    other = torch.where(hidden, 100 * torch.randn(2, 3, 40, 30), inputs)
    made = fill_in(inputs, hidden)
    assert torch.equal(made, fill_in(other, hidden))
    assert torch.equal(made[~hidden.expand(-1, 3, -1, -1)], inputs[~hidden.expand(-1, 3, -1, -1)])
    assert made.abs().max() <= inputs.abs().max()


def test_a_picture_hidden_everywhere_becomes_the_mean_colour() -> None:
    everything = torch.ones(1, 1, 12, 12, dtype=torch.bool)
    assert not fill_in(torch.randn(1, 3, 12, 12), everything).any()


@pytest.mark.parametrize("box", [(0, 0, 60, 80), (-10, 0, 70, 80), (0, -40, 60, 120), (10, 20, 50, 60)])
def test_the_edge_regions_frame_what_the_model_sees_of_the_picture(box: tuple[float, ...]) -> None:
    placement = Placement((60, 80), (48, 64), box)
    top, left, bottom, right = placement.shown()
    regions = edge_regions(placement)[:, 0]
    assert len(regions) == len(REGIONS)
    assert regions.sum(0).max() == 1, "none overlaps another"
    covered = regions.any(0)
    assert not covered[:top].any()
    assert not covered[:, :left].any()
    assert covered[top, left:right].all()
    assert covered[bottom - 1, left:right].all()
    assert covered[top:bottom, left].all()
    assert covered[top:bottom, right - 1].all()
    assert not covered[(top + bottom) // 2, (left + right) // 2]


def test_the_hottest_part_is_a_tenth_of_the_picture_and_moves_without_changing(tiny: LoadedModel) -> None:
    heatmap = explained(tiny).heatmaps[0]
    raw = np.random.default_rng(1).random((8, 8)).astype(np.float32)
    heatmap = dataclasses.replace(heatmap, raw=raw)
    hot = reruns.hottest_part(heatmap, 0.1)
    assert int(hot.sum()) == round(0.1 * 32 * 32)
    elsewhere = reruns.moved_elsewhere(hot, heatmap.placement, 8)
    assert elsewhere.sum((1, 2, 3)).tolist() == [int(hot.sum())] * 8
    assert all(int((one & hot[0]).sum()) < 0.5 * int(hot.sum()) for one in elsewhere)


def test_of_a_map_with_one_warm_cell_no_more_than_its_surroundings_are_hidden(tiny: LoadedModel) -> None:
    raw = np.zeros((16, 16), np.float32)
    raw[3, 3] = 1
    hot = reruns.hottest_part(dataclasses.replace(explained(tiny).heatmaps[0], raw=raw), 0.5)
    assert 0 < int(hot.sum()) < 0.05 * 32 * 32


# The classifier drawn anew


def test_a_redrawn_head_shares_everything_else_and_leaves_the_model_as_it_is(bundled: LoadedModel) -> None:
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


def test_the_folded_copy_of_a_redrawn_model_answers_as_its_own_network_does(bundled: LoadedModel) -> None:
    drawn = with_randomised_head(bundled, 3)
    inputs = torch.randn(2, 3, 224, 224)
    assert bundled.folded is not None
    plain = dataclasses.replace(drawn, folded=None)
    torch.testing.assert_close(scorer(drawn)(inputs), scorer(plain)(inputs), rtol=1e-3, atol=1e-3)


# The panel


def test_the_panel_takes_at_most_thirty_forward_and_ten_backward_passes(bundled: LoadedModel) -> None:
    plain = dataclasses.replace(bundled, folded=None)
    found = explained(plain, top_k=1)
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
    for entry in list_methods():
        few = {"rise": {"masks": 50}}.get(entry.name, {})
        found = explained(tiny, top_k=1, methods=[(entry.name, few)])
        checked = trust(found, found.heatmaps[0], tiny)
        assert [one.name for one in checked.checks] == list(QUESTIONS)
        for one in checked.checks:
            assert one.sentence.endswith((".", ".)"))
            assert one.outcome in ("passed", "attention", "not tested")
            assert not any(word in one.sentence.lower() for word in FORBIDDEN), one.sentence
            assert one.numbers or one.outcome == "not tested"


def test_a_method_that_knows_no_class_fails_by_construction_and_is_told_so(bundled: LoadedModel, cat_and_cup) -> None:  # type: ignore[no-untyped-def]
    found = explain(cat_and_cup, bundled, top_k=1, methods="eigen_cam")
    by_name = {one.name: one for one in trust(found, found.heatmaps[0], bundled).checks}
    assert by_name["learned"].outcome == by_name["class"].outcome == "attention"
    assert by_name["learned"].numbers["similarity"] == pytest.approx(1)
    assert "knows no class, by construction" in by_name["class"].sentence


def test_an_empty_map_is_said_to_be_empty_and_not_tested(tiny: LoadedModel) -> None:
    found = explained(tiny)
    empty = dataclasses.replace(found.heatmaps[0], raw=-np.abs(found.heatmaps[0].raw) - 1)
    checked = trust(found, empty, tiny)
    outcomes = {one.name: one.outcome for one in checked.checks}
    assert outcomes["support"] == "attention"
    assert {outcomes[name] for name in ("learned", "matters", "stable", "class")} == {"not tested"}
    assert outcomes["edges"] != "not tested", "whether a border is read does not depend on the map"
    assert "4 not tested" in checked.outcome


def test_a_class_that_the_model_gives_nothing_has_nothing_to_lose(tiny: LoadedModel) -> None:
    network = networks.conv_net()
    with torch.no_grad():
        network[-1].bias[2] = -200.0  # its probability is exactly 0 in single precision
    model = networks.loaded(network)
    found = explained(model, targets=[2])
    assert found.heatmaps[0].target.probability == 0
    outcomes = {one.name: one for one in trust(found, found.heatmaps[0], model).checks}
    assert outcomes["matters"].outcome == outcomes["edges"].outcome == "not tested"
    assert "next to nothing" in outcomes["edges"].sentence


def test_a_target_that_is_no_class_is_refused(tiny: LoadedModel) -> None:
    found = explained(tiny)
    stray = dataclasses.replace(found.heatmaps[0].target, index=99)
    with pytest.raises(TargetError, match="no class"):
        trust(found, dataclasses.replace(found.heatmaps[0], target=stray), tiny)


def test_a_model_with_one_class_has_no_other_map_to_compare(tmp_path: Path) -> None:
    one = networks.loaded(networks.conv_net(classes=1))
    found = explained(one, top_k=1)
    by_name = {check.name: check for check in trust(found, found.heatmaps[0], one).checks}
    assert by_name["class"].outcome == "not tested"


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
    found = explained(model)
    by_name = {check.name: check for check in trust(found, found.heatmaps[0], model).checks}
    assert by_name["learned"].outcome == "not tested"
    assert "no single linear classifier" in by_name["learned"].sentence


def test_fused_layers_contrasts_and_smoothed_maps_can_be_checked(tiny: LoadedModel) -> None:
    names = [layer.name for layer in tiny.layers][-2:]
    found = explained(tiny, targets=[contrast(0, 1, tiny.labels)], layers=names, methods=[("grad_cam", {"copies": 2})])
    fused = found.heatmaps[-1]
    assert fused.fusion
    assert len(trust(found, fused, tiny).checks) == len(QUESTIONS)


def test_the_same_maps_are_tested_that_explain_makes(tiny: LoadedModel) -> None:
    found = explained(tiny)
    case = reruns.begin_trial(found, found.heatmaps[0], tiny)
    made = reruns.next_class_map(case)
    assert made is not None
    target, raw = made
    other = next(one for one in explained(tiny, targets=[target.index]).heatmaps)
    np.testing.assert_allclose(raw, other.raw, rtol=1e-4, atol=1e-6)
    drawn = with_randomised_head(tiny, 1)
    again = explain(networks.picture(), drawn, targets=[case.heatmap.target.index], methods="grad_cam").heatmaps[0]
    maps = reruns.redrawn_maps(case)
    assert maps is not None
    np.testing.assert_allclose(maps[1], again.raw, rtol=1e-4, atol=1e-6)


def test_another_model_or_another_preprocessing_is_refused(tiny: LoadedModel) -> None:
    found = explained(tiny)
    with pytest.raises(ModelError, match="another model"):
        trust(found, found.heatmaps[0], networks.loaded(networks.conv_net(seed=5)))
    other = dataclasses.replace(tiny, preprocessing=networks.plain(48))
    with pytest.raises(ModelError, match="prepared otherwise"):
        trust(found, found.heatmaps[0], other)


def test_whoever_listens_hears_every_question_and_may_cancel(tiny: LoadedModel) -> None:
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


def test_the_outcome_line_counts_and_gives_no_score() -> None:
    rows = [sentences.Check("support", outcome, ".") for outcome in ("passed", "passed", "attention", "not tested")]  # type: ignore[arg-type]
    from gradcam_core.checks.panel import Trust

    line = Trust(None, tuple(rows), (3.0, 3.0), LIMITS).outcome  # type: ignore[arg-type]
    assert line == "2 of 4 checks passed; 1 needs your attention; 1 not tested."


@pytest.mark.parametrize("lost", [0.24, 0.26])
def test_a_check_turns_at_its_threshold(lost: float) -> None:
    limits = dataclasses.replace(LIMITS, most_lost_at_edge=0.25, least_lost=0.25)
    after = [0.8] * 7 + [0.8 * (1 - lost)]
    assert sentences.edges(0.8, after, limits).outcome == ("passed" if lost < 0.25 else "attention")
    assert REGIONS[7] in sentences.edges(0.8, after, limits).sentence
    assert sentences.matters(0.1, 0.8, 0.8 * (1 - lost), [0.8], limits).outcome == (
        "attention" if lost < 0.25 else "passed"
    )


# Thresholds


def test_thresholds_survive_being_written_and_read(tmp_path: Path) -> None:
    changed = dataclasses.replace(LIMITS, version=7, set='mine "quoted" \\ and\nbroken', least_lost=0.1234)
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
    assert derived.least_probability == LIMITS.least_probability
    for name in BOUNDS:
        low, high = BOUNDS[name]
        assert low <= getattr(derived, name) <= high
    assert set(NUMBERS) - set(BOUNDS) == {"least_probability"}
