"""Targets of detectors, segmenters and networks without a classifier, against plain autograd through all of it."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import detection, segmentation

from gradcam_core import (
    LoadedModel,
    compare,
    comparison_sentences,
    evaluate,
    evaluation_sentences,
    explain,
    list_tasks,
    load_model,
    lowers,
    outlines_of,
    overlay,
    predict,
    read_image,
    read_table,
    similar,
    to_dict,
    trust,
    with_task,
)
from gradcam_core.cli import main
from gradcam_core.errors import GradcamError, ModelError, TargetError
from gradcam_core.targets import BoxTarget, SegmentTarget
from gradcam_core.targets.boxes import box_on_picture, objects
from tests import heads
from tests.pictures import encode

DETECTORS = Path(__file__).parent.parent / "docs" / "detectors.md"
SIDE = 128
SETTINGS = {"size": SIDE, "mean": 0.0, "std": 1.0, "fit": "letterbox"}


@pytest.fixture(scope="module")
def image() -> Any:
    """A picture twice as wide as it is high, so that the input has padding."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8)
    return read_image(encode(pixels, "PNG"))


def alive(network: nn.Module) -> None:
    """Settle the normalisations on noise, as training would: random weights alone let every signal fade."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    network.train()
    with torch.no_grad():
        features = network.backbone(torch.rand(8, 3, SIDE, SIDE))
        heads = [network.classifier] if hasattr(network, "classifier") else [network.head.classification_head]
        for head in heads:
            head(features if hasattr(network, "classifier") else list(features.values()))
    network.eval()


@pytest.fixture(scope="module")
def detector() -> Iterator[LoadedModel]:
    torch.manual_seed(3)
    network = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    network.transform.fixed_size = (SIDE, SIDE)
    alive(network)
    return load_model(network, labels=["background", "cat", "dog", "cup"], preprocessing=SETTINGS)


@pytest.fixture(scope="module")
def two_stages() -> LoadedModel:
    torch.manual_seed(1)
    options = {"weights": None, "weights_backbone": None, "num_classes": 4, "min_size": SIDE, "max_size": SIDE}
    network = detection.fasterrcnn_mobilenet_v3_large_320_fpn(**options, box_detections_per_img=20)
    return load_model(network, preprocessing=SETTINGS)


@pytest.fixture(scope="module")
def with_masks() -> LoadedModel:
    torch.manual_seed(4)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 7, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    backbone.out_channels = 8  # type: ignore[assignment]
    anchors = detection.rpn.AnchorGenerator(((16, 32, 64),), ((0.5, 1.0, 2.0),))
    network = detection.MaskRCNN(
        backbone, 3, min_size=SIDE, max_size=SIDE, rpn_anchor_generator=anchors, rpn_post_nms_top_n_test=40
    )
    return load_model(network, preprocessing=SETTINGS)


@pytest.fixture(scope="module")
def segmenter() -> LoadedModel:
    torch.manual_seed(2)
    network = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    alive(network)
    return load_model(network, labels=["ground", "cat", "dog"], preprocessing=SETTINGS)


def grad_cam_by_autograd(model: LoadedModel, inputs: torch.Tensor, layer: str, score: Any) -> np.ndarray:
    """Grad-CAM by the letter, with a graph through the whole network."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.requires_grad_())
        return output.clone()

    handle = model.module.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            value = score(model.module(inputs.clone()))
            (slope,) = torch.autograd.grad(value, kept[:1], allow_unused=True)
    finally:
        handle.remove()
    slope = torch.zeros_like(kept[0]) if slope is None else slope
    weights = slope.mean(dim=(2, 3), keepdim=True)
    return np.asarray((weights * kept[0]).sum(dim=1)[0].detach())


@pytest.mark.parametrize("name", ["detector", "two_stages", "with_masks"])
def test_an_objects_maps_equal_plain_autograd(name: str, image: Any, request: pytest.FixtureRequest) -> None:
    model: LoadedModel = request.getfixturevalue(name)
    assert model.task == "detection"
    edges = {"left": (0, -1), "top": (1, -1), "right": (2, 1), "bottom": (3, 1)}
    edges = edges if name == "detector" else {"top": edges["top"]}  # the others take longer
    wanted = ["box:0", "box:1", *(f"box:2:{edge}" for edge in edges)]
    explanation = explain(image, model, targets=wanted, methods="grad_cam")
    inputs = torch.tensor(explanation.model_input)[None]
    scores = [lambda outputs: outputs[0]["scores"][0], lambda outputs: outputs[0]["scores"][1]]
    scores += [lambda outputs, c=c, sign=sign: sign * outputs[0]["boxes"][2, c] for c, sign in edges.values()]
    moved = dict.fromkeys(wanted, 0)
    per_target = max(len(model.pyramid), 1) + (len(model.pyramid) > 1)
    for place, (target, score) in enumerate(zip(wanted, scores, strict=True)):
        for heatmap in explanation.heatmaps[place * per_target :][: max(len(model.pyramid), 1)]:
            literal = grad_cam_by_autograd(model, inputs, heatmap.layer, score)
            np.testing.assert_allclose(heatmap.raw, literal, rtol=1e-4, atol=1e-4 * np.abs(literal).max() + 1e-30)
            moved[target] += bool(np.abs(literal).max() > 0)
    assert moved["box:0"], moved
    assert moved["box:1"], moved
    assert any(moved[target] for target in wanted[2:]), moved


@pytest.mark.parametrize("name", ["two_stages", "with_masks"])
def test_a_box_head_is_differentiated_for_the_boxes_that_are_asked_for(
    name: str, image: Any, request: pytest.FixtureRequest
) -> None:
    model: LoadedModel = request.getfixturevalue(name)
    rows: list[tuple[int, bool]] = []

    def note(module: nn.Module, given: Any, output: torch.Tensor) -> None:
        rows.append((len(output), output.requires_grad))

    handle = model.module.roi_heads.box_head.register_forward_hook(note, prepend=True)
    try:
        explain(image, model, targets=["box:0", "box:1:left"], methods="grad_cam")
    finally:
        handle.remove()
    (everything, recorded), (again, recorded_again) = rows
    assert (recorded, recorded_again) == (False, True)
    assert 1 <= again <= 2 < everything


def test_predictions_are_objects_with_boxes_on_the_picture(detector: LoadedModel, image: Any) -> None:
    found = predict(image, detector, 3)
    assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
    explanation = explain(image, detector, top_k=3, methods="grad_cam")
    with torch.no_grad():
        (outputs,) = detector.module(torch.tensor(explanation.model_input)[None])
    best = outputs["scores"].argsort(descending=True, stable=True)[:3]
    for prediction, place in zip(found, best.tolist(), strict=True):
        left, top, right, bottom = outputs["boxes"][place].tolist()
        # 120 x 60 pixels fill 128 x 64 of the input, with 32 rows of padding above.
        own = np.array([left, top - 32, right, bottom - 32]) * 120 / SIDE
        expected = np.clip(own, 0, [120, 60, 120, 60])
        np.testing.assert_allclose(prediction.box, expected, atol=1e-3)
        assert prediction.label == detector.labels[int(outputs["labels"][place])]
    assert {heatmap.layer for heatmap in explanation.heatmaps} == {*detector.pyramid, " + ".join(detector.pyramid)}


def test_an_object_is_followed_by_overlap_in_other_inputs() -> None:
    target = BoxTarget(1, "cat", 0.9, (10.0, 10.0, 30.0, 30.0))
    own = [10.0, 10.0, 30.0, 30.0, 1, 0.9]
    outputs = torch.tensor(
        [
            [own, [12.0, 12.0, 32.0, 32.0, 1, 0.95]],
            [[10.0, 10.0, 30.0, 30.0, 2, 0.8], [20.0, 10.0, 40.0, 30.0, 1, 0.6]],
            [[0.0] * 6, [0.0] * 6],
        ]
    )
    expected = [0.9, 0.6 / 3, 0.0]  # half of each box is common: a third of what both cover
    torch.testing.assert_close(target(outputs), torch.tensor(expected))
    assert BoxTarget(1, "cat", 0.9, target.box, "left")(outputs).tolist() == [-10.0, -20.0, 0.0]
    assert target(torch.zeros(2, 0, 6)).tolist() == [0.0, 0.0]


def test_a_regions_map_equals_plain_autograd(segmenter: LoadedModel, image: Any) -> None:
    explanation = explain(image, segmenter, methods="grad_cam")
    assert segmenter.task == "segmentation"
    assert segmenter.default_layer.startswith("backbone."), "behind it, maps repeat the regions"
    inputs = torch.tensor(explanation.model_input)[None]
    with torch.no_grad():
        seen = segmenter.module(inputs)["out"][0].argmax(dim=0)
    inside = torch.zeros_like(seen, dtype=torch.bool)
    inside[32:96] = True
    for prediction, heatmap in zip(explanation.predictions, explanation.heatmaps, strict=True):
        mask = (seen == prediction.index) & inside
        assert prediction.value == pytest.approx(100 * float(mask.sum()) / (64 * 128), abs=1e-4)
        literal = grad_cam_by_autograd(
            segmenter,
            inputs,
            heatmap.layer,
            lambda outputs, mask=mask, p=prediction: outputs["out"][0, p.index][mask].sum(),
        )
        np.testing.assert_allclose(heatmap.raw, literal, rtol=1e-3, atol=1e-4 * np.abs(literal).max())
        assert np.isnan(prediction.probability)


def test_a_click_chooses_one_connected_region(segmenter: LoadedModel, image: Any) -> None:
    label = predict(image, segmenter, 1)[0].label
    (heatmap,) = explain(image, segmenter, targets=f"segment:{label}", methods="grad_cam").heatmaps
    whole = heatmap.target
    assert isinstance(whole, SegmentTarget)
    row, column = next(iter(whole.mask.nonzero().tolist()))
    x, y = (column + 0.5) * 120 / SIDE, (row - 32 + 0.5) * 120 / SIDE
    (heatmap,) = explain(image, segmenter, targets=f"segment:{label}@{x},{y}", methods="grad_cam").heatmaps
    part = heatmap.target
    assert isinstance(part, SegmentTarget)
    assert part.mask[row, column]
    assert not (part.mask & ~whole.mask).any()


@pytest.mark.parametrize(
    ("name", "wanted", "words"),
    [
        ("detector", "segment:cat", "paints no regions"),
        ("detector", "box:999", "There is no object 999"),
        ("detector", "box:0:middle", "names no object"),
        ("detector", "box:", "names no object"),
        ("detector", "mouse", "no class 'mouse'"),
        ("detector", f"box:{'9' * 5000}", "names no object"),
        ("detector", lowers("cat", ["background", "cat"]), "cannot be lowered or compared"),
        ("segmenter", "segment:cat@nan,1", "no class 'cat@nan,1'"),
        ("segmenter", "box:0", "finds no objects"),
        ("segmenter", "segment:cat@500,500", "at this place"),
        ("segmenter", "segment:mouse", "no class 'mouse'"),
    ],
)
def test_what_a_model_does_not_have_is_said(
    name: str, wanted: Any, words: str, image: Any, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(TargetError, match=words):
        explain(image, request.getfixturevalue(name), targets=[wanted], methods="grad_cam")


def test_objects_and_regions_are_read_as_nothing_else(
    detector: LoadedModel, segmenter: LoadedModel, image: Any
) -> None:
    for model in (detector, segmenter):
        assert list_tasks(model) == (model.task,)
        assert with_task(model, model.task).task_origin == "given"
        with pytest.raises(ModelError, match="cannot be explained here as multi_label"):
            with_task(model, "multi_label")
        with pytest.raises(TargetError, match="not compared with another class"):
            explain(image, model, against=1)


def test_a_class_beyond_the_labels_has_its_number() -> None:
    (target,) = objects(torch.tensor([[[0.0, 0.0, 9.0, 9.0, 7, 0.9]]]), ["background", "cat"], 1)
    assert target.label == "class 7 · box 0"


def test_a_detector_that_finds_nothing_says_so(detector: LoadedModel, image: Any) -> None:
    threshold, detector.module.score_thresh = detector.module.score_thresh, 2.0
    try:
        assert predict(image, detector) == ()
        with pytest.raises(TargetError, match="finds no object"):
            explain(image, detector)
    finally:
        detector.module.score_thresh = threshold


def test_boxes_are_drawn_on_the_overlay(detector: LoadedModel, image: Any) -> None:
    (*_, heatmap) = explain(image, detector, targets="box:0", methods="grad_cam").heatmaps
    (polygon,) = outlines_of(heatmap.target, heatmap.placement)
    assert tuple(polygon[0]) == box_on_picture(heatmap.target.box, heatmap.placement)[:2]
    colours = overlay(image, heatmap)
    x, y = np.rint((polygon[0] + polygon[1]) / 2).astype(int)
    assert colours[min(max(y, 0), 59), min(x, 119)].min() > 200, "the upper edge is white in its middle"


def test_the_documents_own_detector_is_explained_as_plain_autograd_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DETECTORS.read_text("utf-8"), re.DOTALL)
    (tmp_path / "example.py").write_text(code, "utf-8")
    names = runpy.run_path(str(tmp_path / "example.py"))
    explanation, model = names["explanation"], names["model"]
    assert f"{explanation.heatmaps[0].target.label} body (400, 600)" in capsys.readouterr().out
    assert (model.task, model.labels, model.default_layer) == ("detection", ("cat", "cup"), "body")
    scores = [
        lambda raw: names["read_objects"](raw)[0]["scores"][0],
        lambda raw: -names["read_objects"](raw)[0]["boxes"][0, 0],
    ]
    for heatmap, score in zip(explanation.heatmaps, scores, strict=True):
        inputs = torch.tensor(explanation.model_input)[None]
        literal = grad_cam_by_autograd(SimpleNamespace(module=names["network"]), inputs, heatmap.layer, score)
        assert np.abs(literal).max() > 0
        np.testing.assert_allclose(heatmap.raw, literal, rtol=1e-4, atol=1e-4 * np.abs(literal).max())


def objects_in(raw: torch.Tensor) -> dict[str, torch.Tensor]:
    """One object, in the documented form."""
    return {"boxes": raw[0, :1, :4], "labels": raw.new_zeros(1).long(), "scores": raw[0, 0, :1].sigmoid()}


@pytest.mark.parametrize(
    ("read", "labels", "words"),
    [
        ("scores", None, "is no function"),
        (lambda raw: raw["boxes"], None, "failed: "),
        (lambda raw: [objects_in(raw)], None, "Give the names"),
        (lambda raw: None, None, "returned nothing"),
        (lambda raw: [objects_in(raw) | {"boxes": raw[0, :1, :5]}], ["a", "b"], "objects of another form"),
        (lambda raw: [objects_in(raw) | {"boxes": raw[0, 0, :4]}], ["a", "b"], "objects of another form"),
        (lambda raw: [objects_in(raw) | {"labels": [1]}], ["a", "b"], "objects of another form"),
        (lambda raw: [objects_in(raw) | {"scores": raw.new_tensor([2.0])}], ["a", "b"], "scores outside 0 to 1"),
        (lambda raw: [objects_in(raw) | {"boxes": raw[0, :1, :4] / 0}], ["a", "b"], "not finite"),
    ],
)
def test_a_function_that_reads_the_outputs_wrongly_is_said(read: Any, labels: Any, words: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.Flatten(2))
    with pytest.raises(ModelError, match=words):
        load_model(network, read=read, labels=labels, preprocessing=SETTINGS)


def test_features_are_not_taken_for_regions() -> None:
    with pytest.raises(ModelError, match="instead of one score per class"):
        load_model(nn.Sequential(nn.Conv2d(3, 8, 3, 16, 1), nn.ReLU()), preprocessing=SETTINGS)


def test_what_makes_pictures_alike(image: Any) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8))
    model = load_model(body, preprocessing={"size": 64, "fit": "squash"}, task="embedding")
    other = read_image(encode(np.full((50, 50, 3), (200, 30, 90), np.uint8), "PNG"))
    explanation = explain(image, model, targets=similar(other, model), methods="grad_cam", layers="0")
    (heatmap,) = explanation.heatmaps
    inputs, reference = torch.tensor(explanation.model_input)[None], explain(other, model, targets=[0]).model_input
    with torch.no_grad():
        features = body(torch.tensor(reference)[None])
    literal = grad_cam_by_autograd(
        model, inputs, "0", lambda outputs: (outputs * features).sum() / outputs.norm() / features.norm()
    )
    np.testing.assert_allclose(heatmap.raw, literal, rtol=1e-4, atol=1e-4 * np.abs(literal).max())
    assert similar(image, model)(model.module(inputs)).item() == pytest.approx(1)
    classifier = load_model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    with pytest.raises(GradcamError, match="Similarity is asked of features"):
        similar(image, classifier)


def test_the_record_names_the_box(detector: LoadedModel, image: Any) -> None:
    explanation = explain(image, detector, targets=["box:0", "box:0:left"], methods="grad_cam")
    record = to_dict(explanation)
    assert record["model"]["task"] == "detection"
    assert record["predictions"][0]["box"] == [round(value, 2) for value in explanation.predictions[0].box]
    first, last = record["heatmaps"][0]["target"], record["heatmaps"][-1]["target"]
    assert first["box"] == last["box"] == record["predictions"][0]["box"]
    assert last["edge"] == "left"


def test_the_checks_follow_an_objects_own_score(detector: LoadedModel, image: Any) -> None:
    explanation = explain(image, detector, targets=["box:0", "box:0:left"], methods="grad_cam")
    best = predict(image, detector, 1)[0].probability
    objects_heatmap, edges_heatmap = (each for each in explanation.heatmaps if each.fusion)
    checks = {check.name: check for check in trust(explanation, objects_heatmap, detector).checks}
    for name in ("matters", "edges"):
        assert checks[name].numbers["before"] == pytest.approx(best, abs=1e-5)
        assert "the score" in checks[name].sentence
    assert "other objects" in checks["class_specific"].sentence
    checks = {check.name: check for check in trust(explanation, edges_heatmap, detector).checks}
    assert checks["matters"].outcome == checks["edges"].outcome == "not tested"
    assert "An edge of a box is not followed" in checks["edges"].sentence
    assert checks["stable"].outcome != "not tested"


def test_an_object_that_is_not_there_does_not_lose_the_others(detector: LoadedModel, image: Any) -> None:
    explanation = explain(image, detector, targets=["box:0", "box:999", "box:1"], methods="grad_cam")
    assert {heatmap.target.label.rpartition(" ")[2] for heatmap in explanation.heatmaps} == {"0", "1"}
    assert any("There is no object 999" in note for note in explanation.notes)


def test_a_detector_that_finds_nothing_is_compared_and_evaluated(detector: LoadedModel, image: Any) -> None:
    blind = load_model(Blind(), labels=detector.labels, preprocessing=SETTINGS)
    comparison = compare(image, [detector, blind])
    answers, evidence = comparison_sentences(comparison)
    assert "model 2 does not" in answers
    assert "no other model finds it" in evidence
    assert len(set(comparison.same_answer)) == 2
    content = encode((image.pixels * 255).round().astype(np.uint8), "PNG")
    evaluation = evaluate([("a.png", lambda: content)], read_table(b"name,label\na.png,cat\n"), {}, blind)
    (row,) = evaluation.rows
    assert (row.problem, row.answer, row.as_labelled, row.objects) == ("", "none", False, 0)
    assert "finds no cat in this picture" in row.note
    assert "cat: found in 0 of 1 picture with it" in " ".join(evaluation_sentences(evaluation))


class Blind(heads.Detector):
    """A detector that finds nothing."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        found = super().forward(x)
        return [{name: values[:0] for name, values in each.items()} for each in found]


def test_the_terminal_takes_boxes_regions_and_reference_pictures(tmp_path: Path) -> None:
    for name, colour in (("one", (200, 30, 90)), ("other", (20, 130, 90))):
        (tmp_path / f"{name}.png").write_bytes(encode(np.full((40, 60, 3), colour, np.uint8), "PNG"))
    torch.manual_seed(0)
    networks = {
        "timm:test_resnet": timm.create_model("test_resnet", num_classes=9),
        "torchvision:lraspp_mobilenet_v3_large": segmentation.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None
        ),
    }
    records = []
    for architecture, network in networks.items():
        weights = tmp_path / "weights.pth"
        torch.save(network.state_dict(), weights)
        alike = ["--task", "embedding", "--target", f"similar:{tmp_path / 'other.png'}"]
        more = alike if architecture.startswith("timm") else ["--top-k", "1"]
        model = ["--model", f"file:{weights}", "--architecture", architecture, "--size", "64"]
        out = ["--method", "grad_cam", "--out", str(tmp_path / "out")]
        assert main(["explain", str(tmp_path / "one.png"), *model, *more, *out]) == 0
        records.append(json.loads((tmp_path / "out" / "one" / "explanation.json").read_text()))
    likeness, region = (record["heatmaps"][0]["target"] for record in records)
    assert likeness["label"] == "the reference picture"
    assert -1 <= likeness["value"] <= 1
    assert region["unit"] == "% of the picture"
    assert 0 < region["value"] <= 100


def test_the_terminal_checks_and_evaluates_what_has_no_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("one", (200, 30, 90)), ("other", (20, 130, 90))):
        (folder / f"{name}.png").write_bytes(encode(np.full((40, 60, 3), colour, np.uint8), "PNG"))
    for recipe, more in (("detector", ""), ("headless", f"similar:{folder / 'other.png'}")):
        torch.save(getattr(heads, recipe)().state_dict(), tmp_path / "weights.pth")
        model = ["--model", f"file:{tmp_path / 'weights.pth'}", "--architecture", f"python:tests.heads:{recipe}"]
        model += ["--size", "32", "--fit", "squash"]
        target = ["--target", more] if more else []
        assert main(["trust", str(folder / "one.png"), *model, *target, "--quiet"]) == 0
        assert "checks passed" in capsys.readouterr().out
        reference = ["--reference", str(folder / "other.png")] if more else []
        out = ["--out", str(tmp_path / "rows.csv"), "--quiet"]
        assert main(["evaluate", str(folder), *model, *reference, *out]) == 0
        words = capsys.readouterr().out
        assert ("similarity to the reference picture" if more else "No picture has a label") in words
        assert ("similarity" if more else "objects") in (tmp_path / "rows.csv").read_text("utf-8-sig").splitlines()[0]
    assert main(["evaluate", str(folder), *model, *out]) != 0
    assert "Give a reference picture" in capsys.readouterr().err
