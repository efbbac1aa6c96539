"""Compare models: what people do on the page, without a browser; and one walk from Start with one."""

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.components import session
from tests.test_app import address, page, settled
from tests.test_front_door import start
from tests.test_pages import opened, text_of

__all__ = ["address", "page"]
PAGE = "pages/2_Compare_models.py"
CLEAN, SHORTCUT = "bundled:radiograph_clean", "bundled:radiograph_shortcut"
IMAGENET = "bundled:efficientnet_lite0"


def compared(picture: str = "radiograph_marked", first: str = CLEAN, others: tuple[str, ...] = (SHORTCUT,)) -> AppTest:
    """The page with a picture and models chosen."""
    run = opened("app.py")
    run.switch_page(PAGE).run()
    run.selectbox(key=session.PICTURE).select(picture).run()
    run.selectbox(key=session.MODEL).select(first).run()
    run.multiselect(key="compared models").set_value(list(others)).run()
    assert not run.exception
    assert not run.error
    return run


def test_an_example_shows_the_verdict_first() -> None:
    run = opened(PAGE)
    run.button(key="example radiograph_marked").click().run()
    assert not run.exception
    assert run.selectbox(key=session.MODEL).value == CLEAN
    assert "Both models answer nodule" in run.markdown[0].value
    assert "Only the evidence differs" in run.markdown[0].value


@pytest.mark.parametrize("picture", ["radiograph_nodule", "radiograph_marked"])
def test_every_example_can_be_computed(picture: str) -> None:
    run = opened(PAGE)
    run.button(key=f"example {picture}").click().run()
    assert not run.exception
    assert not run.error
    assert "chance gives" in run.markdown[0].value


def test_the_sidebars_model_comes_first_and_cannot_be_chosen_twice() -> None:
    run = compared()
    options = run.multiselect(key="compared models").options
    assert len(options) == len(run.selectbox(key=session.MODEL).options) - 1
    run.selectbox(key=session.MODEL).select(SHORTCUT).run()
    assert run.multiselect(key="compared models").value == []
    assert "Choose another model above" in text_of(run)
    run.selectbox(key=session.MODEL).select(CLEAN).run()
    assert run.multiselect(key="compared models").value == [SHORTCUT]


def test_a_class_can_be_chosen_and_four_models_can_be_compared() -> None:
    run = compared(others=(SHORTCUT, "bundled:radiograph_balanced", IMAGENET))
    assert "The answers differ" in text_of(run)
    run.selectbox(key=next(box.key for box in run.selectbox if box.label == "Class")).select_index(2).run()
    assert not run.exception
    assert "streak" in run.markdown[0].value


def test_classes_without_a_partner_are_said_and_can_be_matched_by_hand() -> None:
    run = compared(others=(IMAGENET,))
    text = text_of(run)
    assert "Model 2 has no class that is matched with “nodule”" in text.replace("\\", "")
    assert "cannot be compared" in run.markdown[0].value
    box = next(box for box in run.selectbox if box.label.startswith("nodule is compared"))
    assert box.value is None
    box.select_index(7).run()
    assert not run.exception
    box = next(box for box in run.selectbox if box.label.startswith("nodule is compared"))
    assert box.value == 7
    assert "For nodule, models 1 and 2" in run.markdown[0].value.replace("\\", "")
    run.switch_page("pages/1_Explain.py").run()
    run.switch_page(PAGE).run()
    assert next(box for box in run.selectbox if box.label.startswith("nodule is compared")).value == 7
    run.segmented_control(key="class match").set_value("index").run()
    assert not run.exception
    assert next(box for box in run.selectbox if box.label.startswith("streak is compared")).value == 2


def test_the_checks_of_every_model_stand_side_by_side() -> None:
    run = compared()
    run.button(key="check models").click().run()
    assert not run.exception
    shown = [part.proto.body for part in run.get("html") if 'class="trust"' in part.proto.body]
    assert len(shown) == 2
    assert "Look here" in shown[1]
    assert "Look here" not in shown[0]


# In a browser


def assert_exported_as_displayed(page: Any, content: bytes) -> None:
    """The exported difference has the colours of the one on the screen, also where it is small."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        name = next(name for name in packed.namelist() if name.startswith("difference_01"))
        exported = cv2.imdecode(np.frombuffer(packed.read(name), np.uint8), 1)
    address = page.locator(".viewer .panel canvas").nth(2).evaluate("canvas => canvas.toDataURL()")
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)
    rows, columns = np.nonzero(shown[..., 3] == 255)
    shown = shown[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1, :3]
    exported = exported[: round(exported.shape[1] * shown.shape[0] / shown.shape[1])]  # without the caption below
    small = cv2.resize(shown, exported.shape[1::-1], interpolation=cv2.INTER_AREA)
    saturated = np.ptp(exported.astype(int), axis=2)
    faint = (saturated > 10) & (saturated < 60)
    assert faint.sum() > 500
    tints = [np.ptp(picture.astype(int), axis=2)[faint].mean() for picture in (small, exported)]
    assert tints[0] == pytest.approx(tints[1], rel=0.15)


@pytest.mark.slow
def test_from_start_by_its_link_to_a_comparison_and_its_record(page: Any, address: str) -> None:
    start(page, address)
    page.locator(".st-key-navigation").get_by_role("link", name="Compare models", exact=True).click()
    page.get_by_role("button", name="The same answer for another reason").click(timeout=180_000)
    page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=90_000)
    settled(page)
    titles = page.locator(".viewer .panel .title").all_inner_texts()
    assert [title.split(" · ")[0] for title in titles] == ["1", "2", "1 − 2"]
    assert page.get_by_text("Only the evidence differs").is_visible()
    assert page.get_by_test_id("stException").count() == 0
    assert "1 = each map’s own peak" in page.locator(".viewer .legend").inner_text()
    assert "1, differences" in page.locator(".viewer .legend").inner_text()
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="All as ZIP").click()
    assert_exported_as_displayed(page, Path(waiting.value.path()).read_bytes())
    with page.expect_download(timeout=30_000) as waiting:
        page.get_by_role("button", name="Record, JSON").click()
    record = json.loads(Path(waiting.value.path()).read_bytes())
    assert record["outcome"] == "evidence differs"
    assert "name" not in record["image"]
    page.locator(".viewer input[name=scale][value=shared]").check(force=True)
    settled(page)
    legend = page.locator(".viewer .legend").inner_text()
    assert "1 = the highest peak of all maps" in legend, "both models are one network, with one unit"
    assert not [url for url in page.asked if not url.startswith((address, "data:", "blob:"))]
