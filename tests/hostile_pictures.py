"""Pictures that ask for far more time or memory than their size suggests, and a child process that reads them.

Memory is measured as the system counts it, since the decoders' own memory does not show in Python.
"""

import io
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
from PIL import Image

from tests.pictures import bmp, chunk, plain_tiff, png

SIDE = 7071  # 50 million pixels, the most that are read
RAW_EXIF = b"Raw profile type exif\0\0"
EMPTY_GIF_FRAME = b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + b"\2\2\x44\x05\0"


def packed_zeros(count: int) -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(min(1 << 20, count - start))) for start in range(0, count, 1 << 20)]
    return b"".join(parts) + packer.flush()


def flat_png(depth: int, colour: int, channels: int, *extra: bytes) -> bytes:
    rows = packed_zeros(SIDE * (1 + -(-SIDE * channels * depth // 8)))
    return png(SIDE, SIDE, depth, colour, b"", *extra).replace(chunk(b"IDAT", zlib.compress(b"")), chunk(b"IDAT", rows))


def png_of_chunks(chunks: bytes) -> bytes:
    return png(8, 8, 8, 0, bytes(72), chunks)


def jpeg(comments: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG")
    file = stream.getvalue()
    return file[:2] + b"\xff\xfe\0\2" * comments + file[2:]


def animated_webp(frames: int, side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "WEBP", lossless=True)
    still = stream.getvalue()[12:]
    frame = b"ANMF" + struct.pack("<I", 16 + len(still)) + bytes(12) + b"\x64\0\0\0" + still
    canvas = struct.pack("<I", side - 1)[:3] * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += frame * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif(side: int, blocks: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6) + blocks + b";"


def strips(count: int, packed: bytes, same: bool) -> bytes:
    tags: dict[int, int | tuple[int, ...]] = {257: count, 259: 5 if not same else 8, 278: 1}
    tags |= {273: (0,) * count, 279: (len(packed),) * count}
    start = len(plain_tiff(tags, b""))
    offsets = tuple(start + (0 if same else len(packed) * index) for index in range(count))
    return plain_tiff({**tags, 273: offsets}, packed if same else packed * count)


def longs(count: int, tag: int) -> bytes:
    """A TIFF whose tag claims, and has, so many numbers."""
    file = plain_tiff({tag: (20, 20)}, bytes(200))
    place = file.index(struct.pack("<HHI", tag, 4, 2)) + 4
    return file[:place] + struct.pack("<II", count, len(file)) + file[place + 8 :] + struct.pack("<I", 20) * count


def shared_pages(count: int, tags: int) -> bytes:
    """A TIFF of so many pages, each of which starts 16 bytes behind the one before and has the same tags."""
    reach = 2 + 12 * tags
    file = bytearray(b"II*\0\x08\0\0\0") + bytes(16 * count + reach)
    for start in range(8, 8 + 16 * count, 16):
        struct.pack_into("<H", file, start, tags)
        struct.pack_into("<I", file, start + reach, start + 16)
    return bytes(file)


# Name -> file, frame, most seconds, most megabytes. Small ones come first, since the peak never goes down.
FILES: dict[str, tuple[Callable[[], bytes], int, float, int]] = {
    "comments of a web page": (lambda: b"<!---->" * 585, 0, 0.1, 50),
    "a run of FF": (lambda: b"\xff\xd8" + b"\xff" * 200_000 + b"\0", 0, 0.1, 50),
    "a long run of FF": (lambda: b"\xff\xd8" + b"\xff" * 20_000_000 + b"\0", 0, 2, 100),
    "packed text": (
        lambda: png_of_chunks(chunk(b"zTXt", b"Raw profile type exif\0\0" + packed_zeros(10**8))),
        0,
        1,
        100,
    ),
    "packed profile": (lambda: png_of_chunks(chunk(b"iCCP", b"a\0\0" + packed_zeros(10**8))), 0, 1, 60),
    "too many pixels in a png": (lambda: png(100, 64, 8, 2, bytes(50_000_000)), 0, 1, 60),
    "too much in a tiff strip": (lambda: plain_tiff({259: 8}, packed_zeros(10**8)), 0, 1, 60),
    "one strip many times": (lambda: strips(60_000, packed_zeros(10**7), same=True), 0, 5, 100),
    "many lzw strips": (lambda: strips(65_000, bytes(imagecodecs.lzw_encode(bytes(20))), same=False), 0, 10, 100),
    "too many lzw strips": (lambda: strips(200_000, bytes(imagecodecs.lzw_encode(bytes(20))), same=False), 0, 2, 150),
    "wide tiles of a narrow tiff": (
        lambda: plain_tiff({256: 1, 257: 60_000, 322: 4_000_000, 323: 1, 324: (9,) * 60_000, 325: (9,) * 60_000}, b""),
        0,
        1,
        100,
    ),
    "numbers in one tag": (lambda: longs(5_000_000, 256), 0, 2, 150),
    "pages that share their tags": (lambda: shared_pages(9_000, 4096), 0, 1, 150),
    "empty parts of a png": (lambda: png_of_chunks(chunk(b"IDAT", b"") * 1_000_000), 0, 2, 150),
    "comments of a jpeg": (lambda: jpeg(2_000_000), 0, 2, 150),
    "an exif note of 60 MB": (lambda: png_of_chunks(chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(60_000_000))), 0, 2, 250),
    "blocks of a gif": (lambda: gif(8, b"!\xfe" + b"\1a" * 10_000_000 + b"\0" + EMPTY_GIF_FRAME), 0, 3, 250),
    "frames of a gif": (lambda: gif(8, EMPTY_GIF_FRAME * 500_000), 0, 3, 250),
    "run lengths of a bmp": (lambda: bmp(SIDE, SIDE, 8, 1, b"\0\1", bytes(1024)), 0, 1, 250),
    "a late frame of a large webp": (lambda: animated_webp(500, SIDE), 499, 1, 250),
    "numbers of 64 bits": (
        lambda: plain_tiff(
            {256: SIDE, 257: SIDE, 258: (64,) * 4, 259: 8, 262: 2, 277: 4, 278: SIDE, 339: (3,) * 4}, b""
        ),
        0,
        1,
        250,
    ),
    "a jpeg 2000 header": (
        lambda: b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 41, 0, *(SIDE, SIDE, 0, 0) * 2, 1) + b"\7\1\1" + bytes(99),
        0,
        2,
        250,
    ),
    # From here on the picture itself is as large as any that is read.
    "a flat png in colour": (lambda: flat_png(8, 2, 3), 0, 30, 1300),
    "a flat png with alpha": (lambda: flat_png(8, 6, 4), 0, 40, 1300),
    "a flat webp": (lambda: animated_webp(1, SIDE), 0, 30, 1500),
}


def read_all() -> Iterator[tuple[str, float, float, str]]:
    """Read each file: its name, CPU seconds, megabytes of peak memory above the start's, and the result."""
    import resource

    from gradcam_core.errors import PictureError
    from gradcam_core.readers import read_image

    start = 0.0
    for name, (make, frame, _, _) in FILES.items():
        file = make()
        start = start or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began = time.process_time()
        try:
            result = f"{read_image(file, frame=frame).width} wide"
        except PictureError as error:
            result = str(error)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - start
        yield name, time.process_time() - began, peak, result


def read_within(megabytes: int) -> str:
    """Read a large picture with so little memory left, and give the words."""
    import resource
    from pathlib import Path

    from gradcam_core.errors import PictureError
    from gradcam_core.readers import read_image

    file = flat_png(8, 2, 3)
    read_image(png(8, 8, 8, 0, bytes(72)))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + megabytes * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        read_image(file)
    except PictureError as error:
        return str(error)
    return "read"


if __name__ == "__main__":
    np.seterr(all="raise")
    sys.stdout.write(json.dumps(read_within(int(sys.argv[1])) if len(sys.argv) > 1 else list(read_all())))
