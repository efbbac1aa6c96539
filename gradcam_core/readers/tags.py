"""Directories of tags: how TIFF files, and the EXIF notes of every format, keep their numbers.

Source: TIFF 6.0, section 2; the 64-bit variant is BigTIFF.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gradcam_core.errors import PictureError
from gradcam_core.readers.stored import cut_short, damaged

_ORIENTATION = 274
_MOST_PAGES = 65_535
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}


@dataclass(frozen=True, slots=True)
class Header:
    """Byte order ("<" or ">") and the width of offsets, with where the first directory lies."""

    order: str
    big: bool
    first: int

    @property
    def count(self) -> struct.Struct:
        """How the number of a directory's entries is written."""
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def offset(self) -> struct.Struct:
        """How a place in the file is written."""
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, number of values, and the values themselves or where they lie."""
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))


@dataclass(frozen=True, slots=True)
class Directory:
    """One page's tags; values are looked up in the file when they are asked for."""

    data: bytes = field(repr=False)
    header: Header
    entries: Mapping[int, tuple[int, int, bytes]]

    def numbers(self, tag: int, *default: int) -> tuple[int, ...]:
        """The whole numbers under a tag, or the default where the tag is missing."""
        if tag not in self.entries:
            return default
        kind, count, field = self.entries[tag]
        if kind not in _INTEGERS or not count:
            raise damaged("TIFF", f"tag {tag} holds no whole numbers")
        dtype = np.dtype(self.header.order + _INTEGERS[kind])
        inline = count * dtype.itemsize <= len(field)
        source, start = (field, 0) if inline else (self.data, self.header.offset.unpack(field)[0])
        if start + count * dtype.itemsize > len(source):
            raise cut_short("TIFF")
        values: list[int] = np.frombuffer(source, dtype, count, start).tolist()
        return tuple(values)

    def number(self, tag: int, default: int) -> int:
        """The first whole number under a tag."""
        return self.numbers(tag, default)[0]


def read_header(data: bytes) -> Header:
    """Read how the file is written, off its first bytes."""
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    first = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    return Header(order, big, first)


def page_offsets(data: bytes, header: Header) -> tuple[int, ...]:
    """Where each page's directory lies, without reading the directories."""
    offsets: dict[int, None] = {}
    following = header.first
    while following:
        if following in offsets or len(offsets) == _MOST_PAGES:
            raise damaged("TIFF", "its list of pages never ends")
        offsets[following] = None
        if following + header.count.size > len(data):
            raise cut_short("TIFF")
        entries = header.count.unpack_from(data, following)[0]
        end = following + header.count.size + entries * header.entry.size
        if end + header.offset.size > len(data):
            raise cut_short("TIFF")
        following = header.offset.unpack_from(data, end)[0]
    return tuple(offsets)


def read_directory(data: bytes, header: Header, offset: int) -> Directory:
    """Read which tags the directory at this offset has."""
    count = header.count.unpack_from(data, offset)[0]
    start = offset + header.count.size
    listing = data[start : start + count * header.entry.size]
    if len(listing) < count * header.entry.size:
        raise cut_short("TIFF")
    entries = {tag: (kind, count, field) for tag, kind, count, field in header.entry.iter_unpack(listing)}
    return Directory(data, header, entries)


def upright(directory: Directory) -> int:
    """How the picture must be turned, 1 to 8 by EXIF; 1 (as it is) where nothing sensible is noted."""
    value = directory.number(_ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def orientation(exif: bytes) -> int:
    """The same, off an EXIF note. A damaged note must not cost the picture, so it counts as none."""
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        header = read_header(exif)
        return upright(read_directory(exif, header, header.first))
    except (PictureError, struct.error):
        return 1
