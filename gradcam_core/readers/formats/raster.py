"""Pictures decoded whole by Pillow or OpenJPEG: WebP, BMP, GIF, AVIF, HEIC and JPEG 2000."""

import io
import struct
from collections.abc import Callable
from dataclasses import replace

import imagecodecs
import numpy as np
import pi_heif
from jaxtyping import Float32, Shaped
from PIL import AvifImagePlugin, BmpImagePlugin, GifImagePlugin, Image, ImageFile, WebPImagePlugin

from gradcam_core.readers.directory import orientation
from gradcam_core.readers.stored import (
    EXTRA_NOTE,
    MOST_FRAMES,
    StoredPicture,
    check_animation,
    check_frame,
    check_size,
    cut_short,
    damaged,
    not_read,
    reader,
)

# Pillow unpacks run lengths in Python, 0.1 s per megapixel.
_MOST_RUN_LENGTH_PIXELS = 4_000_000
_GIF_IMAGE, _GIF_CONTROL, _GIF_END = 0x2C, 0xF9, 0x3B
_MOST_BOXES, _MOST_GIF_BLOCKS = 10_000, 2_000_000
# Coded pixels never have so many zeros in a row at their end.
_ZEROS = 256

Samples = Shaped[np.ndarray, "H W C"]
Colours = Shaped[np.ndarray, "H W D"]


def samples_of(picture: Image.Image) -> Samples:
    """The samples of a decoded picture as grey, grey and alpha, RGB or RGBA."""
    grey = picture.mode in ("1", "L", "LA")
    alpha = picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    mode = ("LA" if alpha else "L") if grey else ("RGBA" if alpha else "RGB")
    return np.asarray(picture.convert(mode)).reshape(picture.height, picture.width, -1)


def split_alpha(samples: Samples) -> tuple[Colours, Float32[np.ndarray, "H W"] | None]:
    """Colours, and alpha as 0..1 where there is such a channel."""
    if samples.shape[2] not in (2, 4):
        return samples, None
    return samples[..., :-1], samples[..., -1] / np.float32(np.iinfo(samples.dtype).max)


def _read(
    plugin: Callable[[io.BytesIO], ImageFile.ImageFile], kind: str, data: bytes, frame: int, max_pixels: int
) -> StoredPicture:
    """Decode one frame by a plugin of Pillow, which has read the header only when the size is checked."""
    opened = plugin(io.BytesIO(data))
    size = opened.size
    check_size(kind, *size, max_pixels, 8)
    frames = getattr(opened, "n_frames", 1)
    check_frame(frame, frames)
    check_animation(frame, *size, max_pixels)
    opened.seek(frame)
    opened.load()
    if opened.size != size:
        raise damaged(kind, "its parts differ in size")
    return replace(_stored(opened, kind, frames), orientation=orientation(opened.info.get("exif") or b""))


def _stored(picture: Image.Image, kind: str, frames: int) -> StoredPicture:
    samples, alpha = split_alpha(samples_of(picture))
    profile = picture.info.get("icc_profile") or b""
    return StoredPicture(samples, kind, alpha=alpha, frames=frames, profile=profile)


@reader("WebP")
def read_webp(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one frame of a still or animated WebP."""
    _check_end("WebP", data, int.from_bytes(data[4:8], "little") + 8)
    if data[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        check_size("WebP", width, height, max_pixels, 8)
    return _read(WebPImagePlugin.WebPImageFile, "WebP", data, frame, max_pixels)


@reader("BMP")
def read_bmp(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read a BMP of any depth."""
    old = int.from_bytes(data[14:18], "little") == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
    # A negative height means that the rows come from top to bottom.
    check_size("BMP", width, abs(height), max_pixels, 8)
    if not old and int.from_bytes(data[30:34], "little") in (1, 2):
        if width * abs(height) > _MOST_RUN_LENGTH_PIXELS:
            raise not_read("BMP", f"of {width} x {abs(height)} pixels is packed as run lengths")
        # A run takes two bytes and gives a pixel or more, a row may end early.
        if len(data) > (1 << 16) + 4 * (width + 4) * abs(height):
            raise damaged("BMP", "its packed pixels are far more than its size")
    return _read(BmpImagePlugin.BmpImageFile, "BMP", data, frame, max_pixels)


@reader("GIF")
def read_gif(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one frame of a still or animated GIF."""
    return _read(GifImagePlugin.GifImageFile, "GIF", _plain_gif(data), frame, max_pixels)


def _plain_gif(data: bytes) -> bytes:
    """A GIF's blocks without comments and the like, which Pillow gathers at a cost that grows with their square."""
    position = 13 + (3 << (data[10] & 7) + 1) * (data[10] >> 7)
    kept, frames, blocks = [data[:position]], 0, 0
    while data[position] != _GIF_END:
        blocks += 1
        start, image, control = position, data[position] == _GIF_IMAGE, data[position + 1] == _GIF_CONTROL
        frames += image
        table = data[position + 9] if image else 0
        position += 11 + (3 << (table & 7) + 1) * (table >> 7) if image else 2
        while data[position] and blocks <= _MOST_GIF_BLOCKS:
            position += 1 + data[position]
            blocks += 1
        if blocks > _MOST_GIF_BLOCKS or frames > MOST_FRAMES:
            raise not_read("GIF", "has more blocks or frames than any real one")
        position += 1
        if image or control:
            kept.append(data[start:position])
    return b"".join([*kept, b";"])


@reader("AVIF")
def read_avif(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one frame of a still or animated AVIF."""
    _check_media("AVIF", data)
    return _read(AvifImagePlugin.AvifImageFile, "AVIF", data, frame, max_pixels)


def _check_media(kind: str, data: bytes) -> None:
    """Refuse HEIC and AVIF whose coded pixels (the boxes mdat) end outside the file, or in zeros."""
    position, boxes = 0, 0
    while position + 8 <= len(data):
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        position += length or len(data) - position
        boxes += 1
        if length in range(1, 8) or boxes > _MOST_BOXES:
            raise damaged(kind, "its list of parts is not sound")
        if name == b"mdat":
            _check_end(kind, data, position)


def _check_end(kind: str, data: bytes, end: int) -> None:
    """Refuse coded pixels that end outside the file or in zeros, as an interrupted download leaves them."""
    if end > len(data) or not data[max(0, end - _ZEROS) : end].strip(b"\0"):
        raise cut_short(kind)


@reader("HEIC")
def read_heic(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read a HEIC picture. Its index holds all sizes, so nothing is decoded before they are checked."""
    _check_media("HEIC", data)
    pictures = pi_heif.open_heif(data)
    check_frame(frame, len(pictures))
    width, height = pictures[frame].size
    check_size("HEIC", width, height, max_pixels, 8)
    return _stored(pictures[frame].to_pillow(), "HEIC", len(pictures))  # upright already


@reader("JPEG 2000")
def read_jpeg_2000(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read JPEG 2000 of 8 or 16 bits in grey or RGB. Source: ITU-T T.800, annexes A and I."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise damaged("JPEG 2000", "it contains no picture")
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", data, start + 8)
    channels, bits = struct.unpack_from(">HB", data, start + 40)
    depth = 2 if (bits & 0x7F) >= 8 else 1
    check_size("JPEG 2000", right - left, bottom - top, max_pixels, 4 * min(channels, 5) + depth)
    check_frame(frame, 1)
    if channels > 5 or right * bottom > 10_000 * max(1, tile_width * tile_height):
        raise not_read("JPEG 2000", f"has {channels} channels or thousands of tiles")
    _check_tiles(data, start, -(-right // max(1, tile_width)) * -(-bottom // max(1, tile_height)))
    # The box colr states the kind of colours: 18 is brightness and two colour differences.
    colr = data.find(b"colr", 0, start)
    if colr > 0 and data[colr + 4 : colr + 5] == b"\1" and data[colr + 7 : colr + 11] == b"\0\0\0\x12":
        raise not_read("JPEG 2000", "stores brightness and colour differences (sYCC)")
    samples = np.atleast_3d(imagecodecs.jpeg2k_decode(data))
    colours = 3 if channels >= 3 else 1
    # A further channel is opacity only where the box cdef says so.
    opacity = data.find(b"cdef", 0, start) > 0 and channels == colours + 1
    alpha = split_alpha(samples)[1] if opacity else None
    notes = (EXTRA_NOTE,) * (channels > colours and not opacity)
    return StoredPicture(samples[..., :colours], "JPEG 2000", alpha=alpha, notes=notes)


def _check_tiles(data: bytes, start: int, tiles: int) -> None:
    """Refuse a JPEG 2000 that lacks a tile, or whose coded pixels end in zeros: decoders leave them grey."""
    if not data.endswith(b"\xff\xd9") and not data[-_ZEROS:].strip(b"\0"):
        raise cut_short("JPEG 2000")
    position, seen = data.find(b"\xff\x90\x00\x0a", start), set()
    while position >= 0 and data[position : position + 4] == b"\xff\x90\x00\x0a":
        seen.add(data[position + 4 : position + 6])
        length = int.from_bytes(data[position + 6 : position + 10], "big")
        if not length:  # the last part reaches to the end
            break
        position += max(12, length)
    if len(seen) < tiles:
        raise cut_short("JPEG 2000")
