"""Several DICOM files of one series -> one stack, in the order in which they lie in the body.

A stack is an uncompressed ZIP of the files, so that it is kept, hashed and read like any other file. It is told from
other ZIPs by the name of its first member.
"""

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8
from pydicom import dcmread
from pydicom.dataset import Dataset

from gradcam_core.errors import PictureError
from gradcam_core.kinds import HEAD_BYTES, STACK_FOLDER, recognise
from gradcam_core.readers.dicom.dataset import inflated
from gradcam_core.readers.dicom.frames import numbers
from gradcam_core.readers.stored import MOST_FRAMES, check_frame, damaged

LARGEST_MEMBER = 256 << 20
# What is unpacked of one ZIP: a stack that is larger would not be read.
LARGEST_ZIP = 512 << 20
# Where a slice belongs stands in its first part; a longer header would keep its reader busy.
LONGEST_HEADER = 4 << 20
# Slices this many times as far apart as usual, of at least so many distances, are said to have a gap between them.
GAP, FEWEST_APART, MOST_GAPS, LONGEST_COMMENT = 1.5, 2, 3, 200
_GAP = re.compile(r"([0-9]{1,5}):([0-9.]{1,8}):([0-9.]{1,8})")
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same files make the same stack, whenever it is made
_TAGS = ["SeriesInstanceUID", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "InstanceNumber"]
_PLANE = ["FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"]
_TAGS += _PLANE[1:]
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file belongs: its series by a hash (the number itself may identify a patient), and its place there."""

    series: str
    depth: float | None
    number: float


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A file by itself, or with its `content` one out of a ZIP. `place` is None where it belongs to no series."""

    place: Place | None
    content: UInt8[np.ndarray, "bytes"] | None = field(default=None, repr=False)


PartsOf = Callable[[bytes], Sequence[Part]]
Named = tuple[str, bytes]


def parts_of(content: bytes) -> tuple[Part, ...]:
    """The DICOM files in a ZIP; the file itself where it is another one, or a ZIP without any."""
    members = _members(content) if recognise(content).name == "ZIP" else []
    inside = tuple(Part(_place_of(member), np.frombuffer(member, np.uint8)) for member in members)
    return inside or (Part(_place_of(content)),)


def stacks_of(files: Sequence[Named], parts_of: PartsOf = parts_of) -> list[Named]:
    """Join DICOM files of one picture each that belong to one series into a stack; leave all others as they are.

    `files` are (name, content). A ZIP that holds such files is opened, and its other files are left out. A stack takes
    the place of its first file. `parts_of` opens a file, or the first part of a DICOM file, and may do so elsewhere.
    """
    opened = [part for file in files for part in _opened(file, parts_of)]
    groups: dict[str, dict[bytes, Place]] = {}
    for (_, content), place in opened:
        if place is not None:
            groups.setdefault(place.series, {}).setdefault(content, place)
    result: list[Named] = []
    for (name, content), place in opened:
        group = groups.get(place.series, {}) if place else {}
        if len(group) < 2:
            result.append((name, content))
        elif place is next(iter(group.values())):
            result.append((f"{name} and {len(group) - 1} more", _packed(group)))
    return result


def _opened(file: Named, parts_of: PartsOf) -> list[tuple[Named, Place | None]]:
    """The files in a file. One that cannot be opened is no part of a stack: reading it says what is wrong with it."""
    name, content = file
    kind = recognise(content).name
    if kind not in ("DICOM", "ZIP"):
        return [(file, None)]
    try:
        parts = parts_of(content if kind == "ZIP" else content[:LONGEST_HEADER])
    except (PictureError, MemoryError):
        return [(file, None)]
    return [
        (file if part.content is None else (f"{name} ({number})", part.content.tobytes()), part.place)
        for number, part in enumerate(parts, 1)
    ]


def read_slice(data: bytes, frame: int) -> tuple[bytes, int, tuple[str, ...]]:
    """The file of one slice of a stack, how many slices there are, and what is odd about the stack.

    Raises PictureError.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MOST_FRAMES:
                raise damaged("stack", "it has too many slices")
            check_frame(frame, len(members))
            return _unpacked(archive, members[frame]), len(members), _gap_words(archive.comment)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise damaged("stack", "it cannot be unpacked") from error


def read_planes(data: bytes) -> list[tuple[str, Numbers, Numbers]]:
    """The frame of reference, position and orientation of each slice of a stack; none where a slice lacks one."""
    planes = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist()[:MOST_FRAMES]:
                header = inflated(_unpacked(archive, member, LONGEST_HEADER), LONGEST_HEADER)
                dataset = dcmread(io.BytesIO(header), specific_tags=_PLANE, force=True, stop_before_pixels=True)
                reference, position, orientation = (dataset.get(name) for name in _PLANE)
                planes.append((str(reference or ""), tuple(numbers(position)), tuple(numbers(orientation))))
    except Exception:  # a damaged slice may be anything; the stack is written without the others then
        return []
    complete = all(plane[0] and (len(plane[1]), len(plane[2])) == (3, 6) for plane in planes)
    return planes if complete else []


def _members(content: bytes) -> list[bytes]:
    """The DICOM files in a ZIP; none where it is damaged or holds too much."""
    inside, room = list[bytes](), LARGEST_ZIP
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist()[:MOST_FRAMES]:
                if not member.is_dir() and recognise(_unpacked(archive, member, HEAD_BYTES)).name == "DICOM":
                    inside.append(_unpacked(archive, member, room + 1))
                    room -= len(inside[-1])
                if room < 0:
                    return []
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, PictureError):
        return []
    return inside


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int = LARGEST_MEMBER) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
        raise NotImplementedError
    if member.file_size > LARGEST_MEMBER and most > HEAD_BYTES:
        raise PictureError("A slice of this stack is too large.", "Export the series with stronger compression.")
    with archive.open(member) as file:
        return file.read(most)


def _place_of(content: bytes) -> Place | None:
    """Where a file belongs; None for one that is no DICOM picture of one frame."""
    if recognise(content).name != "DICOM":
        return None
    try:
        header = inflated(content[:LONGEST_HEADER], LONGEST_HEADER)
        dataset = dcmread(io.BytesIO(header), specific_tags=_TAGS, force=True, stop_before_pixels=True)
        series = str(dataset.get("SeriesInstanceUID", "") or "")
        if not series or int(dataset.get("NumberOfFrames") or 1) != 1:
            return None
        shape = [dataset.get(name) for name in ("Rows", "Columns", "SamplesPerPixel")]
        number = numbers(dataset.get("InstanceNumber"))
        name = hashlib.sha256(f"{series} {shape}".encode()).hexdigest()
        return Place(name, _depth(dataset), number[0] if number else 0.0)
    except Exception:  # a damaged file is no part of a stack; reading it says what is wrong with it
        return None


def _depth(dataset: Dataset) -> float | None:
    """How far along its own normal a slice lies, in mm (PS3.3, C.7.6.2.1.1)."""
    position, directions = (numbers(dataset.get(f"Image{name}Patient")) for name in ("Position", "Orientation"))
    if len(position) != 3 or len(directions) != 6:
        return None
    return float(np.dot(np.cross(directions[:3], directions[3:]), position))


def _packed(slices: Mapping[bytes, Place]) -> bytes:
    known = all(place.depth is not None for place in slices.values())
    order = sorted(slices.items(), key=lambda part: ((part[1].depth or 0.0) if known else 0.0, part[1].number))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = _gaps([place.depth or 0.0 for _, place in order] if known else []).encode()
        for number, (content, _) in enumerate(order, 1):
            archive.writestr(zipfile.ZipInfo(f"{STACK_FOLDER}{number:05}.dcm", _WHEN), content)
    return stream.getvalue()


def _gaps(depths: Sequence[float]) -> str:
    """Where slices lie farther apart than elsewhere: after which slice, how far, and how far elsewhere, in mm."""
    apart = np.diff(np.asarray(depths))
    usual = float(np.median(apart)) if len(apart) >= FEWEST_APART else 0.0
    places = np.flatnonzero(apart > GAP * usual)[:MOST_GAPS] if usual > 0 else ()
    return " ".join(f"{place + 1}:{apart[place]:.4g}:{usual:.4g}" for place in places)


def _gap_words(comment: bytes) -> tuple[str, ...]:
    """Sentences about the gaps that `_gaps` wrote into a stack. What it did not write is left out."""
    gaps = [_GAP.fullmatch(part) for part in comment[:LONGEST_COMMENT].decode("ascii", "replace").split()[:MOST_GAPS]]
    return tuple(
        f"Between slices {gap[1]} and {int(gap[1]) + 1} lie {gap[2]} mm, elsewhere {gap[3]} mm: a slice may be missing."
        for gap in gaps
        if gap
    )
