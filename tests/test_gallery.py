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
from PIL import Image

from gradcam_core.exporters import GalleryRow, contact_sheet, write_gallery
from gradcam_core.exporters.contact_sheet import _heat_on_tile
from gradcam_core.exporters.gallery import worst_first

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
        assert np.abs(pixels - _heat_on_tile(drawn, grey_tile())).max() <= 2
        assert np.ptp(pixels) > 50
        assert "no positive evidence" in page.locator("#grid").inner_text()
        page.fill("#search", "b")
        page.wait_for_function("document.querySelectorAll('.cell').length === 1")
        assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    finally:
        page.close()
