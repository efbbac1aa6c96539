"""Model and picture that do not match: the formulas, the calibration that ships, the rules, and where it is said."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from streamlit.testing.v1 import AppTest

from demonstration import known as calibration
from demonstration.suitability import grey, patterns, record
from gradcam_core import (
    drawn_folder,
    evaluate,
    explain,
    list_bundled,
    list_samples,
    load_model,
    read_image,
    read_sample,
)
from gradcam_core.cli import main
from gradcam_core.records import ImageRecord, LoadedModel
from gradcam_core.samples import DRAWN
from gradcam_core.samples.radiographs import EVALUATION, radiograph
from gradcam_core.suitability import is_grey
from gradcam_core.suitability.known import ARRAYS, AXES, known_to, learn, read_known
from pages.components.analysis.requests import ModelChoice
from tests import networks, papers
from tests.test_pages import ROOT, opened, png

ONE_KIND = [model.name for model in list_bundled() if model.only]
DRAWN_NAMES = [sample.name for sample in list_samples() if sample.credit == DRAWN]
OTHER_NAMES = [sample.name for sample in list_samples() if sample.credit != DRAWN]
MADE_FOR, FEATURES, EVERYDAY = "made for drawn radiographs only", "own features", "1,000 everyday things"


@functools.cache
def toy(name: str) -> LoadedModel:
    return load_model(f"bundled:{name}", device="cpu")


def sample(name: str) -> ImageRecord:
    return read_image(read_sample(name))


def notices(image: ImageRecord, model: LoadedModel, **request: str) -> tuple[str, ...]:
    return explain(image, model, top_k=1, **{"methods": "grad_cam", **request}).unsuited


# The formulas


@pytest.fixture
def features() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return random.normal(0, 1, (60, 12)) * np.linspace(0.2, 4, 12) + 3, np.arange(60) % 3


def test_the_distance_is_mahalanobis_with_the_covariance_of_the_papers(features: tuple[np.ndarray, np.ndarray]) -> None:
    rows, classes = features
    known = learn("things", 1.0, rows, classes, axes=4)
    means, sigma = papers.tied_covariance(rows.tolist(), classes.tolist())
    covariance = papers.probabilistic_pca(sigma, 4)
    np.testing.assert_allclose(known.means, means, rtol=1e-9)
    for row in np.random.default_rng(4).normal(2, 3, (5, 12)):
        assert known.distance(row) == pytest.approx(papers.mahalanobis(row.tolist(), means, covariance), rel=1e-9)


def test_the_distance_to_a_mean_is_none_and_one_axis_counts_in_its_own_deviations(
    features: tuple[np.ndarray, np.ndarray],
) -> None:
    known = learn("things", 1.0, *features, axes=4)
    assert known.distance(known.means[1]) == pytest.approx(0, abs=1e-6)
    alone = dataclasses.replace(known, means=known.means[:1])
    moved = alone.means[0] + 3 * np.sqrt(alone.variances[0]) * alone.axes[0]
    assert alone.distance(moved) == pytest.approx(3)


# The calibration that ships


def test_every_model_of_one_kind_is_calibrated_for_the_weights_that_ship() -> None:
    assert set(read_known()["models"]) == set(ONE_KIND), "run python -m demonstration.known"
    for name in ONE_KIND:
        known = known_to(toy(name))
        assert known is not None
        assert known.means.shape == (len(calibration.KINDS), known.axes.shape[1])
        np.testing.assert_allclose(known.axes @ known.axes.T, np.eye(AXES), atol=1e-5)


def test_the_threshold_that_ships_is_what_the_script_derives() -> None:
    row, known = read_known()["models"]["radiograph_clean"], known_to(toy("radiograph_clean"))
    assert known is not None
    assert (row["learned_from"], row["held_out"]) == (calibration.LEARNED, calibration.HELD_OUT)
    first = row["learned_from"] + row["farthest"] // 8 * 8  # the same kinds and markers in turn
    held_out = calibration.pictures(calibration.FIRST + first, 8)
    _, features = calibration.outputs_and_features(toy("radiograph_clean"), map(calibration.record_of, held_out))
    distances = [known.distance(row) for row in features]
    assert first + int(np.argmax(distances)) == row["learned_from"] + row["farthest"]
    assert max(distances) == pytest.approx(row["largest_distance"], rel=1e-3)
    assert known.threshold == pytest.approx(calibration.MARGIN * max(distances), rel=1e-3)


@pytest.mark.slow
def test_the_script_writes_what_ships(tmp_path: Path) -> None:
    calibration.write(tmp_path)
    shipped, again = load_file(ARRAYS), load_file(tmp_path / ARRAYS.name)
    assert set(shipped) == set(again)
    for name in shipped:
        close = np.abs(shipped[name]) if name.endswith("axes") else shipped[name]
        written = np.abs(again[name]) if name.endswith("axes") else again[name]  # an axis has no sign
        np.testing.assert_allclose(written, close, rtol=0.05, atol=1e-3 * np.abs(close).max())


def test_calibrating_again_gives_the_same_from_the_same_pictures() -> None:
    few = calibration.pictures(count=8)
    _, features = calibration.outputs_and_features(toy("radiograph_clean"), map(calibration.record_of, few))
    known = known_to(toy("radiograph_clean"))
    assert known is not None
    distances = [known.distance(row) for row in features]
    assert max(distances) < known.threshold
    own = [int(np.argmin(((known.means - row) ** 2).sum(1))) for row in features]
    assert own == [number % len(calibration.KINDS) for number in range(8)], "the means stand in the order of the kinds"


# Models that were made for one kind of picture


@pytest.mark.parametrize("model", ONE_KIND)
@pytest.mark.parametrize("name", DRAWN_NAMES)
def test_a_drawn_sample_raises_no_notice(model: str, name: str) -> None:
    assert notices(sample(name), toy(model)) == ()


@pytest.mark.parametrize("model", ONE_KIND)
@pytest.mark.parametrize("kind", ["marked_nodules", "no_markers"])
def test_the_pictures_of_a_drawn_folder_raise_no_notice(model: str, kind: str) -> None:
    for content in drawn_folder(kind, 6).pictures.values():
        assert notices(read_image(content), toy(model)) == ()


@pytest.mark.parametrize("model", ONE_KIND)
@pytest.mark.parametrize("name", OTHER_NAMES)
def test_any_other_picture_raises_both_notices(model: str, name: str) -> None:
    first, second = notices(sample(name), toy(model))
    assert MADE_FOR in first
    assert "none of its answers means anything here" in first
    assert FEATURES in second


def changed(steps: Sequence[str]) -> list[ImageRecord]:
    pixels = radiograph(EVALUATION + 77, ["nodule"]).pixels.astype(float)
    ways = {
        "inverted": 255 - pixels,
        "faint": 64 + pixels / 2,
        "magnified": cv2.resize(pixels[64:192, 64:192], (256, 256)),
    }
    return [record(ways[step]) for step in steps]


def of_the_same_form() -> list[ImageRecord]:
    """Pictures of another kind with the size, the colours and the depth of the drawn ones."""
    strange = [image for images in patterns().values() for image in images[::5]]
    return [*strange, *changed(["inverted", "faint", "magnified"])]


def test_the_mobilenet_misses_some_pictures_of_the_same_form() -> None:
    raised = [bool(notices(image, toy("radiograph_mobilenet"))) for image in of_the_same_form()]
    assert 0.7 < sum(raised) / len(raised) < 1


@pytest.mark.parametrize("model", [name for name in ONE_KIND if name != "radiograph_mobilenet"])
def test_a_picture_that_only_has_the_form_of_a_drawn_one_raises_both_notices(model: str) -> None:
    for image in of_the_same_form():
        assert (image.height, image.width, image.bits) == (256, 256, 8)
        first, second = notices(image, toy(model))
        assert MADE_FOR in first
        assert FEATURES in second


def test_a_picture_of_another_size_raises_the_notice_even_where_its_features_fit() -> None:
    pixels = radiograph(EVALUATION + 78).pixels
    larger = record(cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_LINEAR))
    (only,) = notices(larger, toy("radiograph_clean"))
    assert MADE_FOR in only
    assert notices(record(pixels), toy("radiograph_clean")) == ()


def test_few_new_drawn_radiographs_lie_beyond_the_threshold_and_all_photographs_do() -> None:
    known = known_to(toy("radiograph_balanced"))
    assert known is not None
    drawn = map(calibration.record_of, calibration.pictures(EVALUATION + 500_000, 24))
    _, inside = calibration.outputs_and_features(toy("radiograph_balanced"), drawn)
    assert max(map(known.distance, inside)) < known.threshold
    _, outside = calibration.outputs_and_features(toy("radiograph_balanced"), map(sample, OTHER_NAMES))
    assert min(map(known.distance, outside)) > 1.3 * known.threshold


def test_the_ratio_is_that_of_distance_and_threshold() -> None:
    known = known_to(toy("radiograph_clean"))
    assert known is not None
    _, (features,) = calibration.outputs_and_features(toy("radiograph_clean"), [sample("photographer")])
    ratio = known.distance(features) / known.threshold
    assert ratio < 10
    assert f"at {ratio:.1f} times the largest distance" in notices(sample("photographer"), toy("radiograph_clean"))[1]


# What is not calibrated stays silent


def test_another_input_than_the_calibrated_one_leaves_the_rule_alone() -> None:
    smaller = load_model("bundled:radiograph_clean", preprocessing={"size": 96}, device="cpu")
    assert known_to(smaller) is None
    (only,) = notices(sample("coffee"), smaller)
    assert MADE_FOR in only


def test_an_own_model_stays_silent_on_any_picture(tiny: LoadedModel) -> None:
    assert known_to(tiny) is None
    for image in (sample("coffee"), sample("radiograph_nodule"), record(np.zeros((64, 64)))):
        assert notices(image, tiny) == ()


def test_the_same_weights_from_a_file_are_calibrated_but_are_no_bundled_model() -> None:
    copy = load_model(toy("radiograph_clean").module, labels=["a", "b", "c"], device="cpu")
    assert copy.fingerprint == toy("radiograph_clean").fingerprint
    spec = toy("radiograph_clean").preprocessing.to_dict()
    copy = load_model(toy("radiograph_clean").module, labels=["a", "b", "c"], preprocessing=spec, device="cpu")
    (only,) = notices(sample("coffee"), copy)
    assert FEATURES in only


# No further pass


@pytest.mark.parametrize(("layer", "methods"), [("layer1", "grad_cam"), ("layer4", "grad_cam"), ("conv1", "eigen_cam")])
def test_the_evidence_costs_no_further_pass(layer: str, methods: str) -> None:
    model = load_model("bundled:radiograph_clean", device="cpu")
    explain(sample("cat"), model, methods=methods, layers=layer)  # measures where the layer's cells look
    passes: list[int] = []
    for network in {id(part): part for part in (model.module, model.folded.network if model.folded else None)}.values():
        if network is not None:
            network.register_forward_hook(lambda module, given, output: passes.append(1))
    explanation = explain(sample("coffee"), model, top_k=2, methods=methods, layers=layer)
    assert len(passes) == 1
    assert FEATURES in explanation.unsuited[1]
    assert {heatmap.layer for heatmap in explanation.heatmaps} == {layer}


def test_a_method_that_runs_the_tail_is_not_slowed_down_by_the_evidence() -> None:
    (only,) = notices(sample("coffee"), toy("radiograph_clean"), methods="ablation_cam", layers="layer2")
    assert MADE_FOR in only
    assert len(notices(sample("coffee"), toy("radiograph_clean"), methods="ablation_cam")) == 2
    drawn = record(radiograph(EVALUATION + 79).pixels)
    (only,) = notices(drawn, toy("radiograph_clean"), methods="ablation_cam", layers="layer2")
    assert "not one of them" not in only, "without the features it is not known"
    assert "on any other picture" in only


def test_the_tapped_layer_leaves_the_heatmaps_as_they_are() -> None:
    model = toy("radiograph_clean")
    free = dataclasses.replace(model, fingerprint="0" * 64)  # the same network, not calibrated
    first, second = (
        explain(sample("radiograph_two"), one, methods=("grad_cam", "layer_cam"), layers=["layer2"])
        for one in (model, free)
    )
    for heatmap, other in zip(first.heatmaps, second.heatmaps, strict=True):
        assert (heatmap.method, heatmap.layer) == (other.method, other.layer)
        np.testing.assert_allclose(heatmap.raw, other.raw, atol=1e-6 * np.abs(other.raw).max())


# Grey pictures and everyday things


@pytest.mark.parametrize("name", DRAWN_NAMES)
def test_a_radiograph_and_an_everyday_model_raise_the_notice(name: str, bundled: LoadedModel) -> None:
    (only,) = notices(sample(name), bundled)
    assert EVERYDAY in only


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_photographs_that_are_recognised_raise_none_in_colour_or_in_grey(name: str, bundled: LoadedModel) -> None:
    image = sample(name)
    assert notices(image, bundled) == ()
    without = explain(grey(image), bundled, top_k=1, methods="cam")
    assert bool(without.unsuited) == (without.predictions[0].probability < read_known()["everyday_probability"])


def test_a_dicom_picture_raises_it_whatever_the_answer(bundled: LoadedModel) -> None:
    """Every slice of a series says the same."""
    photograph = sample("cat")
    assert not notices(photograph, bundled)
    assert any(EVERYDAY in words for words in notices(dataclasses.replace(photograph, format="DICOM"), bundled))


def test_a_tinted_radiograph_raises_none_since_everyday_pictures_have_colours(bundled: LoadedModel) -> None:
    image = sample("radiograph_nodule")
    tinted = dataclasses.replace(image, pixels=image.pixels * np.float32([1, 0.8, 0.6]))
    assert notices(tinted, bundled) == ()


def test_other_networks_with_the_same_classes_count_as_everyday_models(bundled: LoadedModel) -> None:
    torch.manual_seed(0)
    labels = list(bundled.labels)
    everyday = networks.loaded(networks.conv_net(classes=1000), labels=labels)
    others = dataclasses.replace(everyday, labels=(*labels[1:], "nodule"))
    assert any(EVERYDAY in words for words in notices(sample("radiograph_nodule"), everyday))
    assert notices(sample("radiograph_nodule"), others) == ()


def test_grey_is_equal_within_rounding_with_a_small_coloured_label() -> None:
    random = np.random.default_rng(0)
    pixels = np.repeat(random.integers(20, 200, (90, 120, 1)), 3, axis=2) + random.integers(0, 3, (90, 120, 3))

    def with_pixels(values: np.ndarray) -> ImageRecord:
        return ImageRecord((values / 255).astype(np.float32), "0" * 64, "", "PNG")

    assert is_grey(with_pixels(pixels))
    labelled = pixels.copy()
    labelled[2:8, 2:18] = (255, 0, 0)
    assert is_grey(with_pixels(labelled))
    labelled[2:20, 2:28] = (255, 0, 0)
    assert not is_grey(with_pixels(labelled))
    assert not is_grey(with_pixels(pixels + np.array([4, 0, 0])))


# Where it is said


def test_the_notices_come_first_in_the_notes_and_in_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.png").write_bytes(read_sample("cat"))
    given = [str(tmp_path / "cat.png"), "--model", "bundled:radiograph_clean", "--device", "cpu"]
    assert main(["explain", *given, "--method", "grad_cam", "--out", str(tmp_path)]) == 0
    assert MADE_FOR in capsys.readouterr().err
    notes = json.loads((tmp_path / "cat" / "explanation.json").read_bytes())["notes"]
    assert MADE_FOR in notes[0]
    assert FEATURES in notes[1]
    assert main(["trust", *given, "--quiet"]) == 0
    assert MADE_FOR in capsys.readouterr().out.splitlines()[1]
    assert main(["trust", *given, "--quiet", "--json"]) == 0
    assert MADE_FOR in json.loads(capsys.readouterr().out)["unsuited"][0]


def test_an_evaluation_notes_it_with_the_picture() -> None:
    files = [(name, functools.partial(read_sample, name)) for name in ("cat", "radiograph_nodule")]
    rows = {row.name: row for row in evaluate(files, [], {}, toy("radiograph_clean")).rows}
    assert MADE_FOR in rows["cat"].note
    assert rows["radiograph_nodule"].note == ""


@pytest.mark.parametrize("page", ["1_Explain", "2_Compare", "3_Layers", "4_Evaluate"])
def test_the_notice_stands_on_every_page_that_explains(page: str) -> None:
    run = AppTest.from_file(str(ROOT / f"pages/{page}.py"), default_timeout=90)
    run.session_state["model"] = "bundled:radiograph_shortcut"
    run.session_state["picture"] = "cat"
    run.run()
    assert not run.exception
    (warning,) = [box.value for box in run.warning if MADE_FOR in box.value]
    assert FEATURES in warning
    assert not [caption for caption in run.caption if MADE_FOR in caption.value], "it is said once"
    run.selectbox(key="picture").select("radiograph_nodule").run()
    assert not run.exception
    assert not [box for box in run.warning if MADE_FOR in box.value]


def test_models_of_one_kind_stand_last_after_the_users_own() -> None:
    run = AppTest.from_file(str(ROOT / "pages/1_Explain.py"), default_timeout=90)
    own = {"mine": ModelChoice("My model", "bundled:efficientnet_lite0")}
    run.session_state["models"] = {
        f"bundled:{m.name}": ModelChoice(m.title, f"bundled:{m.name}") for m in list_bundled()
    }
    run.session_state["models"].update(own)
    run.run()
    options = run.selectbox(key="model").options
    assert options[0] == "EfficientNet-Lite0"
    assert options[1] == "My model"
    assert all(option.startswith("Drawn radiographs only (demonstration)") for option in options[2:])
    assert len(options[2:]) == len(ONE_KIND)
    assert run.selectbox(key="model").value == "bundled:efficientnet_lite0"


def test_an_uploaded_grey_picture_gets_the_everyday_notice_above_the_heatmaps() -> None:
    run = opened("pages/1_Explain.py")
    run.file_uploader[0].upload("scan.png", read_sample("radiograph_two"), "image/png").run()
    elements = list(run.main)
    notice = next(place for place, element in enumerate(elements) if element.type == "warning")
    assert EVERYDAY in elements[notice].value
    viewer = next(
        place for place, element in enumerate(elements) if "viewer explain" in str(getattr(element, "proto", ""))
    )
    assert notice < viewer
    run.file_uploader[0].upload("other.png", png(64, 64), "image/png").run()
    assert not [box for box in run.warning if EVERYDAY in box.value]
