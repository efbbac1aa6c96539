"""The Folder page with a second model, without a browser; and one walk from Start with one."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from gradcam_core import explain, overlay
from pages.components import session
from pages.components.folder import drift, files
from pages.components.folder.worst import _still
from tests import networks
from tests.test_app import address, settled
from tests.test_app import page as visitor
from tests.test_folder_page import PAGE, png, text_of, upload
from tests.test_front_door import follow, pick, start

__all__ = ["address", "visitor"]
CLEAN, SHORTCUT = "bundled:radiograph_clean", "bundled:radiograph_shortcut"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page with nine drawn radiographs and two models whose truth is known."""
    monkeypatch.setattr(files, "SAMPLE_SIZE", 9)
    page = AppTest.from_file(str(PAGE), default_timeout=90).run()
    page.button(key="sample marked_nodules").click().run()
    page.selectbox(key=drift.OTHER).select(CLEAN).run()
    assert not page.exception
    return page


def compare(page: AppTest) -> None:
    page.button(key="compare").click().run()
    assert not page.exception
    assert not page.error


def test_the_verdict_comes_first_then_the_pictures_whose_evidence_moved(page: AppTest) -> None:
    compare(page)
    words = text_of(page).replace("\\", "")
    assert "The answers agree on 8 of 9 pictures" in words
    assert "The evidence moved on 3 of 9 pictures" in words
    drawn = [part.proto.body for part in page.get("html") if 'class="figures"' in part.proto.body]
    assert len(drawn) == 3
    assert all(body.count("<img") == 2 for body in drawn)
    table = page.dataframe[0].value
    assert len(table) == 9
    assert table["Look at"].tolist()[:4] == ["answers differ, evidence moved", "evidence moved", "evidence moved", ""]
    assert table["Overlap"].is_monotonic_increasing


def test_without_a_second_model_the_page_evaluates_as_before(page: AppTest) -> None:
    compare(page)
    page.selectbox(key=drift.OTHER).select(drift.NONE).run()
    assert not page.exception
    assert page.button(key="evaluate").label == "Evaluate 9 pictures"
    assert not page.dataframe
    page.selectbox(key=drift.OTHER).select(CLEAN).run()
    assert len(page.dataframe[0].value) == 9, "what was compared is kept"


def test_the_sidebars_model_cannot_be_chosen_twice(page: AppTest) -> None:
    assert len(page.selectbox(key=drift.OTHER).options) == len(page.selectbox(key=session.MODEL).options)
    page.selectbox(key=session.MODEL).select(CLEAN).run()
    assert page.selectbox(key=drift.OTHER).value == drift.NONE


def test_a_picture_leads_to_compare_models_with_both_models(page: AppTest) -> None:
    compare(page)
    page.selectbox(key="folder_method").select("layer_cam").run()
    compare(page)
    button = next(button for button in page.button if str(button.key).startswith("compare "))
    button.click().run()
    assert not page.exception
    run = AppTest.from_file(str(PAGE.parent / "2_Compare_models.py"), default_timeout=90)
    for name in ("uploads", "kept values", "models", "usual_fit"):
        run.session_state[name] = page.session_state[name]
    run.run()
    assert not run.exception
    assert run.multiselect(key="compared models").value == [CLEAN]
    assert run.selectbox(key=session.MODEL).value == SHORTCUT
    assert run.selectbox(key="models_method").value == "layer_cam"
    assert str(run.selectbox(key=session.PICTURE).value).startswith(button.key.split(" ")[1])


def test_a_stopped_comparison_keeps_its_rows_and_goes_on(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drift.drift
    known: list[int] = []

    def stopped_after_two(*given: Any, stop: Any, **options: Any) -> Any:
        """Compare as the page does, with Stop pressed while the second picture is under way."""
        calls: list[int] = []
        return whole(*given, stop=lambda: bool(calls.append(1)) or len(calls) > 2, **options)

    def counting(*given: Any, **options: Any) -> Any:
        known.append(len(tuple(options["known"])))
        return whole(*given, **options)

    monkeypatch.setattr(drift, "drift", stopped_after_two)
    compare(page)
    assert "**Stopped after 2 of 9 pictures.**" in text_of(page)
    assert len(page.dataframe[0].value) == 2
    monkeypatch.setattr(drift, "drift", counting)
    assert page.button(key="compare").label == "Go on with the other 7"
    compare(page)
    assert len(page.dataframe[0].value) == 9
    assert known == [2]


def test_models_without_a_class_in_common_are_refused_in_words(page: AppTest) -> None:
    page.selectbox(key=drift.OTHER).select("bundled:efficientnet_lite0").run()
    page.button(key="compare").click().run()
    assert not page.exception
    assert len(page.error) == 1
    assert "no class in common" in page.error[0].value


def test_a_broken_file_is_a_row_and_the_others_are_compared(page: AppTest) -> None:
    upload(page, broken_png=png(2)[:90])
    compare(page)
    table = page.dataframe[0].value
    assert table["Name"].tolist()[-1] == "broken.png"
    assert "could not be compared: 1" in text_of(page).replace("\\", "")


@pytest.mark.parametrize("fit", ["letterbox", "crop"])
def test_a_heatmap_on_a_small_copy_is_the_one_on_the_picture_made_smaller(fit: str) -> None:
    image = networks.picture(600, 1200, seed=3)
    model = networks.loaded(networks.conv_net(), fit=fit)
    heatmap = explain(image, model, top_k=1, methods="grad_cam").heatmaps[0]
    small = _still(image, heatmap)
    assert small.shape == (224, 448, 3)
    large = cv2.resize(overlay(image, heatmap), (448, 224), interpolation=cv2.INTER_AREA)
    seen = np.isfinite(cv2.resize(heatmap.values, (448, 224), interpolation=cv2.INTER_AREA))
    assert np.abs(small[seen].astype(int) - large[seen]).mean() < 2


# In a browser


@pytest.mark.slow
def test_from_start_to_the_pictures_whose_evidence_moved_and_on_to_one_of_them(visitor: Any, address: str) -> None:
    start(visitor, address)
    follow(visitor, "Folder")
    visitor.get_by_role("button", name="Every nodule").click()
    visitor.get_by_role("button", name="Evaluate 45 pictures").wait_for(timeout=60_000)
    settled(visitor)
    pick(visitor, "Compare with", "demonstration) A")
    visitor.get_by_role("button", name="Compare 45 pictures").click()
    visitor.get_by_text("The evidence moved on 14 of 45 pictures").wait_for(timeout=120_000)
    visitor.locator(".st-key-worst .figures img").nth(7).wait_for(timeout=60_000)
    settled(visitor)
    assert visitor.locator("img:not([alt])").count() == 0
    with visitor.expect_download(timeout=30_000) as waiting:
        visitor.get_by_role("button", name="Record, JSON").click()
    record = json.loads(Path(waiting.value.path()).read_bytes())
    assert record["moved"]["part"] == 14
    assert "name" not in record["rows"][0]
    visitor.locator(".st-key-worst button").first.click()
    visitor.wait_for_url("**/Compare_models", timeout=30_000)
    visitor.locator(".viewer .panel canvas").nth(2).wait_for(timeout=90_000)
    settled(visitor)
    assert visitor.get_by_text("look at different places").is_visible()
    assert not [url for url in visitor.asked if not url.startswith((address, "data:", "blob:"))]
