"""How stored values become what is shown: ranges, windows, missing values, see-through parts."""

import struct

import numpy as np
import pytest
from skimage import data

from gradcam_core import explain, load_model
from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from tests.pictures import CAT, GREY, RAMP, SEE_THROUGH, chunk, cv_encode, encode, png, rows_of, steps, tiff

pytestmark = pytest.mark.filterwarnings("error")


def test_deep_grey_is_stretched_over_its_own_range_and_says_so() -> None:
    expected = (RAMP.astype(np.float32) / 4095)[..., None].repeat(3, axis=2)
    for file in (encode(RAMP, "PNG"), cv_encode(".tif", RAMP), tiff(RAMP, byteorder=">"), cv_encode(".png", RAMP)):
        record = read_image(file)
        assert np.allclose(record.pixels, expected, atol=1e-7)
        assert (record.pixels.min(), record.pixels.max()) == (0, 1)
        assert 0.4 < record.pixels.mean() < 0.6
        assert (record.bits, record.stored_range) == (16, (0, 4095))
        assert any("0 to 4,095" in note for note in record.notes)


def test_deep_colour_keeps_the_range_of_its_type_unless_it_uses_few_of_its_bits() -> None:
    full = CAT.astype(np.uint16) * 257
    for file in (cv_encode(".png", full), cv_encode(".tif", full), tiff(full, photometric="rgb", byteorder=">")):
        record = read_image(file)
        assert np.array_equal(record.pixels, full.astype(np.float32) / 65535)
        assert (record.bits, record.stored_range, record.notes) == (16, (0, 65535), ())
    twelve = CAT.astype(np.uint16) * 16 + 8
    record = read_image(tiff(twelve, photometric="rgb"))
    assert np.array_equal(record.pixels, twelve.astype(np.float32) / 4095)
    assert record.stored_range == (0, 4095)
    assert "uses 12" in record.notes[0]
    assert np.abs(record.pixels - CAT / 255).max() < 0.005  # the same content in 8 bits


def test_deep_pngs_with_alpha_or_a_key_are_laid_on_white() -> None:
    deep = SEE_THROUGH.astype(np.uint16) * 257
    alpha = deep[..., 3:] / 65535
    expected = deep[..., :3] / 65535 * alpha + 1 - alpha
    assert np.allclose(read_image(cv_encode(".png", deep)).pixels, expected, atol=1e-6)
    deep[:5, 0, 0], deep[5:, 0, 0] = 0, 65535
    grey = png(100, 64, 16, 4, rows_of(deep[..., [0, 3]]))
    visible = deep[..., 0][deep[..., 3] > 0]
    record = read_image(grey)
    stretched = (deep[..., 0] - float(visible.min())) / (float(visible.max()) - float(visible.min()))
    assert np.allclose(record.pixels[..., 0], np.clip(stretched, 0, 1) * alpha[..., 0] + 1 - alpha[..., 0], atol=1e-6)
    keyed = read_image(png(100, 64, 16, 0, rows_of(RAMP), chunk(b"tRNS", struct.pack(">H", RAMP[20, 20]))))
    assert keyed.pixels[20, 20, 0] == 1
    assert keyed.pixels[20, 21, 0] < 0.5
    marked = CAT.astype(np.uint16) * 257
    keyed = read_image(png(100, 64, 16, 2, rows_of(marked), chunk(b"tRNS", struct.pack(">3H", *marked[0, 0]))))
    assert (keyed.pixels[0, 0] == 1).all()
    assert np.array_equal(keyed.pixels[30], marked[30].astype(np.float32) / 65535)


def test_tiffs_that_store_white_as_zero_come_out_the_right_way_round() -> None:
    assert np.array_equal(steps(read_image(tiff(GREY, photometric="miniswhite")))[..., 0], 255 - GREY)
    record = read_image(tiff(RAMP, photometric="miniswhite"))
    assert np.allclose(record.pixels[..., 0], 1 - RAMP / 4095, atol=1e-6)
    assert record.stored_range == (4095, 0)
    assert record.notes == ("The stored values 0 to 4,095 are stretched over the whole scale from white to black.",)
    windowed = read_image(tiff(RAMP, photometric="miniswhite"), window=(1000, 500))
    assert np.allclose(windowed.pixels[..., 0], 1 - np.clip((RAMP - 1000.0) / 500 + 0.5, 0, 1), atol=1e-6)


def test_a_window_maps_stored_values_as_in_radiology() -> None:
    record = read_image(encode(RAMP, "PNG"), window=(1000, 400))
    assert np.allclose(record.pixels[..., 0], np.clip((RAMP - 1000.0) / 400 + 0.5, 0, 1), atol=1e-6)
    assert (record.window, record.stored_range, record.bits) == ((1000, 400), (800, 1200), 16)
    floats = read_image(tiff(RAMP.astype(np.float32) / 100 - 20), window=(-5.5, 0.25))
    assert np.allclose(floats.pixels[..., 0], np.clip((RAMP / 100 - 14.5) / 0.25 + 0.5, 0, 1), atol=1e-4)
    step = read_image(encode(RAMP, "PNG"), window=(1000, 5e-324))
    assert set(np.unique(step.pixels)) <= {0, 0.5, 1}


def test_a_window_on_8_bit_grey_stays_8_bit_only_in_whole_steps() -> None:
    assert np.array_equal(steps(read_image(encode(GREY, "PNG"), window=(127.5, 255)))[..., 0], GREY)
    between = read_image(encode(GREY, "PNG"), window=(100, 90))
    assert between.bits == 32
    assert np.allclose(between.pixels[..., 0], np.clip((GREY - 100.0) / 90 + 0.5, 0, 1), atol=1e-6)
    same_in_rgb = read_image(encode(np.dstack([GREY] * 3), "PNG"), window=(100, 90))
    assert np.array_equal(same_in_rgb.pixels, between.pixels)


def test_pixels_that_are_no_numbers_show_the_lowest_value() -> None:
    stored = RAMP.astype(np.float32)
    stored[:2, :5] = np.nan
    stored[5, 5], stored[6, 6] = np.inf, -np.inf
    record = read_image(tiff(stored))
    low = float(stored[np.isfinite(stored)].min())
    assert record.stored_range == (low, 4095)
    assert (record.pixels[:2, :5] == 0).all()
    assert record.pixels[5, 5, 0] == record.pixels[6, 6, 0] == 0
    assert any("NaN" in note and note.endswith("12.") for note in record.notes)


def test_a_picture_of_one_value_is_not_stretched() -> None:
    one = np.full((5, 7), 1000)
    assert read_image(encode(one.astype(np.uint16), "PNG")).pixels[0, 0, 0] == np.float32(1000 / 65535)
    assert read_image(tiff(np.full((5, 7), 0.25, np.float32))).pixels[0, 0, 0] == 0.25
    assert read_image(tiff(np.full((5, 7), 7.0, np.float32))).pixels[0, 0, 0] == 1


def test_the_largest_numbers_do_not_overflow() -> None:
    top = np.finfo(np.float64).max
    record = read_image(tiff(np.array([[-top, 0, top]])))
    assert np.array_equal(record.pixels[0, :, 0], [0, 0.5, 1])


def test_a_window_that_cannot_be_used_is_refused() -> None:
    grey = encode(GREY, "PNG")
    with pytest.raises(PictureError, match="colours"):
        read_image(encode(CAT, "PNG"), window=(100, 50))
    for window in ((100, 0), (100, -1), (float("nan"), 5), (5, float("inf")), (5, float("nan")), (1.7e308, 1.7e308)):
        with pytest.raises(PictureError, match="finite width above 0"):
            read_image(grey, window=window)


# One burnt-in marker, one dead pixel: the rest of the picture keeps its contrast.


def radiograph() -> np.ndarray:
    """A 12-bit picture of 709 to 3,386, as grey [200 300]."""
    shade = data.camera()[100:300, 100:400].astype(float)
    return np.rint(709 + (shade - shade.min()) / np.ptp(shade) * (3386 - 709)).astype(np.uint16)


@pytest.mark.parametrize("kind", ["u2", "i4", "f4"])
@pytest.mark.parametrize("marker", [65535, 65000, 20000])
def test_a_burnt_in_marker_does_not_turn_the_picture_black(kind: str, marker: int) -> None:
    plain = radiograph().astype(kind)
    marked = plain.copy()
    marked[5:15, 5:17] = marker
    expected, record = read_image(tiff(plain)), read_image(tiff(marked))
    elsewhere = np.ones(plain.shape, bool)
    elsewhere[5:15, 5:17] = False
    assert np.abs(record.pixels - expected.pixels)[elsewhere].max() < 0.01
    assert (record.pixels[5:15, 5:17] == 1).all()
    assert record.stored_range == pytest.approx((709, 3386), abs=5)
    assert "0.2 % of the pixels lie outside" in record.notes[0]
    assert f"709 to {marker:,}" in record.notes[0] or f"709 to {marker:g}" in record.notes[0]


def test_a_dark_marker_and_antialiased_letters_do_no_harm_either() -> None:
    plain = radiograph()
    plain += 20_000
    dark = plain.copy()
    dark[:10, :10] = 0
    assert np.abs(read_image(tiff(dark)).pixels - read_image(tiff(plain)).pixels)[10:].max() < 0.01
    letter = radiograph()
    letter[2:12, 2:22] = np.linspace(4000, 65535, 200).reshape(10, 20)
    assert read_image(tiff(letter)).pixels[20:].mean() > 0.2


def test_nothing_is_clipped_without_need() -> None:
    y, x = np.mgrid[0:100, 0:100]
    highlight = (1000 + x * 10 + y * 5).astype(np.uint16)
    highlight[50, 50] = 2900  # brighter than all others, but not far from them
    mask = np.zeros((100, 100), np.uint16)
    mask[40:44, 40:44] = 3000
    labels = np.where(x > 50, 2, 1).astype(np.uint16)
    labels[0, 0] = 300
    faint = (100 + (x * 7 + y * 13) % 9).astype(np.uint16)  # sensor noise of a few levels
    faint[70:73, 70:73] = 4000
    for samples in (highlight, mask, labels, faint, mask.astype(np.float32), RAMP):
        record = read_image(tiff(samples))
        assert record.stored_range == (samples.min(), samples.max())
        assert all("outside" not in note for note in record.notes)


def test_the_same_picture_in_8_and_12_bits_looks_the_same() -> None:
    grey = data.camera()
    stretched = ((grey - grey.min()) * (255 / np.ptp(grey))).round().astype(np.uint8)
    deep = read_image(tiff(stretched.astype(np.uint16) * 16 + 8))
    assert np.abs(deep.pixels - read_image(encode(stretched, "PNG")).pixels).max() < 0.005


def test_values_that_mean_no_data_do_not_set_the_range() -> None:
    heights = RAMP.astype(np.float32)
    heights[:5] = -9999
    file = tiff(heights, extratags=[(42113, "s", 0, "-9999", True)])
    record = read_image(file)
    assert record.stored_range == (heights[5:].min(), 4095)
    assert (record.pixels[:5] == 0).all()
    assert any("no data (value -9,999), shown black: 500." in note for note in record.notes)
    white_is_zero = read_image(tiff(heights.clip(0), photometric="miniswhite", extratags=[(42113, "s", 0, "0", True)]))
    assert (white_is_zero.pixels[:5] == 0).all()
    for text in ("nan", "-1e400", "none", "1,5", ""):
        assert read_image(tiff(RAMP, extratags=[(42113, "s", 0, text, True)])).stored_range == (0, 4095)
    everything = np.full((8, 8), 7, np.uint16)
    assert read_image(tiff(everything, extratags=[(42113, "s", 0, "7", True)])).width == 8


def test_three_equal_deep_channels_are_grey() -> None:
    grey = radiograph()
    record = read_image(tiff(np.dstack([grey] * 3), photometric="rgb"))
    assert np.array_equal(record.pixels, read_image(tiff(grey)).pixels)


def test_a_picture_that_is_see_through_everywhere_is_shown_opaque() -> None:
    record = read_image(encode(np.dstack([CAT, np.zeros(CAT.shape[:2], np.uint8)]), "PNG"))
    assert np.array_equal(steps(record), CAT)
    assert not record.laid_on_white
    assert "whole picture is see-through" in record.notes[0]
    assert read_image(encode(SEE_THROUGH, "PNG")).laid_on_white


def test_a_marker_hardly_changes_what_the_model_sees() -> None:
    model = load_model("bundled:efficientnet_lite0", device="cpu")
    plain = radiograph()
    marked = plain.copy()
    marked[5:15, 5:17] = 65535
    first, second = (explain(read_image(tiff(one)), model, methods="cam", top_k=1) for one in (plain, marked))
    assert np.abs(first.model_input - second.model_input).mean() < 0.05
    assert first.predictions[0].index == second.predictions[0].index
