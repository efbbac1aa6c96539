"""The app as a visitor walks it: from Start to every page by its links, with everything changed on the way."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.test_app import address, page, settled, unfold
from tests.test_presenter import on_stage, press, tab_to

__all__ = ["address", "page"]
PAGES = {
    "Explain": ".viewer .panel canvas",
    "Compare methods": ".viewer .panel canvas",
    "Compare models": "text=Compare with",
    "Layers": ".viewer .panel canvas",
    "Evaluate": ".marker canvas, .figures img",
    "Batch": "text=Every nodule",
    "Folder": "text=Every nodule",
    "Models": "text=Add a model",
    "Demonstration": ".figures img",
}
# One click on each page that runs it again, and changes nothing in the sidebar.
CLICKS = {
    "Explain": ".viewer label:has-text('Same scale for all')",
    "Compare methods": ".viewer label:has-text('Scale each map')",
    "Compare models": ".st-key-models_method button, [data-testid=stMultiSelect] button",
    "Layers": ".viewer label:has-text('Same scale for all')",
    "Evaluate": "[role=radiogroup] :text('Upload a mask')",
    "Batch": "[data-testid=stMain] h1",
    "Folder": "[data-testid=stMain] h1",
    "Models": "button:has-text('torchvision')",
    "Demonstration": "button:has-text('Next')",
}
ADDRESSES = {"Compare methods": "Compare", "Compare models": "Compare_models"}


def start(page: Any, address: str) -> None:
    page.goto(address)
    page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=90_000)
    settled(page)


def follow(page: Any, name: str) -> None:
    """Follow a link of the sidebar and wait until its page stands."""
    page.locator(".st-key-navigation").get_by_role("link", name=name, exact=True).click()
    page.wait_for_url(f"**/{ADDRESSES.get(name, name)}", timeout=30_000)
    page.locator(PAGES[name]).first.wait_for(timeout=60_000)
    settled(page)
    assert page.get_by_test_id("stException").count() == 0, name
    assert page.locator("img:not([alt])").count() == 0, name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def chosen(page: Any, label: str) -> str:
    """What a list in the sidebar shows."""
    box = page.locator('section[data-testid="stSidebar"] [data-testid="stSelectbox"]', has_text=label)
    return str(box.locator("input").first.input_value() or box.inner_text())


def pick(page: Any, label: str, text: str) -> None:
    """Choose from a list. One that is drawn anew while it is open closes, and is opened again."""
    from playwright.sync_api import TimeoutError as NotInTime

    box = page.get_by_role("combobox", name=label).first
    option = page.locator("[role=listbox] [role=option]", has_text=text).first
    for patience in (5_000, 5_000, 30_000):
        box.click()
        box.fill(text)
        try:
            option.click(timeout=patience)
            break
        except NotInTime:
            page.keyboard.press("Escape")
    page.keyboard.press("Tab")  # closes a list of several; Escape would clear a list of one
    settled(page)


@pytest.mark.slow
def test_nothing_changes_that_the_visitor_did_not_change(page: Any, address: str) -> None:
    start(page, address)
    fit = chosen(page, "What the model sees")
    assert "stretched" in fit
    for name in PAGES:
        follow(page, name)
        page.locator(CLICKS[name]).first.click()
        settled(page)
        assert page.url.endswith(f"/{ADDRESSES.get(name, name)}")
        assert page.get_by_test_id("stException").count() == 0, name
        if name != "Demonstration":
            assert chosen(page, "What the model sees") == fit, name
    follow(page, "Explain")
    unfold(page)
    page.locator(".st-key-top button").first.click()
    settled(page)
    assert chosen(page, "What the model sees") == fit


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("Compare models", "The same answer for another reason"),
        pytest.param("Folder", "Every nodule", marks=pytest.mark.slow),
    ],
)
def test_an_example_says_what_it_has_chosen(page: Any, address: str, name: str, example: str) -> None:
    start(page, address)
    follow(page, name)
    page.get_by_role("button", name=example).click()
    words = page.get_by_text("Chosen by the example: ")
    words.wait_for(timeout=60_000)
    assert "Drawn radiographs only (demonstration)" in words.inner_text()
    assert "Drawn radiographs only" in chosen(page, "Model")
    pick(page, "Model", "EfficientNet")
    words.wait_for(state="detached", timeout=60_000)


@pytest.mark.parametrize("name", ["Explain", pytest.param("Compare methods", marks=pytest.mark.slow)])
def test_keys_alone_lead_from_start_to_the_presenters_view(page: Any, address: str, name: str) -> None:
    start(page, address)
    tab_to(page, name)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{ADDRESSES.get(name, name)}", timeout=30_000)
    page.locator(PAGES[name]).nth(3).wait_for(timeout=60_000)
    settled(page)
    tab_to(page, "Present this")
    page.keyboard.press("Enter")
    on_stage(page, "What does the model answer?")
    press(page, "PageDown", "tiger cat, 16")
    press(page, "Home", "What does the model answer?")
    page.keyboard.press("Escape")
    page.locator(".st-key-stage").wait_for(state="detached", timeout=20_000)
    assert page.url.endswith(f"/{ADDRESSES.get(name, name)}")


def test_every_page_stands_with_everything_changed_and_no_request_leaves_the_machine(page: Any, address: str) -> None:
    start(page, address)
    pick(page, "Picture", "Drawn radiograph: nodule, streak")
    page.wait_for_url("**/Explain", timeout=30_000)
    page.locator(PAGES["Explain"]).first.wait_for(timeout=60_000)
    settled(page)
    pick(page, "Model", "demonstration) C")
    pick(page, "What the model sees", "padded")
    unfold(page)
    pick(page, "Layers", "layer3.0")
    page.locator(".st-key-top button", has_text="10").click()
    settled(page)
    layers = page.locator(".stMultiSelect", has_text="Layers").locator("[data-tag]").all_inner_texts()
    assert len(layers) == 2
    for name in PAGES:
        follow(page, name)
        if name == "Compare methods":
            unfold(page)
            assert page.get_by_text("2 layers are chosen on Explain").is_visible()
    follow(page, "Explain")
    unfold(page)
    assert page.locator(".stMultiSelect", has_text="Layers").locator("[data-tag]").all_inner_texts() == layers
    assert "padded" in chosen(page, "What the model sees")
    assert "streak" in chosen(page, "Picture")
    pick(page, "Model", "EfficientNet")
    for name in ("Compare methods", "Layers"):
        follow(page, name)
    page.reload()
    page.locator(PAGES["Layers"]).first.wait_for(timeout=60_000)
    settled(page)
    for name in PAGES:
        follow(page, name)
    hosts = {urlsplit(url).hostname for url in page.asked if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}, "a request left the machine"
