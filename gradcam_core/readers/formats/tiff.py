"""TIFF and BigTIFF: one page's strips or tiles, unpacked by imagecodecs and checked to be complete.

Source: TIFF 6.0; Adobe Photoshop TIFF Technical Notes (Deflate, predictor 3); ITU-T T.4 and T.6 (fax).
"""

import contextlib
import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import imagecodecs
import numpy as np
from jaxtyping import Float32, Shaped
from PIL import Image, ImageCms

from gradcam_core.errors import PictureError
from gradcam_core.kinds import DEVELOP
from gradcam_core.readers.directory import MOST_VALUES, Directory, read_directories, read_directory
from gradcam_core.readers.formats.jpeg import decode, in_adobe, take_apart
from gradcam_core.readers.formats.tiff_layout import (
    CHANNELS,
    DEFLATE,
    FAX,
    INKS,
    JPEG,
    LAB,
    LZMA,
    LZW,
    PACKBITS,
    PALETTE,
    PLAIN,
    WHITE_IS_ZERO,
    YCBCR,
    ZSTD,
    Layout,
    read_layout,
)
from gradcam_core.readers.stored import (
    EXTRA_NOTE,
    INK_NOTE,
    StoredPicture,
    check_frame,
    cut_short,
    damaged,
    inks_to_rgb,
    reader,
)

_REDUCED, _MASK = 1, 4
_CAMERA_RAW = {32803, 34892}
_PREMULTIPLIED, _STRAIGHT = 1, 2
_FILLERS = (b"", bytes((181 + 73 * step) % 255 for step in range(64)), b"\x2a\x6b" * 40, b"\xff" * 64)

Samples = Shaped[np.ndarray, "H W C"]
Colours = Shaped[np.ndarray, "H W D"]


_UNPACK: Mapping[int, Callable[[bytes, int], bytes]] = {
    PLAIN: lambda packed, most: packed,
    LZW: lambda packed, most: imagecodecs.lzw_decode(packed, out=most),
    **dict.fromkeys(DEFLATE, lambda packed, most: zlib.decompressobj().decompress(packed, most)),
    PACKBITS: lambda packed, most: imagecodecs.packbits_decode(packed, out=most),
    LZMA: lambda packed, most: imagecodecs.lzma_decode(packed, out=most),
    ZSTD: lambda packed, most: imagecodecs.zstd_decode(packed, out=most),
}
_UNPACK_FAX = {2: imagecodecs.ccittrle_decode, 3: imagecodecs.ccittfax3_decode, 4: imagecodecs.ccittfax4_decode}


@reader("TIFF")
def read_tiff(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one page in grey, colour, palette, inks, YCbCr or Lab."""
    pages = read_directories(data)
    if not pages:
        raise damaged("TIFF", "it contains no picture")
    _refuse_camera_raw(pages[:32])
    whole = [page for page in pages if not page.number(254, 0) & (_REDUCED | _MASK)] or pages
    check_frame(frame, len(whole))
    page = whole[frame]
    layout = read_layout(page, max_pixels)
    samples, empty = _read_samples(page, layout)
    colours = CHANNELS[layout.colours]
    alpha, role = None, page.number(338, 0)
    if layout.channels == colours + 1 and role in (_PREMULTIPLIED, _STRAIGHT):
        full = (1 << layout.bits) - 1 if layout.dtype.kind == "u" else 1
        alpha = np.clip(np.nan_to_num(samples[..., -1] / np.float32(full), nan=1.0), 0, 1).astype(np.float32)
        samples = _straighten(samples, alpha) if role == _PREMULTIPLIED else samples
    notes = {
        f"Reduced copies of the picture (thumbnails) and masks in the file, skipped: {len(pages) - len(whole)}.": (
            len(whole) < len(pages)
        ),
        EXTRA_NOTE: layout.channels > colours and alpha is None,
        INK_NOTE: layout.colours == INKS,
        f"Strips or tiles that were never written, shown as no data: {empty}.": empty > 0,
    }
    return StoredPicture(
        _in_grey_or_rgb(samples[..., :colours], layout, page),
        "TIFF",
        alpha=alpha,
        inverted=layout.colours == WHITE_IS_ZERO,
        orientation=page.orientation,
        frames=len(whole),
        notes=tuple(note for note, applies in notes.items() if applies),
        nodata=_nodata(page),
        profile=page.raw(34675, 1 << 20),
    )


def _refuse_camera_raw(pages: Sequence[Directory]) -> None:
    """Refuse a camera's raw file: its first page is a preview, the picture is sensor data further down."""
    first = pages[0]
    below = []
    for offset in first.values(330, 8):
        with contextlib.suppress(PictureError):
            below.append(read_directory(first.data, first.order, first.big, offset))
    if 50706 in first.entries or any(page.number(262, 0) in _CAMERA_RAW for page in (*pages, *below)):
        raise PictureError("This is a camera's raw file (DNG, NEF, ARW, ...), which is not read.", DEVELOP)


def _read_samples(page: Directory, layout: Layout) -> tuple[Samples, int]:
    """Read all parts of a page into one array [H W C]; gives also how many parts were never written."""
    samples = np.empty((layout.height, layout.width, layout.channels), layout.dtype.newbyteorder("="))
    (rows, columns), depth, nodata = layout.part, layout.depth, _nodata(page)
    fill = nodata if nodata is not None and np.can_cast(np.min_scalar_type(nodata), samples.dtype) else 0
    empty = 0
    for packed, (plane, top, left) in zip(_packed_parts(page, layout), layout.places, strict=True):
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
    if layout.compression in FAX:
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


def _straighten(samples: Samples, alpha: Float32[np.ndarray, "H W"]) -> Samples:
    """Undo colours that are stored already multiplied by alpha."""
    straight: Samples = samples / np.maximum(alpha, 1e-6)[..., None]
    if samples.dtype.kind in "iu":
        straight = np.clip(np.rint(straight), 0, np.iinfo(samples.dtype).max)
    return straight.astype(samples.dtype)


def _in_grey_or_rgb(samples: Samples, layout: Layout, page: Directory) -> Colours:
    """Turn palettes, inks, YCbCr and Lab into RGB, and packed greys into 8 bits."""
    if layout.colours == PALETTE:
        shown: Colours = _palette(layout, page)[samples[..., 0]]
        return shown
    if layout.colours == INKS:
        return inks_to_rgb(samples)
    if layout.colours == YCBCR and layout.compression != JPEG:
        return np.asarray(_picture("YCbCr", samples).convert("RGB"))
    if layout.colours == LAB:
        lab, screen = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return np.asarray(ImageCms.profileToProfile(_picture("LAB", samples), lab, screen, outputMode="RGB"))
    if layout.bits < 8:
        return np.rint(samples * np.float32(255 / ((1 << layout.bits) - 1))).astype(np.uint8)
    return samples


def _palette(layout: Layout, page: Directory) -> Shaped[np.ndarray, "colours 3"]:
    """The colour table, in 8 bits; some writers store it so, though 16 bits are the rule."""
    table = page.values(320, MOST_VALUES * 2)
    if len(table) != 3 << layout.bits or max(table) > 65535:
        raise damaged("TIFF", "its colour table does not fit")
    colours = np.array(table, np.uint16).reshape(3, -1).T
    return (colours // 256 if colours.max() > 255 else colours).astype(np.uint8)


def _picture(mode: str, samples: Samples) -> Image.Image:
    return Image.frombytes(mode, samples.shape[1::-1], np.ascontiguousarray(samples).tobytes(), "raw", mode)


def _nodata(page: Directory) -> float | None:
    """The value that stands for "no data", as GDAL states it in tag 42113."""
    try:
        return float(page.raw(42113, 64).decode("ascii").strip("\0 ").replace(",", "."))
    except (ValueError, PictureError):
        return None
