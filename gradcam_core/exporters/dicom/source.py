"""The DICOM file that was explained: what the objects about it repeat and refer to."""

import hashlib
import io
import logging
import math
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from gradcam_core.errors import PictureError
from gradcam_core.kinds import recognise
from gradcam_core.readers.dicom.dataset import inflated
from gradcam_core.readers.dicom.frames import of_frame
from gradcam_core.readers.dicom.series import read_planes, read_slice
from gradcam_core.readers.dicom.size import spacing_of
from gradcam_core.records import ImageRecord

# It quotes odd values, such as a patient's name, in warnings and logs; pydicom is silenced where it reads.
warnings.filterwarnings("ignore", module=r"highdicom(\.|$)")
logging.getLogger("highdicom").setLevel(logging.CRITICAL)

# What reading a damaged value raises in pydicom.
FAULTS = (ValueError, TypeError, ArithmeticError, LookupError, NotImplementedError, AttributeError, struct.error)
IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
# The letters of Patient Orientation, as directions in DICOM's patient coordinates.
DIRECTIONS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plane:
    """How the frame lies in the patient, in mm.

    `reference` is its frame of reference, "" where the file has none: the directions are known then, not the place.
    `orientation` has the direction along a row, then along a column. `thickness` is None where it is not stated.
    """

    reference: str
    position: Numbers
    orientation: Numbers
    thickness: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The header of the file, without pixels.

    `frame` counts from 1; 0 where the file has a single frame. `shape` is (rows, columns). `spacing` is mm per row and
    column, None where it is not known; `at_detector` says that it was measured on the detector, not in the patient.
    `stack` has the positions of all parallel slices or frames in their order, of which `place` is the explained one; it
    is empty where they are not all known.
    """

    header: Dataset
    frame: int
    shape: tuple[int, int]
    spacing: tuple[float, float] | None
    at_detector: bool
    plane: Plane | None
    stack: tuple[Numbers, ...]
    place: int

    @property
    def uid(self) -> str:
        """Its SOP Instance UID."""
        return str(self.header.SOPInstanceUID)


def read_source(content: bytes, image: ImageRecord) -> Source:
    """Read the header of the DICOM file that a picture was read from. Raises PictureError."""
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise PictureError("The DICOM file is another one than the picture explained.", "Give the file that was read.")
    frame_of_file, slices = image.frame, list[tuple[str, Numbers, Numbers]]()
    if recognise(content).name == "DICOM series":
        slices = read_planes(content)
        content, frame_of_file = read_slice(content, image.frame)[0], 0
    try:
        header = dcmread(io.BytesIO(inflated(content)), stop_before_pixels=True, force=True)
    except (*FAULTS, InvalidDicomError, EOFError, OSError) as error:
        raise PictureError("The file is no DICOM file.", "Give none for an ordinary picture.") from error
    missing = [keyword for keyword in IDENTIFIERS if not text_of(header, keyword)]
    shape = numbers_of(header, "Rows", 1), numbers_of(header, "Columns", 1)
    if missing or shape[0] is None or shape[1] is None:
        raise PictureError(
            "The DICOM file does not name itself, its series and its study: no other object can refer to it.",
            "Export it again from the archive that it comes from, or write without it.",
        )
    rows, columns = int(shape[0][0]), int(shape[1][0])
    check_shape(image, (rows, columns))
    frames = (numbers_of(header, "NumberOfFrames", 1) or (1.0,))[0]
    groups = functional_groups(header, frame_of_file)
    spacing, at_detector = spacing_of(of_frame(header, frame_of_file))
    frame = frame_of_file + 1 if frames > 1 or "PerFrameFunctionalGroupsSequence" in header else 0
    plane = _plane(header, groups)
    stack = _stack(plane, slices or _frames(header, int(frames)))
    return Source(header, frame, (rows, columns), spacing, at_detector, plane, stack, image.frame)


def check_shape(image: ImageRecord, shape: tuple[int, int]) -> None:
    """Raise PictureError where the picture cannot be the file's frame, stretched along one side at most."""
    if image.height != shape[0] and image.width != shape[1]:
        raise PictureError("The picture is not as large as the DICOM file's.", "Read it from this file again.")


def element_of(dataset: Dataset, keyword: str) -> DataElement | None:
    """Return an element, None where it is absent, empty or damaged."""
    try:
        element = dataset[keyword]
    except FAULTS:
        return None
    return None if element.is_empty else element


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an element's value as text, "" where there is none."""
    element = element_of(dataset, keyword)
    return "" if element is None else str(element.value)


def numbers_of(dataset: Dataset, keyword: str, count: int) -> Numbers | None:
    """Return so many finite numbers of an element; None where it has not that many."""
    element = element_of(dataset, keyword)
    if element is None:
        return None
    values = [element.value] if element.VM == 1 else list(element.value)
    try:
        numbers = tuple(float(value) for value in values)
    except FAULTS:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def functional_groups(header: Dataset, frame: int) -> tuple[Dataset, ...]:
    """Where a frame's geometry can stand: in its own group, the shared one, or the header itself."""
    places = [header]
    for keyword, place in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        element = element_of(header, keyword)
        if element is not None and place < len(element.value):
            group = element.value[place]
            inner = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
            items = [element_of(group, name) for name in inner]
            places += [item.value[0] for item in items if item is not None]
    return tuple(reversed(places))


def _first(groups: tuple[Dataset, ...], keyword: str, count: int) -> Numbers | None:
    return next(filter(None, (numbers_of(group, keyword, count) for group in groups)), None)


def _plane(header: Dataset, groups: tuple[Dataset, ...]) -> Plane | None:
    """The frame's plane by position and orientation, else by the letters of Patient Orientation."""
    stacked = (numbers_of(header, "NumberOfFrames", 1) or (1.0,))[0] > 1
    # Without a position for each frame, the header's is that of the first one.
    known = not stacked or "PerFrameFunctionalGroupsSequence" in header
    reference = text_of(header, "FrameOfReferenceUID") if known else ""
    position = _first(groups, "ImagePositionPatient", 3)
    orientation = _first(groups, "ImageOrientationPatient", 6)
    thickness = (_first(groups, "SliceThickness", 1) or (None,))[0]
    if position and orientation and _is_plane(orientation):
        return Plane(reference, position, orientation, thickness)
    letters = element_of(header, "PatientOrientation")
    if letters is None or letters.VM != 2:
        return None
    row, column = (DIRECTIONS.get(str(value)[:1]) for value in letters.value)
    if row is None or column is None or not _is_plane((*row, *column)):
        return None
    return Plane("", (0.0, 0.0, 0.0), tuple(map(float, (*row, *column))), None)


def _frames(header: Dataset, count: int) -> list[tuple[str, Numbers, Numbers]]:
    """The frame of reference, position and orientation of each frame of a file; none where a frame lacks one."""
    own = element_of(header, "PerFrameFunctionalGroupsSequence")
    if own is None or len(own.value) != count:
        return []
    reference, planes = text_of(header, "FrameOfReferenceUID"), []
    for frame in range(count):
        groups = functional_groups(header, frame)
        position, orientation = _first(groups, "ImagePositionPatient", 3), _first(groups, "ImageOrientationPatient", 6)
        if position is None or orientation is None:
            return []
        planes.append((reference, position, orientation))
    return planes


def _stack(plane: Plane | None, slices: list[tuple[str, Numbers, Numbers]]) -> tuple[Numbers, ...]:
    """The positions of slices that are parallel to the explained one and lie apart, in one frame of reference."""
    positions = tuple(position for _, position, _ in slices)
    if plane is None or not plane.reference or len(set(positions)) != len(positions):
        return ()
    parallel = all(np.allclose(orientation, plane.orientation, atol=1e-3) for _, _, orientation in slices)
    return positions if parallel and {reference for reference, _, _ in slices} == {plane.reference} else ()


def _is_plane(orientation: Numbers) -> bool:
    """Whether both directions have length 1 and a right angle between them, to a hundredth."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    return bool(np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=0.01))
