"""JPEG, also the main picture of a phone's MPO file.

Where data are missing the decoder paints grey and keeps silent (libjpeg only warns). So the file is
taken apart first, only what the picture needs is decoded, and it is proven to be complete.
Source: ITU-T T.81, annexes B and E.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageChops

from gradcam_core.errors import PictureError
from gradcam_core.readers.raster import decode, stored
from gradcam_core.readers.stored import StoredPicture, check_frame, check_size, cut_short, damaged
from gradcam_core.readers.tags import orientation

_MPO_NOTE = "The file holds further pictures (MPO); the main one is read."
# Baseline, extended and progressive, all with Huffman codes; the others no browser shows either.
_FRAMES_READ = {0xC0, 0xC1, 0xC2}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = {0xC4, 0xDB, 0xDD}
_START_OF_SCAN, _END = 0xDA, 0xD9
_WITHOUT_BODY = {0x01, *range(0xD0, 0xD9)}
# Each scan costs a pass over all pixels and takes a few bytes to ask for; real pictures have some ten.
_MOST_SCANS = 100

_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_SCAN_END = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])")
_FILLER = bytes((41 + 73 * step) % 255 for step in range(64))


@dataclass(frozen=True, slots=True)
class _Jpeg:
    """A JPEG without its extras. `stuffed` is the same picture with filler behind each run of coded data."""

    size: tuple[int, int]
    plain: bytes
    stuffed: bytes
    exif: bytes
    mpo: bool


def read_jpeg(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read a JPEG in grey, colour or inks."""
    parts = _take_apart(data)
    check_size("JPEG", *parts.size, max_pixels)
    check_frame(frame, 1)
    note = (_MPO_NOTE,) if parts.mpo else ()
    return stored(_decode_whole(parts), "JPEG", turned=orientation(parts.exif), notes=note)


def decode_block(data: bytes, tables: bytes, size: tuple[int, int], in_rgb: bool) -> Image.Image:
    """Decode a strip or tile of a TIFF, of this (width, height). `tables` come from the page's tag 347."""
    # An Adobe segment says whether the colours are stored as RGB (0) or YCbCr (1).
    colours = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0" + bytes([not in_rgb])
    parts = _take_apart(data[:2] + colours + tables[2:-2] + data[2:])
    if parts.size != size:
        raise damaged("TIFF", "its blocks are not as large as its header says")
    return _decode_whole(parts)


def _decode_whole(parts: _Jpeg) -> Image.Image:
    """Decode, and prove that no data were missing.

    A decoder that has read a run of coded data to the end of its pixels skips what follows, up to
    the next marker; one that still lacks data takes filler for pixels. So the two decoded
    pictures are equal only if the file is complete.
    """
    picture = decode(parts.plain, "JPEG")
    if picture.size != parts.size or ImageChops.difference(picture, decode(parts.stuffed, "JPEG")).getbbox():
        raise cut_short("JPEG")
    return picture


def _take_apart(data: bytes) -> _Jpeg:
    start = exif = b""
    plain, stuffed, scans, mpo = [b"\xff\xd8"], [b"\xff\xd8"], 0, False
    for marker, body, coded in _segments(data):
        segment = bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
        if marker in _FRAMES:
            if start:
                raise damaged("JPEG", "it has two headers")
            start = _check_header(marker, body)
        elif marker == _START_OF_SCAN:
            scans += 1
        elif marker == 0xE1 and body.startswith(b"Exif\0"):
            exif = exif or body
        elif marker == 0xE2 and body.startswith(b"MPF\0"):
            mpo = True
        if marker in _FRAMES | _TABLES | {_START_OF_SCAN} or _tells_colours(marker, body):
            plain += [segment, coded]
            stuffed += [segment, _stuff(coded) if marker == _START_OF_SCAN else b""]
    if not start or not scans:
        raise damaged("JPEG", "it holds no picture")
    if scans > _MOST_SCANS:
        raise damaged("JPEG", f"it is made of {scans} scans, where some ten are usual")
    end = b"\xff\xd9"
    size = int.from_bytes(start[3:5], "big"), int.from_bytes(start[1:3], "big")
    return _Jpeg(size, b"".join(plain) + end, b"".join(stuffed) + end, exif, mpo)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Give each segment's marker, its body, and the coded data behind it, up to the end of the picture."""
    position = 2
    while True:
        found = _MARKER.search(data, position)
        if not found:
            raise cut_short("JPEG")
        marker, position = found[1][0], found.end()
        if marker == _END:
            return
        if marker in _WITHOUT_BODY:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        body, position = data[position + 2 : position + length], position + length
        if position > len(data):
            raise cut_short("JPEG")
        coded = b""
        if marker == _START_OF_SCAN:
            found = _SCAN_END.search(data, position)
            if not found:
                raise cut_short("JPEG")
            coded, position = data[position : found.start()], found.start()
        yield marker, body, coded


def _check_header(marker: int, body: bytes) -> bytes:
    if marker not in _FRAMES_READ or body[:1] != b"\x08":
        raise PictureError(
            "This is a rare kind of JPEG (lossless, arithmetic or of more than 8 bits), which is not read.",
            "Save it as PNG or TIFF, or as an ordinary JPEG.",
        )
    return body


def _tells_colours(marker: int, body: bytes) -> bool:
    return (marker == 0xE0 and body.startswith(b"JFIF\0")) or (marker == 0xEE and body.startswith(b"Adobe"))


def _stuff(coded: bytes) -> bytes:
    """Put filler behind each run of coded data, and one run more behind the last."""
    restarts = [found[1][0] - 0xD0 for found in _RESTART.finditer(coded)]
    if restarts != [count % 8 for count in range(len(restarts))]:
        raise damaged("JPEG", "a part in its middle is missing")
    following = bytes([0xFF, 0xD0 + len(restarts) % 8])
    return _RESTART.sub(lambda found: _FILLER + found[0], coded) + _FILLER + following + _FILLER
