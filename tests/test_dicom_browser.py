"""DICOM in a real browser: the file's windows and tables of greys, units, lengths in mm, and a stack that scrolls."""

import re
from typing import Any

import numpy as np
import pytest
from pydicom.sequence import Sequence

from gradcam_core import read_image
from pages.components.panels.displayed import Display, displayed
from pages.components.viewer import DEFAULTS, Window, checked_window
from tests.test_app import address, page, settled
from tests.test_big_view import enlarge, explain, point, sharp, shown
from tests.test_dicom import dicom, table, written
from tests.test_dicom_series import slice_at

__all__ = ["address", "page"]


def with_table() -> bytes:
    """A radiograph of 12 bits with two tables of greys that are no straight line, low values white, and a spacing."""
    places = np.arange(4096) / 4095
    tables = [table(np.rint(255 * places**2), 0, 8), table(np.rint(255 * places**0.5), 0, 8, "Soft")]
    down, across = np.mgrid[:600, :500]
    stored = (down * 4 + across * 3 + np.random.default_rng(3).integers(0, 50, (600, 500))).astype(np.uint16)
    return written(
        dicom(
            stored,
            Modality="DX",
            PhotometricInterpretation="MONOCHROME1",
            VOILUTSequence=Sequence(tables),
            WindowCenter=2048,
            WindowWidth=1000,
            WindowCenterWidthExplanation="Narrow",
            PixelSpacing=[0.5, 0.5],
        )
    )


def test_the_viewer_follows_the_files_table_its_windows_and_its_size(page: Any, address: str) -> None:
    content = with_table()
    explain(page, address, "table.dcm", content)
    page.locator('.viewer[data-depth="16"]').wait_for()
    assert re.search(r"one map cell = .* px \(.* mm\)", page.locator(".legend .cell").inner_text())
    enlarge(page)
    page.keyboard.press("p")
    sharp(page)

    def compare(pixels: np.ndarray) -> None:
        seen = shown(page)
        x, y = point(page, 0, 0.45, 0.45)
        down, across = (round(0.45 * length) for length in seen.shape[:2])
        part = seen[down : down + 40, across : across + 40, 0].astype(int)
        assert np.abs(part - np.rint(255 * pixels[y : y + 40, x : x + 40, 0])).max() <= 1

    image, presets = read_image(content), page.locator("select[name=preset]")
    compare(image.pixels)
    presets.select_option(label="Soft: level 2048, window 4096, table of greys")
    page.wait_for_timeout(200)
    assert page.locator("button[name=give-window]").is_hidden(), "a model gets a straight line"
    window = {"level": 2048.0, "width": 4096.0, "invert": False, "named": 1}
    soft = displayed(Display(image, DEFAULTS, Window(**window), content)).pixels
    assert np.abs(soft - image.pixels).max() > 0.2
    compare(soft)
    page.get_by_text("by table of greys 2 of the file").wait_for(state="attached", timeout=30_000)
    presets.select_option(label="Table 1 of the file: level 2048, window 4096, table of greys")
    page.wait_for_timeout(200)
    compare(image.pixels)
    presets.select_option(label="Narrow: level 2048, window 1000")
    page.wait_for_timeout(200)
    compare(read_image(content, window=(2048, 1000)).pixels)
    page.get_by_text("The model saw the picture without this window").wait_for(state="attached", timeout=30_000)
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    canvas = page.locator(".panel canvas").first.bounding_box()
    page.mouse.move(canvas["x"] + 20, canvas["y"] + 20)
    page.mouse.down()
    page.mouse.move(canvas["x"] + 60, canvas["y"] + 20)
    page.mouse.up()
    assert page.locator("input[name=measuring]").is_checked()


@pytest.mark.parametrize("named", [True, -1, "0", 1.0, None])
def test_the_browser_can_name_a_window_only_by_its_place(named: object) -> None:
    window = {"level": 1.0, "width": 2.0, "invert": False}
    assert checked_window({**window, "named": named}) == window
    assert checked_window({**window, "named": 3}) == {**window, "named": 3}
    image = read_image(with_table())
    far = displayed(Display(image, DEFAULTS, Window(level=2048.0, width=1000.0, invert=False, named=99), with_table()))
    assert np.abs(far.pixels - read_image(with_table(), window=(2048, 1000)).pixels).max() < 1e-3, "a straight line"


def test_a_stack_scrolls_and_explains_where_one_rests(page: Any, address: str) -> None:
    explain(page, address)
    slices = [slice_at(place, depth=place) for place in (3, 1, 0, 2)]
    files = [{"name": f"{place}.dcm", "mimeType": "", "buffer": content} for place, content in enumerate(slices)]
    page.locator("input[type=file]").first.set_input_files(files)
    page.locator(".viewer.stacked").wait_for(timeout=90_000)
    settled(page)
    canvas = page.locator(".panel canvas").first
    canvas.click()
    assert page.locator(".frame output").inner_text() == "1 of 4"
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert page.locator(".frame output").inner_text() == "3 of 4"
    assert page.locator(".viewer.browsing").count() == 1
    assert "answers are those of frame 1" in page.locator(".panel .words").nth(1).inner_text()
    page.locator(".viewer:not(.browsing)").wait_for(timeout=30_000)
    settled(page)
    assert page.get_by_label("Frame (1–4)").input_value() == "3"
    page.locator(".panel canvas").first.hover()
    assert page.locator(".viewer .place").text_content().endswith("value 102")


def test_blanked_corners_are_black_under_every_window(page: Any, address: str) -> None:
    content = with_table()
    explain(page, address, "table.dcm", content)
    page.get_by_role("button", name="Blank areas").click()
    page.get_by_role("button", name="Add the four corners").click()
    page.get_by_role("status").filter(has_text="4 areas").wait_for()
    page.get_by_role("button", name="Blank", exact=True).click()
    page.get_by_role("button", name="Blanked: 4 areas").wait_for()
    page.get_by_text("Blanked before anything was computed: 4 areas.").wait_for()
    settled(page)
    assert read_image(content).pixels[10, 10, 0] > 0.9
    for preset in ("", "Narrow: level 2048, window 1000"):
        if preset:
            page.locator("select[name=preset]").select_option(label=preset)
            page.wait_for_timeout(300)
        pixels = shown(page)
        height, width = pixels.shape[:2]
        edge = (width - height * 500 / 600) / 2  # the picture stands in the middle of its panel
        corner = pixels[5 : height // 6, round(edge) + 5 : round(edge + height * 500 / 600 / 6)]
        assert corner.max() == 0
        assert pixels[height // 2 - 9 : height // 2, width // 2].min() > 0
