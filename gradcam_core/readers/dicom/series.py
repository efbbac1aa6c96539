"""Several DICOM files of one series -> one stack, in the order in which they lie in the body.

A stack is an uncompressed ZIP of the files, so that it is kept, hashed and read like any other file. It is told from
other ZIPs by the name of its first member.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from gradcam_core.errors import PictureError
from gradcam_core.kinds import HEAD_BYTES, STACK_FOLDER, recognise
from gradcam_core.readers.dicom.dataset import inflated
from gradcam_core.readers.dicom.frames import numbers
from gradcam_core.readers.stored import MOST_FRAMES, check_frame, damaged

LARGEST_MEMBER = 256 << 20
# What is unpacked of one ZIP: a stack that is larger would not be read.
LARGEST_ZIP = 256 << 20
# Where a slice belongs stands in its first part; a longer header would keep its reader busy.
LONGEST_HEADER = 4 << 20
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same files make the same stack, whenever it is made
_TAGS = ["SeriesInstanceUID", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "InstanceNumber"]
_PLANE = ["FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"]
_TAGS += _PLANE[1:]
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Slice:
    """Where a file belongs: its series by a hash (the number itself may identify a patient), and its place there."""

    content: bytes = field(repr=False)
    series: str
    depth: float | None
    number: float


def stacks_of(files: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Join DICOM files of one picture each that belong to one series into a stack; leave all others as they are.

    `files` are (name, content). A ZIP that holds such files is opened, and its other files are left out. A stack takes
    the place of its first file.
    """
    opened = [part for name, content in files for part in _members(name, content)]
    slices = [_slice_of(content) for _, content in opened]
    groups: dict[str, list[_Slice]] = {}
    for part in slices:
        if part is not None:
            groups.setdefault(part.series, []).append(part)
    result: list[tuple[str, bytes]] = []
    for (name, content), part in zip(opened, slices, strict=True):
        group = groups.get(part.series, []) if part else []
        different = list({slice.content: slice for slice in group}.values())
        if len(different) < 2:
            result.append((name, content))
        elif part is group[0]:
            result.append((f"{name} and {len(different) - 1} more", _packed(different)))
    return result


def read_slice(data: bytes, frame: int) -> tuple[bytes, int]:
    """The file of one slice of a stack, and how many slices there are. Raises PictureError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MOST_FRAMES:
                raise damaged("stack", "it has too many slices")
            check_frame(frame, len(members))
            return _unpacked(archive, members[frame]), len(members)
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


def _members(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The DICOM files in a ZIP; the file itself where it is another one, or a ZIP without any."""
    inside, room = list[tuple[str, bytes]](), LARGEST_ZIP
    if recognise(content).name == "ZIP":
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for place, member in enumerate(archive.infolist()[:MOST_FRAMES]):
                    if not member.is_dir() and recognise(_unpacked(archive, member, HEAD_BYTES)).name == "DICOM":
                        inside.append((f"{name} ({place + 1})", _unpacked(archive, member, room + 1)))
                        room -= len(inside[-1][1])
                    if room < 0:
                        raise PictureError("The ZIP holds too much.", "Give the files of one series.")
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, PictureError):
            inside = []
    yield from inside or [(name, content)]


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int = LARGEST_MEMBER) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
        raise NotImplementedError
    if member.file_size > LARGEST_MEMBER and most > HEAD_BYTES:
        raise PictureError("A slice of this stack is too large.", "Export the series with stronger compression.")
    with archive.open(member) as file:
        return file.read(most)


def _slice_of(content: bytes) -> _Slice | None:
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
        return _Slice(content, name, _depth(dataset), number[0] if number else 0.0)
    except Exception:  # a damaged file is no part of a stack; reading it says what is wrong with it
        return None


def _depth(dataset: Dataset) -> float | None:
    """How far along its own normal a slice lies, in mm (PS3.3, C.7.6.2.1.1)."""
    position, directions = (numbers(dataset.get(f"Image{name}Patient")) for name in ("Position", "Orientation"))
    if len(position) != 3 or len(directions) != 6:
        return None
    return float(np.dot(np.cross(directions[:3], directions[3:]), position))


def _packed(slices: list[_Slice]) -> bytes:
    known = all(part.depth is not None for part in slices)
    order = sorted(slices, key=lambda part: ((part.depth or 0.0) if known else 0.0, part.number))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for place, part in enumerate(order):
            archive.writestr(zipfile.ZipInfo(f"{STACK_FOLDER}{place + 1:05}.dcm", _WHEN), part.content)
    return stream.getvalue()
