"""Picture files for the tests of the readers, made by hand, by Pillow, tifffile and OpenCV."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image
from skimage import data

from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from gradcam_core.records import ImageRecord

CAT = data.chelsea()[40:104, 100:200]


GREY = data.camera()[100:164, 200:300]


RAMP = np.linspace(0, 4095, 64 * 100).reshape(64, 100).astype(np.uint16)


SEE_THROUGH = np.dstack([CAT, np.tile(np.linspace(0, 255, 100).astype(np.uint8), (64, 1))])


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


def tiled(side: int, tile: bytes) -> bytes:
    tags = {259: 8, 322: side, 323: side, 324: 0, 325: len(tile)}
    return plain_tiff({**tags, 324: len(plain_tiff(tags, tile)) - len(tile)}, tile)


def bmp(width: int, height: int, bits: int, compression: int, body: bytes, palette: bytes = b"") -> bytes:
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


def patched(file: bytes, offset: int, new: bytes) -> bytes:
    return file[:offset] + new + file[offset + len(new) :]


def bomb(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def animation(depth: int, first: bytes, second: bytes, width: int = 100) -> bytes:
    """An animated PNG in colour of two frames; the second is as wide as told."""
    control = [struct.pack(">IIIIIHHBB", number, size, 64, 0, 0, 1, 1, 0, 0) for number, size in ((0, 100), (1, width))]
    still = png(100, 64, depth, 2, first, chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", control[0]))
    further = chunk(b"fcTL", control[1]) + chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(second))
    return still[:-12] + further + still[-12:]


def apng(**changes: bytes) -> bytes:
    file = encode(CAT, "PNG", save_all=True, append_images=[Image.fromarray(255 - CAT)])
    start = file.index(b"acTL") - 4
    return file[:start] + chunk(b"acTL", struct.pack(">II", 9, 0)) + file[start + 20 :]


STRIP = bytes(range(200))


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


STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
