"""How a TIFF page's samples lie in the file, read off its tags and checked before anything is unpacked.

Source: TIFF 6.0, parts 1 and 2.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcam_core.errors import PictureError
from gradcam_core.readers.directory import Directory
from gradcam_core.readers.stored import check_size, damaged

PLAIN, LZW, JPEG, PACKBITS, LZMA, ZSTD = 1, 5, 7, 32773, 34925, 50000
FAX, DEFLATE = (2, 3, 4), (8, 32946)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, YCBCR: 3, LAB: 3}

_PREDICTED = (LZW, *DEFLATE, LZMA, ZSTD)
_COMPRESSIONS = {PLAIN, JPEG, PACKBITS, *FAX, *_PREDICTED}
_DTYPES = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
_MOST_CHANNELS, _MOST_PARTS, _LARGEST_PART = 6, 65_536, 1 << 22


@dataclass(frozen=True, slots=True)
class Layout:
    """How a page's samples lie in the file.

    `dtype` has the file's byte order; samples of fewer `bits` than it are packed. `planes` is 1, or the
    number of channels where each has its own parts. `part` is (rows, columns) of a strip or tile.
    """

    height: int
    width: int
    channels: int
    bits: int
    dtype: np.dtype[Any]
    colours: int
    compression: int
    predictor: int
    planes: int
    part: tuple[int, int]
    tiled: bool

    @property
    def depth(self) -> int:
        """Channels in each part."""
        return self.channels // self.planes

    @property
    def part_count(self) -> int:
        """How many strips or tiles the page needs."""
        rows, columns = self.part
        return self.planes * math.ceil(self.height / rows) * math.ceil(self.width / columns)

    @property
    def places(self) -> Iterator[tuple[int, int, int]]:
        """Each part's plane, first row and first column, in the order in which they are stored."""
        rows, columns = self.part
        return itertools.product(range(self.planes), range(0, self.height, rows), range(0, self.width, columns))

    @property
    def row_bytes(self) -> int:
        """Bytes of one unpacked row of a part."""
        return -(-self.part[1] * self.depth * self.bits // 8)


def read_layout(page: Directory, max_pixels: int) -> Layout:
    """Read the layout off a page's tags. A layout that is not read, or that no real picture has, is an error."""
    width, height, channels = page.number(256, 0), page.number(257, 0), page.number(277, 1)
    check_size("TIFF", width, height, max_pixels, 1)
    if not 1 <= channels <= _MOST_CHANNELS:
        raise damaged("TIFF", f"it has {channels} channels, which do not fit its colours")
    bits, dtype = _number_form(page)
    check_size("TIFF", width, height, max_pixels, channels * dtype.itemsize + 4 * (channels in (2, 4, 5)))
    compression, tiled = page.number(259, PLAIN), 322 in page.entries
    layout = Layout(
        height=height,
        width=width,
        channels=channels,
        bits=bits,
        dtype=dtype,
        colours=page.number(262, RGB if channels > 2 else BLACK_IS_ZERO),
        compression=compression,
        predictor=page.number(317, 1) if compression in _PREDICTED else 1,
        planes=channels if page.number(284, 1) == 2 else 1,
        # Some writers state 0 rows per strip for one strip.
        part=(page.number(323, 0), page.number(322, 0))
        if tiled
        else (min(page.number(278, 0) or height, height), width),
        tiled=tiled,
    )
    _check_layout(layout, page)
    return layout


def _number_form(page: Directory) -> tuple[int, np.dtype[Any]]:
    """The bits of a sample, and the type that holds it."""
    bits, forms = set(page.values(258, 16)) or {1}, set(page.values(339, 16)) or {1}
    depth, kind = max(bits), {1: "u", 2: "i", 3: "f", 4: "u"}.get(max(forms), "")
    container = next((size for size in (8, 16, 32, 64) if size >= depth), 0) if kind == "u" else depth
    name = f"{kind}{container // 8}"
    if len(bits) > 1 or len(forms) > 1 or name not in _DTYPES or container % 8:
        raise _rare(f"has numbers of a rare form ({depth} bits)")
    return depth, np.dtype(page.order + name)


def _check_layout(layout: Layout, page: Directory) -> None:
    packed = layout.bits < layout.dtype.itemsize * 8
    if layout.compression not in _COMPRESSIONS:
        raise _rare(f"is compressed in a way that is not read (number {layout.compression})")
    if layout.predictor not in ((1,) if packed else (1, 2, 3) if layout.dtype.kind == "f" else (1, 2)):
        raise _rare(f"predicts its pixels in a way that is not read (number {layout.predictor})")
    if layout.colours not in CHANNELS:
        raise _rare(f"stores its colours in a rare way (number {layout.colours})")
    colours = CHANNELS[layout.colours]
    needs_bytes = layout.colours in (INKS, YCBCR, LAB) or layout.compression == JPEG
    in_bytes = layout.dtype == np.uint8 and not packed
    if (needs_bytes and not in_bytes) or (packed and (colours > 1 or layout.channels > 1)):
        raise _rare(f"stores its colours in a rare way ({layout.bits} bits)")
    if layout.compression in FAX and layout.bits != 1:
        raise damaged("TIFF", "fax compression needs pixels of one bit")
    # JPEG brings its own subsampling; else colour must be stored for each pixel, which is not the default.
    whole = layout.compression == JPEG or page.values(530, 2) == (1, 1)
    if layout.colours == YCBCR and (layout.planes > 1 or not whole):
        raise _rare("stores colour more coarsely than brightness (YCbCr)")
    if layout.colours == PALETTE and (layout.dtype.kind != "u" or layout.bits > 16):
        raise damaged("TIFF", "its colour numbers are not whole numbers of up to 16 bits")
    if layout.channels < colours:
        raise damaged("TIFF", f"it has {layout.channels} channels, which do not fit its colours")
    if layout.channels > colours + 1:
        raise PictureError(
            f"This TIFF has {layout.channels} channels, more than grey or colour needs.",
            "Save the channels to look at as a grey or RGB picture.",
        )
    rows, columns = layout.part
    if rows < 1 or columns < 1 or rows * columns > max(layout.height * layout.width, _LARGEST_PART):
        raise damaged("TIFF", f"its parts are said to be of {columns} x {rows} pixels")
    if layout.part_count > _MOST_PARTS:
        raise _rare(f"is cut into {layout.part_count:,} parts")
    if layout.part_count * rows * columns > 4 * max(layout.height * layout.width, _LARGEST_PART):
        raise damaged("TIFF", f"its parts of {columns} x {rows} pixels are far larger than the picture")


def _rare(what: str) -> PictureError:
    return PictureError(
        f"This TIFF {what}.",
        "Save it as grey or RGB of 8 or 16 bits, uncompressed or with LZW or Deflate compression, or as PNG.",
    )
