"""Pictures of 8 bits a channel, decoded by Pillow: WebP and BMP, and the tails of the JPEG and PNG readers."""

import io
import struct

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from gradcam_core.readers.stored import StoredPicture, check_frame, check_size, cut_short, damaged
from gradcam_core.readers.tags import orientation

INK_NOTE = "Ink colours (CMYK) were turned into screen colours without a colour profile; print may look different."


def decode(data: bytes, kind: str, frame: int = 0) -> Image.Image:
    """Decode one frame of a file that the caller has checked.

    Colour profiles are not applied: the model was trained on pixels as stored, too.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=[kind])
        if frame:
            picture.seek(frame)
        picture.load()
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise a dozen kinds of exceptions over damaged files, and document none.
        raise damaged(kind, "it cannot be decoded") from error
    return picture


def stored(
    picture: Image.Image, kind: str, *, frames: int = 1, turned: int = 1, notes: tuple[str, ...] = ()
) -> StoredPicture:
    """Take a decoded picture of any 8-bit mode apart into grey or colour samples and alpha."""
    if picture.mode == "CMYK":
        picture, notes = picture.convert("RGB"), (*notes, INK_NOTE)
    elif picture.mode == "1":
        picture = picture.convert("LA" if "transparency" in picture.info else "L")
    elif picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif "transparency" in picture.info:
        picture = picture.convert({"L": "LA", "RGB": "RGBA"}[picture.mode])
    samples = np.asarray(picture).reshape(picture.height, picture.width, -1)
    if picture.mode not in ("LA", "RGBA"):
        return StoredPicture(samples, kind, None, False, turned, frames, notes)
    return StoredPicture(samples[..., :-1], kind, opacity(samples[..., -1]), False, turned, frames, notes)


def opacity(alpha: UInt8[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"] | None:
    """Alpha as 0..1; None where nothing is see-through."""
    return None if alpha.min() == 255 else alpha.astype(np.float32) / 255


def read_webp(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one frame of a still or animated WebP."""
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise cut_short("WebP")
    size, frames, exif = (0, 0), 0, b""
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        if position == 12:
            size = _webp_size(name, body)
        frames += name == b"ANMF"
        exif = body if name == b"EXIF" else exif
        position += 8 + length + length % 2
    check_size("WebP", *size, max_pixels)
    frames = max(frames, 1)
    check_frame(frame, frames)
    picture = decode(data, "WebP", frame)
    if picture.size != size:
        raise damaged("WebP", "its parts differ in size")
    return stored(picture, "WebP", frames=frames, turned=orientation(exif))


def _webp_size(name: bytes, body: bytes) -> tuple[int, int]:
    """Width and height off the first chunk: extended, lossless or lossy (RFC 9649)."""
    if name == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if name == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise damaged("WebP", "it starts with no picture")


def read_bmp(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read a BMP of any depth that Pillow knows."""
    old = int.from_bytes(data[14:18], "little") == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
    # A negative height means that the rows come from top to bottom.
    check_size("BMP", width, abs(height), max_pixels)
    check_frame(frame, 1)
    return stored(decode(data, "BMP"), "BMP")
