"""The app in a real browser, as people use it: from the upload to the download."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcam_core import read_sample
from tests.browser import ROOT, Serve


@pytest.fixture(scope="module")
def address(serve: Serve) -> str:
    return serve(ROOT / "app.py", ROOT)


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()


def settled(page: Any) -> None:
    """Wait until the script has run; the mark may still be that of the run before, so look twice."""
    for _ in range(2):
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=90_000)
        page.wait_for_timeout(300)


def unfold(page: Any) -> None:
    """Open the fold with the method, the layers and the classes."""
    fold = page.locator("[class*=st-key-fold-] details")
    if fold.get_attribute("open") is None:
        fold.locator("summary").click()


def titles(page: Any) -> list[str]:
    return page.locator(".viewer .panel .title").all_inner_texts()


def drawn(page: Any, panel: int) -> str:
    return page.locator(".viewer .panel canvas").nth(panel).evaluate("canvas => canvas.toDataURL()")


def upload(page: Any, name: str, content: bytes) -> None:
    # A new uploader takes the place of the one that was used: both are there for a moment.
    one = "() => document.querySelectorAll('section[data-testid=stSidebar] input[type=file]').length === 1"
    page.wait_for_function(one, timeout=30_000)
    page.locator('section[data-testid="stSidebar"] input[type=file]').set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content}]
    )
    settled(page)


def test_the_first_visitor_of_a_page_by_its_address_sees_all_of_it(page: Any, address: str) -> None:
    page.goto(f"{address}/Compare")
    page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=90_000)
    settled(page)
    assert page.locator("h1").inner_text() == "Do the methods agree?"
    assert page.locator('section[data-testid="stSidebar"]').get_by_text("CAM Lightbox").is_visible()
    shown = page.locator(".viewer .panels").inner_text()
    assert "Grad-CAM++" in shown
    assert "peak evidence" not in shown, "raw values of several methods cannot be compared"


def test_from_upload_to_download(page: Any, address: str) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    assert "espresso" in " ".join(titles(page)), "the worked example shows both objects"

    upload(page, "anna-smith-1961.png", read_sample("coffee"))
    page.locator(".viewer .panel .title", has_text="espresso").wait_for(timeout=30_000)

    before = drawn(page, 1)
    page.locator("input[name=opacity]").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(300)
    assert drawn(page, 1) != before
    page.keyboard.press("End")
    settled(page)

    unfold(page)
    page.locator(".st-key-top button").first.click()
    settled(page)
    page.locator(".viewer .panel canvas").nth(2).wait_for(state="detached", timeout=30_000)
    assert len(titles(page)) == 2

    with page.expect_download(timeout=30_000) as waiting:
        page.get_by_role("button", name="All as ZIP").click()
    download = waiting.value
    packed = zipfile.ZipFile(io.BytesIO(Path(download.path()).read_bytes()))
    record = json.loads(packed.read("explanation.json"))
    assert record["predictions"][0]["label"] == "espresso"
    raw = np.load(io.BytesIO(packed.read(next(name for name in packed.namelist() if name.endswith(".npy")))))
    assert raw.shape == (7, 7)
    assert "anna" not in download.suggested_filename + "".join(packed.namelist()) + json.dumps(record)

    page.get_by_role("link", name="Compare").first.click()
    page.locator("h1", has_text="Do the methods agree?").wait_for(timeout=30_000)
    settled(page)
    page.locator(".viewer .panel", has_text="Grad-CAM++").first.wait_for(timeout=30_000)
    assert any("espresso" in title for title in titles(page)), "the upload came along"
    assert "anna" not in page.url


@pytest.mark.slow
def test_a_broken_upload_is_said_in_words_and_another_picture_works(page: Any, address: str) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    upload(page, "x.png", read_sample("coffee")[:2000])
    page.get_by_test_id("stAlert").wait_for(timeout=30_000)
    assert "damaged" in page.get_by_test_id("stAlert").inner_text()
    upload(page, "y.png", read_sample("cat"))
    page.locator(".viewer .panel .title", has_text="cat").first.wait_for(timeout=30_000)
    assert page.get_by_test_id("stAlert").count() == 0


def test_two_people_at_once_never_see_each_others_pictures(chromium: Any, address: str) -> None:
    contexts = [chromium.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.goto(f"{address}/Explain")
    for page in pages:
        page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    for page, name in zip(pages, ("cat", "coffee"), strict=True):
        page.locator('section[data-testid="stSidebar"] input[type=file]').set_input_files(
            [{"name": f"{name}-mine.png", "mimeType": "image/png", "buffer": read_sample(name)}]
        )
    pages[0].locator(".viewer .panel .title", has_text="cat").first.wait_for(timeout=30_000)
    pages[1].locator(".viewer .panel .title", has_text="espresso").first.wait_for(timeout=30_000)
    for page in pages:
        settled(page)
    assert not any("espresso" in title for title in titles(pages[0]))
    assert not any("cat" in title.split()[-1] for title in titles(pages[1]))
    assert "coffee-mine" not in pages[0].content()
    assert "cat-mine" not in pages[1].content()
    for context in contexts:
        context.close()


def test_a_long_analysis_shows_drafts_can_be_stopped_and_started_again(page: Any, address: str) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .cell", has_text="map cell").wait_for(timeout=60_000)
    settled(page)
    unfold(page)
    box = page.get_by_role("combobox", name="Method").first
    box.click()
    box.fill("RISE")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop").wait_for(timeout=30_000)
    page.get_by_text("Draft: it changes").wait_for(timeout=30_000)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("You stopped this analysis.").wait_for(timeout=30_000)
    page.get_by_text("are the previous ones: Grad-CAM").wait_for(timeout=30_000)
    assert page.locator(".viewer .panel canvas").count() == 4, "the previous heatmaps are kept"
    page.get_by_role("button", name="Start again").click()
    page.get_by_text("Draft: it changes").wait_for(timeout=30_000)
    # Another choice cancels it too.
    box.click()
    box.fill("HiRes")
    page.keyboard.press("Enter")
    page.locator(".viewer .cell", has_text="map cell").wait_for(timeout=30_000)
    settled(page)
    assert not page.get_by_role("button", name="Stop").count()


@pytest.mark.slow
def test_the_strip_of_layers_leads_to_explaining_there(page: Any, address: str) -> None:
    page.goto(f"{address}/Layers")
    page.locator(".viewer.strip .panel").nth(3).wait_for(timeout=60_000)
    settled(page)
    first = page.locator(".panel button.title").first
    name = first.inner_text()
    first.click()
    page.get_by_text("Explain at").click()
    page.locator(".viewer .cell", has_text="map cell").wait_for(timeout=30_000)
    settled(page)
    assert page.get_by_text(f"{name} ·").count()
