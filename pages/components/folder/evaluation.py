"""The evaluation of a folder: the button that starts it, and its results. They stay in the session, with the names."""

import dataclasses
from typing import Any

import streamlit as st

from gradcam_core import Evaluation, GradcamError, LoadedModel, evaluate
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import watched
from pages.components.folder.files import Folder
from pages.components.words import plural, show_error

MOST_RESULTS = 3


@dataclasses.dataclass(frozen=True)
class Asked:
    """What to evaluate the folder with, and what tells that from any other evaluation."""

    model: LoadedModel
    method: tuple[str, dict[str, Any]]
    layers: tuple[str, ...]
    key: str


def ask(
    folder: Folder, model: LoadedModel, method: tuple[str, tuple[tuple[str, Any], ...]], layers: tuple[str, ...]
) -> Asked:
    """Draw the button that starts an evaluation, and return what it asks for."""
    key = digest([folder.key, model_key(model), method, layers])
    st.html('<div style="height: 0.6rem"></div>')  # beside boxes whose labels are above them
    if key in st.session_state.get("evaluations", {}):
        st.caption("Evaluated with these settings.")
    else:
        words = f"Evaluate {plural(len(folder.pictures), 'picture')}"
        st.button(words, on_click=_start, args=(key,), key="evaluate", type="primary")
    return Asked(model, (method[0], dict(method[1])), layers, key)


def _start(key: str) -> None:
    st.session_state.folder_asked = key
    st.session_state.pop("stopped", None)


def evaluated(asked: Asked, folder: Folder) -> Evaluation | None:
    """The results, once they were asked for; None until then, or if it was stopped or cannot be done."""
    results: dict[str, Evaluation] = st.session_state.setdefault("evaluations", {})
    if asked.key in results or st.session_state.get("folder_asked") != asked.key:
        return results.get(asked.key)
    pictures = [(name, lambda file=file: file.content) for (name, _), file in folder.pictures.items()]
    masks = {name: lambda file=file: file.content for (name, _), file in folder.masks.items()}
    chosen = {"method": asked.method, "layers": asked.layers or None}
    try:
        evaluation = watched(
            asked.key,
            lambda work: evaluate(pictures, folder.table, masks, asked.model, on_progress=work, **chosen),
        )
    except GradcamError as error:
        show_error(error)
        return None
    if evaluation is not None:
        results[asked.key] = evaluation
        for old in list(results)[:-MOST_RESULTS]:
            del results[old]
        st.rerun()  # the button above was drawn while there was no result
    return evaluation
