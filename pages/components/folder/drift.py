"""The task that compares two models on every picture of a folder, and the choice of the second model."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from gradcam_core import Drift, GradcamError, LoadedModel, drift
from pages.components import session
from pages.components.analysis.decoding import DECODER
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import LastingWork
from pages.components.comparison.choices import load_other
from pages.components.folder.evaluation import Method, reading
from pages.components.folder.files import Folder
from pages.components.folder.job import Task
from pages.components.pickers.layers import LEVELS
from pages.components.words import plain, show_error

OTHER, NONE = "folder other", ""
Models = Sequence[tuple[str, LoadedModel]]


def pick_other(model: LoadedModel) -> Models:
    """Pick a second model and load it; return both, each with its title, or nothing without a second one."""
    titles = session.models()
    own = session.value_of(session.MODEL, next(iter(titles)))
    others = [NONE, *(key for key in titles if key != own)]
    other = st.selectbox(
        "Compare with",
        others,
        format_func=lambda key: titles.get(key, "No other model"),
        **session.kept(OTHER, NONE, others),
        help="A second model on the same pictures: where the answers differ, and where the evidence moved. Add your "
        "own on the Models page.",
    )
    if other == NONE:
        return ()
    try:
        return (titles.get(own, model.architecture), model), (titles[other], load_other(other, model))
    except GradcamError as error:
        show_error(error)
        return ()


def say_layers(models: Models) -> tuple[str, ...]:
    """Say in the place of the choice of a layer which ones are compared; there is none to choose."""
    names = list(dict.fromkeys(LEVELS if model.pyramid else model.default_layer for _, model in models))
    st.html('<div style="height: 0.6rem"></div>')  # beside boxes whose labels are above them
    st.caption(f"At the recommended layer of each model: {plain(' and '.join(names))}.")
    return ()


def drift_task(folder: Folder, models: Models, method: Method, match: Mapping[int, int | None]) -> Task[Drift]:
    """Return the task: whether the answers of both models agree on this folder, and where the evidence moved."""
    (_, first), (_, second) = models

    def compute(folder: Folder, known: tuple[Any, ...], work: LastingWork) -> Drift:
        return drift(
            reading(folder.pictures),
            first,
            second,
            match=match,
            method=(method[0], dict(method[1])),
            blanked=folder.blanked,
            known=known,
            stop=work.stop.is_set,
            on_progress=work,
            decode=DECODER.decode,
        )

    key = digest(["drift", folder.key, model_key(first), model_key(second), method, sorted(match.items())])
    return Task(key, "Compare", "Compared with these settings.", compute, models=(first, second))
