"""JPEG, also the main picture of a phone's MPO file, by libjpeg-turbo.

Where data are missing libjpeg paints grey and only warns, so every warning refuses the file. Harmless
oddities would do so too: the file is written again first, from the parts that make the picture, with
what is merely odd put right and said in a note. Source: ITU-T T.81, annexes B and E.
"""

import dataclasses
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import ImageChops, JpegImagePlugin

from gradcam_core.readers.directory import orientation
from gradcam_core.readers.stored import (
    INK_NOTE,
    StoredPicture,
    check_frame,
    check_size,
    cut_short,
    damaged,
    not_read,
    reader,
    to_rgb,
)

_RARE = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "is lossless"),
    **dict.fromkeys((0xC9, 0xCA, 0xCD, 0xCE), "has arithmetic coding"),
    **dict.fromkeys((0xC5, 0xC6), "is hierarchical"),
    0xF7: "is of the kind JPEG-LS",
}
_PROGRESSIVE, _SCAN, _END, _RESTARTS, _SURPLUS = 0xC2, 0xDA, 0xD9, 0xDD, 0x00
_FRAMES = {0xC0, 0xC1, _PROGRESSIVE, *_RARE}
# Besides the frame's header: Huffman and quantisation tables, restarts, scans.
_NEEDED = {0xC4, 0xDB, _RESTARTS, _SCAN}
# Each scan costs a pass over all pixels and takes a few bytes to ask for; real pictures have some ten.
_MOST_SCANS, _MOST_SEGMENTS = 100, 10_000

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Varied, and starting with a 1 bit: a decoder that lacks data goes on with zeros.
_FILLER = bytes((181 + 73 * step) % 255 for step in range(64))

_JFIF = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"

_END_NOTE = "The JPEG's end mark is missing; all of its pixels are there."
_SURPLUS_NOTE = "The JPEG contains surplus bytes, which are skipped."

# A marker, its body, and the coded data behind it.
Segment = tuple[int, bytes, bytes]
Pixels8 = UInt8[np.ndarray, "H W C"]


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG taken apart: `header` is the body of its frame header, `segments` make the picture."""

    header: bytes
    segments: tuple[Segment, ...]
    colours: bytes
    exif: bytes
    profile: bytes
    notes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of pixels."""
        return int.from_bytes(self.header[3:5], "big"), int.from_bytes(self.header[1:3], "big")

    @property
    def components(self) -> int:
        """1 for grey, 3 for colour, 4 for inks."""
        return self.header[5]


@reader("JPEG")
def read_jpeg(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read a JPEG in grey, colour or inks."""
    parts = take_apart(data)
    if parts.components == 2:
        raise not_read("JPEG", "has two channels")
    check_size("JPEG", *parts.size, max_pixels, parts.components)
    check_frame(frame, 1)
    samples, notes = decode(parts, "JPEG")
    if parts.components == 4:
        # Adobe's programs store inks inverted, and every other program follows them.
        samples, notes = to_rgb("CMYK", 255 - samples if b"Adobe" in parts.colours else samples), (*notes, INK_NOTE)
    return StoredPicture(
        samples, "JPEG", orientation=orientation(parts.exif), notes=parts.notes + notes, profile=parts.profile
    )


def take_apart(data: bytes, tables: bytes = b"", colours: bytes | None = None) -> Jpeg:
    """Read a JPEG's segments. For TIFF, `tables` come before it, and `colours` replace its own words on them."""
    segments = [*(_segments(tables) if tables else ()), *_segments(data)]
    kinds = [marker for marker, _, _ in segments]
    if _SCAN not in kinds:
        raise damaged("JPEG", "it contains no picture") if _END in kinds else cut_short("JPEG")
    frame, header = _read_header(segments)
    needed = [segment for segment in segments if segment[0] in {frame, *_NEEDED}]
    own, odd = _colours(segments, header[5])
    chunks = [body for marker, body, _ in segments if marker == 0xE2]
    notes = {
        "The file holds further pictures (MPO); the main one is read.": any(body[:4] == b"MPF\0" for body in chunks),
        _END_NOTE: kinds[-1] != _END,
        _SURPLUS_NOTE: _SURPLUS in kinds,
        "The JPEG states a kind of colours that does not exist; the usual kind was assumed.": odd,
    }
    return Jpeg(
        header=header,
        segments=tuple(_check_scans(frame == _PROGRESSIVE, header, needed)),
        colours=own if colours is None else colours,
        exif=next((body for marker, body, _ in segments if marker == 0xE1 and body.startswith(b"Exif\0")), b""),
        profile=b"".join(body[14:] for body in chunks if body.startswith(b"ICC_PROFILE\0")),
        notes=tuple(note for note, applies in notes.items() if applies),
    )


def _segments(data: bytes) -> Iterator[Segment]:
    """Give the segments up to the end mark, and _SURPLUS for bytes between them that belong to none."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        match = _MARKER.search(data, position)
        if not match:
            return
        if data[position : match.start()].strip(b"\xff"):
            yield _SURPLUS, b"", b""
        marker, position = match[0][1], match.end()
        if marker == _END:
            yield _END, b"", b""
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a body
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        body, position = data[position + 2 : position + length], position + length
        if length < 2 or position > len(data):
            return
        coded = b""
        if marker == _SCAN:
            match = _SCAN_END.search(data, position)
            end = match.start() if match else len(data)
            coded, position = data[position:end].rstrip(b"\xff"), end
        yield marker, body, coded
    raise damaged("JPEG", f"it has more than {_MOST_SEGMENTS:,} segments")


def _read_header(segments: Sequence[Segment]) -> tuple[int, bytes]:
    """The kind and the body of the frame header, which lists the channels."""
    headers = [(marker, body) for marker, body, _ in segments if marker in _FRAMES]
    if len(headers) != 1:
        raise damaged("JPEG", "it has two headers" if headers else "its header is missing")
    marker, header = headers[0]
    if marker in _RARE:
        raise not_read("JPEG", _RARE[marker])
    if header[:1] != b"\x08":
        raise not_read("JPEG", f"has {header[0] if header else 0} bits per channel")
    if len(header) < 6 or header[5] not in (1, 2, 3, 4) or len(header) < 6 + 3 * header[5]:
        raise damaged("JPEG", "its header does not list its channels")
    return marker, header


def _check_scans(progressive: bool, header: bytes, segments: Sequence[Segment]) -> Iterator[Segment]:
    """Give the segments. Refuse scans that leave out one of the 64 frequencies of a channel, or its last bits.

    Sequential files have all of them in each scan, whatever the scan's header states: Samsung's cameras
    write other numbers there, which are put right.
    """
    if sum(marker == _SCAN for marker, _, _ in segments) > _MOST_SCANS:
        raise damaged("JPEG", f"it is made of more than {_MOST_SCANS} scans, where some ten are usual")
    bits_left = {(channel, frequency): 1 for channel in header[6 : 6 + 3 * header[5] : 3] for frequency in range(64)}
    for marker, body, coded in segments:
        if marker == _SCAN:
            end = 1 + 2 * body[0] if body else 0
            if len(body) < end + 3:
                raise cut_short("JPEG")
            body = body if progressive else body[:end] + b"\x00\x3f\x00"
            first, last, bits = body[end : end + 3]
            for channel in body[1:end:2]:
                bits_left |= {(channel, frequency): bits & 15 for frequency in range(first, last + 1)}
        yield marker, body, coded
    if any(bits_left.values()):
        raise cut_short("JPEG")


def _colours(segments: Sequence[Segment], channels: int) -> tuple[bytes, bool]:
    """The segments that state how colours are stored, written plainly, and whether they were odd."""
    jfif = any(marker == 0xE0 and body.startswith(b"JFIF\0") for marker, body, _ in segments)
    adobe = next((body for marker, body, _ in segments if marker == 0xEE and body.startswith(b"Adobe")), b"")
    if len(adobe) < 12:
        return _JFIF * jfif, False
    known = {3: (0, 1), 4: (0, 2)}.get(channels, (0,))
    odd = adobe[11] not in known
    return _JFIF * jfif + in_adobe(known[-1] if odd else adobe[11]), odd


def in_adobe(transform: int) -> bytes:
    """Adobe's segment: 0 for colours as stored, 1 for brightness and colour differences, 2 for the same with black."""
    return b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def decode(parts: Jpeg, kind: str) -> tuple[Pixels8, tuple[str, ...]]:
    """Decode to [H W 1], RGB or inks as stored. Raises PictureError where a single pixel had no data."""
    if parts.components == 2:
        both, notes = decode(_with_third(parts), kind)
        return both[..., :2], notes
    colours = {1: "GRAY", 3: "RGB", 4: "CMYK"}[parts.components]
    plain = _write(parts, lambda coded: coded)
    surplus = 0
    try:
        samples = simplejpeg.decode_jpeg(plain, colours, strict=True)
    except ValueError as error:
        if "subsampling" in str(error):
            return _decode_twice(parts, plain), ()
        surplus = _surplus(str(error), kind)
        # Before a restart libjpeg skips to the next marker, so pixels may be missing behind the complaint.
        restarts = any(marker == _RESTARTS and body.strip(b"\0") for marker, body, _ in parts.segments)
        samples = _decode_twice(parts, plain) if restarts else simplejpeg.decode_jpeg(plain, colours, strict=False)
    # Zeros decode as pixels: a cut file that was filled up with them would seem complete.
    zeros = len(plain) - 2 - len(plain[:-2].rstrip(b"\0"))
    if (surplus or _END_NOTE in parts.notes) and zeros > surplus + 1:
        raise cut_short(kind)
    return samples, (_SURPLUS_NOTE,) * (surplus > 0 and _SURPLUS_NOTE not in parts.notes)


def _surplus(complaint: str, kind: str) -> int:
    """How many bytes libjpeg saw behind the last pixel; any complaint about something else raises PictureError.

    libjpeg stops at its first complaint: without restarts, all pixels came before this one.
    """
    surplus = re.search(r"(\d+) extraneous bytes before marker 0xd9", complaint)
    if surplus:
        return int(surplus[1])
    if "premature end" in complaint:
        raise cut_short(kind)
    missing = "marker" in complaint
    raise damaged(kind, "a part in its middle is missing" if missing else "its coded pixels contain errors")


def _with_third(parts: Jpeg) -> Jpeg:
    """Add an empty third channel to two, which libjpeg-turbo does not decode."""
    header = parts.header[:5] + b"\3" + parts.header[6:12] + b"\xfe\x11" + parts.header[8:9]
    segments = ((marker, header if body == parts.header else body, coded) for marker, body, coded in parts.segments)
    return dataclasses.replace(parts, header=header, segments=tuple(segments), colours=in_adobe(0))


def _decode_twice(parts: Jpeg, plain: bytes) -> Pixels8:
    """Decode with Pillow, and prove that no data were missing.

    Pillow does not report libjpeg's warnings. But a decoder that has read a run of coded data to the end
    of its pixels skips what follows, and one that lacks data takes filler for pixels: so both pictures
    are equal only if the file is complete.
    """
    first, second = (JpegImagePlugin.JpegImageFile(io.BytesIO(file)) for file in (plain, _write(parts, _stuff)))
    if first.size != parts.size or ImageChops.difference(first, second).getbbox():
        raise cut_short("JPEG")
    samples = np.asarray(first).reshape(first.height, first.width, -1)
    return 255 - samples if first.mode == "CMYK" and b"Adobe" in parts.colours else samples


def _write(parts: Jpeg, change: Callable[[bytes], bytes]) -> bytes:
    """Write the JPEG again, with the coded data of its scans changed."""
    file = [b"\xff\xd8", parts.colours]
    for marker, body, coded in parts.segments:
        file += [bytes([0xFF, marker]), (len(body) + 2).to_bytes(2, "big"), body]
        if marker == _SCAN:
            file.append(change(coded))
    return b"".join([*file, b"\xff\xd9"])


def _stuff(coded: bytes) -> bytes:
    """Put filler behind each run of coded data, and one more run behind the last."""
    restarts = [restart[0][1] - 0xD0 for restart in _RESTART.finditer(coded)]
    if restarts != [count % 8 for count in range(len(restarts))]:
        raise damaged("JPEG", "a part in its middle is missing")
    following = bytes([0xFF, 0xD0 + len(restarts) % 8])
    return _RESTART.sub(lambda restart: _FILLER + restart[0], coded) + _FILLER + following + _FILLER
