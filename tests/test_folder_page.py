"""The page that evaluates a folder, without a browser: what people do on it, and what strangers' files do to it."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch
from streamlit.testing.v1 import AppTest

from gradcam_core.checks.edges import EDGE_REGIONS, edge_regions
from gradcam_core.placement import Placement
from gradcam_core.runners.decoding_process import Limits
from pages.components.analysis.decoding import DECODER
from pages.components.analysis.requests import ModelChoice
from pages.components.folder import evaluation, files, job
from pages.components.folder.charts import _region
from tests.hostile_pictures import flat_png

PAGE = Path(__file__).parent.parent / "pages/5_Folder.py"
LABELS = ["<b>left</b>", "<b>right</b>", "<b>up</b>"]


@pytest.fixture
def weights(tmp_path: Path) -> ModelChoice:
    torch.manual_seed(0)
    state = timm.create_model("test_resnet", num_classes=3).state_dict()
    torch.save({"state_dict": state, "class_names": LABELS}, tmp_path / "weights.pth")
    return ModelChoice("mine", f"file:{tmp_path / 'weights.pth'}", "timm:test_resnet")


@pytest.fixture
def page(weights: ModelChoice) -> AppTest:
    """The page with a small model of our own, nothing chosen yet."""
    page = AppTest.from_file(str(PAGE), default_timeout=90)
    page.session_state["models"] = {"mine": weights}
    page.session_state["picture"] = "coffee"
    return page.run()


def text_of(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.error, *page.title, *page.header, *page.get("html")]
    return "\n".join(str(getattr(part, "value", None) or part.proto.body) for part in parts)


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 40, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def upload(page: AppTest, **contents: bytes) -> None:
    """Put files into the folder's own uploader, one by one."""
    kinds = {"csv": "text/csv", "png": "image/png"}
    for name, content in contents.items():
        file, _, kind = name.rpartition("_")
        uploader = next(one for one in page.file_uploader if str(one.key).startswith("folder uploader"))
        uploader.upload(f"{file}.{kind}", content, kinds[kind]).run()


def evaluate(page: AppTest) -> None:
    page.button(key="evaluate").click().run()
    assert not page.exception


def test_an_empty_folder_says_what_to_do_and_offers_two_drawn_ones(page: AppTest) -> None:
    assert not page.exception
    assert "many pictures" in text_of(page)
    assert "CSV file" in text_of(page)
    assert {"sample marked_nodules", "sample no_markers"} <= {button.key for button in page.button}
    assert "evaluate" not in {button.key for button in page.button}


def test_a_drawn_folder_is_evaluated_by_two_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SAMPLE_SIZE", 6)
    page = AppTest.from_file(str(PAGE), default_timeout=90).run()
    page.button(key="sample marked_nodules").click().run()
    assert page.selectbox(key="model").value == "bundled:radiograph_shortcut"
    assert "**6 pictures** · 6 labels · 4 masks" in text_of(page)
    evaluate(page)
    assert not page.error
    assert re.search(r"in \d of 6 pictures", text_of(page))
    assert page.metric[0].label == "Correct"
    assert len(page.dataframe[0].value) == 6
    page.selectbox(key="folder_method").select("layer_cam").run()
    assert not page.dataframe, "other settings have not been evaluated"
    page.selectbox(key="folder_method").select("grad_cam").run()
    assert len(page.dataframe[0].value) == 6, "what was evaluated is kept"


def test_a_broken_file_stands_last_among_good_ones(page: AppTest) -> None:
    table = b"name,label\nanna.png,<b>right</b>\nbert.png,<b>left</b>\nbroken.png,<b>up</b>\n"
    upload(page, anna_png=png(1), broken_png=png(2)[:90], bert_png=png(3), table_csv=table)
    assert "**3 pictures** · 3 labels · no masks" in text_of(page)
    evaluate(page)
    assert not page.error
    found = page.dataframe[0].value
    assert found["Name"].tolist()[-1] == "broken.png"
    assert set(found["Name"].tolist()[:2]) == {"anna.png", "bert.png"}
    assert r"could not be evaluated\: 1" in text_of(page)
    drawn = "".join(part.proto.body for part in page.get("html"))
    assert "&lt;b&gt;" in drawn, "the answers' frames bear their labels"
    assert not re.search("<b>(left|right|up)", drawn)


def test_a_file_that_ends_its_decoder_is_a_sentence_among_good_ones(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (DECODER, *DECODER._all):
        monkeypatch.setattr(part, "_limits", Limits(0.3, 3072))
    DECODER.end()
    upload(page, slow_png=flat_png(16, 2, 3), good_png=png(1))
    evaluate(page)
    assert "could not be read within 0.3 seconds" in page.dataframe[0].value["Note"].tolist()[-1]
    page.run()
    assert not page.exception
    DECODER.end()


def test_a_table_that_cannot_be_read_is_refused_and_can_be_replaced(page: AppTest) -> None:
    upload(page, anna_png=png(1), table_csv=b"patient,age\nanna,71\n")
    assert len(page.error) == 1
    assert "anna" not in page.error[0].value
    assert "evaluate" not in {button.key for button in page.button}
    upload(page, table_csv=b"name,label\nanna.png,<b>up</b>\n")
    assert not page.error
    evaluate(page)
    assert len(page.dataframe[0].value) == 1


def test_labels_of_another_model_are_refused_in_words(page: AppTest) -> None:
    upload(page, anna_png=png(1), table_csv=b"name,label\nanna.png,zebra\n")
    evaluate(page)
    assert len(page.error) == 1
    assert "zebra" in page.error[0].value
    assert not page.dataframe


def test_a_stopped_evaluation_keeps_its_results_and_goes_on(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluation.evaluate
    seen: list[int] = []

    def stopped_after_one(pictures: Any, *given: Any, stop: Any, **options: Any) -> Any:
        """Evaluate as the page does, with Stop pressed while the first picture is under way."""
        calls: list[int] = []
        seen.append(len(tuple(options["known"])))
        return whole(pictures, *given, stop=lambda: bool(calls.append(1)) or len(calls) > 1, **options)

    upload(page, anna_png=png(1), bert_png=png(2), carl_png=png(3))
    monkeypatch.setattr(evaluation, "evaluate", stopped_after_one)
    evaluate(page)
    assert "**Stopped after 1 of 3 pictures.**" in text_of(page)
    assert len(page.dataframe[0].value) == 1
    first = page.dataframe[0].value["Name"].tolist()
    monkeypatch.undo()
    assert page.button(key="evaluate").label == "Go on with the other 2"
    evaluate(page)
    assert len(page.dataframe[0].value) == 3
    assert "Stopped" not in text_of(page)
    assert first[0] in page.dataframe[0].value["Name"].tolist()
    assert seen == [0]


def test_a_cleared_folder_is_empty(page: AppTest) -> None:
    upload(page, anna_png=png(1))
    page.button(key="folder clear").click().run()
    assert not page.exception
    assert "sample no_markers" in {button.key for button in page.button}
    assert not page.session_state["folder_files"]


def test_a_chosen_row_goes_onto_the_desk(page: AppTest) -> None:
    content = png(1)
    upload(page, anna_png=content)
    evaluate(page)
    table = page.dataframe[0]
    page.session_state[table.key] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    page.button(key="open in explain").click().run()
    assert not page.exception
    chosen = page.session_state["picture"]
    assert page.session_state["uploads"][chosen].content == content


def test_the_drawn_frame_has_the_parts_that_are_hidden() -> None:
    hidden = edge_regions(Placement((100, 100), (100, 100), (0.0, 0.0, 100.0, 100.0)))[:, 0].numpy()
    for name, mask in zip(EDGE_REGIONS, hidden, strict=True):
        drawn = np.zeros((100, 100), bool)
        for box in re.findall(r"left: (\S+)%; top: (\S+)%; width: (\S+)%; height: (\S+)%", _region(name, 0.5)):
            left, top, width, height = (round(float(side)) for side in box)
            drawn[top : top + height, left : left + width] = True
        assert np.array_equal(drawn, mask), name


def test_an_unexpected_failure_of_a_job_leaves_the_page_usable(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any, **options: Any) -> Any:
        raise ZeroDivisionError

    upload(page, anna_png=png(1))
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "evaluate", fails)
        page.button(key="evaluate").click().run()
        assert page.exception
    page.run()
    assert not page.exception
    evaluate(page)
    assert len(page.dataframe[0].value) == 1


def test_clearing_the_folder_cancels_its_job(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    whole = job.begin_lasting
    monkeypatch.setattr(job, "begin_lasting", lambda compute: begun.append(whole(compute)) or begun[-1])
    upload(page, anna_png=png(1))
    evaluate(page)
    page.session_state["folder_job"] = job._FolderJob("other", begun[0])
    page.button(key="folder clear").click().run()
    assert not page.exception
    assert begun[0].work.cancel.is_set()
