"""The picture gets the room: the big view, the file's own pixels, and windows in stored values, in a real browser."""

import base64
import json
import re
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from gradcam_core import read_sample
from tests.test_app import address, page, settled, unfold, upload
from tests.test_front_door import chosen

__all__ = ["address", "page"]
UPSTREAM = "presentation-role-conflict"
MOST_MS_TO_SHARP, MOST_MS_OF_A_DRAG = 1500, 50  # the first leaves room for a busy machine: 160 to 390 ms were measured
TIME_TO_SHARP = """() => new Promise((done) => {
  const isViewer = (element) => element.shadowRoot?.querySelector('.viewer');
  const root = [...document.querySelectorAll('*')].find(isViewer).shadowRoot;
  const start = performance.now();
  const button = root.querySelector('[name=actual]');
  button.click();
  const look = () => {
    const there = root.querySelector('.viewer').dataset.pixels === 'own' && button.ariaPressed === 'true';
    there ? done(performance.now() - start) : requestAnimationFrame(look);
  };
  look();
})"""
WATCH_VIEWER = """() => {
  const isViewer = (element) => element.shadowRoot?.querySelector('.viewer');
  const viewer = [...document.querySelectorAll('*')].find(isViewer);
  window.leastHeight = Infinity;
  const look = () => {
    window.leastHeight = Math.min(window.leastHeight, viewer.getBoundingClientRect().height);
    requestAnimationFrame(look);
  };
  look();
}"""
HEIGHT, WIDTH = 2500, 2000


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[
        1
    ].tobytes()


def radiograph() -> np.ndarray:
    """12 bits in 16, with a burnt-in marker; every pixel differs from its neighbours."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(5).integers(0, 400, (HEIGHT, WIDTH))
    grey = (700 + down * 0.8 + across * 0.4 + noise).astype(np.uint16)
    grey[60:160, 60:140] = 65535
    return grey


def large() -> np.ndarray:
    """48 megapixels whose columns alternate: any reduced copy of it is another picture."""
    down, across = np.mgrid[:6000, :8000]
    return np.stack([across % 2 * 255, down * 7 % 256, across // 2 % 256], axis=2).astype(np.uint8)


# A choice in the viewer is sent to the server 250 ms after it was made.
COMMITTED_MS = 1_000


@pytest.fixture(scope="module")
def chest_page(chromium: Any, address: str) -> Iterator[Any]:
    """Explain with the radiograph, in a context of its own that tests share."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    explain(page, address, "chest.png", png(radiograph()))
    page.locator('.viewer[data-depth="16"]').wait_for()
    page.evaluate(WATCH_VIEWER)
    page.locator("input[name=level]").fill("1400")
    page.keyboard.press("Tab")
    page.wait_for_timeout(COMMITTED_MS)
    settled(page)
    yield page
    context.close()


@pytest.fixture
def chest(chest_page: Any) -> Any:
    """The radiograph as it is shown at first."""
    if chest_page.locator(".viewer.enlarged").count():
        chest_page.keyboard.press("Escape")
    chest_page.locator(".panels").focus()
    if chest_page.locator("input[name=invert]").is_checked():
        chest_page.keyboard.press("i")
    for key in "10":
        chest_page.keyboard.press(key)
    settled(chest_page)
    return chest_page


def explain(page: Any, address: str, name: str = "", content: bytes = b"") -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    if name:
        upload(page, name, content)
        page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
        settled(page)


def enlarge(page: Any, panel: int = 0) -> None:
    page.locator(".panel canvas").nth(panel).dblclick()
    page.locator(".viewer.enlarged").wait_for()


def sharp(page: Any) -> None:
    page.locator('.viewer[data-pixels="own"]').wait_for(timeout=20_000)


def shown(page: Any, panel: int = 0) -> np.ndarray:
    """What a panel's canvas shows, RGB [H W 3]."""
    address = page.locator(".panel canvas").nth(panel).evaluate("canvas => canvas.toDataURL('image/png')")
    content = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]


def point(page: Any, panel: int, right: float, down: float) -> tuple[int, int]:
    """Point at a place of a panel, as shares of it; return the picture's pixel there."""
    box = page.locator(".panel canvas").nth(panel).bounding_box()
    page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"])
    place = page.locator(".viewer .place").text_content()
    x, y = re.findall(r"\d+", place)[:2]
    return int(x), int(y)


def test_the_big_view_covers_the_page_and_esc_leads_back(page: Any, address: str) -> None:
    explain(page, address)
    before = page.locator(".panel canvas").nth(1).bounding_box()
    enlarge(page, 1)
    assert page.locator(".big").bounding_box() == {"x": 0, "y": 0, "width": 1440, "height": 900}
    above = "([x, y]) => Boolean(document.elementFromPoint(x, y).shadowRoot?.querySelector('.viewer.enlarged'))"
    for place in ([5, 5], [100, 200], [1430, 10]):
        assert page.evaluate(above, place), "something of the page lies above it"
    after = page.locator(".panel:visible canvas").bounding_box()
    assert after["width"] * after["height"] > 4 * before["width"] * before["height"]
    assert page.locator(".panel:visible .title").inner_text() == page.locator(".panel .title").nth(1).inner_text()
    page.keyboard.press("n")
    assert page.locator(".viewer .which").inner_text() == "3 of 4"
    page.keyboard.press("a")
    assert page.locator(".panel:visible").count() == 4
    page.keyboard.press("Escape")
    page.locator(".viewer.enlarged").wait_for(state="detached")
    assert page.locator(".panel canvas").nth(1).bounding_box()["width"] == before["width"]
    page.locator(".panels").focus()
    page.keyboard.press("Enter")
    page.locator(".viewer.enlarged").wait_for()
    page.locator(".viewer button[name=leave]").click()
    page.get_by_role("button", name="Enlarge Picture").press("Enter")
    assert page.locator(".viewer .which").inner_text() == "1 of 4"


@pytest.mark.slow
def test_fit_fits_pictures_of_any_shape(page: Any, address: str) -> None:
    for size in ((4000, 900), (700, 4200)):
        explain(page, address, "shape.png", png(np.full((*size, 3), 200, np.uint8)))
        enlarge(page)
        box = page.locator(".panel:visible canvas").bounding_box()
        assert box["y"] + box["height"] <= 900
        pixels = shown(page)
        rows, columns = np.nonzero((pixels == 200).all(axis=2))
        seen = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
        assert seen[0] / seen[1] == pytest.approx(size[0] / size[1], rel=0.02), "a part is cut off"


def test_a_48_megapixel_picture_is_its_own_pixels_at_1_to_1(page: Any, address: str) -> None:
    picture = large()
    explain(page, address, "large.png", png(picture))
    enlarge(page)
    x, y = point(page, 0, 0.4, 0.3)
    took = page.evaluate(TIME_TO_SHARP)
    pixels = shown(page)
    x, y = point(page, 0, 0, 0)
    assert np.array_equal(pixels, picture[y : y + pixels.shape[0], x : x + pixels.shape[1]])
    assert took < MOST_MS_TO_SHARP, f"{took:.0f} ms"


@pytest.mark.slow
def test_zoom_ends_where_pixels_end_and_says_so(page: Any, address: str) -> None:
    picture = large()[:1500, :1800]
    explain(page, address, "pixels.png", png(picture))
    enlarge(page)
    point(page, 0, 0.5, 0.5)
    for _ in range(20):
        page.keyboard.press("+")
    page.get_by_text("The file’s pixels end here: 16 screen pixels each").wait_for()
    sharp(page)
    pixels = shown(page)
    x, y = point(page, 0, 0.5, 0.5)
    row, column = round(0.5 * pixels.shape[0]), round(0.5 * pixels.shape[1])
    assert np.array_equal(pixels[row, column], picture[y, x])
    changes = np.nonzero((np.diff(pixels[row].astype(int), axis=0) != 0).any(axis=1))[0]
    assert set(np.diff(changes)) == {16}, "one pixel of the picture is 16 sharp screen pixels"


def test_the_page_stays_in_sight_while_the_first_changed_window_is_taken_over(chest_page: Any) -> None:
    assert chest_page.evaluate("window.leastHeight") > 300, "the viewer vanished for a moment"


def test_a_16_bit_picture_has_its_values_and_its_window_live(chest: Any) -> None:
    page = chest
    picture = radiograph()
    enlarge(page)
    page.keyboard.press("p")
    sharp(page)
    x, y = point(page, 0, 0.4, 0.4)
    assert page.locator(".viewer .place").text_content().endswith(f"value {picture[y, x]}")
    page.locator("input[name=level]").fill("1500")
    page.locator("input[name=width]").fill("500")
    page.keyboard.press("Tab")
    page.wait_for_timeout(200)
    pixels = shown(page)
    x, y = point(page, 0, 0, 0)
    stored = picture[y : y + pixels.shape[0], x : x + pixels.shape[1]].astype(float)
    expected = np.rint(255 * np.clip((stored - 1500) / 500 + 0.5, 0, 1))
    part = pixels[5:-5, 5:-5, 0]
    assert np.abs(part - expected[5 : 5 + part.shape[0], 5 : 5 + part.shape[1]]).max() <= 1
    page.locator(".panels").focus()
    page.keyboard.press("i")
    page.wait_for_timeout(200)
    assert np.abs((255 - shown(page)[5:-5, 5:-5, 0].astype(int)) - part).max() <= 1
    page.keyboard.press("Escape")


def test_dragging_sets_the_window_within_50_ms(chest: Any) -> None:
    page = chest
    level, width = (page.locator(f"input[name={name}]") for name in ("level", "width"))
    before = float(level.input_value()), float(width.input_value())
    point(page, 0, 0.5, 0.5)
    times = []
    page.mouse.down(button="right")
    for step in range(20):
        point(page, 0, 0.5 + 0.01 * step, 0.5 + 0.01 * step)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        times.append(int(re.search(r"painted in (\d+) ms", page.locator(".timing").text_content())[1]))
    page.mouse.up(button="right")
    assert np.median(times) <= MOST_MS_OF_A_DRAG, times
    assert float(width.input_value()) > before[1]
    assert float(level.input_value()) > before[0]


def test_a_run_that_changes_no_panel_leaves_them_in_place(chest: Any) -> None:
    page = chest
    canvas = page.locator(".panel canvas").first
    canvas.evaluate("canvas => { canvas.marked = true; }")
    page.locator("input[name=level]").fill("1400")
    page.keyboard.press("Tab")
    page.wait_for_timeout(COMMITTED_MS)
    settled(page)
    assert canvas.evaluate("canvas => canvas.marked"), "the panels were replaced, a drag would have ended"


def test_the_read_out_follows_every_zoom_and_move(chest: Any) -> None:
    page = chest
    enlarge(page, 1)
    box = page.locator(".panel:visible canvas").bounding_box()
    corner = box["x"] + 0.45 * box["width"], box["y"] + 0.3 * box["height"]
    page.mouse.move(*corner)
    places = []
    for key in ("+", "+", "ArrowRight", "ArrowDown", "p", "a"):
        page.keyboard.press(key)
        page.wait_for_timeout(400)
        places.append(page.locator(".viewer .place").text_content())
        page.mouse.move(5, 5)
        page.mouse.move(*corner)
        assert page.locator(".viewer .place").text_content() == places[-1], f"stale after {key}"
    assert len(set(places)) > 3
    page.keyboard.press("Escape")


def test_more_does_not_push_the_caption_out_of_the_big_view(chest: Any) -> None:
    page = chest
    enlarge(page, 1)
    page.locator("button[name=more]").click()
    page.locator(".extras").wait_for()
    page.wait_for_timeout(400)
    foot = page.locator(".panel:visible .foot").bounding_box()
    assert foot["y"] + foot["height"] <= 900
    page.locator("button[name=more]").click()
    page.keyboard.press("Escape")


def test_presets_and_keys_set_the_window(chest: Any) -> None:
    page = chest
    picture = radiograph()
    page.locator(".panels").focus()
    windows = {}
    for key in "12345":
        page.keyboard.press(key)
        page.wait_for_timeout(150)
        level, width = (float(page.locator(f"input[name={name}]").input_value()) for name in ("level", "width"))
        windows[key] = (level - width / 2, level + width / 2)
    ordinary = picture[picture < 65535]
    assert windows["1"] == pytest.approx((ordinary.min(), ordinary.max()), abs=2)
    assert windows["2"] == pytest.approx((picture.min(), 65535), rel=0.05, abs=200)
    first, half, last = np.percentile(picture, [1, 50, 99])
    assert windows["3"] == pytest.approx((first, last), abs=100)
    assert windows["4"] == pytest.approx((first, half), abs=100)
    assert windows["5"] == pytest.approx((half, last), abs=100)


def test_the_model_sees_a_window_only_when_it_is_given_one(chest: Any) -> None:
    page = chest
    answer = page.get_by_text("Top answers:").inner_text()
    page.locator("input[name=level]").fill("1200")
    page.locator("input[name=width]").fill("300")
    page.keyboard.press("Tab")
    settled(page)
    assert page.get_by_text("Top answers:").inner_text() == answer
    page.get_by_role("button", name="Let the model see this window").click()
    page.get_by_text("The model sees level 1200, window 300").wait_for(timeout=60_000)
    settled(page)
    assert page.get_by_text("Top answers:").inner_text() != answer
    with page.expect_download(timeout=30_000) as waiting:
        page.get_by_role("button", name="Record, JSON").click()
    record = json.loads(Path(waiting.value.path()).read_bytes())
    assert record["image"]["window"] == [1200, 300]
    page.get_by_role("button", name="Let the model see the usual range").click()
    page.get_by_text("The model sees level").wait_for(state="hidden", timeout=60_000)
    settled(page)
    assert page.get_by_text("Top answers:").inner_text() == answer


def test_what_is_saved_is_what_is_displayed(chest: Any) -> None:
    page = chest
    picture = radiograph()
    page.locator("input[name=level]").fill("1500")
    page.locator("input[name=width]").fill("500")
    page.locator("input[name=width]").press("Tab")
    page.locator("input[name=invert]").check()
    page.locator("select[name=colormap]").select_option("viridis")
    page.locator("input[value=shared]").check(force=True)
    page.locator("button[name=more]").click()
    page.locator("input[name=cells]").check()
    settled(page)
    page.get_by_role("button", name="Run the checks").click()
    page.locator(".trust .outcome").wait_for(timeout=90_000)
    settled(page)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="All as ZIP").click()
    name = waiting.value.suggested_filename
    assert re.fullmatch(r"[a-zA-Z-]+_tf_efficientnet_lite0_\d{4}-\d\d-\d\d_[0-9a-f]{8}-[0-9a-f]{6}\.zip", name)
    packed = zipfile.ZipFile(waiting.value.path())
    saved = cv2.imdecode(np.frombuffer(packed.read("picture.png"), np.uint8), cv2.IMREAD_GRAYSCALE)
    expected = 255 * (1 - np.clip((picture.astype(float) - 1500) / 500 + 0.5, 0, 1))
    assert np.abs(saved - expected).max() <= 1
    record = json.loads(packed.read("explanation.json"))
    window = {"level": 1500, "width": 500, "invert": True}
    assert record["drawing"] == {
        "opacity": 0.6, "threshold": 0, "colormap": "viridis", "scale": "shared", "cells": True,
        "display_window": window,
    }  # fmt: skip
    assert len(record["checks"][0]["checks"]) == 6
    overlay = cv2.imdecode(np.frombuffer(packed.read(record["heatmaps"][0]["file"]), np.uint8), cv2.IMREAD_COLOR)
    assert overlay.shape[0] > HEIGHT, "there is no caption below"
    shown_now = shown(page, 1)
    scaled = cv2.resize(overlay[:HEIGHT, :, ::-1], shown_now.shape[1::-1], interpolation=cv2.INTER_AREA)
    middle = np.s_[60:-60, 30:-30]  # without the hatching at the edges, whose lines depend on the size
    assert np.median(np.abs(shown_now[middle].astype(int) - scaled[middle])) <= 2
    page.locator("input[name=cells]").uncheck()
    page.wait_for_timeout(COMMITTED_MS)
    settled(page)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="All as ZIP").click()
    packed = zipfile.ZipFile(waiting.value.path())
    plain = cv2.imdecode(np.frombuffer(packed.read(record["heatmaps"][0]["file"]), np.uint8), cv2.IMREAD_COLOR)
    outlined = (plain[:HEIGHT] != overlay[:HEIGHT]).any(axis=2)
    assert 0.001 < outlined.mean() < 0.05, "outlines are dashes, and nothing else differs"
    page.locator("button[name=more]").click()


def test_on_paper_pages_are_whole(page: Any, address: str) -> None:
    explain(page, address)
    page.set_viewport_size({"width": 794, "height": 1123})  # A4
    page.emulate_media(media="print")
    page.wait_for_timeout(300)
    assert not page.locator('section[data-testid="stSidebar"]').is_visible()
    assert not page.locator(".viewer .controls").first.is_visible()
    assert "not for diagnosis" in page.locator(".on-paper").inner_text()
    for canvas in page.locator(".viewer .panel canvas").all():
        box = canvas.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 794
    tall = page.evaluate("document.documentElement.scrollHeight")
    last = page.get_by_text("Does something look wrong?").bounding_box()
    assert tall > last["y"] + last["height"] - 1, "the end of the page is not on paper"
    assert len(page.pdf(format="A4")) > 20_000


def test_a_removed_picture_is_no_longer_served(page: Any, address: str) -> None:
    explain(page, address, "chest.png", png(radiograph()))
    page.locator('.viewer[data-depth="16"]').wait_for()
    page.wait_for_timeout(500)
    tile = [url for url in page.asked if "/pixels/" in url][-1]
    with urllib.request.urlopen(tile, timeout=10) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "chest" not in tile
    page.get_by_role("button", name="Remove this picture").click()
    settled(page)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(tile, timeout=10)
    assert refused.value.code == 404
    refused.value.close()


@pytest.mark.slow
def test_page_down_and_up_lead_through_the_pictures(page: Any, address: str) -> None:
    explain(page, address, "first.png", read_sample("coffee"))
    upload(page, "second.png", read_sample("cat"))
    wait_for_picture(page, "second.png")
    page.locator("h1").click()
    for key, name in (("PageDown", "first.png"), ("PageUp", "second.png"), ("PageUp", "second.png")):
        page.keyboard.press(key)
        settled(page)
        wait_for_picture(page, name)
    enlarge(page)
    page.keyboard.press("PageDown")
    wait_for_picture(page, "first.png")
    settled(page)
    page.locator(".viewer.enlarged .title", has_text="Picture").wait_for()
    for _ in range(3):
        page.keyboard.press("PageDown")  # quicker than the page answers
    wait_for_picture(page, "Coffee (sample)")


def wait_for_picture(page: Any, name: str) -> None:
    deadline = time.monotonic() + 30
    while chosen(page, "Picture") != name and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert chosen(page, "Picture") == name


def names(page: Any) -> list[str]:
    return [button.get_attribute("title") for button in page.locator(".film button").all()]


@pytest.mark.parametrize(
    ("width", "height", "classes"),
    [
        (1600, 900, 3),
        (1500, 1000, 5),
        *(pytest.param(*shape, marks=pytest.mark.slow) for shape in ((900, 900, 3), (600, 1800, 3), (2400, 600, 3))),
    ],
)
def test_answers_and_pictures_stand_above_the_fold(
    page: Any, address: str, width: int, height: int, classes: int
) -> None:
    page.set_viewport_size({"width": 1366, "height": 768})
    picture = cv2.resize(np.random.default_rng(3).integers(0, 256, (9, 9, 3), np.uint8), (width, height))
    explain(page, address, "shape\u202egpj.png", png(picture))
    assert names(page)[0] == "shapegpj.png", "a name must not pass for another one"
    pick_classes(page, classes)
    assert whole_panels(page, 768) == classes + 1
    assert page.get_by_text("Top answers:").bounding_box()["y"] < 100
    before = page.locator(".panel canvas").first.bounding_box()
    unfold(page)
    page.wait_for_timeout(800)
    after = page.locator(".panel canvas").first.bounding_box()
    assert (after["width"], after["height"]) == (before["width"], before["height"]), "a fold changes the pictures"
    page.set_viewport_size({"width": 2560, "height": 1440})
    page.locator("[class*=st-key-fold-] summary").click()
    page.wait_for_timeout(800)
    assert whole_panels(page, 1440) == classes + 1
    box = page.locator(".panel canvas").first.bounding_box()
    scale = min(box["width"] / width, box["height"] / height)
    shown_area = (classes + 1) * width * height * scale**2
    assert shown_area > 0.25 * 2200 * 1100, "the pictures leave the room empty"
    page.set_viewport_size({"width": 911, "height": 512})  # a laptop at 150 %
    page.wait_for_timeout(500)
    assert whole_panels(page, 512) >= 1


def whole_panels(page: Any, height: int) -> int:
    page.locator("[data-testid=stMain]").evaluate("main => main.scrollTo(0, 0)")
    page.wait_for_timeout(200)
    boxes = [canvas.bounding_box() for canvas in page.locator(".viewer .panel canvas").all()]
    return sum(box["y"] + box["height"] <= height for box in boxes)


def pick_classes(page: Any, classes: int) -> None:
    unfold(page)
    page.locator(".st-key-top button", has_text=str(classes)).first.click()
    page.locator(".viewer .panel canvas").nth(classes).wait_for(timeout=30_000)
    settled(page)
    page.locator("[class*=st-key-fold-] summary").click()
    page.wait_for_timeout(800)


@pytest.mark.parametrize(("width", "height", "ratio"), [(2560, 1440, 1), (1366, 768, 1), (911, 512, 1.5)])
def test_pictures_use_the_window_and_nothing_is_cut_off(
    chromium: Any, address: str, width: int, height: int, ratio: float
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": height}, device_scale_factor=ratio)
    page = context.new_page()
    explain(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [one.bounding_box() for one in page.locator(".viewer .panel canvas").all()]
    assert max(box["x"] + box["width"] for box in boxes) > 0.93 * width, "the right of the window is empty"
    for control in page.locator(
        ".viewer .head button:visible, .viewer .head input:visible, .viewer .head select:visible"
    ).all():
        box = control.bounding_box()
        assert box["x"] + box["width"] <= width + 1, control.get_attribute("name")
    enlarge(page)
    box = page.locator(".panel:visible canvas").bounding_box()
    assert box["y"] + box["height"] <= height
    assert box["height"] > 0.5 * height
    context.close()


def test_axe_finds_nothing_of_our_own(chromium: Any, address: str) -> None:
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    explain(page, address, "chest.png", png(radiograph()))
    page.locator('.viewer[data-depth="16"]').wait_for()
    page.locator("button[name=more]").click()
    page.locator(".panels").focus()
    page.keyboard.press("3")
    settled(page)
    assert findings_in_both_themes(page) == []
    enlarge(page, 1)
    assert findings_in_both_themes(page) == []
    page.keyboard.press("?")
    assert findings_in_both_themes(page) == []
    context.close()


def findings_in_both_themes(page: Any) -> list[Any]:
    found = []
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(400)  # colours fade
        found += findings(page)
    return found


def findings(page: Any) -> list[str]:
    """What axe-core finds, but for the one rule that Streamlit's own uploader breaks."""
    violations = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in violations if rule["id"] != UPSTREAM]
