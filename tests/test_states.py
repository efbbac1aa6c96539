"""Every state of every page in axe-core, light and dark: it finds nothing but what Streamlit's own uploader brings."""

from typing import Any

import pytest

from gradcam_core import drawn_folder
from tests.test_app import address, page, settled, unfold
from tests.test_front_door import PAGES, follow, pick, start
from tests.test_models_browser import FLOWERS, checkpoint
from tests.test_presenter import own_findings
from tests.visitor import PICTURES, Visitor, file

__all__ = ["address", "page"]
DROP_ZONE = "[data-testid=stMain] .st-key-takes-drops"


@pytest.fixture
def visitor(page: Any, address: str) -> Visitor:
    start(page, address)
    return Visitor(page)


def assert_accessible(visitor: Visitor, state: str) -> None:
    """What stands on the page now has no finding, in both themes."""
    page = visitor.page
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(400)  # colours fade
        assert own_findings(page) == [], (state, scheme)


def test_pages_as_they_are_entered(visitor: Visitor) -> None:
    assert_accessible(visitor, "Start")
    for name in PAGES:
        follow(visitor.page, name)
        if name in ("Explain", "Compare methods"):
            unfold(visitor.page)
        assert_accessible(visitor, name)


@pytest.mark.slow
def test_details_of_an_explanation(visitor: Visitor) -> None:
    page = visitor.page
    follow(page, "Explain")
    for words in ("What the model was given", "Numbers", "Scores", "Where the time went", "Does something look wrong"):
        visitor.click(page.locator("summary", has_text=words))
    visitor.sees(page.locator(".js-plotly-plot").first)
    visitor.click("button", "Run the checks")
    visitor.sees(page.locator(".trust li").nth(5))
    settled(page)
    assert_accessible(visitor, "details and checks")


@pytest.mark.slow
def test_models_from_a_dropped_file_to_a_new_name(visitor: Visitor) -> None:
    page = visitor.page
    follow(page, "Models")
    visitor.choose_files(DROP_ZONE, file("table.pth", b"a,b\n1,2\n" * 20))
    visitor.sees(page.get_by_test_id("stAlert"))
    settled(page)
    assert_accessible(visitor, "a wrong file")
    visitor.choose_files(
        DROP_ZONE, file("flowers.pth.tar", checkpoint()), file("names.txt", "\n".join(FLOWERS).encode())
    )
    visitor.sees("This looks like")
    visitor.click("button", "Another architecture")
    settled(page)
    assert_accessible(visitor, "an offer")
    visitor.click("button", "Use it everywhere")
    visitor.sees("The chosen model")
    settled(page)
    visitor.click("button", "Rename flowers.pth.tar")
    visitor.sees(page.locator("[data-testid=stPopoverBody] input"))
    assert_accessible(visitor, "a new name")
    page.keyboard.press("Escape")
    names = [button.inner_text() for button in page.get_by_role("button", name="Explain with it").all()]
    assert len(set(names)) == len(names), "two buttons have the same name"


@pytest.mark.slow
def test_models_side_by_side(visitor: Visitor) -> None:
    page = visitor.page
    follow(page, "Compare models")
    visitor.click("button", "The same answer for another reason")
    visitor.sees(page.locator(PICTURES).nth(2))
    settled(page)
    visitor.click("button", "Run the checks for each model")
    visitor.sees(page.locator(".trust li").nth(11))
    settled(page)
    assert_accessible(visitor, "two models with their checks")
    for title in ("demonstration) C", "EfficientNet"):
        pick(page, "Compare with", title)
    visitor.sees(page.locator(PICTURES).nth(6))
    for words in ("Which classes belong together", "Numbers", "Where the time went"):
        visitor.click(page.locator("summary", has_text=words))
    settled(page)
    assert_accessible(visitor, "four models with notes")


@pytest.mark.slow
def test_a_folder_running_stopped_and_done(visitor: Visitor) -> None:
    page = visitor.page
    follow(page, "Folder")
    visitor.click("button", "Every nodule")
    visitor.click("button", "Evaluate 45 pictures")
    visitor.sees(r"Picture \d+ of 45")
    assert_accessible(visitor, "running")
    visitor.click("button", "Stop")
    visitor.sees(r"Stopped after \d+ of 45 pictures")
    settled(page)
    assert_accessible(visitor, "stopped")
    visitor.click("button", "Clear")
    drawn = drawn_folder("marked_nodules", 3)
    files = {**drawn.pictures, **drawn.masks, "labels.csv": drawn.table}
    visitor.choose_files(DROP_ZONE, *(file(name, content) for name, content in files.items()))
    visitor.click("button", "Evaluate 3 pictures")
    visitor.sees(r"in \d of 3 pictures")
    settled(page)
    assert_accessible(visitor, "done")


@pytest.mark.slow
def test_a_region_with_its_verdict_and_curves(visitor: Visitor) -> None:
    page = visitor.page
    visitor.click("button", "Drawn radiograph: nodule, marker")
    page.wait_for_url("**/Explain", timeout=60_000)
    pick(page, "Model", "demonstration) A")
    follow(page, "Evaluate")
    visitor.sees("of the heat lies in a region that is")
    visitor.click("button", "Run deletion and insertion tests")
    visitor.sees(page.locator(".js-plotly-plot").first)
    settled(page)
    assert_accessible(visitor, "a verdict with curves")
