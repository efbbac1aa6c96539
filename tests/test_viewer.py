"""The heatmap viewer in a real browser: what it paints, says, sends and keeps."""

import json
import pickle
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import skimage.data

from gradcam_core.placement import Centres, Placement
from gradcam_core.records import Heatmap, ImageRecord
from gradcam_core.render import overlay
from gradcam_core.targets import BoxTarget, ClassTarget
from tests.browser import ROOT, Serve

HOSTILE = '<img src=x onerror="window.harmed = 1"> & a label that goes on for more than sixty characters'
BOXES = {"crop": (25.0, 125.0, 375.0, 475.0), "letterbox": (-100.0, 0.0, 500.0, 600.0)}
PAGE = """
import json, pickle
from pathlib import Path
import streamlit as st
from pages.components.viewer import DEFAULTS, viewer
from pages.components.viewer.encoding import colours_of, panel_of, picture_of

st.set_page_config(layout="wide")
image, heatmaps = pickle.loads(Path(__file__).with_name(st.query_params["case"]).read_bytes())
panels = [{"id": "picture", "kind": "picture", "title": "Picture", "probability": None}]
panels += [panel_of(heatmap, id=str(number)) for number, heatmap in enumerate(heatmaps)]
marks = [
    {"id": "box:0", "label": "cat 90 %", "score": 0.9, "box": [150, 100, 450, 300], "picked": False},
    {"id": "box:1", "label": "dog 40 %", "score": 0.4, "box": [200, 150, 300, 250], "picked": False},
]
if st.query_params["case"] == "object":
    panels[0]["marks"] = marks
places = st.query_params["case"] == "letterbox"
st.session_state.runs = st.session_state.get("runs", 0) + 1
st.session_state.setdefault("display", DEFAULTS)
if st.button("Reset", key="reset"):
    st.session_state.display = DEFAULTS
if st.checkbox("Show", True, key="show"):
    found = viewer(
        picture_of(image), panels, colours=colours_of(), settings=st.session_state.display, key="viewer", columns=2,
        places=places,
    )
    st.session_state.picked = found["picked"] or st.session_state.get("picked")
    st.session_state.display = {name: found[name] for name in DEFAULTS}
with st.container(key="outcome"):
    state = st.session_state
    st.text(json.dumps({**state.display, "runs": state.runs, "picked": state.get("picked")}))
"""


def _image(case: str) -> ImageRecord:
    """A photograph; or, to compare colours, a smooth ramp that looks the same at any size."""
    pixels = skimage.data.coffee() / np.float32(255)
    if case == "object":
        pixels = np.full((400, 600, 3), 0.3, np.float32)
    if case == "ramp":
        down, across = np.mgrid[:400, :600].astype(np.float32)
        pixels = np.stack([across / 600, down / 400, np.full_like(down, 0.5)], axis=2)
    return ImageRecord(pixels.astype(np.float32), sha256=case, name="", format="PNG")


def _heatmaps(case: str) -> list[Heatmap]:
    box = BOXES.get(case, (0.0, 0.0, 400.0, 600.0))
    placement = Placement((400, 600), (224, 224), box, Centres((-14.0, 9.0), (3.0, 3.0)))
    if case == "object":  # its box covers the middle half of the picture in both directions
        target = BoxTarget(0, "cat · box 0", 0.9, (56.0, 56.0, 168.0, 168.0))
        return [Heatmap("cam", {}, target, "layer", np.ones((7, 7), np.float32), placement)]
    random = np.random.default_rng(7)
    raws = [random.normal(0.4, 1, (7, 7)), random.normal(1, 2, (14, 9)), -random.random((7, 7))]
    labels = ["espresso", HOSTILE, "nothing of it"]
    return [
        Heatmap(
            "cam",
            {},
            ClassTarget(i, label, 0.9523),
            "layer",
            raw.astype(np.float32),
            placement,
        )
        for i, (raw, label) in enumerate(zip(raws, labels, strict=True))
    ]


@pytest.fixture(scope="module")
def address(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "page.py").write_text(PAGE, "utf-8")
    for case in (*BOXES, "ramp", "object"):
        (folder / case).write_bytes(pickle.dumps((_image(case), _heatmaps(case))))
    return serve(folder / "page.py", ROOT)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 1300})  # the pictures fill their panels
    page = context.new_page()
    page.sent, page.received, page.asked = [], [], []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: page.sent.append(frame)))
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: page.received.append(frame)))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()


def _open(page: Any, address: str, case: str) -> None:
    page.goto(f"{address}/?case={case}")
    page.locator(".viewer .cell", has_text="map cell").wait_for(timeout=30_000)
    page.wait_for_function("document.querySelector('[data-test-script-state=notRunning]')")


def _at(page: Any, panel: int, across: float, down: float) -> tuple[float, float]:
    """Where a place, given as shares of a picture of 600 x 400 pixels, stands on the screen."""
    box = page.locator(".panel canvas").nth(panel).bounding_box()
    scale = min(box["width"] / 600, box["height"] / 400)
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    return middle[0] + (across - 0.5) * 600 * scale, middle[1] + (down - 0.5) * 400 * scale


def _click(page: Any, panel: int, across: float, down: float, expected: str = "") -> Any:
    """Click on a place of a panel's picture; what was picked last, once that is as expected."""
    page.mouse.click(*_at(page, panel, across, down))
    if expected:
        page.locator(".st-key-outcome", has_text=f'"mark": {expected}').wait_for(timeout=60_000)
    else:
        page.wait_for_timeout(900)  # longer than a click waits for a second one
    return json.loads(page.locator(".st-key-outcome").inner_text())["picked"]


def test_a_click_picks_the_smallest_object_there(page: Any, address: str) -> None:
    _open(page, address, "object")
    canvas = page.locator(".panel canvas").first
    assert canvas.get_attribute("aria-label") == "Picture; cat 90 %; dog 40 %"
    assert _click(page, 0, 0.05, 0.05) is None, "no object there"
    assert _click(page, 1, 0.5, 0.5) is None, "the heatmap has no objects to pick"
    page.mouse.move(*_at(page, 0, 0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*_at(page, 0, 0.55, 0.5), steps=3)
    page.mouse.up()
    assert _click(page, 0, 0.05, 0.05) is None, "a drag picks nothing"
    _click(page, 0, 0.65, 0.5, expected='"box:0"')
    _click(page, 0, 0.45, 0.5, expected='"box:1"')
    page.mouse.move(*_at(page, 0, 0.3, 0.3))  # the large box alone is here
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    picked = _click(page, 0, 0.3, 0.3, expected='"box:0"')
    shown = page.locator(".viewer .place").inner_text()  # what the viewer reads under the pointer
    assert shown.split("value")[0].split() == ["x", str(int(picked["x"])), "y", str(int(picked["y"]))]


def test_a_click_gives_a_place_in_the_pictures_pixels(page: Any, address: str) -> None:
    _open(page, address, "letterbox")
    picked = _click(page, 1, 0.25, 0.75, expected="null")
    assert (picked["x"], picked["y"]) == (pytest.approx(150, abs=2), pytest.approx(300, abs=2))


def test_an_objects_box_is_drawn_on_its_heatmap(page: Any, address: str) -> None:
    _open(page, address, "object")
    page.locator("input[name=opacity]").focus()
    page.keyboard.press("Home")  # so that the picture itself is seen beside the line
    page.wait_for_timeout(400)
    brightest = """([canvas, right, down]) => {
      const scale = Math.min(canvas.width / 600, canvas.height / 400);
      const x = Math.round(canvas.width / 2 + (right - 0.5) * 600 * scale) - 3;
      const y = Math.round(canvas.height / 2 + (down - 0.5) * 400 * scale) - 3;
      return Math.max(...canvas.getContext("2d").getImageData(x, y, 6, 6).data.filter((_, place) => place % 4 === 2));
    }"""
    canvas = page.locator(".panel canvas").nth(1).element_handle()
    edges = [
        page.evaluate(brightest, [canvas, *place]) for place in ((0.5, 0.25), (0.5, 0.75), (0.25, 0.5), (0.75, 0.5))
    ]
    assert min(edges) > 180, edges
    inside = [page.evaluate(brightest, [canvas, *place]) for place in ((0.4, 0.4), (0.6, 0.6))]
    assert max(inside) < 100, inside


def _drawn(page: Any, panel: int) -> str:
    return page.locator(".panel canvas").nth(panel).evaluate("canvas => canvas.toDataURL()")


def _outcome(page: Any, **awaited: Any) -> dict[str, Any]:
    """Wait for the page to tell these values, and give all that it tells."""
    for name, value in awaited.items():
        page.locator(".st-key-outcome", has_text=f'"{name}": {json.dumps(value)}').wait_for(timeout=10_000)
    return json.loads(page.locator(".st-key-outcome").inner_text())


def test_dragging_the_opacity_repaints_at_once_and_python_hears_only_where_it_ends(page: Any, address: str) -> None:
    _open(page, address, "letterbox")
    before, original = _drawn(page, 1), _drawn(page, 0)
    with_the_picture = sum(map(len, page.received))
    page.sent.clear()
    page.received.clear()
    track = page.locator("input[name=opacity]").bounding_box()
    height = track["y"] + track["height"] / 2
    page.mouse.move(track["x"] + 0.6 * track["width"], height)
    page.mouse.down()
    page.mouse.move(track["x"] + 0.3 * track["width"], height, steps=6)
    page.wait_for_timeout(600)
    assert _drawn(page, 1) != before
    assert _drawn(page, 0) == original
    assert not page.sent
    page.mouse.up()
    chosen = float(page.locator("input[name=opacity]").input_value())
    assert 0.2 < chosen < 0.4
    outcome = _outcome(page, opacity=chosen)
    assert outcome["runs"] == 2
    assert len(page.sent) == 1
    assert sum(map(len, page.received)) < 20_000 < 200_000 < with_the_picture, "the picture went over the wire again"


def test_choices_outlive_the_viewer_and_the_zoom_outlives_reruns(page: Any, address: str) -> None:
    _open(page, address, "letterbox")
    page.locator(".panel canvas").first.click()
    page.keyboard.press("+")
    page.keyboard.press("o")
    page.locator(".zoom", has_text="1.4 ×").wait_for()
    page.wait_for_timeout(1000)  # the click is told too, in a run of its own or in that of the view
    done = _outcome(page, view="original")["runs"]
    assert done in (2, 3)
    assert page.locator(".zoom").inner_text() == "1.4 ×"
    for runs in (done + 1, done + 2):
        page.locator(".st-key-show label").click()
        _outcome(page, view="original", runs=runs)
    page.locator(".viewer .cell", has_text="map cell").wait_for()
    assert page.locator("input[value=original]").is_checked()


def test_the_page_can_overrule_a_choice_and_the_user_can_make_it_again(page: Any, address: str) -> None:
    _open(page, address, "letterbox")
    page.locator("button[name=zoom-in]").click()
    colours = page.locator("select[name=colormap]")
    colours.select_option("viridis")
    _outcome(page, colormap="viridis", runs=2)
    page.locator(".st-key-reset button").click()
    _outcome(page, colormap="inferno", runs=3)
    assert colours.input_value() == "inferno"
    assert page.locator(".zoom").inner_text() == "1.4 ×"
    colours.select_option("viridis")
    _outcome(page, colormap="viridis", runs=4)


@pytest.mark.parametrize("case", ["crop", "letterbox"])
def test_the_value_under_the_pointer_is_that_of_the_export(page: Any, address: str, case: str) -> None:
    _open(page, address, case)
    assert page.locator(".legend .veil").is_visible() == (case == "crop")
    page.locator("button[name=zoom-in]").click()
    page.locator(".zoom", has_text="1.4 ×").wait_for()
    box = page.locator(".panel canvas").nth(1).bounding_box()
    seen = 0
    for right, down in ((0.5, 0.5), (0.31, 0.42), (0.66, 0.8), (0.77, 0.3), (0.01, 0.02), (0.99, 0.97)):
        page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"])
        x, y = (int(number) for number in re.findall(r"\d+", page.locator(".place").inner_text()))
        texts = page.locator(".panel .value").all_inner_texts()[1:3]
        for heatmap, text in zip(_heatmaps(case), texts, strict=False):
            value = heatmap.values[y, x]
            seen += not np.isnan(value)
            if np.isnan(value):
                assert text == "not seen"
            else:
                assert float(text.split(" ")[0]) == pytest.approx(value, abs=1e-3)
    assert seen == (8 if case == "crop" else 12)


def test_the_screen_shows_the_colours_of_the_export(page: Any, address: str) -> None:
    _open(page, address, "ramp")
    canvas = page.locator(".panel canvas").nth(2)
    width, height = canvas.evaluate("canvas => [canvas.width, canvas.height]")
    places = np.random.default_rng(1).uniform(0.02, 0.98, (300, 2))
    points = (places * (width, height)).astype(int)
    shown = canvas.evaluate(
        "(canvas, points) => points.map(([x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data])",
        points.tolist(),
    )
    columns, rows = ((points + 0.5) / (width, height) * (600, 400)).astype(int).T
    exported = overlay(_image("ramp"), _heatmaps("ramp")[1])[rows, columns]
    off = np.abs(np.array(shown)[:, :3] - exported.astype(float)).max(axis=1)
    assert np.median(off) <= 1.5
    assert off.max() <= 5


def test_a_map_without_evidence_is_words_over_the_plain_picture(page: Any, address: str) -> None:
    _open(page, address, "letterbox")
    assert page.locator(".words:visible").all_inner_texts() == [
        "Nothing in this picture speaks for ‹nothing of it› here."
    ]
    assert _drawn(page, 3) == _drawn(page, 0)
    assert _drawn(page, 1) != _drawn(page, 0)
    page.locator("input[value=heatmap]").click()
    page.locator(".viewer[data-view=heatmap]").wait_for()
    most_cover = (
        "canvas => Math.max(...canvas.getContext('2d').getImageData(9, 9, 90, 90).data.filter((_, i) => i % 4 == 3))"
    )
    covers = [page.locator(".panel canvas").nth(panel).evaluate(most_cover) for panel in (1, 3)]
    assert covers == [255, 0]


def test_a_hostile_label_is_only_text_and_no_request_leaves_this_machine(page: Any, address: str) -> None:
    _open(page, address, "crop")
    title = page.locator(".title").nth(2)
    assert title.inner_text() == HOSTILE
    assert title.get_attribute("title") == HOSTILE
    assert title.evaluate("label => label.scrollWidth > label.clientWidth")
    assert page.locator(".viewer img").count() == 0
    assert page.evaluate("window.harmed") is None
    hosts = {urlsplit(url).hostname for url in page.asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
