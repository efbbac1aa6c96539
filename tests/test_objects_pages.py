"""Explain with a detector and with a segmenter: what is picked, and what the model is shown."""

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from gradcam_core import explain, load_model, predict, read_image, read_sample
from pages.components.analysis import cache
from pages.components.analysis.requests import ModelChoice
from pages.components.pickers.objects import Picks, _place
from tests import heads
from tests.test_heads_pages import ROOT, text_of

NAMES = {"blobs": 2, "blind": 2, "painter": 3}


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelChoice]:
    folder = tmp_path_factory.mktemp("places")
    small = (("size", 64), ("mean", 0.5), ("std", 0.5), ("fit", "letterbox"))
    choices = {}
    for name, classes in NAMES.items():
        torch.save(getattr(heads, name)().state_dict(), folder / f"{name}.pth")
        (folder / f"{name}.txt").write_text("\n".join(f"class {letter}" for letter in "ABC"[:classes]))
        architecture, labels = f"python:tests.heads:{name}", str(folder / f"{name}.txt")
        choices[name] = ModelChoice(name, f"file:{folder / name}.pth", architecture, "", labels, small)
    return choices


def opened(choice: ModelChoice, picture: str = "coffee") -> AppTest:
    run = AppTest.from_file(str(ROOT / "pages" / "1_Explain.py"), default_timeout=120)
    run.session_state["models"] = {"m": choice}
    run.session_state["picture"] = picture
    run.run()
    assert not run.exception
    return run


def test_an_object_is_picked_from_the_list_with_its_class_or_its_place(choices: dict[str, ModelChoice]) -> None:
    run = opened(choices["blobs"])
    picker = next(box for box in run.multiselect if box.label == "Objects")
    assert len(picker.options) == 4
    assert len(run.dataframe[0].value) == 3, "the first three"
    picker.set_value(["box:2"]).run()
    (shown,) = run.dataframe[0].value["Class"]
    assert shown.endswith("· box 2")
    run.button_group(key="about objects").set_value("place").run()
    assert not run.exception
    edges = ["left", "top", "right", "bottom"]
    assert list(run.dataframe[0].value["Class"]) == [f"{edge} edge of {shown}" for edge in edges]


def test_a_region_is_picked_from_the_list(choices: dict[str, ModelChoice]) -> None:
    run = opened(choices["painter"])
    picker = next(box for box in run.multiselect if box.label == "Regions")
    assert "% of the picture" in picker.options[0]
    (first, *_) = list(cache.PREDICTED._values.values())[-1][0]
    picker.set_value([first.index]).run()
    assert not run.exception
    assert len(run.dataframe[0].value) == 1


def test_a_detector_that_finds_nothing_is_said_beside_the_picture(choices: dict[str, ModelChoice]) -> None:
    run = opened(choices["blind"])
    assert "finds no object in this picture" in run.info[0].value
    assert not run.error
    assert "Objects found" not in text_of(run)


def test_a_page_shows_a_detector_what_the_command_line_does(choices: dict[str, ModelChoice]) -> None:
    run = opened(choices["blobs"])  # this sample is meant to be stretched for a classifier
    assert run.selectbox(key="fit").value == "model"
    choice = choices["blobs"]
    model = load_model(
        choice.reference,
        architecture=choice.architecture,
        labels=choice.labels,
        preprocessing=dict(choice.preprocessing),
    )
    own = explain(read_image(read_sample("coffee")), model, methods="grad_cam", top_k=3)
    shown = [each for each, _, _ in cache.EXPLANATIONS._values.values() if each.fingerprint == model.fingerprint]
    assert any(np.array_equal(each.model_input, own.model_input) for each in shown)
    assert own.preprocessing.fit == "letterbox"
    run.selectbox(key="fit").set_value("squash").run()
    assert run.selectbox(key="fit").value == "squash", "what the user chooses holds"


def test_a_click_picks_an_object_or_a_place_that_the_model_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    image, model = read_image(read_sample("coffee")), load_model(heads.blobs(), labels=["A", "B"])
    kept: dict[str, object] = {}
    monkeypatch.setattr("pages.components.pickers.objects.choose", kept.__setitem__)
    monkeypatch.setattr("streamlit.rerun", lambda: None)
    titles = {f"box:{number}": "" for number in range(4)}
    picks = Picks("key", predict(image, model, 9), titles, ("box:1",), ("box:1",), are_objects=True)
    seen = (0, 0, 400, 600)
    for clicked, after in [
        ({"mark": "box:3", "picture": "this"}, ["box:3"]),
        ({"mark": "box:1", "picture": "this"}, []),  # again: all of them
        ({"mark": "box:9", "picture": "this"}, None),
        ({"mark": "box:3", "picture": "another"}, None),
        (None, None),
    ]:
        kept.clear()
        picks.take(clicked, seen, "this")
        assert kept.get("key") == after
    assert _place({"x": 10.2, "y": 20.9}, seen) == "segment:@10.5,20.5"
    assert _place({"x": 599.9, "y": 1}, (0, 100, 400, 500)) is None
    assert _place({"x": float("nan"), "y": 1}, seen) is None
    assert _place({"x": "1", "y": 1}, seen) is None


@pytest.mark.parametrize("fit", ["letterbox", "crop", "squash"])
def test_a_place_alone_chooses_the_region_there(fit: str) -> None:
    image = read_image(read_sample("coffee"))
    model = load_model(heads.painter(), preprocessing={"size": 64, "mean": 0.5, "std": 0.5, "fit": fit})
    explanation = explain(image, model, methods="grad_cam", top_k=3)
    top, left, bottom, right = explanation.placement.box
    with torch.no_grad():
        painted = model.module(torch.tensor(explanation.model_input)[None])[0].argmax(dim=0)
    for row, column in ((32, 32), (30, 5), (34, 60)):
        x, y = left + (column + 0.5) / 64 * (right - left), top + (row + 0.5) / 64 * (bottom - top)
        (heatmap,) = explain(image, model, targets=f"segment:@{x},{y}", methods="grad_cam").heatmaps
        assert heatmap.target.index == int(painted[row, column])
        assert heatmap.target.mask[row, column]
    with pytest.raises(Exception, match="did not look at this place"):
        explain(image, model, targets="segment:@-5,10", methods="grad_cam")
