"""The task that evaluates one model on every picture of a folder."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from gradcam_core import Evaluation, Job, LoadedModel, evaluate, read_picture
from pages.components import session
from pages.components.analysis.decoding import DECODER, read_image
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import LastingWork
from pages.components.folder.files import Files, Folder
from pages.components.folder.job import Task
from pages.components.words import shown_name

Method = tuple[str, tuple[tuple[str, Any], ...]]


def pick_reference(folder: Folder, model: LoadedModel) -> Job | None:
    """Pick the picture that the others are compared with, where the model gives features; None elsewhere."""
    if model.task != "embedding":
        return None
    names = sorted(folder.pictures)
    chosen = st.selectbox(
        "Reference picture",
        names,
        format_func=lambda name: shown_name(name[0]),
        **session.kept(f"folder reference {folder.key[:8]}", names[0], names),
        help="This model gives features and no classes: each picture is compared with this one.",
    )
    return folder.pictures[chosen]


def evaluation_task(
    folder: Folder, model: LoadedModel, method: Method, layers: tuple[str, ...], reference: Job | None = None
) -> Task[Evaluation]:
    """Return the task: how often the model is correct on this folder, and where it looks."""

    def compute(folder: Folder, known: tuple[Any, ...], work: LastingWork) -> Evaluation:
        return evaluate(
            reading(folder.pictures),
            folder.table,
            dict(reading(folder.masks)),
            model,
            method=(method[0], dict(method[1])),
            layers=layers or None,
            reference=read_image(read_picture(reference), blanked=folder.blanked) if reference else None,
            blanked=folder.blanked,
            known=known,
            stop=work.stop.is_set,
            on_progress=work,
            decode=DECODER.decode,
        )

    against = (reference.id, reference.size, reference.modified_ns) if reference else ()
    key = digest([folder.key, model_key(model), method, layers, against])
    return Task(key, "Evaluate", "Evaluated with these settings.", compute, models=(model,))


def reading(files: Files) -> list[tuple[str, Callable[[], bytes]]]:
    """Each file's name, and a function that returns its bytes."""
    return [(name, partial(read_picture, job)) for (name, _), job in files.items()]
