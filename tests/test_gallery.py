"""The gallery and the contact sheet of a batch: whole, escaped, and drawn as render draws."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

import gradcam_core as core
from gradcam_core.exporters import GalleryRow, contact_sheet, write_gallery
from gradcam_core.exporters.gallery import worst_first
from gradcam_core.render import draw_on_tile

HOSTILE = "</script><script>alert(1)</script>\u2028<!-- {{title}} {{rows}} \ud800"


def grey_tile() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (128, 128), (128, 128, 128)).save(written, "JPEG")
    return written.getvalue()


def row(name: str = "a.png", **values: Any) -> GalleryRow:
    given: dict[str, Any] = {"sha256": "0" * 64, "label": "cat", "probability": 0.9, "tile": grey_tile()}
    return GalleryRow(name, **{**given, **values})


def a_map(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(4, 5)).astype(np.float32)


def read_rows(path: Path) -> list[Any]:
    match = re.search(r'id="rows">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert match
    return list(json.loads(match[1]))


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "gallery.html"
    rows = [row(HOSTILE, label=HOSTILE, note=HOSTILE, probability=float("nan"))]
    write_gallery(path, rows, title=HOSTILE, sentences=[HOSTILE], confusion={(HOSTILE, HOSTILE): 1})
    text = path.read_text("utf-8")
    assert "<script>alert" not in text
    assert text.count("<script") == text.count("</script>") == 3
    assert read_rows(path)[0][:4] == [HOSTILE, "0" * 64, HOSTILE, None]


def test_fault_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "gallery.html"
    path.write_text("earlier")

    def rows() -> Any:
        yield row()
        raise ValueError

    with pytest.raises(ValueError):
        write_gallery(path, rows(), title="")
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.html"]
    assert path.read_text() == "earlier"


def test_worst_come_first() -> None:
    rows = [
        row("right", correct=True, border=0.1),
        row("border", correct=True, border=0.8),
        row("unsure", correct=False, probability=0.3),
        row("wrong", correct=False, probability=0.9),
        row("broken", problem="It cannot be read."),
    ]
    assert [item.name for item in sorted(rows, key=worst_first)] == ["broken", "wrong", "unsure", "border", "right"]


def test_contact_sheet_shows_the_worst_and_takes_any_text() -> None:
    rows = [row(HOSTILE + "漢字", label="漢字\n" * 1000, raw=a_map()) for _ in range(9)]
    rows += [row(problem="It cannot be read.", tile=None, label="", probability=None)]
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(rows, columns=4, most=6))))
    assert sheet.shape == (2 * (128 + 28 + 12) + 12, 4 * 140 + 12, 3)
    first, second = sheet[12:140, 12:140], sheet[12:140, 152:280]
    assert first.max() < 40
    assert second.max() > 100
    assert contact_sheet([])
    one, other = (np.asarray(Image.open(io.BytesIO(contact_sheet([row(label=label)])))) for label in ("漢字", "結節"))
    assert np.abs(one[141:154].astype(int) - other[141:154]).max() > 100, "each sign has its own shape"


def test_a_damaged_tile_costs_only_its_picture() -> None:
    assert contact_sheet([row(tile=b"\xff\xd8 no picture", raw=a_map()), row(tile=grey_tile()[:200])])


def canvas_pixels(page: Any, place: int = 0) -> Any:
    """What the browser drew on a canvas, as RGB."""
    address = page.locator("canvas[data-drawn]").nth(place).evaluate("canvas => canvas.toDataURL('image/png')")
    encoded = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def test_a_batch_looks_in_its_gallery_as_explain_draws_it(tmp_path: Path, chromium: Any) -> None:
    model = core.load_model("bundled:radiograph_clean")
    (content, *_) = core.drawn_folder("no_markers", 1).pictures.values()
    side = model.preprocessing.size[0]
    small = cv2.resize(core.picture_pixels(core.read_image(content)), (side, side))
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(small), quality=95)
    (tmp_path / "scan.jpg").write_bytes(content)
    recipe = core.Recipe("bundled:radiograph_clean")
    core.run_batch(core.find_pictures(tmp_path), recipe, tmp_path / core.journal_name())
    (result,) = core.Journal(tmp_path / core.journal_name()).results()
    image = core.read_image(content)
    heatmap = core.explain(image, model, top_k=1, methods="grad_cam").heatmaps[0]
    (stored,) = result.maps
    drawn = row(tile=content, raw=stored.raw, offset=stored.offset, signed=stored.signed)
    write_gallery(tmp_path / "gallery.html", [drawn], title="Gallery")
    page = chromium.new_page()
    try:
        page.goto((tmp_path / "gallery.html").as_uri())
        page.wait_for_selector("canvas[data-drawn]", state="attached")
        assert np.abs(canvas_pixels(page) - core.overlay(image, heatmap)).max() <= 3
    finally:
        page.close()


def many_rows() -> list[GalleryRow]:
    true = {"true_label": "dog", "correct": False, "true_probability": 0.2, "raw": a_map(), "true_raw": a_map(1)}
    return [
        row("broken.png", problem="It cannot be read.", tile=None, label="", probability=None),
        row("wrong.png", **true),
        *[row(f"{n}.png", true_label="cat", correct=True, probability=n / 100, border=n / 100) for n in range(60)],
        row("plain.png", label="dog"),
    ]


def test_the_gallery_is_used_with_mouse_and_keys(tmp_path: Path, chromium: Any) -> None:
    path, faults = tmp_path / "gallery.html", list[str]()
    confusion = {("cat", "cat"): 60, ("dog", "cat"): 1, ("horse", "cat"): 0, ("bird", "cow"): 3}
    write_gallery(path, many_rows(), title="Gallery", sentences=["A sentence."], confusion=confusion)
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)

    def shown(count: int) -> None:
        page.locator("#count", has_text=re.compile(f"^{count} of 63 ")).wait_for()

    try:
        page.goto(path.as_uri())
        shown(63)
        names = page.locator(".card .name").all_inner_texts()
        assert names[:3] == ["broken.png", "wrong.png", "59.png"]
        assert [text for text in page.locator(".card").nth(1).inner_text().split("\n") if "%" in text]
        assert page.locator(".card").nth(1).locator("canvas").count() == 2
        assert not Axe().run(page).response["violations"]
        page.click("summary")
        assert not Axe().run(page).response["violations"]
        page.click("button[aria-label='1 picture of dog, answered cat']")
        shown(1)
        page.click("button[aria-label='3 pictures of bird, answered cow']")
        shown(0)
        page.fill("#opacity", "0")
        page.click("button[type=reset]")
        shown(63)
        assert page.input_value("#opacity") == "0.6"
        page.fill("#probability-from", "50")
        page.fill("#border-to", "54")
        shown(5)
        page.click("button[type=reset]")
        page.select_option("#kind", "right")
        shown(60)
        page.select_option("#order", "name")
        page.locator(".card").nth(1).click()
        assert page.locator("#large-card .name").inner_text() == "1.png"
        page.keyboard.press("ArrowRight")
        assert page.locator("#large-card .name").inner_text() == "10.png"
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert page.locator("#large-card .name").inner_text() == "0.png"
        assert not Axe().run(page).response["violations"]
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.className") == "card"
        page.keyboard.press("Enter")
        assert page.locator("#large-card .name").inner_text() == "1.png"
        assert not faults
    finally:
        page.close()


def test_what_cannot_be_drawn_is_said_and_the_opacity_draws_again(tmp_path: Path, chromium: Any) -> None:
    rows = [row("a", raw=a_map()), row("b", raw=a_map(), tile=b"\xff\xd8 no"), row("c", raw=a_map(), tile=None)]
    write_gallery(tmp_path / "gallery.html", rows, title="Gallery")
    page = chromium.new_page()
    try:
        page.goto((tmp_path / "gallery.html").as_uri())
        page.select_option("#order", "name")
        page.locator(".card", has_text="small picture damaged").wait_for()
        assert "no small picture" in page.locator(".card").nth(2).inner_text()
        before = canvas_pixels(page)
        page.fill("#opacity", "0")
        assert np.abs(canvas_pixels(page) - 128).max() <= 2 < np.ptp(before)
        page.fill("#opacity", "0.6")
        assert np.array_equal(canvas_pixels(page), before)
    finally:
        page.close()


def test_many_classes_are_a_list_of_mistakes(tmp_path: Path, chromium: Any) -> None:
    confusion = {(f"true {n}", f"answer {n % 60}"): n + 1 for n in range(300)}
    write_gallery(tmp_path / "gallery.html", [row()], title="Gallery", confusion=confusion)
    page = chromium.new_page()
    try:
        page.goto((tmp_path / "gallery.html").as_uri())
        page.click("summary")
        lines = page.locator("#table tbody tr")
        assert lines.count() == 200
        assert lines.first.inner_text().split() == ["true", "299", "answer", "59", "300"]
    finally:
        page.close()


@pytest.mark.parametrize("signed", [False, True])
def test_heat_is_drawn_in_the_browser_as_here(tmp_path: Path, chromium: Any, signed: bool) -> None:
    path, requests = tmp_path / "gallery.html", []
    drawn = row(raw=a_map(), offset=(0.4, -0.7), signed=signed)
    write_gallery(path, [drawn, row("b", raw=-np.abs(a_map()), probability=0.1)], title="Gallery")
    page = chromium.new_page()
    try:
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("canvas[data-drawn]", state="attached")
        address = page.locator("canvas[data-drawn]").first.evaluate("canvas => canvas.toDataURL('image/png')")
        encoded = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
        grey = np.full((128, 128, 3), 128, np.uint8)
        assert np.abs(pixels - draw_on_tile(grey, drawn.raw, drawn.offset, signed=signed)).max() <= 2
        assert np.ptp(pixels) > 50
        assert "no positive evidence" in page.locator("#grid").inner_text()
        page.fill("#search", "b")
        page.wait_for_function("document.querySelectorAll('.cell').length === 1")
        assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    finally:
        page.close()
