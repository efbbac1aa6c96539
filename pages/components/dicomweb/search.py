"""Search the archive and take a series from it as a picture of this session. Nothing is kept elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import streamlit as st

from gradcam_core import GradcamError, counted
from pages.components import audited, session
from pages.components.dicomweb.server import is_set, server
from pages.components.stacks import in_stacks
from pages.components.words import plain, show_error

if TYPE_CHECKING:
    from gradcam_core import ArchivedSeries, ArchivedStudy, DicomwebServer

STUDIES, SERIES = "archive studies", "archive series"
FIRST_DAY = date(1900, 1, 1)
FIELDS = (
    ("patient_id", "Patient ID", "As a whole; * stands for any letters."),
    ("patient", "Patient’s name", "Words of it, or parts of words. The name becomes a part of the request’s address."),
    ("accession", "Accession number", "As a whole; * stands for any letters."),
    ("modality", "Modality", "CT, MR, DX, CR, MG, US, ..."),
    ("description", "Description", "Words of the study’s description, or parts of words."),
)
LONGEST = 64


def offer_archive() -> None:
    """A button that opens the search, where the server's owner named an archive."""
    if is_set() and st.button("From the archive", icon=":material/cloud_download:", key="archive", width="stretch"):
        for key in (STUDIES, SERIES):
            st.session_state.pop(key, None)
        _search()


@st.dialog("From the archive", width="large")
def _search() -> None:
    try:
        archive = server()
        words = "What it says of patients is shown here and before objects are sent, and not kept."
        st.caption(f"Search {plain(archive.name)}. {words}")
        criteria = _form()
        if criteria is not None:
            _find(archive, criteria)
        _show(archive)
    except GradcamError as error:
        show_error(error)


def _form() -> dict[str, str] | None:
    """What is searched for; None as long as the button was not clicked."""
    with st.form("archive search", border=False):
        columns = st.columns(3, gap="small")
        texts = {
            name: columns[place % 3].text_input(
                label, max_chars=LONGEST, key=f"archive {name}", help=words, autocomplete="off"
            )
            for place, (name, label, words) in enumerate(FIELDS)
        }
        days = columns[2].date_input("Days", value=(), min_value=FIRST_DAY, key="archive days", format="YYYY-MM-DD")
        clicked = st.form_submit_button("Search", icon=":material/search:")
    return texts | {"date": _days(days)} if clicked else None


def _days(days: Any) -> str:
    """Days as DICOM writes a span; one of them is that day."""
    written = [f"{day:%Y%m%d}" for day in days]
    return written[0] if len(set(written)) == 1 else "-".join(written)


def _find(archive: DicomwebServer, criteria: dict[str, str]) -> None:
    from gradcam_core import search_studies

    for key in (STUDIES, SERIES):
        st.session_state.pop(key, None)
    with st.spinner("Searching …"):
        st.session_state[STUDIES] = search_studies(archive, **criteria)


def _show(archive: DicomwebServer) -> None:
    """The studies that were found; of the one that is chosen, its series; a button that takes the chosen one."""
    if STUDIES not in st.session_state:
        return
    studies, more = st.session_state[STUDIES]
    if not studies:
        st.info("The archive has no such study.")
        return
    st.caption(f"Only {len(studies)} studies are shown: search for less." if more else "Choose a study.")
    study = _chosen(studies, [_study_row(study) for study in studies], "archive studies table")
    if study is None:
        return
    series = _series_of(archive, study)
    st.caption("Choose a series." if series else "The archive lists no series of this study.")
    chosen = _chosen(series, [_series_row(each) for each in series], f"archive series table {study.uid}")
    if chosen is not None and st.button("Add this series", icon=":material/add_photo_alternate:"):
        _take(archive, study, chosen)


def _chosen(records: Sequence[Any], rows: list[dict[str, Any]], key: str) -> Any:
    """A table of which one row can be chosen; the record of that row."""
    if not rows:
        return None
    height = 36 * (min(len(rows), 6) + 1)
    event: Any = st.dataframe(
        rows, on_select="rerun", selection_mode="single-row", hide_index=True, height=height, key=key
    )
    places = [place for place in event.selection.rows if 0 <= place < len(records)]
    return records[places[0]] if places else None


def _study_row(study: ArchivedStudy) -> dict[str, Any]:
    return {
        "Date": study.date,
        "Modality": study.modalities,
        "Description": study.description,
        "Patient": study.patient,
        "Patient ID": study.patient_id,
        "Pictures": study.pictures,
    }


def _series_row(series: ArchivedSeries) -> dict[str, Any]:
    return {
        "Series": series.number,
        "Modality": series.modality,
        "Description": series.description,
        "Body part": series.body_part,
        "Pictures": series.pictures,
    }


def _series_of(archive: DicomwebServer, study: ArchivedStudy) -> tuple[ArchivedSeries, ...]:
    """The series of a study, fetched once as long as the dialog shows these studies."""
    from gradcam_core import list_series

    known: dict[str, tuple[ArchivedSeries, ...]] = st.session_state.setdefault(SERIES, {})
    if study.uid not in known:
        with st.spinner("Listing series …"):
            known[study.uid] = list_series(archive, study.uid)
    return known[study.uid]


def _take(archive: DicomwebServer, study: ArchivedStudy, series: ArchivedSeries) -> None:
    """Fetch a series, keep it as this session's pictures, and show the first. Raises GradcamError."""
    from gradcam_core import fetch_series

    count = counted(series.pictures, "picture") if series.pictures else "the series"
    with st.spinner(f"Fetching {count} …"):
        files = fetch_series(archive, study.uid, series.uid)
        sizes = session.sizes()
        if sum(sizes) + sum(map(len, files)) > session.MOST_BYTES or len(sizes) + len(files) > session.MOST_FILES:
            words = f"With this series, the session would have more than {session.MOST_WORDS}."
            raise GradcamError(words, "Remove some of its pictures first.")
        name = " ".join(filter(None, (series.modality, study.date, series.description or study.description)))
        uploads = [session.Upload(*file) for file in in_stacks((name, content) for content in files)]
    audited.note_fetched([upload.content for upload in uploads])
    keys = [session.keep_picture(upload) for upload in uploads]
    st.session_state["unread"] = keys
    session.choose_picture(keys[0])
    for key in (STUDIES, SERIES):
        st.session_state.pop(key, None)
    st.rerun()
