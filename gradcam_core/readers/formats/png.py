"""PNG and animated PNG, of 1 to 16 bits, by libpng.

Only the chunks that make the picture are decoded: text and colour profiles may unpack to gigabytes.
Source: W3C, Portable Network Graphics, third edition.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence

import imagecodecs
import numpy as np
from jaxtyping import Shaped
from PIL import PngImagePlugin

from gradcam_core.errors import PictureError
from gradcam_core.readers.directory import orientation
from gradcam_core.readers.formats.raster import samples_of, split_alpha
from gradcam_core.readers.stored import (
    MOST_FRAMES,
    StoredPicture,
    check_animation,
    check_frame,
    check_size,
    cut_short,
    damaged,
    reader,
)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# By kind of colours: the number of channels, how many bits each may have, how many bytes name a see-through colour.
_COLOURS = {
    0: (1, (1, 2, 4, 8, 16), (2,)),
    2: (3, (8, 16), (6,)),
    3: (4, (1, 2, 4, 8), range(257)),
    4: (2, (8, 16), ()),
    6: (4, (8, 16), ()),
}
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT")
# By a word of libpng's complaint; the last row fits every other.
_COMPLAINTS = {
    "enough": "its pixels do not fill the size that its header gives",
    "filter": "a row is stored in a way that does not exist",
    "frame": "a frame of its animation is larger than the picture",
    "": "it cannot be unpacked",
}
_MOST_CHUNKS, _LARGEST_TEXT, _LARGEST_PROFILE = 100_000, 1 << 16, 1 << 20

# A name and a body.
Chunk = tuple[bytes, bytes]
Samples = Shaped[np.ndarray, "H W C"]


@reader("PNG")
def read_png(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read a PNG, or one frame of an animated one as it is shown (laid over those before it)."""
    chunks = list(_chunks(data))
    names = [name for name, _ in chunks]
    width, height, depth, colour = _read_header(chunks)
    channels, _, key_lengths = _COLOURS[colour]
    channels += b"tRNS" in names and colour != 3
    check_size("PNG", width, height, max_pixels, channels * (depth // 16 + 1) + 4 * (channels in (2, 4)))
    needed = [chunk for chunk in chunks if chunk[0] != b"tRNS" or len(chunk[1]) in key_lengths]
    frames = _count_frames(chunks)
    check_frame(frame, frames)
    check_animation(frame, width, height, max_pixels)
    try:
        samples, unchecked = (_animation_frame(needed, frame, depth), False) if frame else _decode(needed)
    except (imagecodecs.PngError, imagecodecs.ApngError) as error:
        raise damaged("PNG", next(_COMPLAINTS[word] for word in _COMPLAINTS if word in str(error))) from error
    samples, alpha = split_alpha(samples)
    notes = {
        "The checksum at the end of the PNG's pixels is missing; all of its pixels are there.": unchecked,
        "The see-through colour that the PNG states does not fit its pixels, and is left out.": needed != chunks,
        "The PNG's end mark is missing; all of its pixels are there.": b"IEND" not in names,
    }
    return StoredPicture(
        samples,
        "PNG",
        alpha=alpha,
        orientation=orientation(_join(chunks, b"eXIf") or _exif_in_text(chunks)),
        frames=frames,
        notes=tuple(note for note, applies in notes.items() if applies),
        profile=_inflate(_join(chunks, b"iCCP").partition(b"\0")[2][1:], _LARGEST_PROFILE),
    )


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Give each chunk's name and body, to the end of the picture; a wrong checksum is an error."""
    position = len(_SIGNATURE)
    name, pixels = b"", False
    for _ in range(_MOST_CHUNKS):
        # Where only the end mark is missing, the file ends behind a chunk of pixels or later.
        if name == b"IEND" or (pixels and position == len(data)):
            return
        length = int.from_bytes(data[position : position + 4], "big")
        name, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise cut_short("PNG")
        body = data[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(data[end - 4 : end], "big"):
            raise damaged("PNG", "a checksum in it is wrong")
        pixels = pixels or name == b"IDAT"
        yield name, body
        position = end
    raise damaged("PNG", f"it has more than {_MOST_CHUNKS:,} parts")


def _join(chunks: Sequence[Chunk], name: bytes) -> bytes:
    return b"".join(body for kind, body in chunks if kind == name)


def _write(chunks: Sequence[Chunk]) -> bytes:
    """Write a PNG of these chunks."""
    parts = [_SIGNATURE]
    for name, body in [*chunks, (b"IEND", b"")]:
        parts += [struct.pack(">I", len(body)), name, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))]
    return b"".join(parts)


def _read_header(chunks: Sequence[Chunk]) -> tuple[int, int, int, int]:
    """Width, height, bits and the kind of colours."""
    names = [name for name, _ in chunks]
    if names[0] != b"IHDR" or names.count(b"IHDR") > 1 or len(chunks[0][1]) != 13:
        raise damaged("PNG", "it does not start with its header")
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if colour not in _COLOURS or depth not in _COLOURS[colour][1] or packing or filtering or interlace > 1:
        raise damaged("PNG", "its header names a way of storing pixels that does not exist")
    if colour == 3 and b"PLTE" not in names:
        raise damaged("PNG", "its colour table is missing")
    return width, height, depth, colour


def _decode(chunks: Sequence[Chunk]) -> tuple[Samples, bool]:
    """Decode the still picture to [H W C]; True where the checksum of its pixels is missing."""
    kept = [chunk for chunk in chunks if chunk[0] in _PIXEL_CHUNKS[:3]]
    packed = _join(chunks, b"IDAT")
    try:
        samples, missing = imagecodecs.png_decode(_write([*kept, (b"IDAT", packed)])), False
    except imagecodecs.PngError:
        width, height = struct.unpack(">II", chunks[0][1][:8])
        packed += zlib.adler32(_inflate(packed, 2 * height * (width * 8 + 1))).to_bytes(4, "big")
        samples, missing = imagecodecs.png_decode(_write([*kept, (b"IDAT", packed)])), True
    return samples.reshape(*samples.shape[:2], -1), missing


def _inflate(packed: bytes, most: int) -> bytes:
    """Unpack at most so many bytes; b"" where that fails."""
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error:
        return b""


def _count_frames(chunks: Sequence[Chunk]) -> int:
    """How many frames there are; a first picture that is no part of the animation counts as one."""
    names = [name for name, _ in chunks]
    if b"acTL" not in names:
        return 1
    frames = names.count(b"fcTL")
    if names.count(b"acTL") > 1 or int.from_bytes(_join(chunks, b"acTL")[:4], "big") != frames or frames > MOST_FRAMES:
        raise damaged("PNG", "frames of its animation are missing")
    first = next((name for name in names if name in (b"fcTL", b"IDAT")), b"")
    return frames + (first != b"fcTL")


def _animation_frame(chunks: Sequence[Chunk], frame: int, depth: int) -> Samples:
    """One frame laid over those before it, by Pillow."""
    if depth == 16:
        raise PictureError(
            "Of an animated PNG with 16 bits per channel only the first frame is read.", "Ask for frame 0."
        )
    needed = [chunk for chunk in chunks if chunk[0] in _PIXEL_CHUNKS]
    # Pillow leaves missing pixels black; this raises ApngError for them. Without blending it has nothing to warn of.
    unblended = [(name, body[:-1] + b"\0" if name == b"fcTL" else body) for name, body in needed]
    imagecodecs.apng_decode(_write(unblended), frame)
    opened = PngImagePlugin.PngImageFile(io.BytesIO(_write(needed)))
    opened.seek(frame)
    return samples_of(opened)


def _exif_in_text(chunks: Sequence[Chunk]) -> bytes:
    """The EXIF note as older programs store it: in hexadecimal, in a text chunk."""
    for name, body in chunks:
        key, _, text = body[: 2 * _LARGEST_TEXT].partition(b"\0")
        if name in (b"tEXt", b"zTXt") and key in (b"Raw profile type exif", b"Raw profile type APP1"):
            text = _inflate(text[1:], 2 * _LARGEST_TEXT) if name == b"zTXt" else text
            try:
                return bytes.fromhex(text.split(None, 2)[2].decode("ascii"))
            except (ValueError, IndexError):
                return b""
    return b""
