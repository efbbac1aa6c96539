"""Send an explanation's DICOM objects to the archive, after its reader has seen what goes where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from gradcam_core import GradcamError, counted
from pages.components import audited
from pages.components.dicomweb.server import is_set, server
from pages.components.words import plain, show_error

if TYPE_CHECKING:
    from gradcam_core import ArchivedStudy, DicomwebServer, Stored

Objects = Sequence[tuple[str, bytes]]
# What objects are, by the ends of their names.
KINDS = (
    ("parametric_map", "parametric map"),
    ("secondary_capture", "secondary capture"),
    ("segmentation", "segmentation"),
    ("structured_report", "structured report"),
    ("report", "PDF report"),
)


def offer_sending(make: Callable[[], Objects], key: str, warnings: Sequence[str] = ()) -> None:
    """A button that makes the objects, all of one study, and shows where they would go, with `warnings` about them."""
    if not is_set() or not st.button("Send to the archive", icon=":material/cloud_upload:", key=f"send {key}"):
        return
    try:
        with st.spinner("Writing DICOM objects …"):
            objects = make()
        _confirm(objects, warnings)
    except GradcamError as error:
        show_error(error)


@st.dialog("Send to the archive?", width="medium")
def _confirm(objects: Objects, warnings: Sequence[str] = ()) -> None:
    try:
        archive = server()
        place = st.empty()
        with place.container():
            if warnings:
                st.warning(plain(" ".join(warnings)), icon=":material/warning:")
            _show_what(archive, objects)
            if not st.button("Send", icon=":material/cloud_upload:", key="send now"):
                return
        place.empty()
        with st.spinner(f"Sending {counted(len(objects), 'object')} …"):
            stored = _send(archive, objects)
        _show_outcome(stored)
    except GradcamError as error:
        show_error(error)


def _show_what(archive: DicomwebServer, objects: Objects) -> None:
    st.markdown(f"**What:** {', '.join(_kinds(objects))}, as new series.")
    st.markdown(f"**Where:** {plain(archive.name)}, {_study_words(_study(archive, objects))}")
    st.caption("The objects name the picture’s patient, and what is sent cannot be taken back from here.")


def _kinds(objects: Objects) -> list[str]:
    """How many objects of which kind there are."""
    stems = [name.removesuffix(".dcm") for name, _ in objects]
    kinds = [next(words for ending, words in KINDS if stem.endswith(ending)) for stem in stems]
    return [counted(kinds.count(words), words) for _, words in KINDS if words in kinds]


def _study(archive: DicomwebServer, objects: Objects) -> ArchivedStudy | None:
    """The study of the objects as the archive has it; None where it does not."""
    from gradcam_core import search_studies, study_of

    studies, _ = search_studies(archive, study=study_of(objects[0][1]))
    return studies[0] if studies else None


def _study_words(study: ArchivedStudy | None) -> str:
    if study is None:
        return "which **does not have the picture’s study**: it would become a new one there."
    parts = (study.date, study.modalities, study.description, study.patient)
    return f"into the study of the picture: {', '.join(plain(part) for part in parts if part)}."


def _send(archive: DicomwebServer, objects: Objects) -> Stored:
    """Log what is going to be sent, then send it. Raises GradcamError."""
    from gradcam_core import store_objects

    audited.note_sent(f"{counted(len(objects), 'DICOM object')} to {archive.name}")
    return store_objects(archive, objects)


def _show_outcome(stored: Stored) -> None:
    if stored.stored:
        st.success(f"The archive stored {counted(len(stored.stored), 'object')}.", icon=":material/check:")
    if stored.failed:
        lines = [f"- {plain(name)}: {plain(reason)}" for name, reason in stored.failed]
        words = f"**{counted(len(stored.failed), 'object')} not stored.**"
        st.error("\n".join((words, "", *lines)), icon=":material/error:")
