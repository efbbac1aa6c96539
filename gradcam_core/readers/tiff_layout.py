"""How a TIFF page's samples lie in the file, read off its tags and checked before anything is unpacked.

Source: TIFF 6.0, parts 1 and 2.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcam_core.errors import PictureError
from gradcam_core.readers.stored import damaged
from gradcam_core.readers.tags import Directory

PLAIN, LZW, JPEG, PACKBITS = 1, 5, 7, 32773
DEFLATE = (8, 32946)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, YCBCR: 3, LAB: 3}

_COMPRESSIONS = {PLAIN, LZW, JPEG, PACKBITS, *DEFLATE}
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}
_CONTAINERS = {1: 8, 2: 8, 4: 8, 10: 16, 12: 16, 14: 16}
_DTYPES = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
_MOST_CHANNELS = 6
_MOST_BLOCKS = 200_000
_LARGEST_TILE = 2**22


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the samples of a page [height width] are, and in which form.

    `dtype` has the file's byte order; samples of fewer `bits` than it holds are packed. `planes` is 1,
    or the number of channels where each has its own blocks. `block` is (rows, columns) of a strip or tile.
    """

    height: int
    width: int
    channels: int
    bits: int
    dtype: np.dtype[Any]
    photometric: int
    compression: int
    predictor: int
    planes: int
    block: tuple[int, int]
    tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    jpeg_tables: bytes


def read_layout(page: Directory, width: int, height: int) -> Layout:
    """Read the layout off a page's tags; one that no real picture has, or that is not read, is an error."""
    channels = page.number(277, 1)
    bits, dtype = _number_form(page)
    compression = page.number(259, PLAIN)
    tiled = 324 in page.entries
    strip = min(page.number(278, height), height), width
    rows, columns = (page.number(323, 0), page.number(322, 0)) if tiled else strip
    offsets = page.numbers(324 if tiled else 273)
    # Old uncompressed files may leave the lengths out; then each block must simply be there.
    missing = (-(-columns * channels * bits // 8) * rows,) * len(offsets) if compression == PLAIN else ()
    layout = Layout(
        height=height,
        width=width,
        channels=channels,
        bits=bits,
        dtype=dtype,
        photometric=page.number(262, RGB if channels > 2 else BLACK_IS_ZERO),
        compression=compression,
        predictor=page.number(317, 1) if compression in (LZW, *DEFLATE) else 1,
        planes=channels if page.number(284, 1) == 2 else 1,
        block=(rows, columns),
        tiled=tiled,
        offsets=offsets,
        counts=page.numbers(325 if tiled else 279, *missing),
        jpeg_tables=bytes(page.numbers(347)) if compression == JPEG else b"",
    )
    _check_form(layout, page)
    _check_blocks(layout)
    return layout


def _number_form(page: Directory) -> tuple[int, np.dtype[Any]]:
    """The bits of a sample, and the type that holds it."""
    bits, forms = set(page.numbers(258, 1)), set(page.numbers(339, 1))
    depth, kind = max(bits), _KINDS.get(max(forms), "")
    container = _CONTAINERS.get(depth, depth) if kind == "u" else depth
    name = f"{kind}{container // 8}"
    if len(bits) > 1 or len(forms) > 1 or container % 8 or name not in _DTYPES:
        raise _rare(f"holds numbers of a rare form ({depth} bits)")
    return depth, np.dtype(page.header.order + name)


def _check_form(layout: Layout, page: Directory) -> None:
    if layout.compression not in _COMPRESSIONS:
        raise _rare(f"is compressed in a way that is not read (number {layout.compression})")
    packed = layout.bits < layout.dtype.itemsize * 8
    if layout.predictor not in ((1,) if packed else (1, 2, 3) if layout.dtype.kind == "f" else (1, 2)):
        raise _rare(f"predicts its pixels in a way that is not read (number {layout.predictor})")
    if layout.photometric not in COLOURS or page.number(266, 1) != 1:
        raise _rare(f"stores its colours in a rare way (number {layout.photometric})")
    needs_bytes = layout.photometric in (INKS, YCBCR, LAB) or layout.compression == JPEG
    in_bytes = layout.dtype == np.uint8 and not packed
    if (needs_bytes and not in_bytes) or (layout.bits in (10, 12, 14) and COLOURS[layout.photometric] > 1):
        raise _rare(f"stores its colours in a rare way ({layout.bits} bits)")
    # JPEG brings its own subsampling; else colour must be stored for each pixel, which is not the default.
    whole = layout.compression == JPEG or page.numbers(530, 2, 2) == (1, 1)
    if layout.photometric == YCBCR and (layout.planes > 1 or not whole):
        raise _rare("stores colour more coarsely than brightness (YCbCr)")
    if layout.photometric == PALETTE and layout.dtype.kind != "u":
        raise damaged("TIFF", "its colour numbers are no whole numbers")
    if not COLOURS[layout.photometric] <= layout.channels <= _MOST_CHANNELS:
        raise damaged("TIFF", f"it has {layout.channels} channels, which do not fit its colours")


def _check_blocks(layout: Layout) -> None:
    rows, columns = layout.block
    # Tiles are multiples of 16 by the standard; smaller ones only serve to keep a reader busy.
    odd = layout.tiled and (rows % 16 or columns % 16)
    if rows < 1 or columns < 1 or odd or rows * columns > max(layout.height * layout.width, _LARGEST_TILE):
        raise damaged("TIFF", f"its parts are said to be of {columns} x {rows} pixels")
    needed = layout.planes * math.ceil(layout.height / rows) * math.ceil(layout.width / columns)
    if needed > _MOST_BLOCKS:
        raise _rare(f"is cut into {needed:,} parts")
    if min(len(layout.offsets), len(layout.counts)) < needed:
        raise damaged("TIFF", "parts of its picture are missing")


def _rare(what: str) -> PictureError:
    return PictureError(
        f"This TIFF {what}.",
        "Save it as grey or RGB of 8 or 16 bits, uncompressed or with LZW or Deflate compression, or as PNG.",
    )
