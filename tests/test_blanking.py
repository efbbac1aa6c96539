"""Blanked areas: their pixels are gone before anything is computed, shown or written, whatever the kind of picture."""

import functools
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from gradcam_core import (
    GradcamError,
    corner_areas,
    evaluate,
    explain,
    load_model,
    overlay,
    read_image,
    read_sample,
    readers,
)
from gradcam_core.cli import main
from gradcam_core.errors import PictureError

AREA = (0.25, 0.5, 0.75, 1.0)


def _png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    content = io.BytesIO()
    tifffile.imwrite(content, pixels, **options)
    return content.getvalue()


def _noise(*shape: int, kind: type = np.uint8, high: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(kind)


def _turned() -> bytes:
    content = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_noise(40, 60, 3)).save(content, "PNG", exif=exif)
    return content.getvalue()


def _dicom(name: str, **elements: object) -> bytes:
    dataset = pydicom.dcmread(str(get_testdata_file(name)))
    for element, value in elements.items():
        setattr(dataset, element, value)
    content = io.BytesIO()
    dataset.save_as(content)
    return content.getvalue()


KINDS = {
    "colour": lambda: _png(_noise(40, 60, 3)),
    "grey of 8 bits": lambda: _png(_noise(40, 60)),
    "grey of 16 bits": lambda: _png(_noise(40, 60, kind=np.uint16, high=60000)),
    "floats": lambda: _tiff(_noise(40, 60, kind=np.float32) - 100),
    "see-through": lambda: _png(_noise(40, 60, 4)),
    "low values white": lambda: _tiff(_noise(40, 60, kind=np.uint16, high=4000), photometric="miniswhite"),
    "five channels": lambda: _tiff(_noise(40, 60, 5, kind=np.uint16, high=4000), photometric="minisblack"),
    "turned by EXIF": _turned,
    "CT": lambda: _dicom("CT_small.dcm"),
    "MONOCHROME1": lambda: _dicom("CT_small.dcm", PhotometricInterpretation="MONOCHROME1"),
    "not square": lambda: _dicom("CT_small.dcm", PixelSpacing=[0.6, 0.9]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_area_is_black_and_its_values_are_gone(kind: str) -> None:
    content = KINDS[kind]()
    image = read_image(content, blanked=[AREA])
    rows = slice(image.height // 2, None)
    columns = slice(image.width // 4, -(-3 * image.width // 4))
    assert (image.pixels[rows, columns] == 0).all()
    assert image.channels is None or (image.channels[rows, columns] == 0).all()
    # Black under every window, also under one that shows everything white.
    if image.pixels.std(axis=2).max() == 0 and not image.laid_on_white and image.channels is None:
        low, high = image.value_range
        bright = read_image(content, blanked=[AREA], window=(low - 10 * (high - low) - 10, 1.0))
        assert (bright.pixels[rows, columns] == 0).all()
    outside = np.ones(image.pixels.shape[:2], bool)
    outside[rows, columns] = False
    plain = read_image(content)
    if image.stored_range == plain.stored_range:
        np.testing.assert_array_equal(image.pixels[outside], plain.pixels[outside])
    assert image.blanked == (AREA,)
    assert image.identity != plain.identity
    assert any("Blanked" in note for note in image.notes)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"turned by EXIF", "five channels"}))
def test_what_was_in_the_area_decides_nothing(kind: str) -> None:
    """Two pictures that differ in the area alone are read alike, to the last bit and note."""

    def with_white_area(data: bytes, frame: int, most: int) -> readers.StoredPicture:
        picture = readers.decode(data, frame, most)
        samples = picture.samples.copy()
        height, width = samples.shape[:2]
        whole = samples.dtype.kind in "iu"
        samples[height // 2 :, width // 4 : -(-3 * width // 4)] = np.iinfo(samples.dtype).max if whole else 1e6
        return replace(picture, samples=samples)

    content = KINDS[kind]()
    first, second = read_image(content, blanked=[AREA]), read_image(content, blanked=[AREA], decode=with_white_area)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert (first.stored_range, first.value_range) == (second.stored_range, second.value_range)
    assert first.notes == second.notes


@pytest.mark.parametrize(
    "areas",
    [
        [(0, 0, 1, 1)],
        [(0, 0, 0.5, 1), (0.5, 0, 1, 1)],
        [(0.5, 0, 0.5, 1)],
        [(0.6, 0, 0.5, 1)],
        [(-0.1, 0, 0.5, 1)],
        [(0, 0, 1.1, 1)],
        [(0, 0, float("nan"), 1)],
        [(0, 0, 1)],
        [("left", 0, 1, 1)],
        [None],
        [(0, 0, 0.1, 0.1)] * 101,
    ],
)
def test_what_is_no_area_is_refused_in_words(areas: list) -> None:
    with pytest.raises(PictureError) as caught:
        read_image(KINDS["colour"](), blanked=areas)
    assert caught.value.remedy


def test_areas_cover_every_pixel_that_they_touch() -> None:
    content = _png(np.full((10, 10), 255, np.uint8))
    black = {
        area: int((read_image(content, blanked=[area]).pixels[..., 0] == 0).sum())
        for area in [(0, 0, 0.1, 0.1), (0, 0, 0.11, 0.1), (0.35, 0.35, 0.36, 0.36), (0.1, 0.1, 0.3, 0.3)]
    }
    assert list(black.values()) == [1, 2, 1, 4]
    assert int((read_image(content, blanked=corner_areas(0.25)).pixels[..., 0] == 0).sum()) == 4 * 9
    for size in (0, 0.5, float("nan")):
        with pytest.raises(PictureError):
            corner_areas(size)


def test_the_command_blanks_what_it_writes_and_the_record_is_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "picture.png"
    pixels = np.full((200, 200, 3), 90, np.uint8)
    pixels[:40, :60] = (250, 20, 20)  # a name in red
    path.write_bytes(_png(pixels))
    out, flags = tmp_path / "out", ["--model", "bundled:radiograph_clean", "--quiet"]
    assert main(["explain", str(path), *flags, "--out", str(out), "--blank", "0", "0", "0.4", "0.25", "--report"]) == 0
    record = next(out.rglob("explanation.json"))
    assert json.loads(record.read_bytes())["image"]["blanked"] == [[0, 0, 0.4, 0.25]]
    for picture in out.rglob("*.png"):
        if picture.name.startswith("overlay"):
            assert np.asarray(Image.open(picture).convert("RGB"))[5:30, 5:50].max() < 200
    assert main(["verify", str(record), "--image", str(path), "--quiet"]) == 0
    altered = json.loads(record.read_bytes())
    altered["image"]["blanked"] = []
    record.write_text(json.dumps(altered))
    assert main(["verify", str(record), "--image", str(path), "--quiet"]) != 0
    capsys.readouterr()
    assert main(["explain", str(path), *flags, "--out", str(tmp_path / "x"), "--blank", "0", "0", "9", "1"]) != 0
    assert "shares of width and height" in capsys.readouterr().err


def test_a_heatmap_of_a_blanked_picture_is_not_drawn_over_the_whole_one() -> None:
    content, model = KINDS["colour"](), load_model("bundled:radiograph_clean")
    blanked, whole = read_image(content, blanked=[AREA]), read_image(content)
    heatmap = explain(blanked, model, top_k=1).heatmaps[0]
    overlay(blanked, heatmap)
    with pytest.raises(GradcamError, match="another picture"):
        overlay(whole, heatmap)


def test_folders_are_blanked_and_say_so(tmp_path: Path) -> None:
    """A row of a blanked picture equals that of a picture whose area is black in the file."""
    model = load_model("bundled:efficientnet_lite0")
    pixels = (255 * read_image(read_sample("cat")).pixels[::2, ::2, 0]).astype(np.uint8)
    black = pixels.copy()
    black[: len(black) // 4, : black.shape[1] // 4] = 0
    area = (0, 0, (black.shape[1] // 4) / black.shape[1], (len(black) // 4) / len(black))
    rows = [
        evaluate([("a.png", functools.partial(_png, each))], [], {}, model, blanked=areas).rows[0]
        for each, areas in ((pixels, [area]), (black, []), (pixels, []))
    ]
    assert rows[0].probability == pytest.approx(rows[1].probability, abs=1e-6)
    assert rows[0].probability != pytest.approx(rows[2].probability, abs=1e-6)
    assert rows[0].note.startswith("Blanked")
    assert not rows[1].note
    assert len({row.request for row in rows[::2]}) == 2
    with pytest.raises(PictureError):
        evaluate([], [], {}, model, blanked=[(0, 0, 2, 2)])
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(_png(pixels))
    flags = [str(folder), "--model", "bundled:efficientnet_lite0", "--quiet", "--out", str(tmp_path / "out")]
    assert main(["batch", *flags, "--blank-corners", "0.25", "--overlays"]) == 0
    assert "Blanked" in (tmp_path / "out" / "results.csv").read_text()
    (overlay_file,) = (tmp_path / "out" / "overlays").iterdir()
    drawn = np.asarray(Image.open(overlay_file).convert("L"))
    assert np.median(drawn[:14, :14]) < 10 < np.median(pixels[:14, :14])
