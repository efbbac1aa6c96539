"""Search a DICOMweb server for studies and their series (PS3.18, section 10.6, QIDO-RS; annex F.2, DICOM JSON)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradcam_core.dicomweb.identifiers import check_uid, is_uid
from gradcam_core.dicomweb.server import DicomwebServer
from gradcam_core.dicomweb.transport import NOT_DICOMWEB, Request, check_status, send
from gradcam_core.errors import DicomwebError
from gradcam_core.text import one_line

JSON = "application/dicom+json"
KINDS = (JSON, "application/json")
MOST_STUDIES, MOST_SERIES, LARGEST_ANSWER, SEARCH_S = 100, 500, 4 << 20, 30.0
LONGEST_TEXT, LONGEST_CRITERION = 120, 64
_DATES = re.compile(r"[0-9]{8}|[0-9]{8}-|-[0-9]{8}|[0-9]{8}-[0-9]{8}")
_STUDY_FIELDS = ("StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedInstances")
_SERIES_FIELDS = ("SeriesDescription", "BodyPartExamined", "NumberOfSeriesRelatedInstances")
# Elements by their tags, as DICOM JSON names them.
_STUDY, _SERIES = "0020000D", "0020000E"


@dataclass(frozen=True, slots=True)
class ArchivedStudy:
    """A study as the server describes it, in text that is safe on one line. `pictures` is None where it is not said."""

    uid: str
    date: str
    modalities: str
    description: str
    pictures: int | None
    patient: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ArchivedSeries:
    """A series of a study as the server describes it."""

    study: str
    uid: str
    number: int | None
    modality: str
    description: str
    body_part: str
    pictures: int | None


def search_studies(
    server: DicomwebServer,
    *,
    patient_id: str = "",
    patient: str = "",
    date: str = "",
    modality: str = "",
    accession: str = "",
    description: str = "",
    study: str = "",
) -> tuple[tuple[ArchivedStudy, ...], bool]:
    """Find studies, newest first; and whether there are more than the 100 that are returned.

    Empty criteria are not used. `date` is a day as YYYYMMDD, or two with a hyphen between them, of which one may be
    missing. The words of `patient` and `description` match anywhere in the text, unless they contain * or ?.
    The criteria become a part of the request's address. Raises DicomwebError.
    """
    if date and not _DATES.fullmatch(date):
        raise DicomwebError("The date is not understood.", "Write a day as 20261127, or two as 20260101-20261231.")
    criteria = {
        "PatientID": patient_id,
        "PatientName": _anywhere(patient),
        "StudyDate": date,
        "ModalitiesInStudy": modality.upper(),
        "AccessionNumber": accession,
        "StudyDescription": _anywhere(description),
        "StudyInstanceUID": study and check_uid(study),
    }
    query = [(name, _criterion(text)) for name, text in criteria.items() if text.strip()]
    query += [("includefield", name) for name in _STUDY_FIELDS] + [("limit", str(MOST_STUDIES + 1))]
    items = _items(server, "/studies", tuple(query), NOT_DICOMWEB)
    studies = [_study(item) for item in items[: MOST_STUDIES + 1] if is_uid(_text(item, _STUDY))]
    different = {each.uid: each for each in studies[:MOST_STUDIES]}
    newest = sorted(different.values(), key=lambda each: each.date, reverse=True)
    return tuple(newest), len(items) > MOST_STUDIES


def list_series(server: DicomwebServer, study: str) -> tuple[ArchivedSeries, ...]:
    """List the series of a study by their numbers, at most 500. Raises DicomwebError."""
    query = [("includefield", name) for name in _SERIES_FIELDS] + [("limit", str(MOST_SERIES))]
    missing = ("The DICOMweb server does not have this study.", "Search again.")
    items = _items(server, f"/studies/{check_uid(study)}/series", tuple(query), missing)
    series = [_one_series(study, item) for item in items[:MOST_SERIES] if is_uid(_text(item, _SERIES))]
    different = {each.uid: each for each in series}
    return tuple(sorted(different.values(), key=lambda each: (each.number is None, each.number or 0)))


def parse_json(content: bytes) -> Any:
    """Parse JSON whose length is bounded. Raises DicomwebError."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        remedy = "Try again, or look at the server's log."
        raise DicomwebError("The DICOMweb server's answer cannot be read.", remedy) from None


def items_of(values: Any) -> list[Mapping[str, Any]]:
    """Return the data sets of a list in DICOM JSON; a single one stands for a list of one."""
    listed = [values] if isinstance(values, Mapping) else values
    return [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []


def first_value(item: Mapping[str, Any], tag: str) -> Any:
    """Return an element's first value, None where there is none."""
    values = values_of(item, tag)
    return values[0] if values else None


def values_of(item: Mapping[str, Any], tag: str) -> list[Any]:
    """Return an element's values, none where it is absent or has another form."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []


def _anywhere(text: str) -> str:
    """Words in this order, whatever stands between them: DICOM separates the parts of a name by ^."""
    words = text.replace("^", " ").split()
    return "?".join(words) if set("*?") & set(text) else f"*{'*'.join(words)}*" * bool(words)


def _criterion(text: str) -> str:
    """Check what becomes a part of an address. A backslash would separate two values."""
    text = text.strip()
    if len(text) > LONGEST_CRITERION or not text.isprintable() or "\\" in text:
        remedy = f"Use at most {LONGEST_CRITERION} letters and digits, and no backslash."
        raise DicomwebError("One of the search terms cannot be searched for.", remedy)
    return text


def _items(
    server: DicomwebServer, path: str, query: tuple[tuple[str, str], ...], missing: tuple[str, str]
) -> list[Mapping[str, Any]]:
    request = Request("GET", path, JSON, LARGEST_ANSWER, SEARCH_S, query)
    answer = check_status(send(server, request), missing)
    if answer.status == 204 or not answer.content:
        return []
    if answer.kind not in KINDS:
        raise DicomwebError(*NOT_DICOMWEB)
    return items_of(parse_json(answer.content))


def _study(item: Mapping[str, Any]) -> ArchivedStudy:
    return ArchivedStudy(
        uid=_text(item, _STUDY),
        date=_day(_text(item, "00080020")),
        modalities=_text(item, "00080061"),
        description=_text(item, "00081030"),
        pictures=_count(item, "00201208"),
        patient=_text(item, "00100010"),
        patient_id=_text(item, "00100020"),
        accession=_text(item, "00080050"),
    )


def _one_series(study: str, item: Mapping[str, Any]) -> ArchivedSeries:
    return ArchivedSeries(
        study=study,
        uid=_text(item, _SERIES),
        number=_count(item, "00200011"),
        modality=_text(item, "00080060"),
        description=_text(item, "0008103E"),
        body_part=_text(item, "00180015"),
        pictures=_count(item, "00201209"),
    )


def _text(item: Mapping[str, Any], tag: str) -> str:
    """An element's values as one line: texts and numbers, and of a person's name its letters."""
    words = []
    for value in values_of(item, tag)[:20]:
        value = value.get("Alphabetic") if isinstance(value, Mapping) else value
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            words.append(str(value)[: 4 * LONGEST_TEXT])
    return one_line(", ".join(filter(None, words)), LONGEST_TEXT)


def _day(text: str) -> str:
    """A day as YYYY-MM-DD where it has DICOM's form; other text as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if re.fullmatch("[0-9]{8}", text) else text


def _count(item: Mapping[str, Any], tag: str) -> int | None:
    text = str(first_value(item, tag))[:20]
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None
