"""The pictures of a session, shared by the pages for many pictures: which files there are, and which belong together.

Uploaded files lie on the disk without their names; the names stay in the session that brought them.
"""

import dataclasses
import functools
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import streamlit as st

from gradcam_core import (
    Area,
    GradcamError,
    Job,
    counted,
    drawn_folder,
    find_masks,
    is_old_text,
    read_picture,
    read_table,
)
from pages.components import session
from pages.components.analysis.requests import digest
from pages.components.blanking import keep_blanked
from pages.components.chosen import forget_chosen, note_chosen, show_chosen
from pages.components.folder import spool
from pages.components.folder.places import SETTING, Place, files_of, members_of, offered_places
from pages.components.session import Upload
from pages.components.words import show_error

CORNERS = "folder corners"
TABLES = (".csv", ".tsv", ".txt")
MEGABYTES = 2048  # of one file: a ZIP may be large
SAMPLE_SIZE = 45
SAMPLES = {
    "marked_nodules": (
        "Every nodule has a marker",
        "bundled:radiograph_shortcut",
        "a model that learned from such pictures",
    ),
    "no_markers": ("No picture has a marker", "bundled:radiograph_clean", "a model that learned without markers"),
}
# By name and sha256. A ZIP's members have that of the ZIP, files of a folder on the server have "" in its place.
Files = dict[tuple[str, str], Job]


@dataclasses.dataclass(frozen=True)
class Folder:
    """Its pictures and masks, and the rows of its table. `key` identifies all of it; `is_old_text` is of the table.

    `blanked` areas of every picture are deleted before anything is computed.
    """

    pictures: Files
    masks: Files
    table: tuple[Any, ...]
    key: str
    is_old_text: bool = False
    blanked: tuple[Area, ...] = ()

    def find(self, row: Any) -> Job | None:
        """The picture's file for a row of results, which has the last part of its name and its sha256."""
        if (row.name, row.sha256) in self.pictures:
            return self.pictures[row.name, row.sha256]
        jobs = self._by_last_part[PurePath(row.name).name]
        if len(jobs) > 1:
            jobs = [job for job in jobs if _checksum(job) == row.sha256]
        return jobs[0] if jobs else None

    @functools.cached_property
    def _by_last_part(self) -> dict[str, list[Job]]:
        jobs = defaultdict(list)
        for (name, sha256), job in self.pictures.items():
            if not sha256 or job.member is not None:
                jobs[PurePath(name).name].append(job)
        return jobs


def _checksum(job: Job) -> str:
    try:
        return hashlib.sha256(read_picture(job)).hexdigest()
    except GradcamError:
        return ""


def choose_files(intro: str) -> Folder | None:
    """Let the user choose files, and say what is among them; None where there is nothing to work on yet."""
    state = st.session_state
    state.setdefault("folder_files", {})
    state.setdefault("folder_uploader", 0)
    if kind := state.pop("folder_wanted", ""):
        with st.spinner(f"Drawing {SAMPLE_SIZE} pictures …"):
            _add([(name, io.BytesIO(content)) for name, content in _sample(kind, SAMPLE_SIZE).items()])
    if not state.folder_files:
        _show_empty(intro)
        return None
    try:
        folder = _sorted(state.folder_files)
    except GradcamError as error:
        _show_bar("The table cannot be used.")
        show_error(error)
        return None
    _show_bar(_words(folder), corners=True)
    if folder.is_old_text:
        st.caption("The table is not UTF-8: it was read as Windows-1252. Check its accented letters.")
    return _blanked(folder) if folder.pictures else None


@st.cache_data(max_entries=4, ttl=3600, show_spinner=False)
def _sample(kind: str, count: int) -> dict[str, bytes]:
    """The files of a drawn folder, by name; all sessions may share them."""
    drawn = drawn_folder(kind, count)
    return {**drawn.pictures, "labels.csv": drawn.table, **drawn.masks}


def _show_empty(intro: str) -> None:
    """Say what this page is for and what to do next."""
    st.markdown(intro)
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        _uploader("Add pictures, a ZIP of them, their table and their masks")
        _how_files_belong()
        _offer_places()
    with right:
        st.markdown("**Or try it on drawn radiographs**")
        for kind, (title, model, words) in SAMPLES.items():
            st.button(
                title,
                on_click=_want_sample,
                args=(kind, model),
                key=f"sample {kind}",
                icon=":material/folder_open:",
                width="stretch",
            )
            st.caption(f"{SAMPLE_SIZE} pictures, labels and masks, and {words}.")


def _offer_places() -> None:
    """Offer the folders that the server's owner opened; nothing where there are none."""
    places = offered_places(os.environ.get(SETTING, ""))
    if not places:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="folder-places"):
        place = st.selectbox(
            "Or open a folder of this server",
            places,
            format_func=lambda place: f"{place.title} · {counted(place.pictures, 'file')}",
            index=None,
            placeholder="Choose a folder",
            filter_mode="contains",
        )
        st.button("Open", on_click=_open_place, args=(place,), disabled=place is None, key="folder open")


def _open_place(place: Place) -> None:
    """Take the files of a folder in the place of those that were there."""
    try:
        files = files_of(place)
    except GradcamError as error:
        session.refuse(error)
        return
    _clear()
    st.session_state.folder_files = {(job.name, ""): job for job in files}
    session.suggest_fit("model")


def _show_bar(words: str, *, corners: bool = False) -> None:
    """One line on what is in the folder, and the ways to change it; with `corners`, also how its pictures are read."""
    with st.container(horizontal=True, vertical_alignment="center", key="folder-bar"):
        st.markdown(words, width="content")
        with st.popover("Add files", icon=":material/add:", type="tertiary", key="folder add"):
            _uploader("Add pictures, a ZIP of them, their table and their masks")
            _how_files_belong()
        st.button("Clear", on_click=_clear, key="folder clear", icon=":material/delete:", type="tertiary")
        if corners:
            help_words = "Deletes a fifth of width and height at each corner, before anything is computed."
            st.toggle("Blank the corners of every picture", help=help_words, **session.kept(CORNERS, False))
    show_chosen("folder")


def _blanked(folder: Folder) -> Folder:
    """The folder with the corners of its pictures blanked, where its user wants that."""
    from gradcam_core import corner_areas

    if not session.value_of(CORNERS, False):
        return folder
    areas = corner_areas()
    return dataclasses.replace(folder, blanked=areas, key=digest([folder.key, areas]))


def _uploader(label: str) -> None:
    with st.container(key="takes-drops"):
        st.file_uploader(
            label,
            accept_multiple_files=True,
            key=f"folder uploader {st.session_state.folder_uploader}",
            on_change=_take_files,
            max_upload_size=MEGABYTES,
            help="All at once, or bit by bit. They stay on this machine, and are removed a few minutes after this tab "
            "is closed.",
        )


def _how_files_belong() -> None:
    st.caption(
        "The table is a CSV file with the columns *name* and *label*, and *mask* if you have them. Without that "
        "column, the mask of scan.png is scan_mask.png: white where the finding is. Both may be left out."
    )


def _words(folder: Folder) -> str:
    parts = [f"**{counted(len(folder.pictures), 'picture')}**"]
    parts += [counted(len(folder.table), "label") if folder.table else "no labels"]
    parts += [counted(len(folder.masks), "mask") if folder.masks else "no masks"]
    return " · ".join(parts)


def _take_files() -> None:
    """Keep what was just uploaded, since the uploader forgets it on the next page."""
    state = st.session_state
    files = state.get(f"folder uploader {state.folder_uploader}") or []
    _add([(file.name, file) for file in session.accepted(files)])
    state.folder_uploader += 1
    session.suggest_fit("model")


def _add(files: Sequence[tuple[str, Any]]) -> None:
    """Copy files to the disk and add them. A new table replaces the old one."""
    state, added = st.session_state, Files()
    try:
        for name, file in files:
            sha256, job = spool.keep(name, file)
            jobs = members_of(job) if name.lower().endswith(".zip") else [job]
            added |= {(job.name, sha256): job for job in jobs}
    except GradcamError as error:
        session.refuse(error)
    if any(map(_is_table, added)):
        state.folder_files = {key: job for key, job in state.folder_files.items() if not _is_table(key)}
    state.folder_files = {**state.folder_files, **added}


def bring(job: Job, blanked: tuple[Area, ...]) -> None:
    """Choose a picture for the other pages, blanked as here. One that cannot be read is said on the next page."""
    try:
        key = session.keep_picture(Upload(PurePath(job.name).name, read_picture(job)))
        if blanked:
            keep_blanked(key, blanked)
        session.choose_picture(key)
    except GradcamError as error:
        session.refuse(error)


def _want_sample(kind: str, model: str) -> None:
    """Draw the folder in the run that follows, and choose the model whose classes it shows."""
    st.session_state.folder_wanted = kind
    session.choose(session.MODEL, model)
    session.suggest_fit("model")
    note_chosen("folder", SAMPLES[kind][0], session.models()[model])


def _clear() -> None:
    """Forget the files and what came of them, and stop what is computed of them."""
    st.session_state.folder_files = {}
    for name in ("folder_thumbnails", "folder_stills", "folder_results"):
        st.session_state.pop(name, None)
    forget_chosen("folder")
    if job := st.session_state.pop("folder_job", None):
        job.running.work.cancel.set()
    spool.remove_folder()


def _is_table(key: tuple[str, str]) -> bool:
    return PurePath(key[0]).suffix.lower() in TABLES


def _sorted(files: Files) -> Folder:
    """Tell pictures, masks and the table apart. Raises GradcamError where the table cannot be read."""
    tables = [job for key, job in files.items() if _is_table(key)]
    content = read_picture(tables[-1]) if tables else b""
    table = read_table(content) if tables else ()
    masks = find_masks((name for name, _ in files), table)
    others = {key: job for key, job in files.items() if not _is_table(key)}
    return Folder(
        {key: job for key, job in others.items() if key[0] not in masks},
        {key: job for key, job in others.items() if key[0] in masks},
        table,
        digest(sorted((*key, job.size, job.modified_ns) for key, job in files.items())),
        is_old_text(content),
    )
