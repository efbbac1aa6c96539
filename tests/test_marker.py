"""The marker in a real browser: what the hand draws, Python gets, in the picture's own pixels."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pages.components.marker import _checked
from tests.browser import ROOT, Serve

SIZE = (600, 400)
PAGE = """
import json
import numpy as np
import streamlit as st
from gradcam_core import ImageRecord
from pages.components.marker import marker
from pages.components.viewer.encoding import picture_of

st.set_page_config(layout="wide")
state = st.session_state
state.runs = state.get("runs", 0) + 1
marks = state.setdefault("marks", {"noise": [], "grey": []})
# Hard to compress, so that sending it twice would be seen.
noise = np.random.default_rng(3).random((200, 300, 3), np.float32).repeat(2, axis=0).repeat(2, axis=1)
pictures = {"noise": noise, "grey": np.full((300, 900, 3), 0.5, np.float32)}
name = "grey" if st.checkbox("Another", key="another") else "noise"
if st.checkbox("More", key="more"):
    st.text("One more element above.")
if st.button("Reset", key="reset"):
    marks[name] = []
if st.checkbox("Show", True, key="show"):
    image = ImageRecord(pictures[name], sha256=name, name="", format="PNG")
    marks[name] = marker(picture_of(image), shapes=marks[name], key="marker")
with st.container(key="outcome"):
    st.text(json.dumps({"runs": state.runs, "name": name, "count": len(marks[name]), "shapes": marks[name]}))
"""


@pytest.fixture(scope="module")
def address(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("marker")
    (folder / "page.py").write_text(PAGE, "utf-8")
    return serve(folder / "page.py", ROOT)


@pytest.fixture
def page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, **getattr(request, "param", {}))
    page = context.new_page()
    page.sent, page.received = [], []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: page.sent.append(frame)))
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: page.received.append(frame)))
    yield page
    context.close()


def _open(page: Any, address: str) -> None:
    page.goto(address)
    page.locator(".marker .count", has_text="Nothing marked yet").wait_for(timeout=30_000)
    page.wait_for_function("document.querySelector('[data-test-script-state=notRunning]')")


def _outcome(page: Any, **awaited: Any) -> dict[str, Any]:
    """Wait for the page to tell these values, and give all that it tells."""
    for name, value in awaited.items():
        page.locator(".st-key-outcome", has_text=f'"{name}": {json.dumps(value)}').wait_for(timeout=10_000)
    return json.loads(page.locator(".st-key-outcome").inner_text())


def _on_screen(page: Any, x: float, y: float, size: tuple[int, int] = SIZE) -> tuple[float, float]:
    """Where a place of the picture, which is fitted into the middle of the stage, is on the screen."""
    box = page.locator("canvas.marks").bounding_box()
    scale = min(box["width"] / size[0], box["height"] / size[1])
    left, top = box["x"] + (box["width"] - size[0] * scale) / 2, box["y"] + (box["height"] - size[1] * scale) / 2
    return left + x * scale, top + y * scale


def _drag(page: Any, *places: tuple[float, float], size: tuple[int, int] = SIZE) -> None:
    first, *others = [_on_screen(page, *place, size) for place in places]
    page.mouse.move(*first)
    page.mouse.down()
    for place in others:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def _is_marked(page: Any, x: float, y: float) -> bool:
    """Whether the screen shows this place as marked, once what was drawn is painted."""
    box = page.locator("canvas.marks").bounding_box()
    across, down = _on_screen(page, x, y)
    place = [(across - box["x"]) / box["width"], (down - box["y"]) / box["height"]]
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    seen = """(canvas, [x, y]) =>
        canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3]"""
    return bool(page.locator("canvas.marks").evaluate(seen, place))


def _box(outcome: dict[str, Any], index: int = 0) -> list[float]:
    return [outcome["shapes"][index][side] for side in ("left", "top", "right", "bottom")]


def test_a_dragged_box_has_the_pictures_own_pixels(page: Any, address: str) -> None:
    _open(page, address)
    with_the_picture = sum(map(len, page.received))
    page.sent.clear()
    page.received.clear()
    page.wait_for_timeout(300)
    assert not page.sent, "something was sent before anything was drawn"
    _drag(page, (420, 250), (300, 300), (120, 80))
    outcome = _outcome(page, count=1, runs=2)
    assert outcome["shapes"][0]["kind"] == "box"
    np.testing.assert_allclose(_box(outcome), [120, 80, 420, 250], atol=1)
    assert len(page.sent) == 1
    assert sum(map(len, page.received)) < 20_000 < 100_000 < with_the_picture, "the picture went over the wire again"
    assert _is_marked(page, 200, 200)
    assert not _is_marked(page, 500, 200)


@pytest.mark.parametrize("page", [{"device_scale_factor": 1.5}], indirect=True, ids=["fine screen"])
def test_brush_and_eraser_follow_the_hand_and_keys_choose_them(page: Any, address: str) -> None:
    _open(page, address)
    page.locator("canvas.marks").click(position={"x": 5, "y": 5})
    page.keyboard.press("p")
    page.locator("input[value=brush]:checked").wait_for()
    before = int(page.locator("input[name=size]").input_value())
    page.keyboard.press("]")
    _drag(page, (100, 100), (300, 100), (300, 300))
    brush = _outcome(page, count=1)["shapes"][0]
    assert brush["kind"] == "brush"
    assert brush["radius"] > before / 2
    assert page.locator("input[name=size]").input_value() == str(round(2 * brush["radius"]))
    points = np.array(brush["points"])
    np.testing.assert_allclose([points[0], points[-1]], [[100, 100], [300, 300]], atol=1)
    assert np.abs(points - [300, 100]).min(axis=1).max() < 1, "a point lies beside the way"
    assert _is_marked(page, 200, 100)
    page.keyboard.press("e")
    _drag(page, (200, 60), (200, 140))
    assert _outcome(page, count=2)["shapes"][1]["kind"] == "erase"
    assert not _is_marked(page, 200, 100)
    assert _is_marked(page, 300, 200)
    page.keyboard.press("b")
    page.locator("input[value=box]:checked").wait_for()
    assert page.locator("input[name=size]").is_disabled()


def test_undo_and_clear_step_by_step(page: Any, address: str) -> None:
    _open(page, address)
    undo = page.get_by_role("button", name="Undo")
    assert undo.get_attribute("aria-disabled") == "true"
    _drag(page, (10, 10), (60, 60))
    _drag(page, (200, 200), (260, 240))
    two = _outcome(page, count=2)["shapes"]
    page.get_by_role("button", name="Clear").click()
    _outcome(page, count=0)
    assert not _is_marked(page, 230, 220)
    undo.click()
    assert _outcome(page, count=2)["shapes"] == two
    page.keyboard.press("u")
    assert _outcome(page, count=1)["shapes"] == two[:1]
    page.keyboard.press("Control+z")
    runs = _outcome(page, count=0)["runs"]
    for _ in range(2):
        page.keyboard.press("u")
    _drag(page, (300, 300), (301, 300))
    page.mouse.move(*_on_screen(page, 20, 20))
    page.mouse.down()
    page.mouse.move(*_on_screen(page, 90, 90))
    page.keyboard.press("Escape")
    page.mouse.up()
    page.wait_for_timeout(300)
    assert _outcome(page)["runs"] == runs, "a click, an abandoned box or an empty undo was sent"


def test_marks_outlive_reruns_and_the_marker_and_belong_to_their_picture(page: Any, address: str) -> None:
    _open(page, address)
    _drag(page, (120, 80), (420, 250))
    drawn = _outcome(page, count=1)["shapes"]
    page.locator(".st-key-more label").click()
    page.get_by_text("One more element above.").wait_for()
    assert _outcome(page, count=1, runs=3)["shapes"] == drawn
    assert _is_marked(page, 300, 200)
    for runs in (4, 5):
        page.locator(".st-key-show label").click()
        assert _outcome(page, runs=runs)["shapes"] == drawn
    page.locator(".marker .count", has_text="1 mark").wait_for()
    assert _is_marked(page, 300, 200)
    page.locator(".st-key-another label").click()
    assert _outcome(page, name="grey")["shapes"] == []
    page.locator(".marker .count", has_text="Nothing marked yet").wait_for()
    _drag(page, (0, 0), (900, 300), size=(900, 300))
    np.testing.assert_allclose(_box(_outcome(page, count=1)), [0, 0, 900, 300], atol=1)
    page.locator(".st-key-another label").click()
    assert _outcome(page, name="noise")["shapes"] == drawn
    page.locator(".st-key-reset button").click()
    _outcome(page, count=0)
    page.locator(".marker .count", has_text="Nothing marked yet").wait_for()
    runs = _outcome(page)["runs"]
    page.wait_for_timeout(300)
    assert _outcome(page)["runs"] == runs


BOX = {"kind": "box", "left": 1, "top": 2, "right": 300, "bottom": 200}
STROKE = {"kind": "erase", "points": [[-5, 700], [10.5, 20]], "radius": 4.5}
DROPPED = [
    7,
    None,
    {},
    {**BOX, "kind": "circle"},
    {**BOX, "kind": ["box"]},
    {**BOX, "right": 601},
    {**BOX, "left": -1},
    {**BOX, "left": "1"},
    {**BOX, "left": True},
    {**BOX, "top": float("nan")},
    {**BOX, "top": 200},
    {**STROKE, "radius": 0},
    {**STROKE, "radius": 601},
    {**STROKE, "radius": None},
    {**STROKE, "points": []},
    {**STROKE, "points": "ab"},
    {**STROKE, "points": [[1, 2, 3]]},
    {**STROKE, "points": [[1, 801]]},
    {**STROKE, "points": [[1, float("inf")]]},
    {**STROKE, "points": [[1, 2]] * 5001},
]


def test_what_the_browser_sends_is_taken_only_as_far_as_it_is_shapes() -> None:
    for odd in (None, 7, "box", {"kind": "box"}):
        assert _checked(odd, SIZE) == []
    assert _checked(DROPPED, SIZE) == []
    assert _checked([{**BOX, "note": "x"}, *DROPPED, STROKE], SIZE) == [BOX, STROKE]
    assert len(_checked([BOX] * 501, SIZE)) == 500
