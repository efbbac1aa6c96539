"""The pages with a detector, a segmenter and a network without a classifier: each works, or says why not."""

import json
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.components.analysis.requests import ModelChoice
from tests import heads
from tests.test_heads_pages import evaluated, opened, png, text_of

LABELS = ["background", "cat", "dog", "cup"]
FUSED = "All layers fused"


@pytest.fixture
def choices(tmp_path: Path) -> dict[str, ModelChoice]:
    small = (("size", 32), ("fit", "squash"))

    def choice(recipe: str, labels: list[str]) -> ModelChoice:
        torch.save(getattr(heads, recipe)().state_dict(), tmp_path / f"{recipe}.pth")
        (tmp_path / f"{recipe}.json").write_text(json.dumps(labels))
        names = str(tmp_path / f"{recipe}.json") if labels else ""
        return ModelChoice(recipe, f"file:{tmp_path / recipe}.pth", f"python:tests.heads:{recipe}", "", names, small)

    return {
        "detector": choice("detector", LABELS),
        "segmenter": choice("segmenter", LABELS[:3]),
        "headless": choice("headless", []),
    }


def works(run: AppTest) -> AppTest:
    assert not run.exception
    assert not run.error, run.error[0].value
    return run


@pytest.mark.parametrize("name", ["detector", "segmenter"])
def test_explain_and_compare_show_and_check_objects_and_regions(name: str, choices: dict[str, ModelChoice]) -> None:
    for page in ("3_Layers.py", "2_Compare.py", "1_Explain.py"):
        run = works(opened(page, choices, name))
        text = text_of(run)
        assert "Top answer" not in text
        if name == "detector" and page != "3_Layers.py":
            assert text.count(FUSED) == 1, "the words of the fused map stand once"
    run.button(key="check explain").click().run()
    assert "of 6 checks passed" in text_of(works(run))


@pytest.mark.parametrize(("first", "second"), [("detector", "segmenter"), ("segmenter", "detector")])
def test_models_of_two_kinds_are_compared(first: str, second: str, choices: dict[str, ModelChoice]) -> None:
    run = works(opened("2_Compare_models.py", choices, first, second, compared_models=[second]))
    assert "cannot be compared: model 1 gives" in text_of(run)
    assert "overlap of their hottest areas" in text_of(run)


@pytest.mark.parametrize("name", ["detector", "segmenter"])
def test_the_heatmap_of_an_object_is_measured(name: str, choices: dict[str, ModelChoice]) -> None:
    run = works(opened("4_Evaluate.py", choices, name))
    assert "Spread (entropy)" in text_of(run)
    run.button(key="change").click().run()
    text = text_of(works(run))
    assert "Deletion" in text
    assert "there is no probability" not in text


def test_a_folder_says_what_a_detector_finds(choices: dict[str, ModelChoice]) -> None:
    run = works(evaluated(choices, "detector", b"name,label\na.png,cat;dog\nb.png,none\n"))
    text = text_of(run)
    assert "The objects found are as in the table in" in text
    assert "op answer" not in text
    assert {metric.label for metric in run.metric} >= {"As in the table", "A corner or border decides"}
    table = run.dataframe[0].value
    assert set(table["Objects"]) == {6}


def test_a_folder_says_what_a_segmenter_sees(choices: dict[str, ModelChoice]) -> None:
    run = works(evaluated(choices, "segmenter", b"name,label\na.png,cat\nb.png,dog\n"))
    text = text_of(run)
    assert "The regions are as in the table in" in text
    assert "op answer" not in text


def test_a_folder_of_features_is_compared_with_one_of_its_pictures(choices: dict[str, ModelChoice]) -> None:
    run = works(evaluated(choices, "headless", b"name,label\na.png,\nb.png,\n"))
    text = text_of(run)
    assert "The similarity to the reference picture is" in text
    (mean,) = (metric.value for metric in run.metric if metric.label == "Mean similarity")
    assert float(mean) <= 1
    values = run.dataframe[0].value["Number"]
    assert max(values) == pytest.approx(1, abs=1e-5), "one of them is the reference itself"


def test_two_detectors_are_compared_over_a_folder(choices: dict[str, ModelChoice]) -> None:
    run = opened("5_Folder.py", choices, "detector", "segmenter", folder_other="segmenter")
    for seed in range(2):
        uploader = next(box for box in run.file_uploader if str(box.key).startswith("folder uploader"))
        uploader.upload(f"{seed}.png", png(seed), "image/png").run()
    run.button(key="compare").click().run()
    assert "so that they cannot agree" in text_of(works(run))
