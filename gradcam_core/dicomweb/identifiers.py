"""Unique identifiers (UIDs): their grammar, and those that a DICOM file has."""

import io
import re
from typing import NamedTuple

from pydicom import dcmread

from gradcam_core.errors import DicomwebError
from gradcam_core.kinds import is_dicom
from gradcam_core.readers.dicom.dataset import inflated

# PS3.5, section 9.1. Leading zeros are an error of the writer, which servers keep.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
LONGEST_UID = 64
_KEYWORDS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
# Of a file that is packed as a whole, a little is unpacked, since it may become a thousand times as long.
LONGEST_HEADER, PACKED_HEAD = 4 << 20, 8 << 10


class Identifiers(NamedTuple):
    """The UIDs of a file; each is "" where it is missing or breaks the grammar."""

    study: str
    series: str
    instance: str


def is_uid(text: object) -> bool:
    """Whether text can be a UID, and so is safe in an address."""
    return isinstance(text, str) and len(text) <= LONGEST_UID and _UID.fullmatch(text) is not None


def check_uid(text: str) -> str:
    """Return text that can be a UID. Raises DicomwebError for any other."""
    if not is_uid(text):
        raise DicomwebError(
            "This is not the identifier of a study, series or picture.", "Give digits and dots, at most 64."
        )
    return text


def identifiers_of(content: bytes) -> Identifiers | None:
    """Read a DICOM file's UIDs out of its header; None where it is no DICOM file that can be read."""
    if not is_dicom(content[:4096]):
        return None
    try:
        head = inflated(content[:PACKED_HEAD], 2000 * PACKED_HEAD)
        head = content[:LONGEST_HEADER] if head == content[:PACKED_HEAD] else head
        dataset = dcmread(io.BytesIO(head), specific_tags=_KEYWORDS, force=True, stop_before_pixels=True)
        texts = [str(dataset.get(keyword, "") or "") for keyword in _KEYWORDS]
    except Exception:  # pydicom raises dozens of kinds of exceptions over damaged files, and documents none
        return None
    return Identifiers(*(text if is_uid(text) else "" for text in texts))


def study_of(content: bytes) -> str:
    """Return the UID of the study that a DICOM file belongs to, "" where it names none."""
    uids = identifiers_of(content)
    return uids.study if uids else ""
