import concurrent.futures
import gzip
import hashlib
import io
import itertools
import json
import random
import re
import struct
import traceback
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageFile, ImageOps
from safetensors.torch import save as to_safetensors
from skimage import data

from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from gradcam_core.records import ImageRecord
from gradcam_core.samples import read_sample

pytestmark = pytest.mark.filterwarnings("error")

CAT = data.chelsea()[40:104, 100:200]
GREY = data.camera()[100:164, 200:300]
RAMP = np.linspace(0, 4095, 64 * 100).reshape(64, 100).astype(np.uint16)
SEE_THROUGH = np.dstack([CAT, np.tile(np.linspace(0, 255, 100).astype(np.uint8), (64, 1))])
SECRET = "Mustermann_Erika_1951-04-03"


def encode(picture: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(stream, kind, **options)
    return stream.getvalue()


def tiff(samples: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, metadata=None, **options)
    return stream.getvalue()


def cv_encode(ending: str, samples: np.ndarray, *options: int) -> bytes:
    """OpenCV orders channels blue, green, red."""
    if samples.ndim == 3:
        samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    return cv2.imencode(ending, samples, options)[1].tobytes()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + pixels + chunk(b"IEND", b"")


def rows_of(samples: np.ndarray) -> bytes:
    """PNG rows without prediction."""
    return b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes() for row in samples)


def plain_tiff(tags: dict[int, int | tuple[int, ...]], strip: bytes) -> bytes:
    """A little-endian TIFF of one strip, with these tags put over sensible ones (all as LONG)."""
    width, height = 20, 10
    usual = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: len(strip)}
    merged = dict(sorted({**usual, **tags}.items()))
    end = 8 + 2 + 12 * len(merged) + 4
    values, entries = b"", b""
    for tag, value in merged.items():
        numbers = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            packed, values = struct.pack("<I", end + len(values)), values + packed
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + packed
    start = end + len(values)
    if 273 not in tags:
        place = entries.index(struct.pack("<HHI", 273, 4, 1)) + 8
        entries = entries[:place] + struct.pack("<I", start) + entries[place + 4 :]
    return struct.pack("<2sHIH", b"II", 42, 8, len(merged)) + entries + struct.pack("<I", 0) + values + strip


def steps(record: ImageRecord) -> np.ndarray:
    """The 8-bit values of a record, which must be exactly those of `bits` 8."""
    whole = np.rint(record.pixels * 255).astype(np.uint8)
    assert record.bits == 8
    assert np.array_equal(record.pixels, whole.astype(np.float32) / 255)
    return whole


def outcome(file: bytes, **options: int) -> ImageRecord | PictureError:
    try:
        return read_image(file, **options)
    except PictureError as error:
        return error


def in_pillow(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(float)
    return np.rint((rgba[..., :3] * alpha + 255 * (255 - alpha)) / 255).astype(np.uint8)


# What is read, pixel by pixel.


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


def test_deep_grey_is_stretched_over_its_own_range_and_says_so() -> None:
    expected = (RAMP.astype(np.float32) / 4095)[..., None].repeat(3, axis=2)
    for file in (encode(RAMP, "PNG"), cv_encode(".tif", RAMP), tiff(RAMP, byteorder=">"), cv_encode(".png", RAMP)):
        record = read_image(file)
        assert np.allclose(record.pixels, expected, atol=1e-7)
        assert (record.pixels.min(), record.pixels.max()) == (0, 1)
        assert 0.4 < record.pixels.mean() < 0.6
        assert (record.bits, record.stored_range) == (16, (0, 4095))
        assert any("0 to 4095" in note for note in record.notes)


def test_deep_colour_keeps_the_range_of_its_type() -> None:
    colour = CAT.astype(np.uint16) * 13 + 5
    for file in (cv_encode(".png", colour), cv_encode(".tif", colour), tiff(colour, photometric="rgb", byteorder=">")):
        record = read_image(file)
        assert np.array_equal(record.pixels, colour.astype(np.float32) / 65535)
        assert (record.bits, record.stored_range, record.notes) == (16, (0, 65535), ())


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
    marked = CAT.astype(np.uint16) * 13 + 5
    keyed = read_image(png(100, 64, 16, 2, rows_of(marked), chunk(b"tRNS", struct.pack(">3H", *marked[0, 0]))))
    assert (keyed.pixels[0, 0] == 1).all()
    assert np.array_equal(keyed.pixels[30], marked[30].astype(np.float32) / 65535)


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


def test_tiffs_that_store_white_as_zero_come_out_the_right_way_round() -> None:
    assert np.array_equal(steps(read_image(tiff(GREY, photometric="miniswhite")))[..., 0], 255 - GREY)
    record = read_image(tiff(RAMP, photometric="miniswhite"))
    assert np.allclose(record.pixels[..., 0], 1 - RAMP / 4095, atol=1e-6)
    assert record.stored_range == (4095, 0)
    windowed = read_image(tiff(RAMP, photometric="miniswhite"), window=(1000, 500))
    assert np.allclose(windowed.pixels[..., 0], 1 - np.clip((RAMP - 1000.0) / 500 + 0.5, 0, 1), atol=1e-6)


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
    assert any("left out" in note for note in record.notes)


def bmp(width: int, height: int, bits: int, compression: int, body: bytes, palette: bytes = b"") -> bytes:
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


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


# Orientation, frames, window, and values that are no numbers.


# What a camera held that way stores: the inverse of what EXIF asks for.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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


# The record, its limits, and what is left as it was.


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


def test_both_limits_are_kept_to_the_last_pixel_and_byte() -> None:
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"):
        file = encode(CAT, kind)
        assert read_image(file, max_pixels=6400, max_bytes=len(file)).width == 100
        with pytest.raises(PictureError, match=r"100 x 64 pixels, and at most 6,399"):
            read_image(file, max_pixels=6399)
        with pytest.raises(PictureError, match="too large"):
            read_image(file, max_bytes=len(file) - 1)


def test_pillows_own_limit_holds_however_large_ours_is() -> None:
    with pytest.raises(PictureError, match="at most 89,478,485 pixels"):
        read_image(png(10_000, 10_000, 8, 0, b"\0"), max_pixels=10**12)


def bomb(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


@pytest.mark.parametrize("extra", [b"zTXt", b"iCCP", b"iTXt"])
def test_packed_text_and_profiles_in_a_png_are_never_unpacked(extra: bytes) -> None:
    body = b"a\0\1\0\0\0" if extra == b"iTXt" else b"a\0\0"
    file = png(100, 64, 8, 2, rows_of(CAT), chunk(extra, body + bomb(50_000_000)))
    tracemalloc.start()
    record = read_image(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(steps(record), CAT)
    assert peak < 20_000_000


def tiled(side: int, tile: bytes) -> bytes:
    tags = {259: 8, 322: side, 323: side, 324: 0, 325: len(tile)}
    return plain_tiff({**tags, 324: len(plain_tiff(tags, tile)) - len(tile)}, tile)


@pytest.mark.parametrize(
    "file",
    [
        png(100, 64, 8, 2, bytes(50_000_000)),
        plain_tiff({259: 8}, bomb(50_000_000)),
        plain_tiff({256: 60_000, 257: 60_000, 278: 60_000, 259: 8}, bomb(1_000_000)),
        tiled(1 << 14, bomb(50_000_000)),
        bmp(30_000, 30_000, 8, 1, b"\0\1", bytes(1024)),
    ],
    ids=["png pixels", "tiff strip", "tiff size", "tiff tile", "bmp run lengths"],
)
def test_bombs_take_no_memory(file: bytes) -> None:
    tracemalloc.start()
    outcome(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(file) * 4 + 5_000_000


def test_threads_read_as_one_does_and_pillow_keeps_its_settings() -> None:
    settings = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    files = [
        encode(data.chelsea(), "JPEG"),
        encode(data.chelsea(), "TIFF", compression="tiff_lzw"),
        encode(CAT, "WEBP", save_all=True, append_images=[Image.fromarray(255 - CAT)]),
        cv_encode(".png", CAT.astype(np.uint16) * 257),
        encode(data.chelsea(), "JPEG")[:-500],
    ]

    def seen(file: bytes) -> bytes | str:
        result = outcome(file)
        return str(result) if isinstance(result, PictureError) else result.pixels.tobytes()

    alone = [seen(file) for file in files]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(seen, files * 12))
    assert together == alone * 12
    assert settings == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


# What is refused, in words.


def checkpoint(legacy: bool) -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, encode(CAT, "PNG"))
    return stream.getvalue()


def array_file() -> bytes:
    stream = io.BytesIO()
    np.save(stream, RAMP)
    return stream.getvalue()


def patched(file: bytes, offset: int, new: bytes) -> bytes:
    return file[:offset] + new + file[offset + len(new) :]


def jpeg_of_height(height: int) -> bytes:
    file = encode(CAT, "JPEG")
    return patched(file, file.index(b"\xff\xc0") + 5, height.to_bytes(2, "big"))


def jpeg_without_its_middle() -> bytes:
    file = encode(CAT, "JPEG", restart_marker_blocks=2)
    return file[: file.index(b"\xff\xd2")] + file[file.index(b"\xff\xd5") :]


def jpeg_of_many_scans() -> bytes:
    file = encode(CAT, "JPEG", progressive=True)
    scan = file[file.rindex(b"\xff\xda") : -2]
    return file[:-2] + scan * 150 + b"\xff\xd9"


def apng(**changes: bytes) -> bytes:
    file = encode(CAT, "PNG", save_all=True, append_images=[Image.fromarray(255 - CAT)])
    start = file.index(b"acTL") - 4
    return file[:start] + chunk(b"acTL", struct.pack(">II", 9, 0)) + file[start + 20 :]


JPEG, PNG, WEBP, BMP = (encode(CAT, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP"))
TIFF = encode(CAT, "TIFF", compression="tiff_adobe_deflate")
STRIP = bytes(range(200))
NO_NUMBERS = tiff(np.full((4, 4), np.nan, np.float32))

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "gif": (encode(CAT, "GIF"), "GIF picture"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIC or AVIF"),
    "avif": (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1" + bytes(50), "as some phones make them"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "JPEG 2000"),
    "photoshop": (b"8BPS\0\1" + bytes(50), "Photoshop"),
    "pdf": (encode(CAT, "PDF"), "PDF document"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG drawing"),
    "web page": (b"\n<!DOCTYPE html><html><title>Sign in</title></html>", "web page"),
    "zip": (zipped("cat.png"), "ZIP archive"),
    "gzip": (gzip.compress(PNG), "gzip"),
    "dicom": (bytes(128) + b"DICM" + bytes(200), "does not read yet"),
    "nifti": (bytes(344) + b"n+1\0" + bytes(200), "NIfTI volume"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "csv": ("name;finding\nMüller;none\n".encode(), "text or table"),
    "utf-16 text": ("Befund: unauffällig".encode("utf-16"), "text or table"),
    "json": (json.dumps({"a": [1, 2]}).encode(), "text or table"),
    "numpy": (array_file(), "NumPy array"),
    "torch": (checkpoint(legacy=False), "under models"),
    "old torch": (checkpoint(legacy=True), "checkpoint"),
    "safetensors": (to_safetensors({"weight": torch.zeros(3)}), "checkpoint"),
    "video": (b"\0\0\0\x20ftypisom" + bytes(50), "video"),
    "noise": (np.random.default_rng(1).bytes(3000), "not a kind of picture"),
    "png cut": (PNG[: len(PNG) // 2], "PNG file is damaged: it ends before"),
    "png checksum": (patched(PNG, len(PNG) // 2, b"\0\0\0\0"), "checksum"),
    "png 60k": (png(60_000, 60_000, 8, 0, b"\0"), "60000 x 60000 pixels"),
    "png empty": (png(0, 64, 8, 0, b"\0"), "a size of 0 x 64"),
    "png taller than its pixels": (png(100, 90, 8, 2, rows_of(CAT)), "do not fill the size"),
    "png shorter than its pixels": (png(100, 60, 8, 2, rows_of(CAT)), "do not fill the size"),
    "deep png taller than its pixels": (png(100, 90, 16, 2, rows_of(CAT.astype(">u2"))), "do not fill the size"),
    "png unpacked": (PNG[:33] + chunk(b"IDAT", b"no zlib") + chunk(b"IEND", b""), "cannot be unpacked"),
    "png filter": (png(100, 64, 16, 0, b"\7" + rows_of(RAMP)[1:]), "a row is stored"),
    "png palette": (png(100, 64, 8, 3, rows_of(GREY)), "colour table is missing"),
    "png depth": (png(100, 64, 3, 2, rows_of(CAT)), "storing pixels that does not exist"),
    "png header": (PNG[:8] + chunk(b"tEXt", b"a\0b") + PNG[8:], "does not start with its header"),
    "apng": (apng(), "frames of its animation are missing"),
    "jpeg cut": (JPEG[: len(JPEG) // 2], "JPEG file is damaged: it ends before"),
    "jpeg cut and closed": (JPEG[: len(JPEG) * 3 // 4] + b"\xff\xd9", "JPEG file is damaged: it ends before"),
    "jpeg ends in zeros": (JPEG[: len(JPEG) // 2] + bytes(5000), "JPEG file is damaged: it ends before"),
    "jpeg taller than its pixels": (jpeg_of_height(640), "JPEG file is damaged: it ends before"),
    "jpeg 65k": (patched(jpeg_of_height(65535), JPEG.index(b"\xff\xc0") + 7, b"\xff\xff"), "65535 x 65535 pixels"),
    "jpeg without height": (jpeg_of_height(0), "a size of 100 x 0"),
    "jpeg without its middle": (jpeg_without_its_middle(), "in its middle is missing"),
    "jpeg of many scans": (jpeg_of_many_scans(), "scans, where some ten are usual"),
    "jpeg of 12 bits": (patched(JPEG, JPEG.index(b"\xff\xc0") + 4, b"\x0c"), "rare kind of JPEG"),
    "lossless jpeg": (patched(JPEG, JPEG.index(b"\xff\xc0"), b"\xff\xc3"), "rare kind of JPEG"),
    "jpeg with two headers": (JPEG[:-2] + JPEG[JPEG.index(b"\xff\xc0") :], "two headers"),
    "jpeg without picture": (b"\xff\xd8\xff\xd9", "holds no picture"),
    "jpeg without tables": (JPEG.replace(b"\xff\xdb", b"\xff\xe7"), "cannot be decoded"),
    "tiff cut": (TIFF[: len(TIFF) // 2], "TIFF file is damaged: it ends before"),
    "tiff strip cut": (plain_tiff({}, STRIP[:150]), "TIFF file is damaged: it ends before"),
    "tiff unpacked": (plain_tiff({259: 8}, STRIP), "pixels cannot be unpacked"),
    "tiff unpacked lzw": (plain_tiff({259: 5}, bytes(200)), "TIFF file is damaged: it cannot be decoded"),
    "tiff strips": (plain_tiff({278: 5}, STRIP), "parts of its picture are missing"),
    "tiff of many strips": (plain_tiff({256: 1, 257: 1_000_000, 278: 1}, STRIP), "cut into 1,000,000 parts"),
    "tiff 60k": (plain_tiff({256: 60_000, 257: 60_000}, STRIP), "60000 x 60000 pixels"),
    "tiff bits": (plain_tiff({258: 77}, STRIP), "numbers of a rare form (77 bits)"),
    "tiff complex": (plain_tiff({258: 64, 339: 6}, STRIP), "numbers of a rare form"),
    "tiff fax": (plain_tiff({258: 1, 259: 4}, STRIP), "not read (number 4)"),
    "tiff raw camera": (plain_tiff({262: 32803}, STRIP), "colours in a rare way"),
    "tiff channels": (plain_tiff({277: 5}, STRIP * 5), "has 5 channels"),
    "tiff absurd channels": (plain_tiff({277: 1_000_000_000}, STRIP), "do not fit its colours"),
    "tiff tile": (plain_tiff({322: 7, 323: 7, 324: 8, 325: 49}, STRIP), "said to be of 7 x 7"),
    "tiff palette": (plain_tiff({262: 3, 320: (1, 2, 3)}, STRIP), "colour table does not fit"),
    "tiff coarse colour": (plain_tiff({262: 6, 277: 3}, STRIP * 3), "more coarsely"),
    "tiff bytes of a tag": (patched(TIFF, 14, b"\xff\xff\xff\x7f"), "TIFF file is damaged"),
    "tiff loop": (plain_tiff({}, STRIP)[:-204] + struct.pack("<I", 8) + STRIP, "list of pages never ends"),
    "tiff without page": (b"II*\0\0\0\0\0", "holds no picture"),
    "tiff without numbers": (NO_NUMBERS, "finite number"),
    "webp cut": (WEBP[:-100], "WebP file is damaged: it ends before"),
    "webp cut and closed": (patched(WEBP[:-100], 4, struct.pack("<I", len(WEBP) - 108)), "WebP file is damaged"),
    "webp 16k": (patched(WEBP, 26, b"\xff\x3f\xff\x3f"), "16383 x 16383 pixels"),
    "webp without picture": (b"RIFF\x10\0\0\0WEBPEXIF\4\0\0\0abcd", "starts with no picture"),
    "bmp cut": (BMP[: len(BMP) // 2], "BMP file is damaged: it cannot be decoded"),
    "bmp 60k": (bmp(60_000, -60_000, 24, 0, b""), "60000 x 60000 pixels"),
    "bmp without width": (bmp(0, 5, 24, 0, b""), "a size of 0 x 5"),
    "bmp runs cut": (bmp(16, 16, 8, 1, b"\x10\1\0\0\0\1", bytes(1024)), "cannot be decoded"),
}


@pytest.mark.parametrize(("file", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_with_a_remedy_and_without_its_name(
    file: bytes, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{SECRET}.jpg"
    path.write_bytes(file)
    with pytest.raises(PictureError) as refused:
        read_image(path)
    error: BaseException | None = refused.value
    assert words in str(error)
    assert refused.value.message.endswith(".")
    assert refused.value.remedy.endswith(".")
    while error is not None:
        assert SECRET not in f"{error!r}"
        assert not isinstance(error, Warning)
        error = error.__cause__
    # Pillow cannot keep libtiff from saying a line about broken LZW; no name is in it.
    assert all("LZW" in line or "tempfile.tif" in line for line in capfd.readouterr().err.splitlines())


def test_paths_that_hold_no_file_are_refused_without_their_name(tmp_path: Path) -> None:
    cases = [
        (tmp_path, "folder"),
        (tmp_path / SECRET, "no file"),
        (str(tmp_path / SECRET / "deeper.png"), "no file"),
        (f"{tmp_path}/{SECRET}\0.png", "no file|cannot be opened"),
        (f"{tmp_path}/{SECRET * 30}", "no file|cannot be opened"),
        ("/dev/null", "device"),
        ("", "folder"),
    ]
    for path, words in cases:
        with pytest.raises(PictureError, match=words) as refused:
            read_image(path)
        # As a log would show it, with everything that led there.
        assert SECRET not in "".join(traceback.format_exception(refused.value))
        assert refused.value.remedy


def test_a_window_that_cannot_be_used_is_refused() -> None:
    grey = encode(GREY, "PNG")
    with pytest.raises(PictureError, match="colours"):
        read_image(encode(CAT, "PNG"), window=(100, 50))
    for window in ((100, 0), (100, -1), (float("nan"), 5), (5, float("inf")), (5, float("nan")), (1.7e308, 1.7e308)):
        with pytest.raises(PictureError, match="finite width above 0"):
            read_image(grey, window=window)


def animation(depth: int, first: bytes, second: bytes, width: int = 100) -> bytes:
    """An animated PNG in colour of two frames; the second is as wide as told."""
    control = [struct.pack(">IIIIIHHBB", number, size, 64, 0, 0, 1, 1, 0, 0) for number, size in ((0, 100), (1, width))]
    still = png(100, 64, depth, 2, first, chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", control[0]))
    further = chunk(b"fcTL", control[1]) + chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(second))
    return still[:-12] + further + still[-12:]


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


# Nothing is ever shown in part, and nothing but a PictureError comes out.

SMALL = np.ascontiguousarray(CAT[::2, ::2])
SEEDS: dict[str, bytes] = {
    "jpeg": encode(SMALL, "JPEG"),
    "progressive jpeg": encode(SMALL, "JPEG", progressive=True),
    "restart jpeg": encode(SMALL, "JPEG", restart_marker_blocks=3),
    "progressive restart jpeg": encode(SMALL[:17, :33], "JPEG", progressive=True, restart_marker_rows=1),
    "png": encode(SMALL, "PNG"),
    "palette png": encode(Image.fromarray(SMALL).quantize(16), "PNG", transparency=3),
    "deep png": cv_encode(".png", SMALL.astype(np.uint16) * 257),
    "apng": encode(SMALL, "PNG", save_all=True, append_images=[Image.fromarray(255 - SMALL)]),
    "webp": encode(SMALL, "WEBP"),
    "animated webp": encode(SMALL, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - SMALL)]),
    "bmp": encode(SMALL, "BMP"),
    "palette bmp": encode(Image.fromarray(SMALL).quantize(16), "BMP"),
    "tiff": encode(SMALL, "TIFF"),
    "jpeg tiff": encode(SMALL, "TIFF", compression="jpeg"),
    "packbits tiff": encode(SMALL, "TIFF", compression="packbits"),
    "deep tiff": tiff(RAMP[:32, :50], compression="zlib", predictor=True, rowsperstrip=5),
    "float tiff": tiff(SMALL[..., 0].astype(np.float64), byteorder=">"),
    "tiled tiff": tiff(SMALL, photometric="rgb", tile=(16, 16), bigtiff=True),
    "palette tiff": encode(Image.fromarray(SMALL).quantize(16), "TIFF"),
}


@pytest.mark.parametrize("name", SEEDS)
def test_a_cut_file_shows_the_whole_picture_or_none(name: str) -> None:
    file = SEEDS[name]
    whole = read_image(file).pixels
    closing = b"\xff\xd9" if "jpeg" in name and "tiff" not in name else b""
    restarts = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", file)] if "restart" in name else []
    for cut in [*range(1, len(file), max(1, len(file) // 40)), *range(len(file) - 16, len(file)), *restarts]:
        for end in {b"", closing}:
            result = outcome(file[:cut] + end)
            assert isinstance(result, PictureError) or np.array_equal(result.pixels, whole)


def mutate(file: bytes, chance: random.Random) -> bytes:
    new = bytearray(file)
    for _ in range(chance.randint(1, 5)):
        # Headers are short but matter most.
        place = chance.randrange(chance.choice([len(file), min(len(file), 250)]))
        way = chance.randrange(4)
        if way == 0:
            new[place : place + 1] = chance.choice([b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff"])
        elif way == 1:
            new[place : place + 1] = bytes(value ^ 1 << chance.randrange(8) for value in new[place : place + 1])
        elif way == 2:
            new[place:place] = chance.randbytes(chance.randint(1, 20))
        else:
            del new[place : place + chance.randint(1, 20)]
    return bytes(new)


def resealed(file: bytes) -> bytes:
    """A PNG whose checksums fit again, so that what lies behind them is tried as well."""
    sealed, position = file[:8], 8
    while position + 12 <= len(file):
        length = int.from_bytes(file[position : position + 4], "big")
        if position + 12 + length > len(file):
            break
        sealed += chunk(file[position + 4 : position + 8], file[position + 8 : position + 8 + length])
        position += 12 + length
    return sealed + file[position:]


@pytest.mark.parametrize("name", SEEDS)
def test_a_mutated_file_gives_a_valid_record_or_a_picture_error(name: str) -> None:
    chance = random.Random(name)
    outcomes = set()
    for number in range(60):
        file = mutate(SEEDS[name], chance)
        file = resealed(file) if "png" in name and number % 2 else file
        frame = number % 2 if name in ("apng", "animated webp") else 0
        result = outcome(file, frame=frame, max_pixels=1_000_000)
        outcomes.add(type(result))
        if isinstance(result, PictureError):
            assert result.message
            assert result.remedy
            # A warning, an error in these tests, must not pass for damage.
            assert not isinstance(result.__cause__, Warning)
        else:
            assert result.pixels.dtype == np.float32
            assert result.pixels.shape == (result.height, result.width, 3)
            assert np.isfinite(result.pixels).all()
            assert result.pixels.min() >= 0
            assert result.pixels.max() <= 1
    assert PictureError in outcomes


def test_the_table_of_refusals_holds_distinct_files() -> None:
    assert len({file for file, _ in REFUSED.values()}) == len(REFUSED) >= 24


@pytest.mark.parametrize("source", [None, 3, io.BytesIO(b"x"), Image.new("RGB", (2, 2))])
def test_what_is_no_file_is_refused_in_words(source: object) -> None:
    with pytest.raises(PictureError, match="cannot be read"):
        read_image(source)


@pytest.mark.parametrize("frame", ["0", 1.5, None, True])
def test_what_is_no_frame_is_refused_in_words(frame: object) -> None:
    with pytest.raises(PictureError, match="Frame"):
        read_image(read_sample("cat"), frame=frame)


@pytest.mark.parametrize("window", [("a", 1), (1,), 5, "ab", (1, 2, 3)])
def test_what_is_no_window_is_refused_in_words(window: object) -> None:
    with pytest.raises(PictureError, match="no window"):
        read_image(read_sample("photographer"), window=window)
