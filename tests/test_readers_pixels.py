"""What the readers read, pixel by pixel."""

import hashlib
import io
import itertools
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data

from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from tests.pictures import (
    CAT,
    GREY,
    SEE_THROUGH,
    STORED,
    STRIP,
    animation,
    bmp,
    cv_encode,
    encode,
    in_pillow,
    on_white,
    plain_tiff,
    png,
    rows_of,
    steps,
    tiff,
    tiled,
)

pytestmark = pytest.mark.filterwarnings("error")

JPEG_WAYS = [
    {},
    {"quality": 95, "subsampling": 0},
    {"progressive": True},
    {"restart_marker_blocks": 3},
    {"progressive": True, "restart_marker_rows": 1},
]


@pytest.mark.parametrize(
    ("mode", "options"), [*itertools.product(["RGB", "L", "CMYK"], JPEG_WAYS), ("RGB", {"keep_rgb": True})], ids=str
)
def test_jpegs_give_the_pixels_that_pillow_gives(mode: str, options: dict[str, object]) -> None:
    for picture in (data.chelsea(), data.chelsea()[:17, :33]):
        file = encode(Image.fromarray(picture).convert(mode), "JPEG", **options)
        record = read_image(file)
        assert np.array_equal(steps(record), in_pillow(file))
        assert (record.format, record.stored_range, record.frames) == ("JPEG", (0, 255), 1)
        assert any("CMYK" in note for note in record.notes) == (mode == "CMYK")


@pytest.mark.parametrize(("mode", "transform"), [("RGB", 0), ("RGB", 1), ("CMYK", 0), ("CMYK", 2)])
def test_a_jpegs_word_on_its_colours_is_heard(mode: str, transform: int) -> None:
    plain = encode(Image.fromarray(CAT).convert(mode), "JPEG")
    # Behind the first two bytes Pillow writes one segment: JFIF, or Adobe's for inks.
    rest = plain[4 + int.from_bytes(plain[4:6], "big") :]
    file = b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform]) + rest
    assert np.array_equal(steps(read_image(file)), in_pillow(file))
    assert (transform in (0, 2)) == (mode == "CMYK" or not np.array_equal(in_pillow(file), in_pillow(plain)))


def test_of_a_phones_mpo_the_main_picture_is_read() -> None:
    file = encode(CAT, "MPO", save_all=True, append_images=[Image.fromarray(255 - CAT)])
    record = read_image(file)
    assert np.array_equal(steps(record), in_pillow(file))
    assert any("MPO" in note for note in record.notes)


LOSSLESS_WAYS = [
    ("PNG", {}),
    ("BMP", {}),
    *[
        ("TIFF", {"compression": name})
        for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits")
    ],
]


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        *[(mode, *way) for mode in ("RGB", "L", "1", "P") for way in LOSSLESS_WAYS],
        *[(mode, "WEBP", {"lossless": True}) for mode in ("RGB", "L", "1")],
        *[(mode, "TIFF", {"compression": "tiff_lzw", "tiffinfo": {317: 2}}) for mode in ("RGB", "L", "P")],
    ],
    ids=str,
)
def test_lossless_8_bit_pictures_are_exact(mode: str, kind: str, options: dict[str, object]) -> None:
    picture = Image.fromarray(CAT).quantize(16) if mode == "P" else Image.fromarray(CAT).convert(mode)
    record = read_image(encode(picture, kind, **options))
    assert np.array_equal(steps(record), np.asarray(picture.convert("RGB")))
    assert not record.notes


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_see_through_is_laid_on_white(kind: str, mode: str) -> None:
    picture = Image.fromarray(SEE_THROUGH).convert(mode)
    record = read_image(encode(picture, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))
    assert np.array_equal(steps(record), on_white(np.asarray(picture.convert("RGBA"))))
    assert any("white" in note for note in record.notes)
    opaque = read_image(encode(Image.fromarray(CAT).convert(mode), kind))
    assert not opaque.notes


def test_transparent_palette_entries_and_key_colours_are_laid_on_white() -> None:
    palette = Image.fromarray(CAT).quantize(8)
    colours = np.asarray(palette.convert("RGB"))
    for transparency, alphas in ((3, np.where(np.arange(8) == 3, 0, 255)), (bytes(range(0, 256, 32)), None)):
        alpha = (np.arange(0, 256, 32) if alphas is None else alphas)[np.asarray(palette)].astype(np.uint8)
        record = read_image(encode(palette, "PNG", transparency=transparency))
        assert np.array_equal(steps(record), on_white(np.dstack([colours, alpha])))
    key = tuple(int(value) for value in CAT[0, 0])
    shown = np.where((key == CAT).all(axis=2, keepdims=True), 255, CAT)
    assert np.array_equal(steps(read_image(encode(CAT, "PNG", transparency=key))), shown)
    white = np.where(GREY[5, 5] == GREY, 255, GREY)
    assert np.array_equal(steps(read_image(encode(GREY, "PNG", transparency=int(GREY[5, 5]))))[..., 0], white)


def adam7(samples: np.ndarray) -> bytes:
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [samples[y::down, x::right] for y, x, down, right in passes]
    return b"".join(rows_of(part) for part in parts if part.size)


@pytest.mark.parametrize("size", [(64, 100), (3, 2), (1, 1)], ids=str)
def test_interlaced_pngs_are_exact(size: tuple[int, int]) -> None:
    cat = CAT[: size[0], : size[1]]
    file = png(size[1], size[0], 8, 2, adam7(cat), interlace=1)
    assert np.array_equal(steps(read_image(file)), cat)
    deep = cat.astype(np.uint16) * 200 + 7
    record = read_image(png(size[1], size[0], 16, 2, adam7(deep), interlace=1))
    assert np.array_equal(record.pixels, deep.astype(np.float32) / 65535)


LAYOUTS = [
    {},
    {"byteorder": ">", "bigtiff": True},
    {"tile": (16, 32)},
    {"compression": "zlib", "rowsperstrip": 7},
    {"compression": "zlib", "predictor": True, "byteorder": ">"},
    {"compression": "zlib", "predictor": True, "tile": (32, 16), "planarconfig": "separate"},
    {"planarconfig": "separate", "byteorder": ">", "rowsperstrip": 5},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_tiffs_of_every_number_and_layout_are_exact(dtype: str, layout: dict[str, object], colour: bool) -> None:
    layout = dict(layout)
    if dtype in ("f2", "f4", "f8", "u8", "i8"):
        layout.pop("predictor", None)
    if not colour:
        layout.pop("planarconfig", None)
    kind, shape = np.dtype(dtype), (40, 52, 3) if colour else (40, 52)
    random_bits = np.random.default_rng(3).integers(0, 256, (*shape, kind.itemsize), dtype=np.uint8)
    stored = random_bits.view(dtype)[..., 0] if kind.kind != "f" else random_bits[..., 0].astype(dtype) / 7 - 11
    file = tiff(
        np.moveaxis(stored, -1, 0) if "planarconfig" in layout else stored,
        photometric="rgb" if colour else "minisblack",
        **layout,
    )
    record = read_image(file)
    low, high = float(stored.min()), float(stored.max())
    if colour and kind.kind != "f":
        low, high = float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    if kind == np.uint8:
        low, high = 0.0, 255.0
    expected = ((stored.astype(np.float64) - low) / (high - low)).reshape(40, 52, -1)
    assert np.allclose(record.pixels, expected, atol=1e-6)
    assert record.stored_range == (low, high)
    assert record.bits == (8 if kind == np.uint8 else 16 if kind.itemsize <= 2 else 32)


@pytest.mark.parametrize("compression", [5, 8])
def test_floats_that_are_stored_as_differences_are_read(compression: int) -> None:
    stored = CAT.astype(np.float32) / 7 - 11
    packing = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, 3]
    record = read_image(cv_encode(".tif", stored, *packing))
    assert np.allclose(record.pixels, (stored - stored.min()) / np.ptp(stored), atol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_tiffs_with_packed_bits_are_exact(bits: int) -> None:
    stored = np.random.default_rng(bits).integers(0, 1 << bits, (10, 21))
    stored.flat[:2] = 0, (1 << bits) - 1
    lines = (stored[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(10, -1)
    file = plain_tiff({256: 21, 258: bits}, np.packbits(lines, axis=1).tobytes())
    record = read_image(file)
    assert np.allclose(record.pixels[..., 0], stored / ((1 << bits) - 1), atol=1e-7)
    assert record.bits == (8 if bits < 8 else 16)


@pytest.mark.parametrize("colour", ["RGB", "L", "YCbCr"])
def test_jpeg_compressed_tiffs_give_the_pixels_that_pillow_gives(colour: str) -> None:
    file = encode(Image.fromarray(data.chelsea()).convert(colour), "TIFF", compression="jpeg")
    assert np.array_equal(steps(read_image(file)), in_pillow(file))


def test_a_tiffs_colour_table_may_be_written_in_8_or_16_bits() -> None:
    colours = np.random.default_rng(2).integers(0, 256, (256, 3))
    for factor in (1, 257):
        table = tuple(int(value) for value in (colours * factor).T.ravel())
        assert np.array_equal(steps(read_image(plain_tiff({262: 3, 320: table}, STRIP))).reshape(-1, 3), colours[:200])


def test_a_tile_may_be_larger_than_the_picture() -> None:
    tile = np.zeros((64, 64), np.uint8)
    tile[:10, :20] = GREY[:10, :20]
    assert np.array_equal(steps(read_image(tiled(64, zlib.compress(tile.tobytes()))))[..., 0], GREY[:10, :20])


def test_tiffs_in_inks_lab_and_ycbcr_become_rgb() -> None:
    inks = Image.fromarray(CAT).convert("CMYK")
    record = read_image(encode(inks, "TIFF"))
    assert np.array_equal(steps(record), np.asarray(inks.convert("RGB")))
    assert any("CMYK" in note for note in record.notes)
    brightness = Image.fromarray(CAT).convert("YCbCr")
    assert np.array_equal(steps(read_image(encode(brightness, "TIFF"))), np.asarray(brightness.convert("RGB")))
    lab = np.zeros((8, 4, 3), np.uint8)
    lab[:, :, 0] = np.array([0, 128, 255, 128])
    lab[:, 3, 1] = 60
    shown = steps(read_image(tiff(lab, photometric="cielab"))).astype(int)
    assert np.abs(shown[0, :3] - [[0] * 3, [119] * 3, [255] * 3]).max() <= 3
    assert shown[0, 3, 0] > shown[0, 3, 1] + 60


def test_tiff_alpha_may_be_premultiplied_and_other_channels_are_left_out() -> None:
    straight = tiff(SEE_THROUGH, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(steps(read_image(straight)), on_white(SEE_THROUGH))
    alpha = SEE_THROUGH[..., 3:]
    multiplied = np.dstack([np.rint(CAT * (alpha / 255)).astype(np.uint8), alpha])
    record = read_image(tiff(multiplied, photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(steps(record).astype(int) - on_white(SEE_THROUGH)).max() <= 1
    record = read_image(tiff(SEE_THROUGH, photometric="rgb", extrasamples=["unspecified"]))
    assert np.array_equal(steps(record), CAT)
    assert any("the first three are shown" in note for note in record.notes)


def test_bmps_top_down_of_16_and_32_bits_and_run_lengths_are_exact() -> None:
    four = np.dstack([CAT[..., ::-1], np.zeros((64, 100), np.uint8)])
    assert np.array_equal(steps(read_image(bmp(100, -64, 32, 0, four.tobytes()))), CAT)
    five = (CAT >> 3).astype(np.uint16)
    packed = five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]
    shown = steps(read_image(bmp(100, -64, 16, 0, packed.astype("<u2").tobytes())))
    assert np.array_equal(shown >> 3, five)
    greys = b"".join(bytes([value, value, value, 0]) for value in range(256))
    runs = b"".join(bytes([16, 10 * row, 0, 0]) for row in range(16)) + b"\0\1"
    shown = steps(read_image(bmp(16, 16, 8, 1, runs, greys)))
    assert np.array_equal(shown[..., 0], np.repeat(10 * np.arange(16)[::-1, None], 16, axis=1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_come_out_upright_and_alike(kind: str, orientation: int) -> None:
    stored = Image.fromarray(CAT)
    stored = stored.transpose(STORED[orientation]) if orientation > 1 else stored
    exif = Image.Exif()
    exif[274] = orientation
    file = encode(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    record = read_image(file)
    assert (record.width, record.height) == (100, 64)
    assert any("EXIF" in note for note in record.notes) == (orientation > 1)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file)))) if kind == "JPEG" else CAT
    assert np.array_equal(steps(record), expected)


def test_a_damaged_exif_note_costs_nothing() -> None:
    plain = encode(CAT, "JPEG")
    for note in (
        b"",
        b"II",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63",
    ):
        segment = b"Exif\0\0" + note
        file = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
        assert np.array_equal(read_image(file).pixels, read_image(plain).pixels)


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG", "PNG, still first"])
def test_pages_and_frames_are_chosen_by_number(kind: str) -> None:
    pages = [CAT, 255 - CAT, CAT[::-1]]
    options = {"lossless": True} if kind == "WEBP" else {"default_image": True} if "still" in kind else {}
    further = [Image.fromarray(np.ascontiguousarray(page)) for page in pages[1:]]
    file = encode(CAT, kind.split(",")[0], save_all=True, append_images=further, **options)
    for number, page in enumerate(pages):
        record = read_image(file, frame=number)
        assert np.array_equal(steps(record), page)
        assert (record.frame, record.frames) == (number, 3)
    for number in (3, -1, 2**40):
        with pytest.raises(PictureError, match=r"holds 3 frames\. Ask for a frame from 0 to 2\."):
            read_image(file, frame=number)


def test_the_record_tells_where_it_comes_from(tmp_path: Path) -> None:
    file = encode(CAT, "PNG")
    path = tmp_path / "renamed.txt"
    path.write_bytes(file)
    from_path, from_text = read_image(path), read_image(str(path), name="cat")
    from_bytes = [read_image(source) for source in (file, bytearray(file), memoryview(file))]
    assert [record.name for record in (from_path, from_text, *from_bytes)] == ["renamed.txt", "cat", "", "", ""]
    for record in (from_path, from_text, *from_bytes):
        assert record.sha256 == hashlib.sha256(file).hexdigest()
        assert record.format == "PNG"
        assert np.array_equal(steps(record), CAT)
        assert record.pixels.flags.c_contiguous
        assert not record.pixels.flags.writeable


def test_real_pictures_are_read_whole() -> None:
    for picture in (data.chelsea(), data.coffee(), data.camera()):
        for kind in ("PNG", "TIFF", "BMP"):
            colour = picture if picture.ndim == 3 else np.dstack([picture] * 3)
            assert np.array_equal(steps(read_image(encode(picture, kind))), colour)


def test_a_deep_animation_is_read_up_to_its_first_frame() -> None:
    deep = rows_of(CAT.astype(np.uint16) * 257)
    record = read_image(animation(16, deep, deep))
    assert record.frames == 2
    assert np.allclose(record.pixels, CAT / 255, atol=1e-6)
    with pytest.raises(PictureError, match="only the first frame"):
        read_image(animation(16, deep, deep), frame=1)


def test_a_frame_without_all_its_pixels_is_refused_and_those_before_it_are_read() -> None:
    rows = rows_of(CAT)
    for file, words in (
        (animation(8, rows, rows[:9000]), "do not fill the size"),
        (animation(8, rows, rows, width=101), "larger than the picture"),
    ):
        assert np.array_equal(steps(read_image(file)), CAT)
        with pytest.raises(PictureError, match=words):
            read_image(file, frame=1)
    assert np.array_equal(steps(read_image(animation(8, rows, rows_of(255 - CAT)), frame=1)), 255 - CAT)
