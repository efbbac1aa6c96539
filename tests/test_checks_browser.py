"""The pages that hold heatmaps to account, in a real browser, as people use them."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.test_app import address, page, settled
from tests.test_front_door import pick

__all__ = ["address", "page"]


@pytest.mark.slow
def test_a_cheating_model_is_caught_beside_its_heatmap(page: Any, address: str) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    pick(page, "Picture", "nodule, marker")
    pick(page, "Model", "demonstration) B")
    page.get_by_role("button", name="Run the checks").click()
    page.locator(".trust li").nth(5).wait_for(timeout=60_000)
    settled(page)
    assert "1 needs your attention" in page.locator(".trust .outcome").inner_text()
    caught = page.locator(".trust li.attention")
    assert "upper right corner" in caught.inner_text()
    widths = page.locator(".trust img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert widths == [128, 128], "the pictures with parts hidden are there"
    with page.expect_download(timeout=30_000) as waiting:
        page.get_by_role("button", name="Checks, JSON").click()
    assert waiting.value.suggested_filename.endswith("-checks.json")


@pytest.mark.slow
def test_the_story_can_be_told_with_the_arrow_keys(page: Any, address: str) -> None:
    page.goto(f"{address}/Demonstration")
    page.locator(".figures img").nth(1).wait_for(timeout=90_000)
    settled(page)
    page.locator("h1").click()
    for words in ("Model C", "Which model is cheating?", "six checks", "It was model B"):
        page.keyboard.press("ArrowRight")
        page.get_by_text(words).first.wait_for(timeout=30_000)
        settled(page)
    page.keyboard.press("ArrowLeft")
    page.get_by_text("six checks").first.wait_for(timeout=30_000)
    hosts = {urlsplit(url).hostname for url in page.asked if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}
