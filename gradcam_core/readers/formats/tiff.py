"""TIFF and BigTIFF: one page, in any kind of colours. Source: TIFF 6.0."""

import contextlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Shaped

from gradcam_core.errors import PictureError
from gradcam_core.kinds import DEVELOP
from gradcam_core.readers.directory import MOST_VALUES, Directory, read_directories, read_directory
from gradcam_core.readers.formats.tiff_parts import (
    BLACK_IS_ZERO,
    CHANNELS,
    INKS,
    JPEG,
    LAB,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Layout,
    read_layout,
    read_samples,
)
from gradcam_core.readers.stored import (
    CHANNELS_NOTE,
    EXTRA_NOTE,
    INK_NOTE,
    StoredPicture,
    check_frame,
    damaged,
    reader,
    to_rgb,
)

_REDUCED, _MASK = 1, 4
_CAMERA_RAW = {32803, 34892}
_PREMULTIPLIED, _STRAIGHT = 1, 2
_MODES = {INKS: "CMYK", YCBCR: "YCbCr", LAB: "LAB"}

Samples = Shaped[np.ndarray, "H W C"]
Colours = Shaped[np.ndarray, "H W D"]


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
    nodata = _nodata(page)
    samples, empty = read_samples(page, layout, nodata)
    colours, skipped = CHANNELS[layout.colours], len(pages) - len(whole)
    alpha, role = None, page.number(338, 0)
    if layout.channels == colours + 1 and role in (_PREMULTIPLIED, _STRAIGHT):
        full = (1 << layout.bits) - 1 if layout.dtype.kind == "u" else 1
        alpha = np.clip(np.nan_to_num(samples[..., -1] / np.float32(full), nan=1.0), 0, 1).astype(np.float32)
        samples = _straighten(samples, alpha) if role == _PREMULTIPLIED else samples
    further = layout.channels > colours and alpha is None and layout.colours in (RGB, BLACK_IS_ZERO)
    if further and layout.channels > 2:
        colours = CHANNELS[RGB]
    notes = {
        f"Reduced copies of the picture (thumbnails) and masks in the file, skipped: {skipped}.": skipped > 0,
        EXTRA_NOTE: layout.channels > colours and alpha is None and not further,
        CHANNELS_NOTE.format(layout.channels, "the first three are" if colours == 3 else "the first is"): further,
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
        nodata=nodata,
        profile=page.raw(34675, 1 << 20),
        channels=samples if further else None,
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
    if layout.colours in _MODES and (layout.colours, layout.compression) != (YCBCR, JPEG):
        return to_rgb(_MODES[layout.colours], samples)
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


def _nodata(page: Directory) -> float | None:
    """The value that stands for "no data", as GDAL states it in tag 42113."""
    try:
        return float(page.raw(42113, 64).decode("ascii").strip("\0 ").replace(",", "."))
    except (ValueError, PictureError):
        return None
