"""Fetch a series, or one picture of it, as the files that the server has (PS3.18, section 10.4, WADO-RS)."""

import time

from gradcam_core.dicomweb.identifiers import check_uid, identifiers_of
from gradcam_core.dicomweb.multipart import RELATED, parts_of, related
from gradcam_core.dicomweb.server import DicomwebServer
from gradcam_core.dicomweb.transport import Request, check_status, send
from gradcam_core.errors import DicomwebError
from gradcam_core.readers.dicom.series import LARGEST_ZIP

DICOM = "application/dicom"
# Any transfer syntax: without it, the server would convert the files.
ACCEPT = related({"type": DICOM, "transfer-syntax": "*"})
# What a stack may have to be read.
LARGEST_SERIES, MOST_PICTURES, FETCH_S, CHECK_S = LARGEST_ZIP, 2000, 300.0, 60.0
GONE = ("The DICOMweb server does not have this series or picture.", "Search again.")
OTHER = ("The DICOMweb server sent something else than what was asked for.", "Look at the server's log.")


def fetch_series(server: DicomwebServer, study: str, series: str, instance: str = "") -> tuple[bytes, ...]:
    """Fetch the DICOM files of a series, or of one instance in it: at most 2,000 files, and 512 MiB together.

    Every file's header has to name the series that was asked for. Raises DicomwebError.
    """
    path = f"/studies/{check_uid(study)}/series/{check_uid(series)}"
    path += f"/instances/{check_uid(instance)}" if instance else ""
    answer = check_status(send(server, Request("GET", path, ACCEPT, LARGEST_SERIES, FETCH_S)), GONE)
    if answer.kind == DICOM:  # one file by itself, against the standard
        files: tuple[bytes, ...] = (answer.content,)
    elif answer.kind == RELATED:
        files = parts_of(answer.content_type, answer.content, MOST_PICTURES)
    else:
        raise DicomwebError(*OTHER)
    if not files:
        raise DicomwebError(*GONE)
    _check(files, study, series, instance)
    return files


def _check(files: tuple[bytes, ...], study: str, series: str, instance: str) -> None:
    """Raise DicomwebError unless every file is of what was asked for: pictures of two patients must not mix."""
    end = time.monotonic() + CHECK_S
    for content in files:
        uids = identifiers_of(content)
        if uids is None or uids[:2] != (study, series) or (instance and uids.instance != instance):
            raise DicomwebError(*OTHER)
        if time.monotonic() > end:
            raise DicomwebError("The fetched files take too long to read.", "Fetch single pictures of the series.")
