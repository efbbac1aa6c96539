"""Measurements of a heatmap, against their literal twins, and what they promise."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradcam_core.capture import scorer
from gradcam_core.errors import GradcamError
from gradcam_core.explanation import explain
from gradcam_core.measures import Measurement, NotMeasurable, list_measurements, measure, theme_of
from gradcam_core.measures import faithfulness as faithful
from gradcam_core.measures.given import heat_of, shown_in, visible_in
from gradcam_core.measures.hiding import fill_in, hottest_first, mask_of
from gradcam_core.measures.road import SHARES, impute, road
from gradcam_core.placement import Placement
from gradcam_core.progress import SILENT
from gradcam_core.records import Heatmap, LoadedModel
from gradcam_core.targets import ClassTarget, contrast
from tests import measured, networks

FUNCTIONS = {entry.name: entry.function for entry in list_measurements()}
LOCALISATION = [entry.name for entry in list_measurements() if "truth" in entry.needs]
FAITHFULNESS = [entry.name for entry in list_measurements() if "probability" in entry.needs]
SQUARE = Placement((24, 20), (24, 20), (0.0, 0.0, 24.0, 20.0))


def heatmap(raw: np.ndarray, placement: Placement = SQUARE, signed: bool = False) -> Heatmap:
    raw = np.asarray(raw, np.float32)
    return Heatmap("grad_cam", {}, ClassTarget(0, "a", 0.5), "layer", raw, placement, signed=signed)


def numbers(found: tuple[Measurement, ...]) -> dict[str, float | None]:
    return {one.name: one.value for one in found}


def only(found: tuple[Measurement, ...]) -> Measurement:
    (one,) = found
    return one


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A heatmap with many ties and zeros and unseen borders, and a ragged region of which a part was seen."""
    random = np.random.default_rng(seed)
    heat = (random.integers(0, 9, (14, 11)).clip(2) - 2).astype(np.float32) / np.float32(6)
    heat[: seed % 3] = np.nan
    heat[:, 11 - seed % 2 :] = np.nan
    truth = random.random((14, 11)) < 0.2
    truth[:3] |= seed % 4 == 1
    truth[6, 5] = True
    return heat, truth


def random_input(seed: int, padding: int = 2) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """A small input with padded sides, a heatmap on it with ties, and what is visible."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(1, 2, 9, 10)).astype(np.float32)
    shown = random.integers(0, 12, (9, 10)).astype(np.float32) / np.float32(11)
    visible = np.ones((9, 10), bool)
    visible[:, :padding] = False
    inputs[..., ~visible] = -1.5
    return torch.from_numpy(inputs), np.where(visible, shown, np.float32(0)), visible


def follows(seed: int, shape: tuple[int, ...] = (2, 9, 10)) -> tuple[object, measured.Probability]:
    """A probability that depends on every pixel: for tensors, and for one picture in plain lists."""
    weights = np.random.default_rng(seed + 100).normal(size=shape)

    def one(picture: measured.Picture) -> float:
        return 1 / (1 + math.exp(-float((np.array(picture) * weights).sum()) / 4))

    return lambda inputs: np.array([one(picture) for picture in inputs.double().tolist()]), one


# --- equal to their twins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", measured.OF_A_HEATMAP)
def test_a_measurement_of_the_heatmap_equals_its_twin(name: str, seed: int) -> None:
    heat, truth = random_case(seed)
    given = (heat, truth) if name in LOCALISATION else (heat,)
    expected = measured.OF_A_HEATMAP[name](heat.astype(float).tolist(), truth.tolist())
    assert FUNCTIONS[name](*given).value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_chance_is_the_mean_over_heatmaps_of_the_same_values_in_any_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    heat = random.random((8, 9)).astype(np.float32) ** 2
    heat /= heat.max()
    truth = random.random((8, 9)) < 0.2
    truth[3, 3] = True
    for name in ("iou_fixed", "iou_otsu", "relevance_mass", "relevance_rank"):
        several = [FUNCTIONS[name](random.permutation(heat.ravel()).reshape(heat.shape), truth) for _ in range(1500)]
        mean = np.mean([reading.value for reading in several])
        assert FUNCTIONS[name](heat, truth).chance == pytest.approx(mean, abs=0.012), name


def test_the_twins_cover_the_whole_family() -> None:
    assert set(FUNCTIONS) == set(measured.OF_A_HEATMAP) | set(FAITHFULNESS)
    assert {name for name in FAITHFULNESS if not hasattr(measured, name)} == set()


@pytest.mark.parametrize("seed", range(3))
def test_gini_is_the_mean_difference_between_two_pixels(seed: int) -> None:
    heat, _ = random_case(seed)
    values = heat[~np.isnan(heat)].astype(float)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert FUNCTIONS["gini"](heat).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_deletion_and_insertion_equal_their_twins(seed: int) -> None:
    inputs, shown, visible = random_input(seed)
    probability, f = follows(seed)

    def fill(x: measured.Picture, hidden: set[measured.Place]) -> measured.Picture:
        mask = torch.tensor([[[(i, j) in hidden for j in range(10)] for i in range(9)]])[None]
        return fill_in(torch.tensor(x)[None], mask, visible)[0].double().tolist()

    plain = (inputs[0].tolist(), shown.tolist(), visible.tolist(), f)
    for found, (area, values) in (
        (faithful.deletion(inputs, shown, visible, probability, SILENT, steps=7), measured.deletion(*plain, fill, 7)),
        (faithful.insertion(inputs, shown, visible, probability, SILENT, steps=7), measured.insertion(*plain, 7)),
    ):
        assert found.curve.values == pytest.approx(values, abs=1e-5)
        assert found.curve.shares == pytest.approx([step / 7 for step in range(8)])
        assert found.value == pytest.approx(area, abs=1e-5)
        assert len(set(np.round(values, 4))) > 5, "the curve moves, or nothing was compared"


@pytest.mark.parametrize("seed", range(4))
def test_drop_and_increase_equal_their_twins(seed: int) -> None:
    inputs, shown, _ = random_input(seed)
    probability, f = follows(seed)
    plain = (inputs[0].tolist(), shown.tolist(), f)
    assert faithful.average_drop(inputs, shown, probability).value == pytest.approx(
        measured.average_drop(*plain), abs=1e-6
    )
    assert faithful.average_increase(inputs, shown, probability).value == measured.average_increase(*plain)


def test_the_cases_hold_both_a_drop_and_an_increase() -> None:
    found = {measured.average_increase(c[0].tolist(), s.tolist(), follows(i)[1])
             for i in range(4) for c, s, _ in [random_input(i)]}  # fmt: skip
    assert found == {0.0, 1.0}


@pytest.mark.parametrize("seed", range(3))
def test_road_equals_its_twin(seed: int) -> None:
    inputs, shown, visible = random_input(seed)
    probability, f = follows(seed)
    found = road(inputs, shown, visible, probability, SILENT)
    value, most = measured.road(inputs[0].tolist(), shown.tolist(), visible.tolist(), f)
    assert found.value == pytest.approx(value, abs=1e-5)
    assert found.curve.values == pytest.approx(most, abs=1e-5)
    assert found.curve.shares == (0.0, 0.2, 0.4, 0.6, 0.8)


class Quiet:
    """Noise of strength 0, to see what is beneath."""

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)


@pytest.mark.parametrize(("seed", "share", "padding"), [(0, 0.3, 2), (1, 0.8, 2), (2, 0.95, 0), (3, 0.05, 0)])
def test_imputation_equals_a_dense_solution(seed: int, share: float, padding: int) -> None:
    inputs, _, visible = random_input(seed, padding)
    hidden = visible & (np.random.default_rng(seed).random(visible.shape) < share)
    found = impute(inputs, hidden, visible, Quiet())[0].numpy()  # type: ignore[arg-type]
    places = {(int(i), int(j)) for i, j in np.argwhere(hidden)}
    np.testing.assert_allclose(found, measured.imputed(inputs[0].tolist(), places, visible.tolist()), atol=1e-5)
    np.testing.assert_array_equal(found[:, ~hidden], inputs[0].numpy()[:, ~hidden])


def test_imputed_pixels_carry_the_noise_and_others_none() -> None:
    inputs, _, visible = random_input(0)
    hidden = visible & (np.arange(10) > 5)
    calm = impute(inputs, hidden, visible, Quiet())[0].numpy()  # type: ignore[arg-type]
    noisy = impute(inputs, hidden, visible, np.random.default_rng(3))[0].numpy()
    drawn = 0.01 * np.random.default_rng(3).standard_normal((hidden.sum(), 2)).T
    np.testing.assert_allclose((noisy - calm)[:, hidden], drawn, atol=1e-6)
    assert not (noisy - calm)[:, ~hidden].any()


# --- what they promise -----------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 4.0, 1024.0]))
def test_values_stay_within_0_and_1_and_do_not_depend_on_the_scale(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    raw = random.normal(size=(4, 3)) * random.integers(0, 2, (4, 3))
    raw[1, 1] = 1.0
    truth = random.random((24, 20)) < 0.3
    truth[12, 10] = True
    cropped = dataclasses.replace(SQUARE, box=(2.0, 3.0, 22.0, 17.0))
    found = numbers(measure(heatmap(raw, cropped), truth=truth))
    assert set(found) == set(measured.OF_A_HEATMAP)
    assert all(value is not None and 0 <= value <= 1 for value in found.values()), found
    assert found == pytest.approx(numbers(measure(heatmap(raw * scale, cropped), truth=truth)), abs=1e-6)


@settings(max_examples=15)
@given(st.integers(0, 21), st.integers(0, 17), st.integers(2, 3), st.integers(2, 3))
def test_a_perfect_heatmap_is_perfect(top: int, left: int, height: int, width: int) -> None:
    truth = np.zeros((24, 20), bool)
    truth[top : top + height, left : left + width] = True
    found = measure(heatmap(truth), truth=truth, names=LOCALISATION)
    assert numbers(found) == dict.fromkeys(LOCALISATION, pytest.approx(1.0))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.floats(0.001, 1000))
def test_a_heatmap_that_is_the_same_everywhere_knows_only_the_regions_size(seed: int, level: float) -> None:
    truth = np.random.default_rng(seed).random((24, 20)) < 0.4
    truth[3, 3], truth[20, 15] = True, False
    found = measure(heatmap(np.full((5, 7), level)), truth=truth)
    values = numbers(found)
    for name in ("relevance_mass", "relevance_rank", "iou_fixed"):
        assert values[name] == pytest.approx(truth.mean(), abs=1e-9)
    assert values["entropy"] == pytest.approx(1.0)
    assert values["gini"] == pytest.approx(0.0, abs=1e-9)
    assert values["iou_otsu"] is None


def test_a_single_hot_pixel_is_all_focus_and_no_spread() -> None:
    heat = np.zeros((6, 5), np.float32)
    heat[2, 2] = 0.7
    assert FUNCTIONS["entropy"](heat).value == 0
    assert FUNCTIONS["gini"](heat).value == pytest.approx(1 - 1 / 30)


def test_all_pixels_that_share_the_peak_must_hit() -> None:
    heat = np.zeros((100, 100), np.float32)
    heat[50, 50] = heat[50, 90] = 1
    truth = np.zeros((100, 100), bool)
    truth[48:53, 48:53] = True
    assert FUNCTIONS["pointing_game"](heat, truth).value == 0
    heat[50, 90] = 0.99
    assert FUNCTIONS["pointing_game"](heat, truth).value == 1


def test_a_peak_beside_the_unseen_part_of_a_region_is_no_hit() -> None:
    heat = np.zeros((100, 60), np.float32)
    heat[:10] = np.nan
    heat[10, 5] = 1
    truth = np.zeros((100, 60), bool)
    truth[8:10, 5] = truth[50, 50] = True
    assert FUNCTIONS["pointing_game"](heat, truth).value == 0


@pytest.mark.parametrize(("column", "hit"), [(55, 1), (56, 0)])
def test_the_peak_may_lie_within_the_tolerance(column: int, hit: float) -> None:
    heat = np.zeros((100, 60), np.float32)
    heat[50, column] = 1
    truth = np.zeros((100, 60), bool)
    truth[50, 50:53] = True
    assert FUNCTIONS["pointing_game"](heat, truth).value == hit
    assert FUNCTIONS["pointing_game"](heat, truth, tolerance=0.0).value == 0


def test_what_was_never_seen_counts_nowhere() -> None:
    raw = np.random.default_rng(0).random((5, 5))
    truth = np.zeros((24, 20), bool)
    truth[8:14, 6:12] = True
    cropped = dataclasses.replace(SQUARE, box=(4.0, 2.0, 20.0, 18.0))
    more = truth.copy()
    more[0:3] = True
    one, other = (measure(heatmap(raw, cropped), truth=mask) for mask in (truth, more))
    assert one == other


def test_a_region_that_was_never_seen_is_refused_in_words() -> None:
    truth = np.zeros((24, 20), bool)
    truth[:3] = True
    cropped = dataclasses.replace(SQUARE, box=(4.0, 2.0, 20.0, 18.0))
    found = measure(heatmap(np.random.default_rng(0).random((5, 5)), cropped), truth=truth, names=LOCALISATION)
    assert {one.reason for one in found} == {"The reference region lies entirely where the model did not look."}
    assert {one.value for one in found} == {None}


# --- which pixels ----------------------------------------------------------------------------------------------------


def nearly_empty(zero: float) -> np.ndarray:
    """A heatmap [40 50] with this share of zeros, in one corner all different values."""
    shown = np.zeros(2000, np.float32)
    hot = round((1 - zero) * 2000)
    shown[:hot] = np.linspace(1, 0.5, hot)
    return shown.reshape(40, 50)


class Spy:
    """A probability that remembers how many pixels of each picture differ from the input."""

    def __init__(self, inputs: torch.Tensor) -> None:
        self.inputs = inputs
        self.changed: list[int] = []

    def __call__(self, pictures: torch.Tensor) -> np.ndarray:
        self.changed += (pictures != self.inputs).any(dim=1).sum(dim=(1, 2)).tolist()
        return np.linspace(0.1, 0.9, len(pictures))


def test_equal_pixels_come_in_a_random_order_that_can_be_repeated() -> None:
    shown, visible = nearly_empty(0.99), np.ones((40, 50), bool)
    first, again, other = (hottest_first(shown, visible, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first[:20] == other[:20]).all(), "what is ordered does not move"
    assert (first[20:] != other[20:]).mean() > 0.9
    rows = first[20 : 20 + 660] // 50
    assert abs(rows.mean() - 19.5) < 2, "neither from above nor from below"


@pytest.mark.parametrize("count", [0, 1, 400, 1999, 2000])
def test_exactly_the_wanted_number_of_pixels_is_chosen_on_a_map_that_is_nearly_all_zero(count: int) -> None:
    shown, visible = nearly_empty(0.99), np.ones((40, 50), bool)
    assert mask_of(hottest_first(shown, visible, 0)[:count], (40, 50)).sum() == count


def test_deletion_hides_exactly_the_wanted_shares_of_a_map_that_is_nearly_all_zero() -> None:
    inputs = torch.randn(1, 3, 40, 50)
    spy = Spy(inputs)
    faithful.deletion(inputs, nearly_empty(0.99), np.ones((40, 50), bool), spy, SILENT, steps=5)
    assert spy.changed == [0, 400, 800, 1200, 1600, 2000]


def test_road_removes_exactly_the_wanted_shares() -> None:
    inputs = torch.randn(1, 3, 40, 50)
    visible = np.ones((40, 50), bool)
    visible[:, 45:] = False
    spy = Spy(inputs)
    road(inputs, np.where(visible, nearly_empty(0.85), np.float32(0)), visible, spy, SILENT)
    counts = [round(share * 1800) for share in SHARES]
    assert spy.changed == [0] + [count for count in counts for _ in ("hottest", "coldest")]


def test_road_refuses_a_map_that_is_nearly_all_zero_instead_of_hiding_it_all() -> None:
    inputs = torch.randn(1, 3, 40, 50)
    spy = Spy(inputs)
    with pytest.raises(NotMeasurable, match="Of the 20% hottest pixels 95% are only as hot as others"):
        road(inputs, nearly_empty(0.99), np.ones((40, 50), bool), spy, SILENT)
    assert spy.changed == []


def test_road_refuses_a_picture_of_which_too_little_was_seen() -> None:
    visible = np.zeros((4, 4), bool)
    visible[0, :2] = True
    shown = np.where(visible, np.arange(16, dtype=np.float32).reshape(4, 4), np.float32(0))
    with pytest.raises(NotMeasurable, match="too few pixels"):
        road(torch.randn(1, 3, 4, 4), shown, visible, Spy(torch.zeros(1, 3, 4, 4)), SILENT)


@pytest.mark.parametrize("name", ["deletion", "insertion", "road"])
@pytest.mark.parametrize(("level", "words"), [(0.0, "is 0 everywhere"), (1.0, "same everywhere")])
def test_maps_without_an_order_are_refused(name: str, level: float, words: str) -> None:
    shown = np.full((9, 10), level, np.float32)
    inputs, _, visible = random_input(0)
    with pytest.raises(NotMeasurable, match=words):
        FUNCTIONS[name](inputs, np.where(visible, shown, np.float32(0)), visible, follows(0)[0], SILENT)


def patch_model() -> tuple[torch.Tensor, np.ndarray, object]:
    """A bright patch, a quarter of a dark picture, and a score that is the patch's mean."""
    patch = np.zeros((8, 8), bool)
    patch[2:6, 2:6] = True
    inputs = torch.from_numpy(patch.astype(np.float32))[None, None]
    return inputs, patch, lambda pictures: pictures[..., 2:6, 2:6].mean(dim=(1, 2, 3)).numpy()


def test_deletion_falls_exactly_when_the_patch_that_counts_is_hidden() -> None:
    inputs, patch, probability = patch_model()
    visible = np.ones((8, 8), bool)
    hot = patch.astype(np.float32)
    good = faithful.deletion(inputs, hot, visible, probability, SILENT, steps=4)
    bad = faithful.deletion(inputs, 1 - hot, visible, probability, SILENT, steps=4)
    assert good.curve.values == pytest.approx([1, 0, 0, 0, 0], abs=1e-6)
    assert bad.curve.values == pytest.approx([1, 1, 1, 1, 0], abs=1e-6)
    assert (good.value, bad.value) == pytest.approx((0.125, 0.875))


def test_insertion_rises_exactly_when_the_patch_that_counts_is_shown() -> None:
    inputs, patch, probability = patch_model()
    visible = np.ones((8, 8), bool)
    hot = patch.astype(np.float32)
    good = faithful.insertion(inputs, hot, visible, probability, SILENT, steps=4).curve.values
    bad = faithful.insertion(inputs, 1 - hot, visible, probability, SILENT, steps=4).curve.values
    assert good[0] < 0.9
    assert good[1:] == pytest.approx([1] * 4)
    assert bad[:4] == pytest.approx([good[0]] * 4)


def test_a_map_that_is_1_everywhere_changes_nothing() -> None:
    inputs, _, _ = random_input(0)
    everywhere = np.ones((9, 10), np.float32)
    assert faithful.average_drop(inputs, everywhere, follows(0)[0]).value == 0
    assert faithful.average_increase(inputs, everywhere, follows(0)[0]).value == 0


# --- all of it, on models --------------------------------------------------------------------------------------------


def state_of(model: LoadedModel) -> list[object]:
    """Whatever an analysis could leave behind on a network."""
    modules, parameters = list(model.module.modules()), list(model.module.parameters())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in modules]
    tensors = [(t.data_ptr(), t._version) for t in model.module.state_dict().values()]
    flags = [(p.requires_grad, p.grad is None) for p in parameters]
    return [hooks, tensors, flags, [m.training for m in modules], torch.is_grad_enabled()]


def test_every_member_speaks_about_a_real_analysis_and_leaves_it_untouched(tiny: LoadedModel) -> None:
    explanation = explain(networks.picture(), tiny, top_k=1, methods="layer_cam")
    before, given = state_of(tiny), explanation.model_input.copy()
    truth = np.zeros((40, 56), bool)
    truth[10:20, 10:30] = True
    found = measure(explanation.heatmaps[0], truth=truth, explanation=explanation, model=tiny)
    assert [one.name for one in found] == [entry.name for entry in list_measurements()]
    assert [one.name for one in found if one.value is None or one.reason] == []
    assert state_of(tiny) == before
    np.testing.assert_array_equal(explanation.model_input, given)
    deletion = next(one for one in found if one.name == "deletion")
    assert deletion.curve is not None
    assert deletion.curve.values[0] == pytest.approx(explanation.predictions[0].probability, abs=1e-5)
    assert len(deletion.curve.shares) == 21
    with torch.inference_mode(), torch.autocast("cpu"):
        assert measure(explanation.heatmaps[0], truth=truth, explanation=explanation, model=tiny) == found


def test_only_what_is_given_is_measured(tiny: LoadedModel) -> None:
    explanation = explain(networks.picture(), tiny, top_k=1, methods="layer_cam")
    one = explanation.heatmaps[0]
    truth = np.ones((40, 56), bool)
    assert set(numbers(measure(one))) == {"entropy", "gini"}
    assert set(numbers(measure(one, truth=truth))) == {*LOCALISATION, "entropy", "gini"}
    assert set(numbers(measure(one, explanation=explanation, model=tiny))) == {*FAITHFULNESS, "entropy", "gini"}
    assert set(numbers(measure(one, explanation=explanation))) == {"entropy", "gini"}
    asked = measure(one, names=("road", "iou_otsu"))
    assert [(found.name, found.value) for found in asked] == [("road", None), ("iou_otsu", None)]
    assert asked[0].reason == "This needs the explanation and its model."
    assert asked[1].reason == "This needs a reference region."


def test_a_map_without_evidence_has_reasons_and_no_numbers(tiny: LoadedModel) -> None:
    explanation = explain(networks.picture(), tiny, top_k=1, methods="layer_cam")
    for signed in (False, True):
        empty = dataclasses.replace(explanation.heatmaps[0], raw=-np.ones((8, 8), np.float32), signed=signed)
        found = measure(empty, truth=np.ones((40, 56), bool), explanation=explanation, model=tiny)
        assert {one.value for one in found} == {None}
        assert {one.reason for one in found} == {
            "The heatmap has no positive evidence for the target, so there is nothing to measure."
        }


def test_a_signed_map_is_measured_on_its_positive_part() -> None:
    raw = np.random.default_rng(0).normal(size=(6, 5))
    truth = np.eye(24, 20, dtype=bool)
    signed, positive = heatmap(raw, signed=True), heatmap(raw.clip(0))
    assert numbers(measure(signed, truth=truth)) == numbers(measure(positive, truth=truth))


def test_a_map_whose_heat_lies_in_the_padding_is_refused() -> None:
    placement = Placement((20, 10), (24, 24), (0.0, -5.0, 20.0, 15.0))
    raw = np.zeros((4, 24), np.float32)
    raw[:, 0] = 1
    one = heatmap(raw, placement)
    assert not shown_in(one, visible_in(placement)).any()
    found = measure(one, truth=np.ones((20, 10), bool))
    assert {measurement.value for measurement in found} == {None}
    assert {measurement.reason for measurement in found} == {
        "This heatmap has evidence in the padding only, so there is nothing to measure."
    }


@pytest.mark.parametrize("fit", ["letterbox", "crop", "squash"])
def test_what_is_visible_is_where_the_input_shows_the_picture(fit: str) -> None:
    model = networks.loaded(networks.conv_net(), fit=fit)
    explanation = explain(networks.picture(20, 56), model, top_k=1, methods="layer_cam")
    visible = visible_in(explanation.placement)
    # The padding is the mean, 0 in the input, which no 8-bit value becomes.
    np.testing.assert_array_equal(visible, (explanation.model_input != 0).all(axis=0))
    shown = shown_in(explanation.heatmaps[0], visible)
    assert shown.max() == 1
    assert not shown[~visible].any()


def test_equal_cells_stay_equal_between_them() -> None:
    raw = np.full((3, 7), 0.3)
    raw[:, 0] = 0.7
    one = heatmap(raw, Placement((37, 41), (29, 31), (0.0, 0.0, 37.0, 41.0)))
    assert len(np.unique(heat_of(one)[:, 12:])) == 1
    assert len(np.unique(shown_in(one, np.ones((29, 31), bool))[:, 9:])) == 1


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (np.ones((24, 20), np.uint8), "is uint8, not true or false. Give an array of booleans: mask > 0."),
        ([[True]], "is list, not true or false."),
        (np.ones((20, 24), bool), "is 20 x 24, the picture is 24 x 20."),
        (np.ones((24, 20, 1), bool), "is 24 x 20 x 1, the picture is 24 x 20."),
        (np.zeros((24, 20), bool), "The reference region is empty. Mark at least one pixel."),
    ],
)
def test_a_region_that_does_not_fit_is_refused(truth: object, words: str) -> None:
    with pytest.raises(GradcamError) as refusal:
        measure(heatmap(np.eye(5)), truth=truth)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"names": ("roads",)}, "There is no measurement 'roads'. Did you mean road?"),
        ({"options": {"iou": {}}}, "There is no measurement 'iou'."),
        ({"options": {"road": {"steps": 3}}}, "ROAD has no option 'steps'. It takes seed."),
        ({"options": {"gini": {"steps": 3}}}, "has no option 'steps'. It takes none."),
        ({"options": {"deletion": {"steps": 1}}}, "cannot be 1. Give a whole number from 2 to 100, such as 20."),
        ({"options": {"iou_fixed": {"threshold": "hot"}}}, "cannot be 'hot'. Give a number from 0.01 to 1"),
    ],
)
def test_unknown_names_and_impossible_options_are_refused(asked: dict[str, object], words: str) -> None:
    with pytest.raises(GradcamError) as refusal:
        measure(heatmap(np.eye(5)), **asked)  # type: ignore[arg-type]
    assert words in str(refusal.value)


def test_options_reach_their_measurement() -> None:
    truth = np.zeros((24, 20), bool)
    truth[:12] = True
    ramp = heatmap(np.linspace(1, 0, 24)[:, None] * np.ones(20))
    low, high = (
        only(measure(ramp, truth=truth, names="iou_fixed", options={"iou_fixed": {"threshold": t}})).value
        for t in (0.01, 0.5)
    )
    assert (low, high) == pytest.approx((12 / 23, 1.0))


def test_another_models_or_another_pictures_explanation_is_refused(tiny: LoadedModel) -> None:
    explanation = explain(networks.picture(), tiny, top_k=1, methods="layer_cam")
    other = networks.loaded(networks.conv_net(seed=5))
    with pytest.raises(GradcamError, match="made with another model"):
        measure(explanation.heatmaps[0], explanation=explanation, model=other)
    with pytest.raises(GradcamError, match="does not belong to this explanation"):
        measure(heatmap(np.eye(8)), explanation=explanation, model=tiny)
    another = explain(dataclasses.replace(networks.picture(seed=3), sha256="1" * 64), tiny, top_k=1)
    assert another.placement == explanation.placement
    with pytest.raises(GradcamError, match="does not belong to this explanation"):
        measure(explanation.heatmaps[0], explanation=another, model=tiny)


def test_a_contrast_is_followed_by_its_first_class(tiny: LoadedModel) -> None:
    wanted = contrast(2, 1, tiny.labels)
    explanation = explain(networks.picture(), tiny, targets=wanted, methods="layer_cam")
    one = explanation.heatmaps[0]
    drop = only(measure(one, explanation=explanation, model=tiny, names="deletion"))
    assert drop.curve is not None
    assert drop.curve.values[0] == pytest.approx(one.target.probability, abs=1e-5)


def test_progress_rises_to_the_end_and_may_cancel(tiny: LoadedModel) -> None:
    explanation = explain(networks.picture(), tiny, top_k=1, methods="layer_cam")
    heard: list[tuple[float, str]] = []

    def listen(share: float, words: str, drafts: tuple[Heatmap, ...]) -> None:
        heard.append((share, words))
        if stop and words == "Deletion":
            raise KeyboardInterrupt

    stop = False
    measure(explanation.heatmaps[0], explanation=explanation, model=tiny, on_progress=listen)
    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    # Twenty-one pictures take several batches, however many the process takes at a time.
    assert sum(words == "Deletion" for _, words in heard) > 2
    stop = True
    with pytest.raises(KeyboardInterrupt):
        measure(explanation.heatmaps[0], explanation=explanation, model=tiny, on_progress=listen)


def test_a_scorer_gives_the_networks_scores_and_leaves_its_inputs() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), networks.conv_net()).eval()
    model = networks.loaded(network)
    inputs = torch.randn(7, 3, 32, 32)
    kept = inputs.clone()
    found = scorer(model)(inputs)
    torch.testing.assert_close(inputs, kept, rtol=0, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(found, network(kept), rtol=1e-4, atol=1e-5)
    assert not found.requires_grad


def test_every_member_tells_what_it_means_in_one_line_and_where_it_comes_from() -> None:
    for entry in list_measurements():
        assert 30 < len(entry.summary) <= 120, entry.name
        assert entry.summary.endswith(".")
        assert entry.url.startswith("https://")
        assert set(entry.ranges) == set(entry.options)
    better = {entry.name: entry.better for entry in list_measurements()}
    assert {name for name, words in better.items() if words == "lower"} == {"deletion", "average_drop"}
    assert {name for name, words in better.items() if words == ""} == {"entropy", "gini"}


def test_every_measure_has_a_theme_by_what_it_needs() -> None:
    themes = {entry.name: theme_of(entry) for entry in list_measurements()}
    assert {name for name, theme in themes.items() if theme == "place"} == set(LOCALISATION)
    assert {name for name, theme in themes.items() if theme == "spread"} == {"entropy", "gini"}
    assert {name for name, theme in themes.items() if theme == "change"} == set(FAITHFULNESS)


def test_hidden_parts_are_never_filled_from_padding() -> None:
    # A white picture, letterboxed: whatever is hidden in it is white again, beside the padding as well.
    inputs = torch.zeros(1, 3, 32, 48)
    visible = np.zeros((32, 48), bool)
    visible[8:24] = True
    inputs[..., 8:24, :] = 1
    hidden = torch.zeros(1, 1, 32, 48, dtype=torch.bool)
    hidden[..., 8:12, :] = True
    filled = fill_in(inputs, hidden, visible)
    torch.testing.assert_close(filled, inputs, rtol=0, atol=1e-5)


def test_deletion_of_a_letterboxed_picture_shows_no_padding_inside_it() -> None:
    inputs, visible = torch.zeros(1, 3, 32, 48), np.zeros((32, 48), bool)
    visible[8:24] = True
    inputs[..., 8:24, :] = 1
    shown = np.where(visible, np.linspace(0.01, 1, 48, dtype=np.float32), np.float32(0))
    seen = []

    def probability(pictures: torch.Tensor) -> np.ndarray:
        seen.extend(pictures[..., 8:24, :].flatten(1).amin(1).tolist())
        return np.full(len(pictures), 0.5)

    faithful.deletion(inputs, shown, visible, probability, SILENT, steps=5)
    assert min(seen[:-1]) > 0.99
    assert seen[-1] == 0, "hidden everywhere: the mean colour"


def test_a_network_that_accepts_one_picture_at_a_time_is_measured() -> None:
    model = networks.loaded(networks.OneByOne())
    explanation = explain(networks.picture(), model, top_k=1, methods="layer_cam")
    values = [one.value for one in measure(explanation.heatmaps[0], explanation=explanation, model=model)]
    assert None not in values
