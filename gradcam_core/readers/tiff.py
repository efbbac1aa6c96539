"""TIFF and BigTIFF: grey and colour, in whole numbers and floating point of many depths.

Pillow drops the low byte of 16-bit colour, shows 16-bit pictures that store white as zero the wrong
way round, takes signed bytes for unsigned and leaves missing strips black; OpenCV mixes up separate
planes. So the pages are read here.
Source: TIFF 6.0, parts 1 and 2.
"""

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image, ImageCms

from gradcam_core.errors import PictureError
from gradcam_core.readers.raster import INK_NOTE
from gradcam_core.readers.stored import StoredPicture, check_frame, check_size, damaged
from gradcam_core.readers.tags import Directory, page_offsets, read_directory, read_header, upright
from gradcam_core.readers.tiff_blocks import Samples, read_samples
from gradcam_core.readers.tiff_layout import (
    COLOURS,
    INKS,
    JPEG,
    LAB,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Layout,
    read_layout,
)

EXTRA_NOTE = "A further channel without a stated meaning is left out."
_PREMULTIPLIED, _STRAIGHT = 1, 2

Alpha = Float32[np.ndarray, "H W"]
Shown = Shaped[np.ndarray, "H W colours"]


def read_tiff(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one page of a TIFF."""
    header = read_header(data)
    pages = page_offsets(data, header)
    if not pages:
        raise damaged("TIFF", "it holds no picture")
    check_frame(frame, len(pages))
    page = read_directory(data, header, pages[frame])
    width, height = page.number(256, 0), page.number(257, 0)
    check_size("TIFF", width, height, max_pixels)
    layout = read_layout(page, width, height)
    role = _role_of_extra(layout, page)
    samples = read_samples(data, layout)
    colours = COLOURS[layout.photometric]
    alpha = _alpha(samples[..., colours : colours + 1], layout) if role in (_PREMULTIPLIED, _STRAIGHT) else None
    if alpha is not None and role == _PREMULTIPLIED:
        samples = _straighten(samples, alpha)
    notes = (EXTRA_NOTE,) * (role == 0) + (INK_NOTE,) * (layout.photometric == INKS)
    return StoredPicture(
        _in_grey_or_rgb(samples[..., :colours], layout, page),
        "TIFF",
        alpha=alpha,
        inverted=layout.photometric == WHITE_IS_ZERO,
        orientation=upright(page),
        frames=len(pages),
        notes=notes,
    )


def _role_of_extra(layout: Layout, page: Directory) -> int | None:
    """What a channel beyond the colours means: 1 or 2 for alpha, 0 for nothing stated; None without one."""
    extra = layout.channels - COLOURS[layout.photometric]
    if extra > 1:
        raise PictureError(
            f"This TIFF has {layout.channels} channels, more than grey or colour needs.",
            "Save the channels to look at as a grey or RGB picture.",
        )
    if not extra:
        return None
    role = page.number(338, _STRAIGHT if layout.photometric == RGB else 0)
    return role if role in (_PREMULTIPLIED, _STRAIGHT) else 0


def _alpha(stored: Samples, layout: Layout) -> Alpha | None:
    """Alpha as 0..1; None where nothing is see-through."""
    full = (1 << layout.bits) - 1 if layout.dtype.kind == "u" else 1.0
    alpha = np.clip(np.nan_to_num(stored[..., 0] / full, nan=1.0), 0, 1).astype(np.float32)
    return None if alpha.min() == 1 else alpha


def _straighten(samples: Samples, alpha: Alpha) -> Samples:
    """Undo colours that are stored already multiplied by alpha."""
    straight: Samples = samples / np.maximum(alpha, 1e-6)[..., None]
    if samples.dtype.kind in "iu":
        straight = np.clip(np.rint(straight), 0, np.iinfo(samples.dtype).max)
    return straight.astype(samples.dtype)


def _in_grey_or_rgb(samples: Samples, layout: Layout, page: Directory) -> Shown:
    """Turn palettes, inks and Lab into RGB, and packed greys into 8 bits."""
    if layout.photometric == PALETTE:
        colours: Shown = _palette(layout, page)[samples[..., 0]]
        return colours
    if layout.photometric == INKS:
        return np.asarray(_picture("CMYK", samples).convert("RGB"))
    if layout.photometric == YCBCR and layout.compression != JPEG:
        return np.asarray(_picture("YCbCr", samples).convert("RGB"))
    if layout.photometric == LAB:
        lab, screen = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return np.asarray(ImageCms.profileToProfile(_picture("LAB", samples), lab, screen, outputMode="RGB"))
    if layout.bits < 8:
        return samples * np.uint8(255 // ((1 << layout.bits) - 1))
    return samples


def _palette(layout: Layout, page: Directory) -> UInt8[np.ndarray, "colours 3"]:
    """The colour table, in 8 bits; some writers store it so, though 16 bits are the rule."""
    table = np.array(page.numbers(320), np.uint16)
    if len(table) != 3 << layout.bits:
        raise damaged("TIFF", "its colour table does not fit")
    colours = table.reshape(3, -1).T
    return (colours // 256 if colours.max() > 255 else colours).astype(np.uint8)


def _picture(mode: str, samples: UInt8[np.ndarray, "H W C"]) -> Image.Image:
    return Image.frombytes(mode, samples.shape[1::-1], np.ascontiguousarray(samples).tobytes(), "raw", mode)
