"""How a TIFF page's samples lie in the file, checked before anything is unpacked, and unpacked by imagecodecs.

Source: TIFF 6.0, parts 1 and 2; Adobe Photoshop TIFF Technical Notes (Deflate, predictor 3); ITU-T T.4 and T.6 (fax).
"""

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from jaxtyping import Shaped

from gradcam_core.errors import PictureError
from gradcam_core.readers.directory import Directory
from gradcam_core.readers.formats.jpeg import decode, in_adobe, take_apart
from gradcam_core.readers.stored import check_size, cut_short, damaged

_PLAIN, _LZW, JPEG, _PACKBITS, _LZMA, _ZSTD = 1, 5, 7, 32773, 34925, 50000
_FAX, _DEFLATE = (2, 3, 4), (8, 32946)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, YCBCR: 3, LAB: 3}

_PREDICTED = (_LZW, *_DEFLATE, _LZMA, _ZSTD)
_COMPRESSIONS = {_PLAIN, JPEG, _PACKBITS, *_FAX, *_PREDICTED}
_DTYPES = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
_MOST_CHANNELS, _MOST_PARTS, _LARGEST_PART = 64, 65_536, 1 << 22
_FILLERS = (b"", bytes((181 + 73 * step) % 255 for step in range(64)), b"\x2a\x6b" * 40, b"\xff" * 64)
_UNPACK: Mapping[int, Callable[[bytes, int], bytes | bytearray]] = {
    _PLAIN: lambda packed, most: packed,
    _LZW: lambda packed, most: imagecodecs.lzw_decode(packed, out=most),
    **dict.fromkeys(_DEFLATE, lambda packed, most: zlib.decompressobj().decompress(packed, most)),
    _PACKBITS: lambda packed, most: imagecodecs.packbits_decode(packed, out=most),
    _LZMA: lambda packed, most: imagecodecs.lzma_decode(packed, out=most),
    _ZSTD: lambda packed, most: imagecodecs.zstd_decode(packed, out=most),
}
_UNPACK_FAX = {2: imagecodecs.ccittrle_decode, 3: imagecodecs.ccittfax3_decode, 4: imagecodecs.ccittfax4_decode}

Samples = Shaped[np.ndarray, "H W C"]


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
    def row_bytes(self) -> int:
        """Bytes of one unpacked row of a part."""
        return -(-self.part[1] * self.depth * self.bits // 8)


def read_layout(page: Directory, max_pixels: int) -> Layout:
    """Read the layout off a page's tags. A layout that is not read, or that no real picture has, is an error."""
    width, height, channels = page.number(256, 0), page.number(257, 0), page.number(277, 1)
    check_size("TIFF", width, height, max_pixels, 1)
    if channels < 1:
        raise damaged("TIFF", "it has no channels")
    if channels > _MOST_CHANNELS:
        raise PictureError(
            f"This TIFF has {channels:,} channels, and at most {_MOST_CHANNELS} are read.",
            "Save the channels to look at as a picture of their own.",
        )
    bits, dtype = _number_form(page)
    check_size("TIFF", width, height, max_pixels, channels * dtype.itemsize + 4 * (channels in (2, 4, 5)))
    compression, tiled = page.number(259, _PLAIN), 322 in page.entries
    strip = page.number(278, 0) or height  # some writers state 0 rows for one strip
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
        part=(page.number(323, 0), page.number(322, 0)) if tiled else (min(strip, height), width),
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
    if layout.compression in _FAX and layout.bits != 1:
        raise damaged("TIFF", "fax compression needs pixels of one bit")
    # JPEG brings its own subsampling; else colour must be stored for each pixel, which is not the default.
    whole = layout.compression == JPEG or page.values(530, 2) == (1, 1)
    if layout.colours == YCBCR and (layout.planes > 1 or not whole):
        raise _rare("stores colour more coarsely than brightness (YCbCr)")
    if layout.colours == PALETTE and (layout.dtype.kind != "u" or layout.bits > 16):
        raise damaged("TIFF", "its colour numbers are not whole numbers of up to 16 bits")
    if layout.channels < colours:
        raise damaged("TIFF", f"it has {layout.channels} channels, which do not fit its colours")
    if layout.channels > colours + 1 and layout.colours not in (RGB, BLACK_IS_ZERO):
        raise PictureError(
            f"This TIFF has {layout.channels} channels, more than its colours need.",
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


def read_samples(page: Directory, layout: Layout, nodata: float | None) -> tuple[Samples, int]:
    """Read all parts of a page into one array [H W C]; gives also how many parts were never written."""
    samples = np.empty((layout.height, layout.width, layout.channels), layout.dtype.newbyteorder("="))
    (rows, columns), depth = layout.part, layout.depth
    fill = nodata if nodata is not None and np.can_cast(np.min_scalar_type(nodata), samples.dtype) else 0
    empty = 0
    tops, lefts = range(0, layout.height, rows), range(0, layout.width, columns)
    places = itertools.product(range(layout.planes), tops, lefts)
    for packed, (plane, top, left) in zip(_packed_parts(page, layout), places, strict=True):
        target = samples[top : top + rows, left : left + columns, plane * depth : (plane + 1) * depth]
        if packed is None:
            target[...] = fill
            empty += 1
        else:
            # Tiles are always whole; the last strip may end with the picture.
            part = _read_part(packed, page, layout, rows if layout.tiled else len(target))
            target[...] = part[: target.shape[0], : target.shape[1]]
    return samples, empty


def _packed_parts(page: Directory, layout: Layout) -> Iterator[bytes | None]:
    """The bytes of each strip or tile; None for one that was never written, as in GDAL's sparse files."""
    needed, size = layout.part_count, len(page.data)
    offsets = page.values(324 if layout.tiled and 324 in page.entries else 273, needed)
    counts = page.values(325 if layout.tiled and 325 in page.entries else 279, needed)
    if len(offsets) < needed or not any(offsets) or (len(counts) < needed and counts):
        raise damaged("TIFF", "parts of its picture are missing")
    if sum(counts) > 4 * size:
        raise cut_short("TIFF")
    later = dict(itertools.pairwise(sorted({*offsets, size})))
    # The bits of each byte may be stored the other way round; JPEG does not care.
    turned = page.number(266, 1) == 2 and layout.compression != JPEG
    for offset, count in zip(offsets, counts or (0,) * needed, strict=True):
        if not offset and not count:
            yield None
            continue
        # Lengths may be missing or 0; then a part reaches to the next one.
        end = offset + count if count else later.get(offset, size)
        if not offset < end <= size:
            raise cut_short("TIFF")
        yield bytes(imagecodecs.bitorder_decode(page.data[offset:end])) if turned else page.data[offset:end]


def _read_part(packed: bytes, page: Directory, layout: Layout, rows: int) -> Samples:
    """Unpack one strip or tile to [rows columns channels]."""
    shape, dtype, native = (rows, layout.part[1], layout.depth), layout.dtype, layout.dtype.newbyteorder("=")
    if layout.compression == JPEG:
        return _read_jpeg(packed, page.raw(347, 1 << 16), layout, rows)
    if layout.compression in _FAX:
        # A decoder that lacks data takes filler for pixels.
        pixels, *others = (_UNPACK_FAX[layout.compression](packed + filler, *shape[:2]) for filler in _FILLERS)
        if not all(np.array_equal(pixels, other) for other in others):
            raise cut_short("TIFF")
        return pixels[..., None]
    needed = layout.row_bytes * rows
    # The last strip may be stored whole, and some packers write a little more than the pixels.
    raw = _UNPACK[layout.compression](packed, 2 * layout.row_bytes * layout.part[0])[:needed]
    if len(raw) < needed:
        raise cut_short("TIFF")
    if layout.bits < dtype.itemsize * 8:
        return imagecodecs.packints_decode(raw, native, layout.bits, runlen=shape[1] * shape[2]).reshape(shape)
    if layout.predictor == 3:  # the bytes of floats, in an order of its own
        return np.asarray(imagecodecs.floatpred_decode(np.frombuffer(raw, native).reshape(shape), axis=-2))
    samples = np.frombuffer(raw, dtype).reshape(shape).astype(native)
    return np.asarray(imagecodecs.delta_decode(samples, axis=-2)) if layout.predictor == 2 else samples


def _read_jpeg(packed: bytes, tables: bytes, layout: Layout, rows: int) -> Samples:
    """Decode a strip or tile that is a JPEG; what its numbers mean is stated by the page, not by itself."""
    parts = take_apart(packed, tables, in_adobe(layout.colours == YCBCR) if layout.depth == 3 else b"")
    if parts.size not in ((layout.part[1], rows), layout.part[::-1]) or parts.components != layout.depth:
        raise damaged("TIFF", "its parts are not as large as its header says")
    return decode(parts, "TIFF")[0]
