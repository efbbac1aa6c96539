"""The pages that hold heatmaps to account: the checks, the measurements, the demonstration. Without a browser."""

import dataclasses
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from gradcam_core import draw_truth, explain, load_model, read_image, read_sample, read_truths, to_json
from pages.components.evaluate.export import _archive, _csv, _record, _rows
from pages.components.evaluate.regions import Region, outline_of
from pages.components.evaluate.tables import measured_directly
from pages.components.evaluate.verdict import _words
from pages.components.panels.displayed import Display
from pages.components.viewer import DEFAULTS
from tests.test_pages import opened, png, text_of

ROOT = Path(__file__).parent.parent


def shown(page: AppTest) -> str:
    """All text of a page, its own HTML included."""
    return text_of(page) + "\n".join(str(part.value) for part in page.get("html") if hasattr(part, "value"))


def html_of(page: AppTest) -> str:
    return "\n".join(part.proto.body for part in page.get("html"))


def settings(page: str, **state: object) -> AppTest:
    run = AppTest.from_file(str(ROOT / page), default_timeout=120)
    for key, value in state.items():
        run.session_state[key] = value
    return run.run()


def mask_uploader(page: AppTest) -> Any:
    return next(one for one in page.file_uploader if str(one.key).startswith("mask of"))


def mask_of(width: int, height: int) -> bytes:
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = 255
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize(
    ("page", "key"),
    [("pages/1_Explain.py", "explain"), ("pages/2_Compare.py", "compare"), ("pages/3_Layers.py", "layers")],
)
def test_the_six_checks_are_one_click_away_from_any_heatmap(page: str, key: str) -> None:
    run = settings(page, picture="radiograph_marked", model="bundled:radiograph_shortcut", fit="model")
    assert "checks passed" not in html_of(run)
    run.button(key=f"check {key}").click().run()
    assert not run.exception
    assert not run.error
    assert "upper right corner" in html_of(run)
    assert "These checks test the map, not the diagnosis." in html_of(run)
    again = run.run()
    assert "checks passed" in html_of(again), "they stay while the same heatmap is chosen"


def test_checks_belong_to_the_picture_and_the_model_that_they_were_made_of() -> None:
    run = settings("pages/1_Explain.py", picture="radiograph_marked", model="bundled:radiograph_shortcut", fit="model")
    run.button(key="check explain").click().run()
    first = html_of(run)
    assert not any("localises" in caption.value for caption in run.caption), "its true region is not the nodule"
    run.selectbox(key="model").select("bundled:radiograph_clean").run()
    assert any("localises clearly better" in caption.value for caption in run.caption)
    assert "checks passed" not in html_of(run)
    run.button(key="check explain").click().run()
    assert "checks passed" in html_of(run)
    assert html_of(run) != first


def test_a_label_full_of_html_is_shown_as_letters(tmp_path: Path) -> None:
    import timm
    import torch

    from pages.components.analysis.requests import ModelChoice

    torch.manual_seed(0)
    labels = ["<img src=x onerror=alert(1)>", "<img src=x><b>other</b>"]
    weights = timm.create_model("test_resnet", num_classes=2).state_dict()
    torch.save({"state_dict": weights, "class_names": labels}, tmp_path / "weights.pth")
    choice = ModelChoice("m", f"file:{tmp_path / 'weights.pth'}", "timm:test_resnet")
    run = settings("pages/1_Explain.py", models={"mine": choice})
    run.button(key="check explain").click().run()
    assert not run.exception
    assert "&lt;img src=x" in html_of(run)
    assert "<img src=x" not in html_of(run)
    assert "<b>other" not in html_of(run)


def test_evaluate_measures_a_sample_against_its_own_mask() -> None:
    run = settings("pages/4_Evaluate.py", picture="radiograph_two", model="bundled:radiograph_clean", fit="model")
    assert not run.exception
    assert not run.error
    for words in ("Pointing game", "Relevance rank", "Spread (entropy)", "Grad-CAM++"):
        assert words in html_of(run)
    assert "Deletion" not in html_of(run), "what costs passes waits for a click"
    verdict = next(part.value for part in run.markdown if "by chance" in part.value)
    assert verdict.count("of the heat lies in a region that is") == 3, "one line a method"
    assert re.search(r"Grad-CAM\*\*: \d.*: \*\*\d+ times as much as by chance", verdict)
    assert {"download evaluate Measurements, CSV", "download evaluate Measurements, JSON"} <= {
        str(button.key) for button in run.get("download_button")
    }
    run.multiselect(key="evaluated").set_value(["grad_cam"]).run()
    run.button(key="change").click().run()
    assert not run.exception
    assert "ROAD" in html_of(run)
    assert "Insertion" in html_of(run)
    before = html_of(run)
    run.run()
    assert html_of(run) == before, "what was measured stays while nothing is changed"


def test_evaluate_without_a_truth_says_what_to_do_and_takes_an_uploaded_mask() -> None:
    run = opened("pages/4_Evaluate.py")
    assert "Mark the finding first" in text_of(run)
    assert "Pointing game" not in html_of(run)
    run.file_uploader[0].upload("anna-smith.png", png(64, 48), "image/png").run()
    way = next(group for group in run.button_group if str(group.key).startswith("region of"))
    way.set_value("Upload a mask").run()
    mask_uploader(run).upload("wrong.png", mask_of(63, 48), "image/png").run()
    assert len(run.error) == 1
    assert "anna" not in run.error[0].value + html_of(run)
    mask_uploader(run).upload("mask.png", mask_of(64, 48), "image/png").run()
    assert not run.exception
    assert not run.error
    assert "Pointing game" in html_of(run)


def test_every_sample_with_a_known_truth_can_be_read() -> None:
    for name in ("radiograph_marked", "radiograph_nodule", "radiograph_two"):
        assert read_truths(name)
        assert read_sample(name)
    assert not read_truths("cat")


def step_of(run: AppTest, number: int) -> str:
    """All text of a step of the story."""
    run.button_group(key="step").set_value(number).run()
    assert not run.exception
    assert not run.error
    return shown(run) + html_of(run)


def test_the_story_is_told_in_six_steps_and_the_cheating_model_is_caught() -> None:
    run = opened("pages/7_Demonstration.py")
    words = [shown(run)]
    for _ in range(5):
        next(button for button in run.button if button.label == "Next").click().run()
        assert not run.exception
        assert not run.error
        words.append(shown(run) + html_of(run))
    assert "all three answer **nodule**".lower() in words[1].lower()
    assert "Which model is cheating?" in words[2]
    assert "corner hidden" in words[3]
    assert "1 needs your attention" in words[3], "the checks of the cheating model are open"
    assert "It was model B." in words[4]
    assert "Their answer to any other picture means nothing." in words[5]
    assert run.file_uploader[0].label == "Drop a picture here"
    assert next(button for button in run.button if button.label == "Next").disabled


def test_the_story_names_sides_as_clinicians_do() -> None:
    (mask,) = read_truths("radiograph_marked").values()
    marked = np.asarray(Image.open(io.BytesIO(mask)).convert("L")) > 127
    assert np.nonzero(marked)[1].mean() < 128, "the nodule lies left of the image"
    run = opened("pages/7_Demonstration.py")
    words = step_of(run, 1)
    assert "In the right lung (left of the image)" in words
    assert "mark the patient’s left" in words
    for number in range(1, 7):
        assert "lung on the left" not in step_of(run, number)


def test_the_presenter_view_survives_the_steps_and_covers_the_page() -> None:
    run = opened("pages/7_Demonstration.py")
    assert ".st-key-stage" not in html_of(run)
    run.toggle(key="presenter").set_value(True).run()
    assert "visibility: hidden" in html_of(run)
    assert [title.value for title in run.title][-1] == "One picture"
    run.session_state["kept values"]["step"] = 3
    run.run()
    assert not run.exception
    assert [title.value for title in run.title][-1] == "Three heatmaps"
    assert "One map cell = 16 × 16 px." in html_of(run)


def test_a_verdict_compares_the_heat_with_the_share_of_what_the_model_saw() -> None:
    image = read_image(read_sample("radiograph_two"))
    model = load_model("bundled:radiograph_clean")
    explanation = explain(image, model, top_k=1, methods=["grad_cam"])
    heatmap = explanation.heatmaps[0]
    half = np.zeros(heatmap.values.shape, bool)
    half[:, : image.width // 2] = True
    heat = float(heatmap.values[half].sum() / heatmap.values.sum())
    (row, *_) = _rows(explanation, [measured_directly(explanation, half, ("relevance_mass",))], 0.5)
    assert row["value"] == pytest.approx(heat, abs=1e-6)
    assert row["measurement"] == "relevance_mass"
    assert _words(1.0) == "hardly better than chance"
    assert _words(0.4) == "less than by chance"
    assert _words(7.2) == "7 times as much as by chance"
    line = _csv([{**row, "class": "=cmd()", "value": -0.5}]).decode("utf-8-sig").splitlines()[1]
    assert '"\'=cmd()"' in line
    assert '"-0.5"' in line


def test_the_audiences_picture_is_explained_by_the_everyday_model_and_changes_no_choice() -> None:
    run = settings("app.py", picture="cat", model="bundled:radiograph_clean", step=6)
    run.switch_page("pages/7_Demonstration.py").run()
    run.file_uploader[0].upload("anna-smith.png", read_sample("coffee"), "image/png").run()
    assert not run.exception
    assert not run.error
    assert "espresso" in html_of(run)
    assert "anna" not in shown(run) + html_of(run)
    run.switch_page("pages/1_Explain.py").run()
    assert run.selectbox(key="picture").value == "cat"
    assert run.selectbox(key="model").value == "bundled:radiograph_clean"
    assert any("anna" in option for option in run.selectbox(key="picture").options)


@pytest.mark.parametrize("captions", [True, False])
def test_what_evaluate_saves_has_the_drawn_shapes_the_mask_and_the_heatmaps(captions: bool) -> None:
    image = dataclasses.replace(read_image(read_sample("radiograph_two")), name="anna.png")
    model = load_model("bundled:radiograph_clean")
    explanation = explain(image, model, top_k=1, methods=["grad_cam", "cam"])
    box = {"kind": "box", "left": 20.0, "top": 30.0, "right": 60.0, "bottom": 70.0}
    mask = draw_truth([box], (image.height, image.width))
    region = Region(mask, "drawn", shapes=[box])
    rows = _rows(explanation, [measured_directly(explanation, mask, ("relevance_mass", "iou_fixed"))], 0.1)
    record = to_json(_record(explanation, rows, region, 0.1))
    display = Display(image, DEFAULTS, None, None)
    with zipfile.ZipFile(io.BytesIO(_archive(explanation, rows, record, region, display, captions))) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    saved = json.loads(contents["measurements.json"], parse_constant=pytest.fail)
    assert saved["region"]["shapes"] == [box]
    assert saved["region"]["unit"].startswith("pixels of the picture")
    assert saved["region"]["pixels"] == int(mask.sum())
    assert "not for diagnosis" in saved["disclaimer"]
    assert [row["by_chance"] is None for row in saved["measurements"]] == [False] * 4
    drawn = cv2.imdecode(np.frombuffer(contents["region.png"], np.uint8), 0)
    assert np.array_equal(drawn > 0, mask)
    overlays = [cv2.imdecode(np.frombuffer(contents[name], np.uint8), 1) for name in contents if "overlays/" in name]
    assert len(overlays) == 2
    times = [picture.shape[1] // image.width for picture in overlays]
    below = [p.shape[0] - times_ * image.height for p, times_ in zip(overlays, times, strict=True)]
    assert [rows > 60 for rows in below] == [captions] * 2, "a caption stands below"
    line = outline_of(mask)
    for picture, times_ in zip(overlays, times, strict=True):
        pixels = picture[: image.height * times_ : times_, : image.width * times_ : times_, ::-1]
        assert (pixels[line] == (64, 224, 208)).all()
    assert not any(b"anna" in content for content in contents.values())
    nothing = json.loads(to_json(_record(explanation, rows, Region(None, "drawn"), None)))
    assert nothing["region"] is None


def test_a_comparison_of_models_can_be_presented() -> None:
    run = settings("app.py", picture="radiograph_marked", model="bundled:radiograph_clean", fit="model")
    run.switch_page("pages/2_Compare_models.py").run()
    run.multiselect(key="compared models").set_value(["bundled:radiograph_shortcut"]).run()
    run.button(key="present models").click().run()
    assert not run.exception
    assert not run.error
    assert run.title[-1].value == "Do the models agree?"
    for step, title in ((2, "nodule"), (5, "Can I trust the heatmap of model 1?")):
        run.session_state["kept values"]["models slide"] = step
        run.run()
        assert not run.exception
        assert run.title[-1].value == title
    assert {"download models All as ZIP", "download models Difference, PNG", "download models Record, JSON"} <= {
        str(button.key) for button in run.get("download_button")
    }


@pytest.mark.parametrize(("page", "key"), [("pages/1_Explain.py", "explain"), ("pages/2_Compare.py", "compare")])
def test_an_explanation_can_be_presented(page: str, key: str) -> None:
    run = settings(page, picture="radiograph_marked", model="bundled:radiograph_shortcut", fit="model")
    before = {widget.key: widget.value for widget in [*run.selectbox, *run.multiselect, *run.button_group]}
    run.button(key=f"present {key}").click().run()
    assert not run.exception
    assert not run.error
    assert run.title[-1].value == "What does the model answer?"
    assert "Model: Drawn radiographs only" in text_of(run)
    assert {widget.key: widget.value for widget in [*run.selectbox, *run.multiselect, *run.button_group]} == before
