"""The evaluation of a folder: the button that starts it, and its results. They stay in the session, with the names."""

import dataclasses
from typing import Any

import streamlit as st

from gradcam_core import Evaluation, GradcamError, LoadedModel, counted, evaluate
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import watched
from pages.components.folder.files import Folder
from pages.components.words import show_error

MOST_RESULTS = 3


@dataclasses.dataclass(frozen=True)
class Task:
    """What to evaluate the folder with, and the identity of that evaluation."""

    model: LoadedModel
    method: tuple[str, dict[str, Any]]
    layers: tuple[str, ...]
    key: str


def offer_evaluation(
    folder: Folder, model: LoadedModel, method: tuple[str, tuple[tuple[str, Any], ...]], layers: tuple[str, ...]
) -> Task:
    """Draw the button that starts an evaluation, and return its task."""
    key = digest([folder.key, model_key(model), method, layers])
    st.html('<div style="height: 0.6rem"></div>')  # beside boxes whose labels are above them
    if key in st.session_state.get("evaluations", {}):
        st.caption("Evaluated with these settings.")
    else:
        words = f"Evaluate {counted(len(folder.pictures), 'picture')}"
        st.button(words, on_click=_start, args=(key,), key="evaluate", type="primary")
    return Task(model, (method[0], dict(method[1])), layers, key)


def _start(key: str) -> None:
    st.session_state.folder_task = key
    st.session_state.pop("stopped", None)


def evaluated(task: Task, folder: Folder) -> Evaluation | None:
    """The results, after the button was pressed; None until then, or if it was stopped or cannot be done."""
    results: dict[str, Evaluation] = st.session_state.setdefault("evaluations", {})
    if task.key in results or st.session_state.get("folder_task") != task.key:
        return results.get(task.key)
    pictures = [(name, lambda file=file: file.content) for (name, _), file in folder.pictures.items()]
    masks = {name: lambda file=file: file.content for (name, _), file in folder.masks.items()}
    chosen = {"method": task.method, "layers": task.layers or None}
    try:
        evaluation = watched(
            task.key,
            lambda work: evaluate(pictures, folder.table, masks, task.model, on_progress=work, **chosen),
        )
    except GradcamError as error:
        show_error(error)
        return None
    if evaluation is not None:
        results[task.key] = evaluation
        for old in list(results)[:-MOST_RESULTS]:
            del results[old]
        st.rerun()  # the button above was drawn while there was no result
    return evaluation
