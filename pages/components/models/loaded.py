"""The models of this session: a list to rename and remove them, and what the chosen one is."""

import dataclasses
from typing import Any

import streamlit as st

from gradcam_core import CatalogueError, LoadedModel, describe_device, number, what_changed
from pages.components import remembered, session
from pages.components.analysis.requests import ModelChoice
from pages.components.frame.navigation import go_to
from pages.components.models.candidate import candidate
from pages.components.models.outputs import pick_task
from pages.components.models.steps import class_words
from pages.components.words import plain, shown_name

EXPLAIN = "pages/1_Explain.py"


def show_list() -> None:
    """Every model of this session, the newest first and the bundled ones last."""
    models: dict[str, ModelChoice] = st.session_state.models
    bundled = {choice.reference for choice in session.bundled()}
    own = [key for key in reversed(models) if key not in bundled]
    with st.container(gap="xsmall"):
        for place, key in enumerate([*own, *(key for key in models if key in bundled)]):
            _show_row(place, key, models[key], key in bundled)


def _show_row(place: int, key: str, choice: ModelChoice, is_bundled: bool) -> None:
    chosen = key == session.value_of(session.MODEL, next(iter(st.session_state.models)))
    with st.container(horizontal=True, vertical_alignment="center", key=f"model row {place}"):
        title = f"**{plain(choice.title)}**" if chosen else plain(choice.title)
        words = st.session_state.get("class words", {}).get(key, "")
        about = plain(" · ".join(filter(None, (choice.architecture, words))))
        state = plain(_state(key, choice))
        lines = [f":small[{line}]" for line in (about, state) if line]
        st.markdown("  \n".join([title, *lines]), width="stretch")
        first = chosen and not is_bundled and candidate() is None  # one primary button at a time
        label = _named("Explain with it", choice.title)
        if st.button(label, key=f"explain with {place}", type="primary" if first else "tertiary"):
            session.choose(session.MODEL, key)
            go_to(EXPLAIN)
        if not is_bundled:
            with st.popover(_named("Rename", choice.title), type="tertiary"):
                box = f"title {place} {choice.title}"
                st.text_input("Name", choice.title, 60, key=box, on_change=_rename, args=(key, box))
            label = _named("Remove", choice.title)
            st.button(label, on_click=_remove, args=(key,), key=f"remove {place}", type="tertiary")


def _state(key: str, choice: ModelChoice) -> str:
    """Whether the catalogue has a model, and how its file differs from what it was."""
    model = remembered.known().get(key)
    if model is None:
        return ""
    # Where visitors only read the catalogue, its paths are not theirs to see.
    place = f" · {choice.reference.removeprefix('file:')}" if remembered.use() == "on" else ""
    return what_changed(model) or f"Remembered{place}"


def _named(words: str, title: str) -> str:
    """A button's words, and the model that it belongs to for those who hear the page: models.css hides the name."""
    return f"{words} *{plain(title)}*"


def _rename(key: str, box: str) -> None:
    title = shown_name(st.session_state[box])
    if title:
        _change(key, title=title)


def _change(key: str, **parts: Any) -> None:
    """Change what the user says of a model, in this session and in the catalogue."""
    choice = st.session_state.models[key] = dataclasses.replace(st.session_state.models[key], **parts)
    try:
        remembered.update(key, choice)
    except CatalogueError as error:
        session.refuse(error)


def _remove(key: str) -> None:
    """Drop a model from this session and the catalogue; where it was the chosen one, the first takes its place."""
    try:
        remembered.forget(key)
    except CatalogueError as error:
        session.refuse(error)
    st.session_state.models.pop(key, None)
    if session.value_of(session.MODEL) == key:
        session.choose(session.MODEL, next(iter(st.session_state.models)))


def note_classes(model: LoadedModel) -> None:
    """Remember the classes of the chosen model for the list."""
    key = session.value_of(session.MODEL)
    st.session_state.setdefault("class words", {})[key] = class_words(model.labels)


def show_model(model: LoadedModel) -> None:
    """What a model is, what it expects, and which of its layers can be explained."""
    spec = model.preprocessing
    mean, std = (", ".join(number(value) for value in values) for values in (spec.mean, spec.std))
    st.markdown(
        f"**{plain(model.architecture)}** · {len(model.labels):,} classes · "
        f"{len(model.layers)} layers can be explained · on {plain(describe_device(model.device))}\n\n"
        f"Input {spec.size[1]} × {spec.size[0]} px, {spec.channels} channels, {spec.interpolation}; "
        f"mean {mean}; standard deviation {std}. Fingerprint of the weights: `{model.fingerprint[:16]}`"
    )
    key = str(session.value_of(session.MODEL, next(iter(st.session_state.models))))
    pick_task(model, st.session_state.models[key], key, lambda changes: _change(key, **changes))
    for note in model.notes:
        st.caption(plain(note))
    left, right = st.columns(2, gap="large")
    with left.expander(f"Layers ({len(model.layers)})"):
        st.dataframe(
            [
                {
                    "Layer": layer.name + (" (recommended)" if layer.name == model.default_layer else ""),
                    "Kind": layer.kind,
                    "Channels": layer.channels,
                    "Map": f"{layer.grid[1]} × {layer.grid[0]}",
                }
                for layer in reversed(model.layers)
            ],
            hide_index=True,
        )
    with right.expander(f"Classes ({len(model.labels):,})"):
        st.dataframe([{"Index": i, "Label": label} for i, label in enumerate(model.labels)], hide_index=True)
