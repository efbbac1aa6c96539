"""What a batch is to compute besides method, layer and class: true labels and overlays."""

import dataclasses
from pathlib import PurePath

import streamlit as st

from gradcam_core import Job, LoadedModel, with_folder_labels, with_labels
from pages.components import session
from pages.components.folder.files import Folder
from pages.components.words import plain

TABLE, FOLDERS, NONE = "table", "folders", "none"
LABELS = {TABLE: "From the table", FOLDERS: "Names of the folders", NONE: "None"}


def offers_classes(model: LoadedModel) -> bool:
    """Whether the model has classes that can be explained; where it has none, say what to do instead."""
    if model.task == "embedding":
        st.markdown(
            "This model gives features and no classes. The Folder page compares each picture with one that you choose."
        )
    return bool(model.task != "embedding")


def pick_labels(folder: Folder) -> tuple[Job, ...]:
    """Pick where the true labels come from; return the pictures with theirs."""
    jobs = _distinct(folder)
    nested = any("/" in job.name for job in jobs)
    options = [TABLE] * bool(folder.table) + [FOLDERS] * nested + [NONE]
    source = st.selectbox(
        "True labels",
        options,
        format_func=LABELS.get,
        **session.kept("batch labels", options[0] if folder.table else NONE, options),
        help="With them the page says how often the model is correct, and shows the heatmap of the true class beside "
        "that of a wrong answer. They come from a table, or from the folders that the pictures lie in.",
    )
    if source == FOLDERS:
        return with_folder_labels(jobs)
    if source == NONE:
        return jobs
    labelled, sentences = with_labels(jobs, folder.table)
    for sentence in sentences:
        st.caption(plain(sentence))
    return labelled


def pick_overlays() -> bool:
    """Pick whether overlays are drawn as well."""
    return st.toggle(
        "Overlays as files",
        help="Also draw each picture under its heatmap, as large as the picture, to save them all as a ZIP.",
        **session.kept("batch overlays", False),
    )


def _distinct(folder: Folder) -> tuple[Job, ...]:
    """The pictures under names of which no two are the same."""
    jobs: dict[str, Job] = {}
    for (name, sha256), job in folder.pictures.items():
        path = PurePath(name)
        distinct = str(path.with_name(f"{path.stem}-{sha256[:8]}{path.suffix}")) if name in jobs else name
        jobs[distinct] = dataclasses.replace(job, name=distinct)
    return tuple(jobs.values())
