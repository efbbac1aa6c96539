"""Directories of tags: how TIFF files, and the EXIF notes of every format, keep their numbers.

Source: TIFF 6.0, section 2; the 64-bit variant is BigTIFF.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gradcam_core.errors import PictureError
from gradcam_core.readers.stored import MOST_FRAMES, cut_short, damaged

MOST_VALUES = 100_000
_ORIENTATION = 274
_TYPES = {
    **{1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4"},
    **{11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"},
}


@dataclass(frozen=True, slots=True)
class Directory:
    """One page's tags: number -> (type, how many values, the values or where they lie).

    `following` is the offset of the next directory, 0 for none.
    """

    data: bytes = field(repr=False)
    order: str
    entries: Mapping[int, tuple[int, int, bytes]]
    following: int
    big: bool = False

    def values(self, tag: int, most: int = MOST_VALUES) -> tuple[int, ...]:
        """The whole numbers under a tag, at most `most` of them; () where the tag is missing."""
        return tuple(int(value) for value in np.frombuffer(self.raw(tag, most), self._type(tag)))

    def number(self, tag: int, default: int) -> int:
        """The first whole number under a tag, however many are claimed."""
        values = self.values(tag, 1)
        return values[0] if values else default

    def raw(self, tag: int, most: int = MOST_VALUES) -> bytes:
        """The bytes of a tag's first `most` values. Raises PictureError where they lie outside the file."""
        if tag not in self.entries:
            return b""
        _, count, place = self.entries[tag]
        size = self._type(tag).itemsize
        length = min(count, most) * size
        if count * size <= len(place):
            return place[:length]
        start = int.from_bytes(place, "little" if self.order == "<" else "big")
        if start + length > len(self.data):
            raise cut_short("TIFF")
        return self.data[start : start + length]

    def _type(self, tag: int) -> np.dtype[np.generic]:
        kind = self.entries[tag][0] if tag in self.entries else 1
        if kind not in _TYPES:
            raise damaged("TIFF", f"tag {tag} has no whole numbers")
        return np.dtype(self.order + _TYPES[kind])


def read_directories(data: bytes) -> tuple[Directory, ...]:
    """Read the directory of every page."""
    first, offset, big = _header(data)
    pages: dict[int, Directory] = {}
    while offset:
        if offset in pages or len(pages) == MOST_FRAMES:
            raise damaged("TIFF", "its list of pages never ends")
        pages[offset] = read_directory(data, first, offset, big)
        offset = pages[offset].following
    return tuple(pages.values())


def read_directory(data: bytes, order: str, offset: int, big: bool = False) -> Directory:
    """Read which tags the directory at this offset has; at most 4,096, as no real page has more."""
    count, entry, pointer = (
        struct.Struct(order + code) for code in (("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I"))
    )
    try:
        (entries,) = count.unpack_from(data, offset)
        start = offset + count.size
        end = start + entries * entry.size
        if entries > 4096 or end > len(data):
            raise cut_short("TIFF")
        # The last pointer may be missing; nothing follows then.
        following = pointer.unpack_from(data, end)[0] if end + pointer.size <= len(data) else 0
    except struct.error as error:
        raise cut_short("TIFF") from error
    tags = {tag: (kind, values, place) for tag, kind, values, place in entry.iter_unpack(data[start:end])}
    return Directory(data, order, tags, following, big)


def _header(data: bytes) -> tuple[str, int, bool]:
    """Byte order, the first directory's offset, and whether offsets have 64 bits."""
    order = ">" if data[:2] == b"MM" else "<"
    try:
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        return order, struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0], big
    except struct.error as error:
        raise cut_short("TIFF") from error


def upright(page: Directory) -> int:
    """The orientation that a page states, 1 to 8 by EXIF; 1 (upright) where it states nothing sensible."""
    value = page.number(_ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def orientation(exif: bytes) -> int:
    """The orientation in an EXIF note; a damaged note counts as none."""
    exif = exif[: 1 << 16].removeprefix(b"Exif\0\0")
    try:
        order, offset, big = _header(exif)
        return upright(read_directory(exif, order, offset, big))
    except PictureError:
        return 1
