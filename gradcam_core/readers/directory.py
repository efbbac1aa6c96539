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
    """One page's tags: number -> (type, how many values, the values or where they lie)."""

    data: bytes = field(repr=False)
    order: str
    big: bool
    entries: Mapping[int, tuple[int, int, bytes]]
    size: int  # bytes of all tags
    following: int  # offset of the next directory, 0 for none

    def values(self, tag: int, most: int = MOST_VALUES) -> tuple[int, ...]:
        """The whole numbers under a tag, at most `most` of them; () where the tag is missing."""
        return tuple(int(value) for value in np.frombuffer(self.raw(tag, most), self._type(tag)))

    def number(self, tag: int, default: int) -> int:
        """The first whole number under a tag, however many are claimed."""
        return next(iter(self.values(tag, 1)), default)

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

    @property
    def orientation(self) -> int:
        """The orientation by EXIF, 1 to 8; 1 (upright) where nothing sensible is stated."""
        value = self.number(274, 1)
        return value if 1 <= value <= 8 else 1

    def _type(self, tag: int) -> np.dtype[np.generic]:
        kind = self.entries[tag][0] if tag in self.entries else 1
        if kind not in _TYPES:
            raise damaged("TIFF", f"tag {tag} has no whole numbers")
        return np.dtype(self.order + _TYPES[kind])


def read_directories(data: bytes) -> tuple[Directory, ...]:
    """Read the directory of every page. Pages may share bytes, but not so that their tags outgrow the file."""
    order, big, offset = _header(data)
    pages: dict[int, Directory] = {}
    size = 0
    while offset:
        if offset in pages or len(pages) == MOST_FRAMES or size > 4 * len(data):
            raise damaged("TIFF", "its list of pages never ends")
        pages[offset] = read_directory(data, order, big, offset)
        size += pages[offset].size
        offset = pages[offset].following
    return tuple(pages.values())


def read_directory(data: bytes, order: str, big: bool, offset: int) -> Directory:
    """Read which tags the directory at this offset has; at most 4,096, as no real page has more."""
    codes = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    count, entry, pointer = (struct.Struct(order + code) for code in codes)
    if offset + count.size > len(data):
        raise cut_short("TIFF")
    start = offset + count.size
    end = start + count.unpack_from(data, offset)[0] * entry.size
    if end - start > 4096 * entry.size or end > len(data):
        raise cut_short("TIFF")
    tags = {tag: (kind, values, place) for tag, kind, values, place in entry.iter_unpack(data[start:end])}
    # The last pointer may be missing; nothing follows then.
    following = pointer.unpack_from(data, end)[0] if end + pointer.size <= len(data) else 0
    return Directory(data, order, big, tags, end - start, following)


def _header(data: bytes) -> tuple[str, bool, int]:
    """Byte order, whether offsets have 64 bits, and the first directory's offset."""
    order = ">" if data[:2] == b"MM" else "<"
    try:
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        return order, big, struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    except struct.error as error:
        raise cut_short("TIFF") from error


def orientation(exif: bytes) -> int:
    """The orientation in an EXIF note; a damaged note counts as none."""
    exif = exif[: 1 << 16].removeprefix(b"Exif\0\0")
    try:
        return read_directory(exif, *_header(exif)).orientation
    except PictureError:
        return 1
