"""The straight line as a whole: order, scale, states, notes, and the truth on real pictures."""

import dataclasses
import importlib
import itertools
from datetime import datetime
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core import explain, load_model, predict
from gradcam_core.errors import GradcamError, MethodError, ModelError, TargetError
from gradcam_core.explanation import DEFAULT_METHODS, check_request
from gradcam_core.layers import resolve_layer
from gradcam_core.methods import CAM_FAMILY, equal_by_algebra
from gradcam_core.placement import EVEN, Placement
from gradcam_core.preprocess import override_preprocessing, prepare
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.targets import ClassTarget
from tests import networks

LABELS = ["ant", "bee", "cat", "dog", "Elk"]


@pytest.fixture(scope="module")
def five() -> LoadedModel:
    return networks.loaded(networks.conv_net(), labels=LABELS)


def heatmap(raw: Any, placement: Placement | None = None) -> Heatmap:
    grid = np.array(raw, np.float32)
    return Heatmap("grad_cam", {}, ClassTarget(0, "ant", 0.5), "5", grid, placement or whole(40, 56))


def whole(height: int, width: int) -> Placement:
    return Placement((height, width), (32, 32), (0.0, 0.0, float(height), float(width)))


def test_methods_come_outermost_then_targets_then_layers_the_fused_one_last(five: LoadedModel) -> None:
    methods, targets, layers = ["layer_cam", ("grad_cam", {})], [4, 0, "cat"], ["5", "2"]
    explanation = explain(networks.picture(), five, methods=methods, targets=targets, layers=layers)
    found = [(h.method, h.target.index, h.layer) for h in explanation.heatmaps]
    expected = list(itertools.product(["layer_cam", "grad_cam"], [4, 0, 2], ["5", "2", "5 + 2"]))
    assert found == expected
    for one in explanation.heatmaps:
        assert bool(one.fusion) == (" + " in one.layer)
        assert one.raw.shape == ((8, 8) if one.layer == "5" else (16, 16))
        assert one.target.label == LABELS[one.target.index]


def test_what_stands_beside_the_heatmaps(five: LoadedModel) -> None:
    noted = dataclasses.replace(networks.picture(), notes=("It was turned upright.",))
    explanation = explain(noted, dataclasses.replace(five, notes=("It was in float16.",)))
    assert explanation.image is noted
    assert explanation.fingerprint == five.fingerprint
    assert explanation.device == "cpu"
    assert explanation.preprocessing == five.preprocessing
    assert explanation.notes[:2] == ("It was turned upright.", "It was in float16.")
    assert set(explanation.seconds) == {"preprocess", "forward", "tail", "centres", *DEFAULT_METHODS}
    assert all(seconds > 0 for seconds in explanation.seconds.values())
    assert {"python", "torch", "numpy", "pillow"} <= set(explanation.versions)
    assert explanation.versions["torch"].startswith(torch.__version__.split("+")[0])
    assert datetime.fromisoformat(explanation.created).tzinfo is not None


def test_the_models_input_is_what_prepare_gives_and_what_the_network_saw(five: LoadedModel) -> None:
    image = networks.picture()
    expected, placement = prepare(image, five.preprocessing)
    explanation = explain(image, five)
    np.testing.assert_array_equal(explanation.model_input, expected)
    assert explanation.placement == placement
    scores = five.module(torch.from_numpy(explanation.model_input)[None])
    shares = scores.softmax(dim=1)[0]
    for prediction in explanation.predictions:
        assert prediction.probability == pytest.approx(float(shares[prediction.index]), abs=1e-6)
    overwriting = networks.loaded(nn.Sequential(nn.ReLU(inplace=True), *networks.conv_net()))
    np.testing.assert_array_equal(explain(image, overwriting).model_input, expected)


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (3, 3), (5, 5), (99, 5)])
def test_the_top_classes_are_explained_and_clipped(five: LoadedModel, top_k: int, count: int) -> None:
    explanation = explain(networks.picture(), five, top_k=top_k, methods="grad_cam")
    assert len(explanation.predictions) == len(explanation.heatmaps) == count
    assert [h.target.index for h in explanation.heatmaps] == [p.index for p in explanation.predictions]
    shares = [p.probability for p in explanation.predictions]
    assert shares == sorted(shares, reverse=True)


def test_targets_replace_the_top_classes_but_not_the_predictions(five: LoadedModel) -> None:
    explanation = explain(networks.picture(), five, targets=["elk", 1], top_k=2, methods="cam")
    assert [h.target.index for h in explanation.heatmaps] == [4, 1]
    assert len(explanation.predictions) == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"targets": 5}, TargetError),
        ({"targets": "cow"}, TargetError),
        ({"top_k": 0}, TargetError),
        ({"targets": 0, "top_k": 0}, TargetError),
        ({"methods": []}, MethodError),
        ({"methods": 7}, MethodError),
        ({"against": 5}, TargetError),
        ({"against": "cow"}, TargetError),
        ({"against": 1, "top_k": 0}, TargetError),
        ({"methods": "gradcam"}, MethodError),
        ({"methods": [("grad_cam", None)]}, MethodError),
        ({"methods": ("grad_cam", {"sigma": 1})}, MethodError),
        ({"methods": [7]}, MethodError),
        ({"layers": "9"}, GradcamError),
        ({"layers": ["5", "6"]}, GradcamError),
        ({"layers": 5}, GradcamError),
        ({"layers": {"5": 1}}, GradcamError),
    ],
)
def test_wrong_wishes_are_refused_before_the_network_runs(arguments: dict[str, Any], error: type[Exception]) -> None:
    model = networks.loaded(networks.conv_net(), labels=LABELS)

    def run(*_: Any) -> None:
        raise AssertionError("the network ran")

    model.module.register_forward_pre_hook(run)
    with pytest.raises(error) as failure:
        explain(networks.picture(), model, **arguments)
    assert isinstance(failure.value, GradcamError)
    assert failure.value.message
    assert failure.value.remedy


def test_default_methods_that_a_network_cannot_serve_are_left_out_with_a_note() -> None:
    model = networks.loaded(networks.Branches())
    explanation = explain(networks.picture(), model, top_k=1)
    assert [h.method for h in explanation.heatmaps] == ["grad_cam", "grad_cam_plus_plus"]
    assert any("CAM needs a classifier" in note for note in explanation.notes)
    with pytest.raises(MethodError, match="needs a classifier that reads the average"):
        explain(networks.picture(), model, methods="cam")
    early = networks.loaded(networks.conv_net())
    assert [h.method for h in explain(networks.picture(), early, top_k=1, layers="0").heatmaps] == [
        "grad_cam",
        "grad_cam_plus_plus",
    ]


def test_raw_maps_are_signed_and_values_are_their_positive_part_up_to_one(five: LoadedModel) -> None:
    image = networks.picture(40, 56)  # five and seven pixels a cell: some pixel stands on each cell's centre
    for one in explain(image, five, methods=["grad_cam", "layer_cam", "cam"]).heatmaps:
        assert one.raw.dtype == np.float32
        assert one.values.dtype == np.float32
        assert one.values.shape == (40, 56)
        assert one.raw_peak == one.raw.max()
        if one.state == "ok":
            assert one.values.max() == 1
            expected = one.placement.restore(np.maximum(one.raw, 0)) / one.raw_peak
            np.testing.assert_allclose(one.values, expected, atol=1e-6)
    raws = np.stack([h.raw for h in explain(image, five, methods="grad_cam").heatmaps])
    assert raws.min() < 0 < raws.max()


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1.0, 1e8, 1e30])
def test_values_do_not_depend_on_the_scale_of_the_score(scale: float) -> None:
    grid = np.random.default_rng(0).normal(size=(7, 7))
    np.testing.assert_allclose(heatmap(grid * scale).values, heatmap(grid).values, atol=1e-5)
    assert heatmap(grid * scale).state == "ok"


@pytest.mark.parametrize("grid", [np.zeros((7, 7)), -np.ones((7, 7)), [[-1e-30, 0]], [[-3, -2], [-5, -1]]])
def test_without_positive_evidence_nothing_is_stretched(grid: Any) -> None:
    empty = heatmap(grid, Placement((40, 56), (32, 32), (10.0, 8.0, 30.0, 48.0)))
    assert empty.state == "no positive evidence"
    assert set(np.unique(empty.values[10:30, 8:48])) == {0.0}
    assert np.isnan(empty.values).sum() == 40 * 56 - 20 * 40


def test_a_network_that_only_speaks_against_a_class_shows_no_evidence() -> None:
    network = networks.conv_net()
    with torch.no_grad():
        network[8].weight[2] = -network[8].weight[2].abs()
    explanation = explain(networks.picture(), networks.loaded(network), targets=2, methods=["cam", "grad_cam"])
    for one in explanation.heatmaps:
        assert one.raw.min() < 0
        assert one.state == "no positive evidence"
        assert not one.values.any()


def test_rounding_noise_is_no_evidence() -> None:
    """What a LayerNorm reads has no HiResCAM: the scale of its input changes nothing, so the products sum to 0."""
    network = networks.LastAxis()
    network.norm.eps = 1e-12
    model = networks.loaded(network)
    explanation = explain(networks.picture(), model, layers="conv", methods=["hires_cam", "layer_cam"])
    size = max(float(np.abs(h.raw).max()) for h in explanation.heatmaps if h.method == "layer_cam")
    for one in explanation.heatmaps:
        if one.method == "hires_cam":
            assert np.abs(one.raw).max() < 1e-4 * size
            assert one.state == "no positive evidence"


def test_weights_that_became_nan_are_told_in_words() -> None:
    model = networks.loaded(networks.conv_net())
    with torch.no_grad():
        model.module[3].weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        explain(networks.picture(), model)
    with pytest.raises(ModelError, match="not finite"):
        networks.loaded(networks.without_taps(model.module))


def test_what_a_full_card_cannot_hold_is_computed_on_the_processor_and_said(
    five: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a graphics card: a device that fails for want of memory as soon as it computes."""
    seen: list[LoadedModel] = []

    def capture(model: LoadedModel, *arguments: Any, **options: Any) -> Any:
        seen.append(model)
        if model.device.type == "meta":
            raise torch.OutOfMemoryError("full")
        return real(model, *arguments, **options)

    straight_line = importlib.import_module("gradcam_core.explanation")
    real = straight_line.capture
    plain = explain(networks.picture(), five)
    monkeypatch.setattr(straight_line, "capture", capture)
    moved = explain(networks.picture(), dataclasses.replace(five, device=torch.device("meta")))
    assert [model.device.type for model in seen] == ["meta", "cpu"]
    assert seen[1].module is not five.module
    assert moved.device == "cpu"
    assert any("memory of meta was too small" in note for note in moved.notes)
    for one, other in zip(moved.heatmaps, plain.heatmaps, strict=True):  # the folded copy rounds otherwise
        np.testing.assert_allclose(one.raw, other.raw, rtol=0, atol=2e-4 * np.abs(other.raw).max())


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_any_number_of_classes_can_be_explained(classes: int) -> None:
    explanation = explain(networks.picture(), networks.loaded(networks.conv_net(classes)))
    assert len(explanation.predictions) == min(classes, 5)
    assert len(explanation.heatmaps) == 3 * min(classes, 5)
    if classes == 1:
        (only,) = explanation.predictions
        score = networks.loaded(networks.conv_net(1)).module(torch.from_numpy(explanation.model_input)[None])
        assert only.probability == pytest.approx(float(score.sigmoid()))
        assert 0 < only.probability < 1


def test_the_fused_map_is_the_element_wise_maximum_of_the_layers_own_scales(five: LoadedModel) -> None:
    even = {(layer, five.preprocessing.size): EVEN for layer in ("5", "0", "2")}
    model = dataclasses.replace(five, centres=even)
    explanation = explain(networks.picture(), model, layers=["5", "0", "2"], methods="layer_cam", top_k=2)
    for index in range(2):
        *single, fused = explanation.heatmaps[4 * index : 4 * index + 4]
        assert fused.layer == "5 + 0 + 2"
        laid = []
        for one in single:
            positive = torch.from_numpy(np.maximum(one.raw, 0) / one.raw.max())[None, None]
            laid.append(nn.functional.interpolate(positive, (16, 16), mode="bilinear", align_corners=False)[0, 0])
        np.testing.assert_allclose(fused.raw, torch.stack(laid).amax(dim=0).numpy(), atol=1e-5)
        assert fused.values.max() <= 1


def test_a_layer_without_evidence_leaves_the_fused_map_to_the_others(five: LoadedModel) -> None:
    network = networks.conv_net()
    with torch.no_grad():
        network[8].weight[2] = -network[8].weight[2].abs()
    model = networks.loaded(network)
    explanation = explain(networks.picture(), model, layers=["5", "1"], targets=2, methods="grad_cam")
    last, early, fused = explanation.heatmaps
    assert last.state == "no positive evidence"
    np.testing.assert_allclose(fused.raw, np.maximum(early.raw, 0) / early.raw.max(), atol=1e-6)


def test_one_layer_named_in_several_ways_is_one_layer(five: LoadedModel) -> None:
    explanation = explain(networks.picture(), five, layers=["5", "[5]", "[-4]"], methods="grad_cam", top_k=1)
    assert [h.layer for h in explanation.heatmaps] == ["5"]
    assert explain(networks.picture(), five, layers=[], methods="grad_cam", top_k=1).heatmaps[0].layer == "5"


class Contrast:
    """One class against another."""

    index, label, probability = 1, "bee, not ant", 0.0

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        return 3 * outputs[:, 1] - outputs[:, 0]


def test_cam_weighs_a_contrast_as_the_contrast_weighs_its_classes(five: LoadedModel) -> None:
    explanation = explain(networks.picture(), five, targets=[Contrast(), 1, 0], methods=["cam", "grad_cam"])
    contrast, bee, ant, gradient, *_ = explanation.heatmaps
    np.testing.assert_allclose(contrast.raw, 3 * bee.raw - ant.raw, atol=1e-5)
    np.testing.assert_allclose(contrast.raw, gradient.raw * gradient.raw.size, atol=1e-5)
    assert contrast.target.label == "bee, not ant"


def spread(explanation: Explanation) -> dict[str, float]:
    """How far each method's map is from Grad-CAM's, after scaling both to their own size."""
    maps = {h.method: h.raw / np.abs(h.raw).max() for h in explanation.heatmaps}
    return {name: float(np.abs(one - maps["grad_cam"]).max()) for name, one in maps.items()}


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v2", "torchvision:resnet18", "timm:tf_efficientnet_lite0"])
def test_methods_said_to_be_equal_by_algebra_are_equal_and_the_others_are_not(name: str) -> None:
    model, image = networks.real(name), networks.picture(100, 130, seed=2)
    family = sorted(CAM_FAMILY)
    for layer in [x for x in model.layers if x.pooling]:
        found = spread(explain(image, model, targets=3, methods=family, layers=layer.name))
        equal = equal_by_algebra(layer)
        assert equal in (CAM_FAMILY, frozenset())
        if equal:
            assert max(found.values()) < 1e-4, layer
        else:
            assert max(found.values()) > 1e-3, layer
    early = [x for x in model.layers if not x.pooling][len(model.layers) // 2]
    found = spread(explain(image, model, targets=3, methods=[m for m in family if m != "cam"], layers=early.name))
    assert not equal_by_algebra(early)
    assert max(found.values()) > 1e-3


def test_behind_a_convolution_and_an_average_the_family_is_equal_too() -> None:
    torch.manual_seed(0)
    steps = [nn.Conv2d(3, 12, 3, 2, 1), nn.GELU(), nn.Conv2d(12, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model, image = networks.loaded(nn.Sequential(*steps)), networks.picture()
    assert resolve_layer(model, "1").pooling == "convolution"
    found = spread(explain(image, model, targets=3, methods=sorted(CAM_FAMILY), layers="1"))
    assert max(found.values()) < 1e-4
    with_relu = networks.loaded(nn.Sequential(*steps[:3], nn.ReLU(), *steps[3:]))
    assert resolve_layer(with_relu, "1").pooling == "convolution, relu"
    noted = explain(image, with_relu, layers="1", methods=["cam", "grad_cam"])
    assert any("CAM is not exact here" in note for note in noted.notes)
    assert not equal_by_algebra(resolve_layer(with_relu, "1"))


@pytest.mark.parametrize("bound", [6, 20])
def test_a_bounded_step_is_no_relu(bound: float) -> None:
    """ReLU6 looks like a ReLU as long as nothing exceeds 6."""
    layers = list(networks.conv_net())
    model = networks.loaded(nn.Sequential(*layers[:5], nn.Hardtanh(0, bound), *layers[6:]))
    assert resolve_layer(model, "4").pooling == ""
    assert resolve_layer(model, "5").pooling == "mean"
    assert resolve_layer(networks.loaded(networks.conv_net()), "4").pooling == "mean of relu"


CATS, COFFEE = ("Egyptian cat", "tabby", "tiger cat"), ("espresso", "cup")


@pytest.mark.parametrize("fit", ["model", "squash", "letterbox", "crop"])
def test_the_bundled_model_looks_at_the_cat_for_cats_and_at_the_cup_for_coffee(
    bundled: LoadedModel, cat_and_cup: ImageRecord, fit: str
) -> None:
    model = dataclasses.replace(bundled, preprocessing=override_preprocessing(bundled.preprocessing, {"fit": fit}))
    methods = ["cam", "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam"]
    explanation = explain(cat_and_cup, model, targets=[*CATS, *COFFEE], methods=methods)
    assert explanation.predictions[0].label in (*CATS, *COFFEE)
    for one in explanation.heatmaps:
        values = one.values
        assert values.shape == (300, 600)
        column = np.unravel_index(np.nanargmax(values), values.shape)[1]
        weight = np.nansum(values, axis=0)
        assert (column < 300) == (one.target.label in CATS), (one.method, one.target.label)
        share = weight[:300].sum() / weight.sum()
        assert (share > 0.5) == (one.target.label in CATS), (one.method, one.target.label)
    unseen = np.isnan(explanation.heatmaps[0].values).any()
    assert unseen == (fit in ("model", "crop"))


def test_the_bundled_model_names_the_bundled_pictures(bundled: LoadedModel) -> None:
    import skimage.data

    for values, labels in ((skimage.data.chelsea(), CATS), (skimage.data.coffee(), ["espresso"])):
        model = load_model("bundled:efficientnet_lite0", device="cpu")
        explanation = explain(networks.record(values), model, top_k=1)
        assert explanation.predictions[0].label in labels
        assert explanation.heatmaps[0].layer == model.default_layer == bundled.default_layer
        cam, gradient, _ = (h.raw for h in explanation.heatmaps)
        np.testing.assert_allclose(cam / cam.max(), gradient / gradient.max(), atol=1e-4)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_that_answers_in_another_precision_is_explained(precision: torch.dtype) -> None:
    class Answering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = networks.conv_net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).to(precision)

    found = explain(networks.picture(), networks.loaded(Answering()), top_k=2)
    assert {heatmap.method for heatmap in found.heatmaps} >= {"grad_cam", "grad_cam_plus_plus"}
    assert all(heatmap.raw.dtype == np.float32 for heatmap in found.heatmaps)


def test_what_was_not_read_or_loaded_is_refused_in_words(tiny: LoadedModel) -> None:
    with pytest.raises(GradcamError, match="read_image"):
        explain("cat.png", tiny)
    with pytest.raises(GradcamError, match="load_model"):
        explain(networks.picture(), "bundled:efficientnet_lite0")
    with pytest.raises(GradcamError, match="without index, label, probability"):
        explain(networks.picture(), tiny, targets=lambda outputs: outputs[:, 1])
    with pytest.raises(GradcamError, match="3 is not a layer"):
        explain(networks.picture(), tiny, layers=[3])


def test_a_method_that_cannot_be_served_stands_beside_the_others_as_a_sentence() -> None:
    model = networks.loaded(networks.Branches())
    for methods in (DEFAULT_METHODS, None):
        found = explain(networks.picture(), model, methods=methods, top_k=1)
        assert {heatmap.method for heatmap in found.heatmaps} == {"grad_cam", "grad_cam_plus_plus"}
        assert any("CAM needs a classifier" in note for note in found.notes)
    with pytest.raises(MethodError, match="CAM needs a classifier"):
        explain(networks.picture(), model, methods="cam")


def test_a_method_that_refuses_a_target_does_not_lose_the_other_methods(five: LoadedModel) -> None:
    found = explain(networks.picture(), five, targets=[1], against=2, methods=["grad_cam", "finer_cam"])
    assert [heatmap.method for heatmap in found.heatmaps] == ["grad_cam"]
    assert any("A contrast compares two classes already" in note for note in found.notes)
    with pytest.raises(TargetError, match="A contrast compares two classes already"):
        explain(networks.picture(), five, targets=[1], against=2, methods="finer_cam")


def test_predictions_come_from_one_pass_without_any_heatmap(five: LoadedModel) -> None:
    wanted = explain(networks.picture(), five, top_k=3).predictions
    found = predict(networks.picture(), five, 3)
    assert [(p.index, p.label) for p in found] == [(p.index, p.label) for p in wanted]
    assert [p.probability for p in found] == pytest.approx([p.probability for p in wanted], abs=1e-5)
    assert len(predict(networks.picture(), five, 50)) == 5
    with pytest.raises(TargetError):
        predict(networks.picture(), five, 0)
    with pytest.raises(GradcamError, match="Expected a picture, got a str"):
        predict("cat.png", five)  # type: ignore[arg-type]


def test_against_a_class_every_target_becomes_a_contrast_in_one_pass(five: LoadedModel) -> None:
    top = [p.index for p in predict(networks.picture(), five, 5)]
    explain(networks.picture(), five)  # the first one also measures where the cells lie
    passes = []
    handle = five.module[-1].register_forward_hook(lambda *_: passes.append(1))
    plain = dataclasses.replace(five, folded=None)
    try:
        found = explain(networks.picture(), plain, top_k=2, against=top[1], methods="grad_cam")
    finally:
        handle.remove()
    assert len(passes) == 1
    assert [h.target.index for h in found.heatmaps] == [top[0], top[2]]
    assert found.heatmaps[0].target.label == f"{LABELS[top[0]]} rather than {LABELS[top[1]]}"
    assert found.heatmaps[0].target.probability == found.predictions[0].probability
    one, other = explain(networks.picture(), plain, targets=top[:2], methods="grad_cam").heatmaps
    np.testing.assert_allclose(found.heatmaps[0].raw, one.raw - other.raw, rtol=1e-3, atol=1e-6)
    named = explain(networks.picture(), five, targets=["cat", "dog"], against="ant", methods="grad_cam")
    assert [h.target.label for h in named.heatmaps] == ["cat rather than ant", "dog rather than ant"]
    with pytest.raises(TargetError, match="cannot be compared with itself"):
        explain(networks.picture(), five, targets="ant", against="ant")


def test_evidence_in_the_padding_only_is_a_state_of_its_own() -> None:
    letterboxed = Placement((20, 60), (32, 32), (-20.0, 0.0, 40.0, 60.0))
    raw = np.zeros((8, 8))
    raw[0, 3] = 1
    assert heatmap(raw, letterboxed).state == "evidence in the padding only"
    assert heatmap(-raw, letterboxed).state == "no positive evidence"
    assert dataclasses.replace(heatmap(-raw, letterboxed), signed=True).state == "evidence in the padding only"
    assert np.nanmax(heatmap(raw, letterboxed).values) < 0.5 / 255
    raw[4, 3] = 0.01
    assert heatmap(raw, letterboxed).state == "ok"
    assert heatmap(np.eye(8), whole(20, 60)).state == "ok"


def test_a_heatmap_knows_its_picture_its_model_and_its_preprocessing(five: LoadedModel) -> None:
    first = explain(networks.picture(), five, top_k=1)
    assert {h.origin for h in first.heatmaps} == {first.origin}
    for other in (
        explain(dataclasses.replace(networks.picture(), sha256="1" * 64), five, top_k=1),
        explain(dataclasses.replace(networks.picture(), frame=1), five, top_k=1),
        explain(dataclasses.replace(networks.picture(), window=(0.0, 1.0)), five, top_k=1),
        explain(networks.picture(), networks.loaded(networks.conv_net(seed=5)), top_k=1),
        explain(networks.picture(), dataclasses.replace(five, preprocessing=networks.plain(48)), top_k=1),
    ):
        assert other.origin != first.origin


def test_a_request_can_be_checked_without_a_picture(five: LoadedModel) -> None:
    check_request(five, targets=["cat", 1], methods=["grad_cam"], layers=["5"])
    for arguments in ({"targets": "cow"}, {"methods": "gradcam"}, {"layers": "9"}, {"targets": []}):
        with pytest.raises(GradcamError):
            check_request(five, **arguments)  # type: ignore[arg-type]
