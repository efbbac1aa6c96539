"""What people come for, from Start by what can be clicked: each goal within a number of clicks, its outcome seen.

Other files hold the goals that are not here: weights of one's own in four clicks (test_models_browser.py), a picture of
48 megapixels (test_big_view.py), refused files, paste and reload (test_intake.py, test_app.py).
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradcam_core import drawn_folder, read_sample
from tests.pictures import cv_encode, tiff
from tests.test_app import address, settled, titles
from tests.test_front_door import follow, pick, start
from tests.test_presenter import on_stage
from tests.visitor import PICTURES, Visitor, file

__all__ = ["address"]
MEAN_GREY = """canvas => {
  const [width, half] = [canvas.width, Math.floor(canvas.height / 2)];
  const grey = (left) => canvas.getContext("2d").getImageData(left, half, 1, 1).data[0];
  return [grey(Math.floor(0.1 * width)), grey(Math.floor(0.9 * width))];
}"""


def chest() -> np.ndarray:
    """12 bits of noise and a ramp, 500 x 400."""
    down, across = np.mgrid[:500, :400]
    return (700 + 4 * down + across + np.random.default_rng(5).integers(0, 400, (500, 400))).astype(np.uint16)


def plain_picture(height: int, width: int) -> bytes:
    return cv_encode(".png", np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8))


# A. A radiologist


def twelve_bits_from_start(visitor: Visitor) -> None:
    visitor.bring(cv_encode(".png", chest()))
    visitor.sees(visitor.page.locator('.viewer[data-depth="16"]'))
    assert len(titles(visitor.page)) == 4


def inverted_tiff(visitor: Visitor) -> None:
    ramp = np.tile(np.linspace(0, 4095, 400).astype(np.uint16), (300, 1))
    visitor.bring(tiff(ramp, photometric="miniswhite"), "scan.tif")
    picture = visitor.page.locator(PICTURES).first
    visitor.until(lambda: picture.evaluate(MEAN_GREY), lambda grey: grey[0] > 200 and grey[1] < 60)


def what_the_model_saw(visitor: Visitor) -> None:
    visitor.bring(plain_picture(300, 900))
    visitor.is_there()
    visitor.sees("of this picture was cropped away")
    visitor.sees(visitor.page.locator(".legend .veil"))
    visitor.click(visitor.page.locator("summary", has_text="What the model was given"))
    image = visitor.page.locator(".figures img").first
    visitor.sees(image)
    assert image.evaluate("image => image.naturalWidth") == 224
    assert image.get_attribute("alt")


def window_by_drag(visitor: Visitor) -> None:
    visitor.bring(cv_encode(".png", chest()))
    visitor.sees(visitor.page.locator('.viewer[data-depth="16"]'))
    visitor.is_there()
    width, picture = visitor.page.locator("input[name=width]"), visitor.page.locator(PICTURES).first
    before, painted = float(width.input_value()), picture.evaluate("canvas => canvas.toDataURL()")
    visitor.drag(picture, (0.5, 0.5), (0.8, 0.6), button="right")
    visitor.until(lambda: float(width.input_value()), lambda value: value > before)
    visitor.until(lambda: picture.evaluate("canvas => canvas.toDataURL()"), lambda now: now != painted)


def zoom_to_one_spot(visitor: Visitor) -> None:
    follow(visitor.page, "Explain")
    visitor.is_there()
    pictures = visitor.page.locator(PICTURES)
    painted = pictures.evaluate_all("all => all.map((canvas) => canvas.toDataURL())")
    visitor.click(pictures.nth(1))
    visitor.page.mouse.wheel(0, -400)
    visitor.clicks += 1
    now = visitor.until(
        lambda: pictures.evaluate_all("all => all.map((canvas) => canvas.toDataURL())"),
        lambda now: all(a != b for a, b in zip(painted, now, strict=True)),
    )
    assert len(now) == 4
    values = visitor.page.locator(".panel .value").all_inner_texts()
    assert all(re.match(r"-?\d", value) for value in values[1:]), values
    assert re.match(r"x \d+  y \d+", visitor.page.locator(".viewer .place").text_content())


def two_classes(visitor: Visitor) -> None:
    follow(visitor.page, "Explain")
    visitor.is_there()
    visitor.unfold()
    visitor.pick("Compare with class", "espresso · 967")
    visitor.sees(visitor.page.locator(".viewer .panel .title", has_text="tiger cat rather than espresso"))


def checks_to_file(visitor: Visitor) -> None:
    follow(visitor.page, "Explain")
    visitor.is_there()
    visitor.click("button", "Run the checks")
    visitor.sees(visitor.page.locator(".trust li").nth(5))
    visitor.sees(visitor.page.locator(".trust .outcome"))
    settled(visitor.page)
    packed = zipfile.ZipFile(io.BytesIO(visitor.saves("All as ZIP")))
    record = json.loads(packed.read("explanation.json"))
    assert len(record["checks"][0]["checks"]) == 6
    assert len([name for name in packed.namelist() if name.endswith(".png")]) > 3


def tall_picture(visitor: Visitor) -> None:
    visitor.bring(plain_picture(2000, 450))
    box = visitor.page.locator(PICTURES).first.bounding_box()
    assert box["height"] < 900, "it does not fit into the window"
    assert box["height"] > box["width"]


# B. A presenter


def story_by_next(visitor: Visitor) -> None:
    visitor.click("link", "Catch a model that cheats")
    visitor.sees(visitor.page.locator(".figures img").first)
    for words in ("Three models look at it", "Which model is cheating", "six checks", "It was model B"):
        visitor.click("button", "Next")
        visitor.sees(words)
    assert visitor.page.url.endswith("/Demonstration")


def story_by_keys(visitor: Visitor) -> None:
    follow(visitor.page, "Demonstration")
    visitor.is_there()
    visitor.click(visitor.page.locator(".st-key-presenter label").first)
    on_stage(visitor.page, "One picture")
    for title in ("One answer", "Three heatmaps", "The test", "What happened"):
        visitor.press("ArrowRight")
        on_stage(visitor.page, title)


def audiences_picture(visitor: Visitor) -> None:
    follow(visitor.page, "Demonstration")
    visitor.page.locator(".st-key-presenter label").first.click()
    on_stage(visitor.page, "One picture")
    visitor.is_there()
    visitor.press("End")
    on_stage(visitor.page, "Your picture")
    assert not visitor.page.get_by_text("per file").is_visible()
    visitor.choose_files(".st-key-stage", file("cup.png", read_sample("coffee")))
    visitor.sees(visitor.page.locator(".st-key-answers", has_text="espresso"))
    visitor.sees("What it looked at for espresso")
    visitor.sees("padded to a square")


# C. An engineer


def two_layers_elsewhere(visitor: Visitor) -> None:
    follow(visitor.page, "Explain")
    visitor.is_there()
    visitor.unfold()
    visitor.pick("Layers", "blocks.5")
    visitor.sees(visitor.page.locator(".stMultiSelect [data-tag]").nth(1))
    visitor.follow("Evaluate")
    visitor.sees("2 layers are chosen on Explain. This page uses the first")


def top_ten(visitor: Visitor) -> None:
    follow(visitor.page, "Explain")
    visitor.is_there()
    visitor.unfold()
    visitor.click(visitor.page.locator(".st-key-top button", has_text="10"))
    visitor.sees(visitor.page.locator(PICTURES).nth(10))
    assert len(titles(visitor.page)) == 11


def three_methods(visitor: Visitor) -> None:
    visitor.follow("Compare methods")
    for method in ("CAM", "Grad-CAM", "Grad-CAM++"):
        visitor.sees(visitor.page.locator(".viewer .panel").get_by_text(method, exact=True).first)
    verdict = visitor.page.get_by_text("are the same by algebra").first
    visitor.sees(verdict)
    assert verdict.bounding_box()["y"] < visitor.page.locator(PICTURES).first.bounding_box()["y"]


def two_models(visitor: Visitor) -> None:
    visitor.click("button", "Drawn radiograph: nodule, marker")
    visitor.page.wait_for_url("**/Explain", timeout=60_000)
    visitor.pick("Model", "demonstration) A")
    visitor.follow("Compare models")
    visitor.pick("Compare with", "demonstration) B")
    visitor.sees("Both models answer nodule")
    visitor.sees(visitor.page.locator(PICTURES).nth(2))
    assert [title[:1] for title in titles(visitor.page)[:3]] == ["1", "2", "1"]
    visitor.sees("Only the evidence differs")


def depth_strip(visitor: Visitor) -> None:
    visitor.follow("Layers")
    visitor.sees(visitor.page.get_by_text("from the first layers to the last"))
    assert titles(visitor.page)[-1] == "All fused"


def box_and_export(visitor: Visitor) -> None:
    follow(visitor.page, "Evaluate")
    visitor.is_there()
    visitor.drag(visitor.page.locator(".marker canvas").last, (0.1, 0.1), (0.45, 0.9))
    visitor.sees("of the heat lies in a region that is")
    visitor.sees(visitor.page.locator(PICTURES).nth(2))
    visitor.sees("Pointing game")
    rows = list(csv.DictReader(io.StringIO(visitor.saves("Measurements, CSV").decode("utf-8-sig"))))
    mass = [float(row["value"]) for row in rows if row["measurement"] == "relevance_mass"]
    share = float(rows[0]["region_share"])
    assert 0.2 < share < 0.35
    assert len(mass) == 3
    assert all(value > 1.2 * share for value in mass), mass  # the cat is on the left


def folder_with_table(visitor: Visitor) -> None:
    drawn = drawn_folder("marked_nodules", 6)
    follow(visitor.page, "Folder")
    pick(visitor.page, "Model", "demonstration) B")
    visitor.is_there()
    files = [file(name, content) for name, content in {**drawn.pictures, "labels.csv": drawn.table}.items()]
    visitor.choose_files(".st-key-takes-drops", *files)
    visitor.click("button", "Evaluate 6 pictures")
    visitor.sees(r"in \d of 6 pictures")
    visitor.sees(visitor.page.get_by_test_id("stMetric").first)


# Robustness


def several_pages(visitor: Visitor) -> None:
    visitor.bring(tiff(np.stack([chest(), 4095 - chest(), chest()]), photometric="minisblack"), "series.tif")
    visitor.sees(visitor.page.get_by_label("Frame (1–3)").first)


def several_at_once(visitor: Visitor) -> None:
    film = visitor.page.get_by_role("group", name="Pictures").first.get_by_role("button")
    before, cup = film.count(), read_sample("coffee")
    files = [("one.png", read_sample("cat")), ("two.png", cup), ("two again.png", cup)]
    visitor.drop("h1", files)
    visitor.until(film.count, lambda count: count == before + 2)
    visitor.page.wait_for_url("**/Explain", timeout=60_000)
    visitor.sees(visitor.page.locator(".viewer .panel .title", has_text="espresso"))


def to_another_page_and_back(visitor: Visitor) -> None:
    follow(visitor.page, "Explain")
    visitor.page.locator("input[name=opacity]").press("End")
    visitor.page.locator("select[name=colormap]").select_option("viridis")
    settled(visitor.page)
    visitor.is_there()
    for name in ("Compare methods", "Explain"):
        visitor.follow(name)
        assert visitor.page.locator("input[name=opacity]").input_value() == "1"
        assert visitor.page.locator("select[name=colormap]").input_value() == "viridis"


def back_and_forward(visitor: Visitor) -> None:
    follow(visitor.page, "Explain")
    follow(visitor.page, "Layers")
    visitor.is_there()
    visitor.page.go_back()
    visitor.sees("What did the model look at")
    visitor.sees(visitor.page.locator(".viewer .panel canvas").nth(3))
    visitor.page.go_forward()
    visitor.clicks += 2
    visitor.sees(visitor.page.get_by_text("from the first layers to the last"))


# The goal, and the most clicks; one more where the line with method, layers and classes is to be unfolded.
GOALS: dict[str, tuple[Callable[[Visitor], None], int]] = {
    "A2 a 12-bit picture": (twelve_bits_from_start, 3),
    "A3 an inverted TIFF": (inverted_tiff, 3),
    "A4 what the model saw": (what_the_model_saw, 1),
    "A5 level and window": (window_by_drag, 1),
    "A6 one spot in all panels": (zoom_to_one_spot, 2),
    "A7 two classes": (two_classes, 1 + 2),
    "A8, A9 the six checks, to file": (checks_to_file, 1 + 1),
    "A10 a tall picture": (tall_picture, 3),
    "B1, B3 the story": (story_by_next, 1 + 4),
    "B2 the story by keys": (story_by_keys, 1 + 4),
    "B6 the audience's picture": (audiences_picture, 4),
    "C5 two layers, then Evaluate": (two_layers_elsewhere, 1 + 3),
    "C6 top ten": (top_ten, 1 + 1),
    "C7 three methods": (three_methods, 1),
    "C8 two models": (two_models, 6),
    "C9 all layers": (depth_strip, 1),
    "C10 a drawn box, exported": (box_and_export, 2),
    "C11 a folder with its table": (folder_with_table, 4),
    "R2 several pages": (several_pages, 3),
    "R3 several at once": (several_at_once, 1),
    "R5 another page and back": (to_another_page_and_back, 2),
    "R6 back and forward": (back_and_forward, 2),
}


@pytest.fixture(scope="module")
def context(chromium: Any) -> Iterator[Any]:
    """One browser profile, so that only the first page fetches the scripts."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield context
    context.close()


# Those that no other browser test comes near; all are asked for by `make test-slow`.
QUICK = {"A2 a 12-bit picture", "A8, A9 the six checks, to file", "B1, B3 the story", "C8 two models"}
QUICK |= {"C10 a drawn box, exported", "C11 a folder with its table"}


@pytest.mark.parametrize(
    "goal", [pytest.param(goal, marks=() if goal in QUICK else pytest.mark.slow) for goal in GOALS]
)
def test_a_goal_is_reached_within_its_clicks(goal: str, context: Any, address: str) -> None:
    reach, most = GOALS[goal]
    page = context.new_page()
    visitor = Visitor(page)
    start(page, address)  # A1: the first heatmaps are there without a click
    reach(visitor)
    assert visitor.clicks <= most, "more clicks than before"
    assert page.get_by_test_id("stException").count() == 0
    page.close()
