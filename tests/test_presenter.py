"""The presenter's view in a real browser: by keys alone, in the sizes of three screens, and back without a trace."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from gradcam_core import read_sample
from tests.test_app import address, page, settled

__all__ = ["address", "page"]
TITLES = ["One picture", "One answer", "Three heatmaps", "The test", "What happened", "Your picture"]
SCREENS = [(1280, 720), (1920, 1080), (3840, 2160)]
STEPS_OF_TABS = 60
# Where what is on the stage ends, over the bar below it and over the right edge, in pixels; and how far it scrolls.
CUT = """() => {
  const [stage, bar] = [document.querySelector('.st-key-stage'), document.querySelector('[class*=st-key-keys-]')];
  const shadow = [...bar.querySelectorAll('*')].map((part) => part.shadowRoot).find(Boolean) ?? bar;
  const floor = shadow.querySelector('.keys').getBoundingClientRect().top;
  const boxes = [...stage.querySelectorAll('h1, p, img, li, button, figcaption, td, th, i, section')]
    .map((part) => part.getBoundingClientRect()).filter((box) => box.width && box.height);
  return {
    above: Math.min(...boxes.map((box) => box.top)), below: Math.max(...boxes.map((box) => box.bottom)) - floor,
    beside: Math.max(...boxes.map((box) => box.right)) - innerWidth,
    scrolled: stage.scrollTop, hidden: stage.scrollHeight - stage.clientHeight,
  };
}"""


def png(name: str, kind: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.open(io.BytesIO(read_sample(name))).convert("RGB").resize((400, 300)).save(written, kind)
    return written.getvalue()


def tab_to(page: Any, words: str) -> None:
    """Press Tab until the link, button or switch with these words has the focus."""
    named = f"""() => {{
      const focused = document.activeElement;
      return focused.matches('a, button, input') && (focused.closest('label') ?? focused).innerText.includes('{words}');
    }}"""
    for _ in range(STEPS_OF_TABS):
        page.keyboard.press("Tab")
        if page.evaluate(named):
            return
    raise AssertionError(f"Nothing with the words {words!r} is reached by the Tab key.")


def drop(page: Any, name: str, content: bytes) -> None:
    page.get_by_text("Drop a picture here").wait_for(timeout=30_000)
    page.locator(".st-key-stage input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content}]
    )


def on_stage(page: Any, title: str) -> None:
    page.locator(".st-key-stage h1", has_text=title).wait_for(timeout=20_000)


def press(page: Any, key: str, title: str) -> None:
    page.keyboard.press(key)
    on_stage(page, title)


def open_story(page: Any, address: str) -> None:
    """Open the story in the presenter's view."""
    page.goto(f"{address}/Demonstration")
    page.locator(".figures img").nth(1).wait_for(timeout=90_000)
    settled(page)
    page.locator(".st-key-presenter label").first.click()
    on_stage(page, TITLES[0])


def assert_one_screen(page: Any, title: str) -> None:
    """The screen has nothing below its foot or beside it, whatever the window's size."""
    settled(page)
    heights = []
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)
        cut = page.evaluate(CUT)
        assert cut["above"] >= 0, (title, width, cut)
        assert cut["below"] <= 0, (title, width, cut)
        assert cut["beside"] <= 0, (title, width, cut)
        assert cut["scrolled"] == cut["hidden"] == 0, (title, width, cut)
        heights.append(page.locator(".st-key-stage h1").bounding_box()["height"] / height)
    assert max(heights) < 1.03 * min(heights), "type grows with the window"
    page.set_viewport_size({"width": 1280, "height": 720})


@pytest.fixture
def told(page: Any, address: str) -> Iterator[Any]:
    """The story, in the presenter's view, on a projector."""
    page.set_viewport_size({"width": 1280, "height": 720})
    open_story(page, address)
    return page


def test_the_story_is_told_by_keys_alone_from_start(page: Any, address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(address)
    page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=90_000)
    settled(page)
    tab_to(page, "Catch a model that cheats")
    page.keyboard.press("Enter")
    page.locator(".figures img").nth(1).wait_for(timeout=90_000)
    settled(page)
    tab_to(page, "Presenter view")
    page.keyboard.press("Space")
    on_stage(page, TITLES[0])
    for key, title in zip(["PageDown", "Space", "ArrowRight", "ArrowDown", "PageDown"], TITLES[1:], strict=True):
        press(page, key, title)
    page.keyboard.press("PageDown")
    on_stage(page, TITLES[-1])
    for key, title in zip(["PageUp", "Shift+Space", "ArrowLeft", "ArrowUp"], TITLES[-2:0:-1], strict=True):
        press(page, key, title)
    press(page, "End", TITLES[-1])
    press(page, "Home", TITLES[0])
    assert page.url.endswith("/Demonstration")
    assert not page.locator('section[data-testid="stSidebar"]').is_visible()
    page.keyboard.press("Escape")
    page.locator(".st-key-stage").wait_for(state="detached", timeout=20_000)
    settled(page)
    assert page.locator('section[data-testid="stSidebar"]').is_visible()
    assert page.locator("h1").inner_text() == "Which of three models is cheating?"


@pytest.mark.slow
def test_keys_work_after_a_click_on_anything(told: Any) -> None:
    told.locator(".st-key-stage img").first.click()
    press(told, "Space", TITLES[1])
    told.mouse.click(640, 40)
    press(told, "PageDown", TITLES[2])
    told.locator(".st-key-stage button", has_text="Model B").click()
    told.get_by_text("You suspect model B").wait_for(timeout=20_000)
    settled(told)
    press(told, "ArrowRight", TITLES[3])
    told.locator(".trust .outcome", has_text="1 needs your attention").wait_for(timeout=20_000)
    told.locator(".st-key-stage button", has_text="Model A").last.click()  # one of the step before may still stand
    told.get_by_text("6 of 6 checks passed").wait_for(timeout=20_000)
    settled(told)
    press(told, "Space", TITLES[4])
    told.locator(".st-key-stage").get_by_text("You were right.").wait_for(timeout=20_000)
    told.locator(".keys button[name=back]").click()
    on_stage(told, TITLES[3])
    told.locator(".trust .outcome", has_text="6 of 6 checks passed").wait_for(timeout=20_000)  # Space pressed no button
    press(told, "Home", TITLES[0])
    told.keyboard.press("PageDown")
    told.keyboard.press("PageDown")  # before the server has answered the first
    on_stage(told, TITLES[2])
    settled(told)
    assert told.locator(".keys .place").inner_text() == "3 of 6"
    told.evaluate("document.querySelector('.st-key-screen').append(document.createElement('input'))")
    field = told.locator(".st-key-screen > input")
    field.click()
    told.keyboard.type("a b")
    for key in ("ArrowLeft", "PageDown", "Home", "f", "Space"):
        told.keyboard.press(key)
    assert field.input_value() == "f a b"
    settled(told)
    assert told.locator(".st-key-stage h1").inner_text() == TITLES[2]


def test_each_step_is_one_screen_and_axe_has_nothing_to_say(told: Any) -> None:
    for number, title in enumerate(TITLES):
        if number:
            press(told, "PageDown", title)
        assert_one_screen(told, title)
        for scheme in ("dark", "light"):
            told.emulate_media(color_scheme=scheme)
            told.wait_for_timeout(300)
            assert own_findings(told) == [], (title, scheme)
    assert not told.locator('[data-testid="stToolbar"]').is_visible()
    told.keyboard.press("Escape")
    told.locator(".st-key-stage").wait_for(state="detached", timeout=20_000)
    settled(told)
    assert own_findings(told) == [], "the last step on the page"


@pytest.mark.slow
def test_each_step_of_the_page_opens_at_its_top(page: Any, address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto(f"{address}/Demonstration")
    page.locator(".figures img").nth(1).wait_for(timeout=90_000)
    settled(page)
    for words in ("Model C", "Which model is cheating?", "six checks"):
        page.get_by_role("button", name="Next").click()  # it stands at the foot of the page
        page.get_by_text(words).first.wait_for(timeout=30_000)
        settled(page)
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0
    page.keyboard.press("ArrowRight")
    page.get_by_text("It was model B").wait_for(timeout=30_000)


def test_the_audiences_picture_changes_nothing_on_explain(told: Any) -> None:
    press(told, "End", TITLES[-1])
    drop(told, "x.png", png("coffee")[:900])
    told.locator(".st-key-stage").get_by_test_id("stAlert").get_by_text("damaged").wait_for(timeout=60_000)
    settled(told)
    drop(told, "anna-smith-1961.png", png("coffee"))
    told.locator(".st-key-answers").get_by_text("espresso").wait_for(timeout=60_000)
    settled(told)
    assert "anna" not in told.locator(".st-key-stage").inner_text()
    assert_one_screen(told, TITLES[-1])
    press(told, "PageUp", TITLES[-2])
    told.keyboard.press("Escape")
    told.locator(".st-key-stage").wait_for(state="detached", timeout=20_000)
    told.locator(".st-key-navigation").get_by_role("link", name="Explain", exact=True).click()
    told.locator(".viewer .panel .title", has_text="tiger cat").wait_for(timeout=60_000)
    settled(told)
    sidebar = told.locator('section[data-testid="stSidebar"]').inner_text()
    values = told.locator('section[data-testid="stSidebar"] input').evaluate_all("all => all.map(one => one.value)")
    assert "Cat and coffee (sample)" in sidebar + " ".join(values)
    assert "EfficientNet-Lite0" in sidebar + " ".join(values)


def test_an_explanation_is_presented_and_the_page_stays_as_it_was(page: Any, address: str) -> None:
    before = prepared(page, address, "Explain")
    page.keyboard.press("Enter")
    on_stage(page, "What does the model answer?")
    assert_one_screen(page, "the answers")
    press(page, "PageDown", "tiger cat, 16")
    assert_one_screen(page, "a heatmap")
    assert page.locator(".st-key-stage figcaption").all_inner_texts() == ["The picture", "Grad-CAM"]
    press(page, "Space", "Egyptian cat, 15")
    press(page, "End", "Can I trust this heatmap?")
    page.locator(".st-key-stage .trust li").nth(5).wait_for(timeout=60_000)
    assert_one_screen(page, "the checks")
    assert own_findings(page) == []
    page.keyboard.press("Escape")
    page.locator(".st-key-stage").wait_for(state="detached", timeout=20_000)
    assert state_of(page) == before
    assert own_findings(page) == []


@pytest.mark.slow
def test_compare_is_presented_with_a_screen_for_each_class(page: Any, address: str) -> None:
    before = prepared(page, address, "Compare")
    page.keyboard.press("Enter")
    on_stage(page, "What does the model answer?")
    press(page, "ArrowRight", "tiger cat, 16")
    assert_one_screen(page, "a class")
    captions = page.locator(".st-key-stage figcaption").all_inner_texts()
    assert captions == ["The picture", "CAM", "Grad-CAM", "Grad-CAM++"]
    page.locator(".keys button[name=leave]").click()
    page.locator(".st-key-stage").wait_for(state="detached", timeout=20_000)
    assert state_of(page) == before


def prepared(page: Any, address: str, name: str) -> dict[str, Any]:
    """A page with its viewer zoomed, its opacity changed and the page scrolled, and the focus on "Present this"."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/{name}")
    page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=90_000)
    settled(page)
    page.locator("button[name=more]").click()
    page.locator("button[name=zoom-in]").click()
    page.locator("input[name=opacity]").focus()
    page.keyboard.press("End")
    settled(page)
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 240)")
    page.get_by_role("button", name="Present this").evaluate("button => button.focus({ preventScroll: true })")
    return state_of(page)


def state_of(page: Any) -> dict[str, Any]:
    """What a reader of the page would miss: the place, the focus, the viewer as it was left."""
    settled(page)
    page.wait_for_timeout(500)
    return {
        "url": page.url,
        "scrolled": page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop"),
        "focus": page.evaluate("document.activeElement.innerText").split("\n")[-1],
        "zoom": page.locator("button[name=fit]").inner_text(),
        "more": page.locator("button[name=more]").get_attribute("aria-expanded"),
        "opacity": page.locator("input[name=opacity]").input_value(),
        "drawn": page.locator(".viewer .panel canvas").nth(1).evaluate("canvas => canvas.toDataURL()"),
    }


def own_findings(page: Any) -> list[str]:
    """What axe finds, but for Streamlit's own uploader."""
    from axe_playwright_python.sync_playwright import Axe

    uploader = '[data-testid="stFileUploader"]'
    result = Axe().run(page, context={"exclude": [uploader]})
    return [f"{one['id']}: {[node['html'][:160] for node in one['nodes']]}" for one in result.response["violations"]]
