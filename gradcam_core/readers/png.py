"""PNG and animated PNG, of 1 to 16 bits.

The chunks are checked and only those that make the picture are decoded: text and colour profiles,
which may unpack to gigabytes, are never opened. Pillow drops the low byte of 16-bit pictures, so
OpenCV decodes these. Source: W3C, Portable Network Graphics, third edition.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from gradcam_core.errors import PictureError
from gradcam_core.readers.raster import decode, stored
from gradcam_core.readers.stored import StoredPicture, check_frame, check_size, cut_short, damaged
from gradcam_core.readers.tags import orientation

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# First row and column, and the steps between rows and columns, of Adam7's seven passes.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))

Chunk = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    def rows(self, width: int, height: int) -> list[tuple[int, int]]:
        """How many rows, and of how many bytes with the filter's, each pass over such an area has."""
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        sizes = [(-(-(height - y) // down), -(-(width - x) // right)) for y, x, down, right in passes]
        bits = _CHANNELS[self.colour] * self.depth
        return [(rows, 1 + -(-columns * bits // 8)) for rows, columns in sizes if rows > 0 and columns > 0]


def read_png(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read a PNG, or one frame of an animated one as it is shown (laid over those before it)."""
    chunks = list(_chunks(data))
    header = _read_header(chunks)
    check_size("PNG", header.width, header.height, max_pixels)
    frames = _count_frames(chunks)
    check_frame(frame, frames)
    turned = orientation(_join(chunks, b"eXIf"))
    _check_pixels(_join(chunks, b"IDAT"), header, header.width, header.height)
    if header.depth == 16:
        return _deep(chunks, header, frame, frames, turned)
    if frame:
        _check_animation(chunks, header, frame)
    needed = (b"acTL", b"fcTL", b"fdAT") if frame else ()
    clean = _write(chunks, b"IHDR", b"PLTE", b"tRNS", b"IDAT", *needed)
    return stored(decode(clean, "PNG", frame), "PNG", frames=frames, turned=turned)


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Give each chunk's name and body, to the end of the picture; a wrong checksum is an error."""
    position = len(_SIGNATURE)
    name = b""
    while name != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        name, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise cut_short("PNG")
        body = data[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(data[end - 4 : end], "big"):
            raise damaged("PNG", "a checksum in it is wrong")
        yield name, body
        position = end


def _join(chunks: Sequence[Chunk], name: bytes) -> bytes:
    return b"".join(body for found, body in chunks if found == name)


def _write(chunks: Sequence[Chunk], *names: bytes) -> bytes:
    """Write a PNG anew, of the chunks with these names only."""
    kept = [chunk for chunk in chunks if chunk[0] in names] + [(b"IEND", b"")]
    parts = [_SIGNATURE]
    for name, body in kept:
        parts += [struct.pack(">I", len(body)), name, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))]
    return b"".join(parts)


def _read_header(chunks: Sequence[Chunk]) -> _Header:
    names = [name for name, _ in chunks]
    if names[0] != b"IHDR" or names.count(b"IHDR") > 1 or len(chunks[0][1]) != 13:
        raise damaged("PNG", "it does not start with its header")
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth not in _DEPTHS.get(colour, ()) or packing or filtering or interlace > 1:
        raise damaged("PNG", "its header names a way of storing pixels that does not exist")
    if colour == 3 and b"PLTE" not in names:
        raise damaged("PNG", "its colour table is missing")
    return _Header(width, height, depth, colour, bool(interlace))


def _check_pixels(packed: bytes, header: _Header, width: int, height: int) -> None:
    """Refuse packed pixels that do not fill just this area: the decoder would leave the rest black."""
    passes = header.rows(width, height)
    expected = sum(rows * row_bytes for rows, row_bytes in passes)
    unpacking = zlib.decompressobj()
    pixels = np.frombuffer(unpacking.decompress(packed, expected + 1), np.uint8)
    if len(pixels) != expected or not unpacking.eof:
        raise damaged("PNG", "its pixels do not fill the size that its header gives")
    start = 0
    for rows, row_bytes in passes:
        # Each row begins with the number of its filter, 0 to 4.
        if pixels[start : start + rows * row_bytes : row_bytes].max() > 4:
            raise damaged("PNG", "a row is stored in a way that does not exist")
        start += rows * row_bytes


def _count_frames(chunks: Sequence[Chunk]) -> int:
    """How many frames there are; a first picture that is no part of the animation counts as one."""
    names = [name for name, _ in chunks]
    if b"acTL" not in names:
        return 1
    frames = names.count(b"fcTL")
    if names.count(b"acTL") > 1 or int.from_bytes(_join(chunks, b"acTL")[:4], "big") != frames:
        raise damaged("PNG", "frames of its animation are missing")
    animated_first = b"fcTL" in names and b"IDAT" in names and names.index(b"fcTL") < names.index(b"IDAT")
    return frames if animated_first else frames + 1


def _check_animation(chunks: Sequence[Chunk], header: _Header, last: int) -> None:
    """Check the pixels of the frames from the second to the last one needed."""
    areas: list[tuple[int, int]] = []
    packed: list[list[bytes]] = []
    started = False
    for name, body in chunks:
        started = started or name == b"IDAT"
        if name == b"fcTL" and started:
            areas.append(struct.unpack_from(">II", body, 4))
            packed.append([])
        elif name == b"fdAT" and packed:
            packed[-1].append(body[4:])
    for (width, height), parts in list(zip(areas, packed, strict=True))[:last]:
        if not 1 <= width <= header.width or not 1 <= height <= header.height:
            raise damaged("PNG", "a frame of its animation is larger than the picture")
        _check_pixels(b"".join(parts), header, width, height)


def _deep(chunks: Sequence[Chunk], header: _Header, frame: int, frames: int, turned: int) -> StoredPicture:
    """Decode 16 bits a channel; of an animation only the first frame."""
    if frame:
        raise PictureError(
            "Of an animated PNG with 16 bits a channel only the first frame is read.", "Ask for frame 0."
        )
    clean = np.frombuffer(_write(chunks, b"IHDR", b"IDAT"), np.uint8)
    try:
        values = cv2.imdecode(clean, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise damaged("PNG", "it cannot be decoded") from error
    if values is None or values.dtype != np.uint16 or values.shape[:2] != (header.height, header.width):
        raise damaged("PNG", "it cannot be decoded")
    values = values.reshape(header.height, header.width, -1)
    grey = header.colour in (0, 4)
    # OpenCV gives blue, green, red and alpha, and makes grey with alpha into such four.
    samples = values[..., :1] if grey else values[..., 2::-1]
    alpha = values[..., 3].astype(np.float32) / 65535 if values.shape[2] == 4 else None
    key = np.frombuffer(_join(chunks, b"tRNS"), ">u2")
    if alpha is None and len(key) == samples.shape[2]:
        alpha = np.any(samples != key, axis=2).astype(np.float32)
    opaque = alpha is None or bool(alpha.min() == 1)
    return StoredPicture(samples, "PNG", None if opaque else alpha, False, turned, frames)
