"""Models compared on one picture: which classes belong together, the numbers of a pair, and what is said of them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from demonstration import figures
from gradcam_core import (
    GradcamError,
    ImageRecord,
    LoadedModel,
    compare,
    explain,
    overlay_difference,
)
from gradcam_core.comparison.difference import difference_map, difference_on_picture
from gradcam_core.comparison.pairs import pair_of, rank_correlation
from gradcam_core.comparison.partners import partners_of
from gradcam_core.comparison.records import Pair
from gradcam_core.comparison.sentences import comparison_sentences, pair_sentence
from gradcam_core.measures.similar import hottest, overlap, overlap_by_chance
from gradcam_core.placement import Placement
from gradcam_core.records import Heatmap
from gradcam_core.render import overlay
from gradcam_core.samples.radiographs import EVALUATION, radiograph
from gradcam_core.targets import ClassTarget
from tests import networks, papers

WHOLE = (0.0, 0.0, 60.0, 80.0)


def heatmap(raw: np.ndarray, box: tuple[float, float, float, float] = WHOLE, *, signed: bool = False) -> Heatmap:
    placement = Placement((60, 80), (32, 32), box)
    return Heatmap("grad_cam", {}, ClassTarget(0, "a", 0.5), "layer", raw.astype(np.float32), placement, signed=signed)


def random_map(seed: int, size: tuple[int, int] = (7, 7)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, size)


@pytest.fixture(scope="module")
def other() -> LoadedModel:
    """The network of `tiny` with other weights."""
    return networks.loaded(networks.conv_net(seed=5))


def renamed(model: LoadedModel, labels: Sequence[str]) -> LoadedModel:
    return dataclasses.replace(model, labels=tuple(labels))


# Which classes belong together


def test_labels_match_whatever_their_capital_letters_and_white_space() -> None:
    assert partners_of(["Nodule", "no  finding", "streak"], ["NO FINDING ", "effusion", "nodule"]) == (2, 0, None)


def test_classes_match_by_index_as_far_as_there_are_any() -> None:
    assert partners_of(["a", "b", "c"], ["x", "a"], "index") == (0, 1, None)


def test_a_mapping_overrules_labels_and_leaves_the_others_to_them() -> None:
    mapping = {"tabby": "cat", 1: "cat", "dog": None}
    assert partners_of(["tabby", "tiger cat", "dog", "Fox"], ["fox", "cat", "dog"], mapping) == (1, 1, None, 0)


def test_a_label_of_several_classes_is_matched_only_between_equal_lists() -> None:
    assert partners_of(["crane", "crane", "cat"], ["Crane", "crane", "cat"]) == (0, 1, 2)
    assert partners_of(["crane", "crane", "cat"], ["cat", "crane"]) == (None, None, 0)
    assert partners_of(["crane", "cat"], ["cat", "crane", "crane"]) == (None, 0)


@pytest.mark.parametrize(
    "match", ["colour", {"unicorn": "a"}, {"a": "unicorn"}, {0: 7}, [{}, {}], 3], ids=lambda match: str(match)
)
def test_a_match_that_cannot_work_is_refused(match: Any, tiny: LoadedModel, cat_and_cup: ImageRecord) -> None:
    with pytest.raises(GradcamError):
        compare(cat_and_cup, [tiny, tiny], match=match)


# The numbers of a pair


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlation_and_overlap_equal_their_literal_twins(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, others = (np.maximum(random.normal(0, 1, 90).round(1), 0) for _ in range(2))
    assert rank_correlation(values, others) == pytest.approx(papers.spearman(values, others), abs=1e-12)
    areas = hottest(values), hottest(others)
    assert overlap(*areas) == pytest.approx(papers.hottest_overlap(values, others))
    hot = [len(papers.hottest(series)) for series in (values, others)]
    assert overlap_by_chance(*areas) == pytest.approx(papers.overlap_by_chance(*hot, 90), abs=0.01)


@pytest.mark.parametrize(
    "boxes", [(WHOLE, WHOLE), (WHOLE, (10.0, 20.0, 50.0, 70.0)), ((-20.0, 0.0, 80.0, 80.0), WHOLE)]
)
def test_a_pair_is_compared_where_both_models_looked(boxes: Any) -> None:
    maps = [
        heatmap(random_map(seed, size), box) for seed, size, box in zip((1, 2), ((7, 7), (4, 9)), boxes, strict=True)
    ]
    pair = pair_of("a", (0, 1), (maps[0], maps[1]), "own")
    series = papers.common_values(
        [(each.raw.clip(0) / each.raw.max()).tolist() for each in maps], boxes, picture=(60, 80), cells=32
    )
    values, others = (np.round(np.float32(part), 5) for part in series)
    assert pair.correlation == pytest.approx(papers.spearman(values, others), abs=2e-3)
    assert pair.overlap == pytest.approx(papers.hottest_overlap(values, others), abs=0.02)


def test_a_map_agrees_with_itself_at_any_scale() -> None:
    raw = random_map(3)
    pair = pair_of("a", (0, 1), (heatmap(raw), heatmap(40 * raw)), "own")
    assert (pair.correlation, pair.overlap) == pytest.approx((1, 1))
    np.testing.assert_allclose(pair.difference, 0, atol=1e-6)


def test_opposite_maps_have_opposite_order_and_look_at_different_places() -> None:
    ramp = np.linspace(0.1, 1, 49).reshape(7, 7)
    pair = pair_of("a", (0, 1), (heatmap(ramp), heatmap(1.1 - ramp)), "own")
    assert pair.correlation == pytest.approx(-1, abs=1e-3)
    assert pair.overlap < pair.chance / 2
    assert pair.standing == "different places"


@pytest.mark.parametrize(
    ("raw", "box", "words"),
    [
        (-np.ones((7, 7)), WHOLE, "model 2 has no positive evidence"),
        (np.ones((7, 7)), WHOLE, "the same heat everywhere"),
        (np.eye(7), (0.0, 0.0, 60.0, 30.0), "no part of the picture in common"),
    ],
)
def test_where_there_is_nothing_to_compare_the_reason_is_said(raw: np.ndarray, box: Any, words: str) -> None:
    pair = pair_of(
        "a",
        (0, 1),
        (heatmap(random_map(0), (0.0, 40.0, 60.0, 80.0) if "common" in words else WHOLE), heatmap(raw, box)),
        "own",
    )
    assert (pair.correlation, pair.overlap, pair.chance) == (None, None, None)
    assert words in pair_sentence(pair)


# The difference


@pytest.mark.parametrize("scale", ["own", "same"])
@pytest.mark.parametrize("signed", [False, True])
def test_the_difference_equals_its_literal_twin_on_every_pixel(scale: Any, signed: bool) -> None:
    boxes = (WHOLE, (10.0, 20.0, 50.0, 70.0))
    raws = [random_map(seed) * size for seed, size in ((1, 1.0), (2, 7.0))]
    maps = [heatmap(raw, box, signed=signed) for raw, box in zip(raws, boxes, strict=True)]
    shown = [raw if signed else raw.clip(0) for raw in raws]
    peaks = [np.abs(each).max() for each in shown]
    units = peaks if scale == "own" else [max(peaks)] * 2
    literal = papers.difference(
        [(each / unit).tolist() for each, unit in zip(shown, units, strict=True)], boxes, (60, 80)
    )
    difference = difference_on_picture(maps[0], maps[1], scale)
    np.testing.assert_allclose(difference, np.array(literal, np.float32), atol=1e-5)
    assert np.isnan(difference[:10]).all(), "the second model did not look there"
    assert np.isfinite(difference[10:50, 20:70]).all()


@pytest.mark.parametrize(("size", "most"), [((7, 7), 1e-6), ((4, 9), 0.02)])
def test_the_drawn_difference_has_the_values_of_the_exact_one(size: tuple[int, int], most: float) -> None:
    smooth = np.add.outer(np.linspace(0, 1, size[0]), np.linspace(0, 0.5, size[1]))
    maps = heatmap(random_map(1) if size == (7, 7) else 1 - smooth.T), heatmap(smooth)
    drawn = difference_map(*maps)
    assert drawn is not None
    exact = difference_on_picture(*maps)
    assert np.abs(drawn.placement.restore(drawn.raw) - exact).mean() < most


def test_nothing_is_drawn_where_the_models_saw_no_part_in_common() -> None:
    parts = (0.0, 0.0, 60.0, 30.0), (0.0, 40.0, 60.0, 80.0)
    assert difference_map(*(heatmap(np.eye(7), box) for box in parts)) is None


def test_a_difference_is_drawn_on_a_fixed_scale_and_veiled_where_either_did_not_look(cat_and_cup: ImageRecord) -> None:
    height, width = cat_and_cup.height, cat_and_cup.width

    def placed(raw: np.ndarray, box: tuple[float, float, float, float]) -> Heatmap:
        placement = Placement((height, width), (32, 32), box)
        return Heatmap("grad_cam", {}, ClassTarget(0, "a", 0.5), "layer", raw.astype(np.float32), placement)

    whole, half = (0.0, 0.0, float(height), float(width)), (0.0, 0.0, float(height), width / 2)
    ramp = np.tile(np.linspace(0, 1, 8), (8, 1))
    plain = overlay(cat_and_cup, placed(np.zeros((8, 8)), whole)).astype(int)
    faint = Pair("a", (0, 1), (placed(ramp, whole), placed(np.minimum(ramp + 0.02, 1), whole)), "own")
    assert np.abs(overlay_difference(cat_and_cup, faint).astype(int) - plain).max() <= 3, "faint stays faint"
    strong = Pair("a", (0, 1), (placed(ramp, whole), placed(ramp[:, ::-1], whole)), "own")
    drawn = overlay_difference(cat_and_cup, strong).astype(int)
    assert (drawn - plain)[:, -20:, 2].mean() < -10, "orange where the first is hotter"
    assert (drawn - plain)[:, :20, 2].mean() > 10, "blue where the second is"
    cold = np.abs(strong.difference) < 0.49
    above = overlay_difference(cat_and_cup, strong, threshold=0.5).astype(int)
    assert np.abs(above - plain)[cold].max() <= 1, "nothing below the threshold"
    assert np.array_equal(above[np.abs(strong.difference) > 0.51], drawn[np.abs(strong.difference) > 0.51])
    cut = Pair("a", (0, 1), (placed(ramp, whole), placed(ramp, half)), "own")
    assert overlay_difference(cat_and_cup, cut)[:, -50:].mean() < 0.8 * plain[:, -50:].mean()


# Comparing


def test_the_same_model_twice_differs_in_nothing(tiny: LoadedModel, cat_and_cup: ImageRecord) -> None:
    comparison = compare(cat_and_cup, [tiny, tiny], top_k=2)
    assert comparison.outcome == "nothing differs"
    for compared in comparison.classes:
        (pair,) = compared.pairs
        assert (pair.correlation, pair.overlap) == pytest.approx((1, 1))
        assert not pair.difference.any()
    assert any("same weights" in note for note in comparison.notes)
    assert comparison_sentences(comparison)[0].startswith("Both models answer ")


def test_a_comparison_holds_what_explain_gives_for_each_model(
    tiny: LoadedModel, other: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    mapping = {0: 2, 1: 1, 2: 0}
    comparison = compare(cat_and_cup, [tiny, other], targets=[0, 1], match=mapping, method="hires_cam", top_k=3)
    assert comparison.partners == (
        (0, 1, 2, *range(3, len(tiny.labels))),
        partners_of(tiny.labels, other.labels, mapping),
    )
    for model, explanation, targets in zip((tiny, other), comparison.explanations, ([0, 1], [2, 1]), strict=True):
        alone = explain(cat_and_cup, model, targets=targets, methods="hires_cam", top_k=3)
        assert explanation.predictions == alone.predictions
        for ours, theirs in zip(explanation.heatmaps, alone.heatmaps, strict=True):
            np.testing.assert_array_equal(ours.raw, theirs.raw)
    first = comparison.classes[0]
    assert (first.index, first.label) == (0, tiny.labels[0])
    assert [each.target.index for each in first.heatmaps if each] == [0, 2]
    assert len(comparison.seconds) == 2
    assert min(comparison.seconds) > 0


def test_a_class_without_a_partner_is_said_and_the_others_are_compared(
    tiny: LoadedModel, other: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    labels = ["unicorn", *(f" {label.upper()}" for label in tiny.labels[1:])]
    comparison = compare(cat_and_cup, [tiny, renamed(other, labels)], targets=[0, 1])
    assert comparison.classes[0].heatmaps[1] is None
    assert comparison.classes[0].pairs == ()
    assert len(comparison.classes[1].pairs) == 1
    assert any(f"Model 2 has no class that is matched with “{tiny.labels[0]}”" in note for note in comparison.notes)
    assert comparison.outcome in ("evidence not compared", "answers differ")


def test_without_any_common_class_each_model_keeps_its_own_answer(
    tiny: LoadedModel, other: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    strange = renamed(other, [f"thing {number}" for number in range(len(other.labels))])
    comparison = compare(cat_and_cup, [tiny, strange], top_k=2)
    assert comparison.outcome == "answers differ"
    assert comparison.explanations[1].predictions[0].label.startswith("thing")
    assert any("match them by index" in note for note in comparison.notes)
    answers, evidence = comparison_sentences(comparison)
    assert answers.startswith("The answers differ: model 1 answers ")
    assert "cannot be compared" in evidence


def test_three_models_are_compared_two_by_two(tiny: LoadedModel, other: LoadedModel, cat_and_cup: ImageRecord) -> None:
    comparison = compare(cat_and_cup, [tiny, other, tiny], top_k=1)
    assert [pair.places for pair in comparison.classes[0].pairs] == [(0, 1), (0, 2), (1, 2)]
    assert comparison.same_answer[0] == comparison.same_answer[2]
    assert len(comparison_sentences(comparison)) == 2


def test_every_model_has_its_own_layer_and_the_scale_is_said(
    tiny: LoadedModel, other: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    earlier = tiny.layers[0].name
    assert earlier != tiny.default_layer
    comparison = compare(cat_and_cup, [tiny, other], layers=[earlier, None], top_k=1, scale="same")
    assert [each.layer for each in comparison.classes[0].heatmaps if each] == [earlier, other.default_layer]
    assert any("no common unit" in note for note in comparison.notes)
    same = compare(cat_and_cup, [tiny, other], top_k=1, scale="same")
    assert not any("no common unit" in note for note in same.notes)


def test_the_checks_are_run_for_each_model_on_request(
    tiny: LoadedModel, other: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    shares: list[float] = []
    comparison = compare(
        cat_and_cup, [tiny, other], top_k=1, checks=True, on_progress=lambda share, words, drafts: shares.append(share)
    )
    assert compare(cat_and_cup, [tiny, other], top_k=1).checks == ()
    assert [checked.heatmap for checked in comparison.checks if checked] == list(comparison.classes[0].heatmaps)
    assert all(len(checked.checks) == 6 for checked in comparison.checks if checked)
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": ["nothing", None]},
        {"method": "grad_kam"},
        {"targets": ["unicorn"]},
        {"scale": "mine"},
        {"layers": "0"},
        {"layers": 5},
        {"layers": [3, None]},
        {"method": 5},
        {"method": ("grad_cam", 5)},
        {"targets": 5.5},
        {"targets": []},
        {"targets": [None]},
        {"scale": ["own"]},
        {"top_k": "five"},
        {"top_k": 0},
        {"match": 5},
        {"match": {"a": "b", 0: "c"}},
        {"match": {None: "b"}},
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_in_words(wrong: Any, tiny: LoadedModel, cat_and_cup: ImageRecord) -> None:
    with pytest.raises(GradcamError):
        compare(cat_and_cup, [tiny, tiny], **wrong)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_fewer_than_two_and_more_than_four_models_are_refused(
    count: int, tiny: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    with pytest.raises(GradcamError, match="Give 2 to 4"):
        compare(cat_and_cup, [tiny] * count)


@pytest.mark.parametrize("models", [None, [], (), 5, "ab", [None, None], {"a": 1, "b": 2}, "bundled:radiograph_clean"])
def test_what_are_no_models_is_refused(models: Any, cat_and_cup: ImageRecord) -> None:
    with pytest.raises(GradcamError, match="Give 2 to 4"):
        compare(cat_and_cup, models)


@pytest.mark.parametrize("image", [None, "scan.png", np.zeros((8, 8, 3))], ids=["None", "path", "array"])
def test_what_is_no_picture_is_refused(image: Any, tiny: LoadedModel) -> None:
    with pytest.raises(GradcamError, match="read_image"):
        compare(image, [tiny, tiny])


def test_a_class_has_one_partner_however_it_is_named(tiny: LoadedModel) -> None:
    assert partners_of(["a", "b"], ["b", "c"], {"a": "c", 0: 1}) == (1, 0)
    with pytest.raises(GradcamError, match="matched with two classes"):
        partners_of(["a", "b"], ["b", "c"], {"a": "c", 0: "b"})


def test_an_error_says_which_model_it_is_about(tiny: LoadedModel, cat_and_cup: ImageRecord) -> None:
    with pytest.raises(GradcamError, match="Model 2"):
        compare(cat_and_cup, [tiny, tiny], layers=[None, "nothing"])


def compared_pair(overlap: float, chance: float = 0.11) -> Pair:
    return Pair("nodule", (0, 1), (heatmap(np.eye(7)),) * 2, "own", correlation=-0.2, overlap=overlap, chance=chance)


@pytest.mark.parametrize(
    ("overlap", "words"), [(0.4, "overlapping places"), (0.2, "only partly"), (0.12, "at different places")]
)
def test_a_sentence_compares_the_overlap_with_chance(overlap: float, words: str) -> None:
    sentence = pair_sentence(compared_pair(overlap))
    assert words in sentence
    assert "chance gives 11" in sentence
    assert "rank correlation −0.20" in sentence


@pytest.mark.parametrize(
    ("other", "marked", "outcome"), [("shortcut", True, "evidence differs"), ("mobilenet", False, "nothing differs")]
)
def test_models_that_answer_alike_for_another_reason_are_told_from_those_that_agree(
    other: str, marked: bool, outcome: str
) -> None:
    """The clean ResNet and MobileNetV2 find the nodule; the shortcut model reads the marker."""
    models = [figures.demonstration_model(name) for name in ("clean", other)]
    for number in range(6):
        picture = figures.record_of(radiograph(EVALUATION + number, ["nodule"], marker=marked))
        comparison = compare(picture, models, targets=["nodule"])
        assert comparison.outcome == outcome
        answers, evidence = comparison_sentences(comparison)
        assert answers.startswith("Both models answer nodule")
        assert evidence.startswith("Only the evidence differs.") == (outcome == "evidence differs")


def test_comparing_costs_little_more_than_the_explanations(bundled: LoadedModel, cat_and_cup: ImageRecord) -> None:
    comparisons = [compare(cat_and_cup, [bundled, bundled]) for _ in range(5)]
    share = min(each.comparing_seconds / sum(each.seconds) for each in comparisons)
    assert math.isfinite(share)
    assert share <= 0.1
