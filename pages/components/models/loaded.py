"""The models of this session: a list to rename and remove them, and what the chosen one is."""

import dataclasses

import streamlit as st

from gradcam_core import TASK_WORDS, LoadedModel, describe_device, list_tasks, number
from pages.components import session
from pages.components.analysis.requests import ModelChoice
from pages.components.frame.navigation import go_to
from pages.components.models.dropped import class_words, weights
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
        st.markdown(f"{title}  \n:small[{about}]" if about else title, width="stretch")
        first = chosen and not is_bundled and weights() is None  # one primary button at a time
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


def _named(words: str, title: str) -> str:
    """A button's words, and the model that it belongs to for those who hear the page: models.css hides the name."""
    return f"{words} *{plain(title)}*"


def _rename(key: str, box: str) -> None:
    title = shown_name(st.session_state[box])
    if title:
        st.session_state.models[key] = dataclasses.replace(st.session_state.models[key], title=title)


def _remove(key: str) -> None:
    """Drop a model from this session; where it was the chosen one, the first takes its place."""
    st.session_state.models.pop(key, None)
    if session.value_of(session.MODEL) == key:
        session.choose(session.MODEL, next(iter(st.session_state.models)))


def note_classes(model: LoadedModel) -> None:
    """Remember the classes of the chosen model for the list."""
    key = session.value_of(session.MODEL)
    st.session_state.setdefault("class words", {})[key] = class_words(model.labels)


def _pick_task(model: LoadedModel) -> None:
    """Say what the model's outputs mean, and let the user correct it where it was assumed or is wrong."""
    key = str(session.value_of(session.MODEL, next(iter(st.session_state.models))))
    choice: ModelChoice = st.session_state.models[key]
    tasks = ["", *list_tasks(model)]
    box, unit_box = f"task {key}", f"unit {key}"
    left, right = st.columns([1.4, 1], gap="medium")
    left.selectbox(
        "What its outputs mean",
        tasks,
        index=tasks.index(choice.task) if choice.task in tasks else 0,
        format_func=lambda task: TASK_WORDS[task].capitalize() if task else f"As found: {found_words(model, choice)}",
        key=box,
        on_change=_set_task,
        args=(key, box, unit_box),
        help="Probabilities, checks and sentences follow it. Heatmaps do not change.",
    )
    if choice.task == "regression":
        right.text_input("Unit", choice.unit, 20, key=unit_box, on_change=_set_task, args=(key, box, unit_box))
    if model.outputs.has_findings:
        right.number_input(
            "A finding is present from",
            0.0,
            1.0,
            choice.threshold if choice.threshold is not None else model.outputs.threshold(0),
            0.05,
            key=f"threshold {key}",
            on_change=_set_threshold,
            args=(key, f"threshold {key}"),
            help="The probability from which on every finding counts as present.",
        )


def found_words(model: LoadedModel, choice: ModelChoice) -> str:
    """What the model itself says of its outputs; where the user has said otherwise, that this is left to it."""
    return "what the model says" if choice.task else model.outputs.words


def _set_task(key: str, box: str, unit_box: str) -> None:
    task, unit = st.session_state[box], st.session_state.get(unit_box, "").strip()
    change = {"task": task, "unit": unit if task == "regression" else ""}
    st.session_state.models[key] = dataclasses.replace(st.session_state.models[key], **change)


def _set_threshold(key: str, box: str) -> None:
    change = {"threshold": st.session_state[box]}
    st.session_state.models[key] = dataclasses.replace(st.session_state.models[key], **change)


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
    _pick_task(model)
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
