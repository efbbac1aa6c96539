"""The strips and tiles of a TIFF page -> its samples [H W C], each in the type it is stored in.

Source: TIFF 6.0, sections 3 and 13 to 15; Adobe Photoshop TIFF Technical Notes (deflate, predictor 3).
"""

import struct
import zlib
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from gradcam_core.errors import PictureError
from gradcam_core.readers.jpeg import decode_block
from gradcam_core.readers.raster import decode
from gradcam_core.readers.stored import cut_short, damaged
from gradcam_core.readers.tiff_layout import DEFLATE, JPEG, PLAIN, RGB, Layout

Block = Shaped[np.ndarray, "rows columns channels"]
Lines = UInt8[np.ndarray, "rows bytes"]
Samples = Shaped[np.ndarray, "H W C"]


def read_samples(data: bytes, layout: Layout) -> Samples:
    """Read all blocks of a page into one array [H W C], in this machine's byte order."""
    height, width, (rows, columns) = layout.height, layout.width, layout.block
    samples = np.empty((height, width, layout.channels), layout.dtype.newbyteorder("="))
    depth = layout.channels // layout.planes
    places = [
        (plane * depth, top, left)
        for plane in range(layout.planes)
        for top in range(0, height, rows)
        for left in range(0, width, columns)
    ]
    for place, offset, count in zip(places, layout.offsets, layout.counts, strict=False):
        first, top, left = place
        # Tiles are always whole; the last strip ends with the picture.
        tall = rows if layout.tiled else min(rows, height - top)
        if offset + count > len(data):
            raise cut_short("TIFF")
        block = _read_block(data[offset : offset + count], layout, tall)
        target = samples[top : top + rows, left : left + columns, first : first + depth]
        target[...] = block[: target.shape[0], : target.shape[1]]
    return samples


def _read_block(packed: bytes, layout: Layout, rows: int) -> Block:
    columns, channels = layout.block[1], layout.channels // layout.planes
    if layout.compression == JPEG:
        picture = np.asarray(decode_block(packed, layout.jpeg_tables, (columns, rows), layout.photometric == RGB))
        if picture.size != rows * columns * channels:
            raise damaged("TIFF", "a part of it has other colours than its header says")
        return picture.reshape(rows, columns, channels)
    row_bytes = -(-columns * channels * layout.bits // 8)
    raw = _unpack(packed, layout.compression, row_bytes, rows)
    if len(raw) < row_bytes * rows:
        raise cut_short("TIFF")
    lines = np.frombuffer(raw, np.uint8, row_bytes * rows).reshape(rows, row_bytes)
    if layout.predictor == 3:
        return _undo_float_prediction(lines, layout.dtype, channels)
    if layout.bits < layout.dtype.itemsize * 8:
        return _spread_bits(lines, layout)
    values: Block = lines.view(layout.dtype).reshape(rows, columns, channels).astype(layout.dtype.newbyteorder("="))
    if layout.predictor == 2:
        # Each sample is stored as the difference from its left neighbour; sums wrap around.
        steps = values.view(f"u{layout.dtype.itemsize}")
        return np.cumsum(steps, axis=1, dtype=steps.dtype).view(values.dtype)
    return values


def _unpack(packed: bytes, compression: int, row_bytes: int, rows: int) -> bytes:
    """Undo the compression; never gives much more than the rows need."""
    if compression == PLAIN:
        return packed
    if compression in DEFLATE:
        return zlib.decompressobj().decompress(packed, row_bytes * rows + 1)
    if row_bytes * rows > (Image.MAX_IMAGE_PIXELS or row_bytes * rows):
        raise PictureError(
            "This TIFF is compressed in one part that is too large to unpack.",
            "Save it uncompressed or with Deflate compression.",
        )
    return decode(_grey_tiff(packed, compression, row_bytes, rows), "TIFF").tobytes()


def _grey_tiff(packed: bytes, compression: int, width: int, height: int) -> bytes:
    """Write a TIFF whose one strip unpacks to these bytes, for Pillow to unpack."""
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: 0, 277: 1, 278: height, 279: len(packed)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0) + packed


def _undo_float_prediction(lines: Lines, dtype: np.dtype[Any], channels: int) -> Block:
    """Undo byte differences, then put each number's bytes, which lie apart by significance, together."""
    rows, size = len(lines), dtype.itemsize
    sums = np.cumsum(lines.reshape(rows, -1, channels), axis=1, dtype=np.uint8)
    together = np.ascontiguousarray(sums.reshape(rows, size, -1).swapaxes(1, 2))
    return together.view(f">f{size}").astype(f"=f{size}").reshape(rows, -1, channels)


def _spread_bits(lines: Lines, layout: Layout) -> Block:
    """Samples of 1, 2, 4, 10, 12 or 14 bits, packed without gaps, highest bit first."""
    columns, channels = layout.block[1], layout.channels // layout.planes
    used = np.unpackbits(lines, axis=1)[:, : columns * channels * layout.bits]
    bits = used.reshape(len(lines), columns, channels, layout.bits)
    samples = np.zeros(bits.shape[:3], layout.dtype.newbyteorder("="))
    for place in range(layout.bits):
        samples = samples * 2 + bits[..., place]
    return samples
