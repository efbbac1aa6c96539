"""JPEG, also the main picture of a phone's MPO file.

Where data are missing the decoder paints grey and keeps silent (libjpeg only warns). So the file is
taken apart first, only what the picture needs is decoded, and it is proven to be complete.
Source: ITU-T T.81, annexes B and E.
"""

import re
from collections.abc import Callable, Iterator, Sequence
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
_START_OF_SCAN, _END = 0xDA, 0xD9
# Headers, tables (Huffman, quantisation, restarts) and scans.
_NEEDED = {*_FRAMES, 0xC4, 0xDB, 0xDD, _START_OF_SCAN}
_WITHOUT_BODY = {0x01, *range(0xD0, 0xD9)}
# Each scan costs a pass over all pixels and takes a few bytes to ask for; real pictures have some ten.
_MOST_SCANS = 100

_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_SCAN_END = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])")
# Varied, and begun with a one, since a decoder without data goes on with zeros.
_FILLER = bytes((181 + 73 * step) % 255 for step in range(64))


# A marker, its body, and the coded data behind it.
Segment = tuple[int, bytes, bytes]


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
    segments = list(_segments(data))
    headers = [(marker, body) for marker, body, _ in segments if marker in _FRAMES]
    scans = [body for marker, body, _ in segments if marker == _START_OF_SCAN]
    if not headers or not scans:
        raise damaged("JPEG", "it holds no picture")
    if len(headers) > 1:
        raise damaged("JPEG", "it has two headers")
    start = _check_header(*headers[0])
    _check_scans(start, scans)
    needed = [segment for segment in segments if segment[0] in _NEEDED or _tells_colours(*segment[:2])]
    return _Jpeg(
        size=(int.from_bytes(start[3:5], "big"), int.from_bytes(start[1:3], "big")),
        plain=_write(needed, lambda coded: coded),
        stuffed=_write(needed, _stuff),
        exif=next((body for marker, body, _ in segments if marker == 0xE1 and body.startswith(b"Exif\0")), b""),
        mpo=any(marker == 0xE2 and body.startswith(b"MPF\0") for marker, body, _ in segments),
    )


def _segments(data: bytes) -> Iterator[Segment]:
    """Give the segments of the first picture in the file; what lies behind its end does not count."""
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


def _check_scans(start: bytes, scans: Sequence[bytes]) -> None:
    """Refuse scans that do not bring all 64 frequencies of every component down to the last bit."""
    if len(scans) > _MOST_SCANS:
        raise damaged("JPEG", f"it is made of {len(scans)} scans, where some ten are usual")
    bits_left = {(component, frequency): 1 for component in start[6::3] for frequency in range(64)}
    for scan in scans:
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            raise cut_short("JPEG")
        first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
        for component in scan[1 : 1 + 2 * count : 2]:
            bits_left |= {(component, frequency): bits & 15 for frequency in range(first, last + 1)}
    if any(bits_left.values()):
        raise cut_short("JPEG")


def _tells_colours(marker: int, body: bytes) -> bool:
    return (marker == 0xE0 and body.startswith(b"JFIF\0")) or (marker == 0xEE and body.startswith(b"Adobe"))


def _write(segments: Sequence[Segment], change: Callable[[bytes], bytes]) -> bytes:
    """Write a JPEG anew, of these segments only, with the coded data of its scans changed."""
    parts = [b"\xff\xd8"]
    for marker, body, coded in segments:
        parts += [bytes([0xFF, marker]), (len(body) + 2).to_bytes(2, "big"), body]
        if marker == _START_OF_SCAN:
            parts.append(change(coded))
    return b"".join([*parts, b"\xff\xd9"])


def _stuff(coded: bytes) -> bytes:
    """Put filler behind each run of coded data, and one run more behind the last."""
    restarts = [found[1][0] - 0xD0 for found in _RESTART.finditer(coded)]
    if restarts != [count % 8 for count in range(len(restarts))]:
        raise damaged("JPEG", "a part in its middle is missing")
    following = bytes([0xFF, 0xD0 + len(restarts) % 8])
    return _RESTART.sub(lambda found: _FILLER + found[0], coded) + _FILLER + following + _FILLER
