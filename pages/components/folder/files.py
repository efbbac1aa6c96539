"""A folder of a session's own pictures: its files, and which belong together.

The files stay in the session that brought them, since they have names.
"""

import dataclasses
import hashlib
from pathlib import PurePath
from typing import Any

import streamlit as st

from gradcam_core import GradcamError, counted, drawn_folder, find_masks, read_table
from pages.components import session
from pages.components.analysis.requests import digest
from pages.components.chosen import forget_chosen, note_chosen, show_chosen
from pages.components.session import Upload
from pages.components.words import show_error

TABLES = (".csv", ".tsv", ".txt")
SAMPLE_SIZE = 45
SAMPLES = {
    "marked_nodules": (
        "Every nodule has a marker",
        "bundled:radiograph_shortcut",
        "a model that learned from such pictures",
    ),
    "no_markers": ("No picture has a marker", "bundled:radiograph_clean", "a model that learned without markers"),
}
Files = dict[tuple[str, str], Upload]


@dataclasses.dataclass(frozen=True)
class Folder:
    """Its pictures and masks, by (name, sha256), and the rows of its table."""

    pictures: Files
    masks: Files
    table: tuple[Any, ...]
    key: str


def choose_files() -> Folder | None:
    """Let the user choose files, and say what is among them; None where there is nothing to evaluate yet."""
    state = st.session_state
    state.setdefault("folder_files", {})
    state.setdefault("folder_uploader", 0)
    if kind := state.pop("folder_wanted", ""):
        with st.spinner(f"Drawing {SAMPLE_SIZE} pictures …"):
            state.folder_files = _sample(kind, SAMPLE_SIZE)
    if not state.folder_files:
        _show_empty()
        return None
    try:
        folder = _sorted(state.folder_files)
    except GradcamError as error:
        _show_bar("The table cannot be used.")
        show_error(error)
        return None
    _show_bar(_words(folder))
    return folder if folder.pictures else None


@st.cache_data(max_entries=4, ttl=3600, show_spinner=False)
def _sample(kind: str, count: int) -> Files:
    """The files of a drawn folder; all sessions may share them."""
    drawn = drawn_folder(kind, count)
    contents = {**drawn.pictures, "labels.csv": drawn.table, **drawn.masks}
    return dict(_keyed(name, content) for name, content in contents.items())


def _keyed(name: str, content: bytes) -> tuple[tuple[str, str], Upload]:
    return (name, hashlib.sha256(content).hexdigest()), Upload(name, content)


def _show_empty() -> None:
    """Say what this page is for and what to do next."""
    st.markdown(
        "One heatmap is an anecdote. Many pictures show how often the model is correct, whether its probabilities are "
        "calibrated, and whether it reads a marker, a label or a device at the edge instead of the picture."
    )
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        _uploader("Add pictures, their table and their masks")
        _how_files_belong()
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


def _show_bar(words: str) -> None:
    """One line on what is in the folder, and the ways to change it."""
    with st.container(horizontal=True, vertical_alignment="center", key="folder-bar"):
        st.markdown(words, width="content")
        with st.popover("Add files", icon=":material/add:", type="tertiary", key="folder add"):
            _uploader("Add pictures, their table and their masks")
            _how_files_belong()
        st.button("Clear", on_click=_clear, key="folder clear", icon=":material/delete:", type="tertiary")
    show_chosen("folder")


def _uploader(label: str) -> None:
    with st.container(key="takes-drops"):
        st.file_uploader(
            label,
            accept_multiple_files=True,
            key=f"folder uploader {st.session_state.folder_uploader}",
            on_change=_take_files,
            max_upload_size=session.MOST_MEGABYTES,
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
    """Keep what was just uploaded, since the uploader forgets it on the next page. A new table replaces the old."""
    state = st.session_state
    files = state.get(f"folder uploader {state.folder_uploader}") or []
    added = dict(_keyed(upload.name, upload.content) for upload in session.taken(files))
    if any(map(_is_table, added)):
        state.folder_files = {key: file for key, file in state.folder_files.items() if not _is_table(key)}
    state.folder_files = {**state.folder_files, **added}
    state.folder_uploader += 1
    session.suggest_fit("model")


def _want_sample(kind: str, model: str) -> None:
    """Draw the folder in the run that follows, and choose the model whose classes it shows."""
    st.session_state.folder_wanted = kind
    session.choose(session.MODEL, model)
    session.suggest_fit("model")
    note_chosen("folder", SAMPLES[kind][0], session.models()[model])


def _clear() -> None:
    """Forget the files and the small pictures of them, and stop what is computed of them."""
    st.session_state.folder_files = {}
    for name in ("folder_thumbnails", "folder_stills"):
        st.session_state.pop(name, None)
    forget_chosen("folder")
    if job := st.session_state.pop("folder_job", None):
        job.running.work.cancel.set()


def _is_table(key: tuple[str, str]) -> bool:
    return PurePath(key[0]).suffix.lower() in TABLES


def _sorted(files: Files) -> Folder:
    """Tell pictures, masks and the table apart. Raises GradcamError where the table cannot be read."""
    tables = [file.content for key, file in files.items() if _is_table(key)]
    table = read_table(tables[-1]) if tables else ()
    masks = find_masks((name for name, _ in files), table)
    others = {key: file for key, file in files.items() if not _is_table(key)}
    return Folder(
        {key: file for key, file in others.items() if key[0] not in masks},
        {key: file for key, file in others.items() if key[0] in masks},
        table,
        digest(sorted(files)),
    )
