"""What a dropped checkpoint looks like, and the button that loads it."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import streamlit as st

from gradcam_core import GradcamError, LoadedModel, Suggestion
from pages.components import session
from pages.components.analysis.files import keep_file
from pages.components.analysis.requests import ModelChoice
from pages.components.frame import SENT_AFTER_S
from pages.components.models import dropped
from pages.components.models.hubs import loads, pick_architecture
from pages.components.words import plain, show_error, shown_name

MOST_EXAMPLES = 3


def show_offer() -> None:
    """Say what the dropped checkpoint looks like, and load it as its user decides."""
    weights, names = dropped.weights(), dropped.names()
    if weights is None:
        if names is not None:
            _show_names(names, None)
        return
    with st.container(key="offer", border=True):
        st.markdown(f"**{plain(weights.name)}**")
        if other := dropped.left_out():
            st.caption(f"One checkpoint at a time: {plain(other)} was left out. Drop it afterwards.")
        suggested, error = _read(weights)
        if error is not None:
            show_error(error)
        if suggested is None:
            st.button("Remove", on_click=dropped.forget_weights, icon=":material/close:")
            return
        best = suggested[0] if suggested else None
        if best is not None:
            _show_best(best)
        fits = _show_names(names, best.classes if best else None) if names is not None else True
        architecture, changes = _choose(suggested, fits)
    if architecture:
        _load(weights, names, architecture, changes)


def _read(weights: dropped.Weights) -> tuple[tuple[Suggestion, ...] | None, GradcamError | None]:
    """Compare the file, saying so; the pause lets the words be sent before the work begins."""
    place = st.empty()
    if "suggestions" not in st.session_state:
        place.markdown("Reading the tensors …")
        time.sleep(SENT_AFTER_S)
    suggested = dropped.suggestions(weights)
    place.empty()
    return suggested


def _show_best(best: Suggestion) -> None:
    if best.complete:
        st.markdown(f"This looks like **{plain(best.reference)}**{plain(best.words.removeprefix(best.reference))}.")
    else:
        st.markdown(f"No known network has exactly these tensors. The nearest is **{plain(best.reference)}**.")
        st.markdown(plain(best.reason))


def _show_names(names: dropped.Names, classes: int | None) -> bool:
    """Show the names of the classes that wait; return whether they can be used with that many classes."""
    fits = names.error is None and classes in (None, len(names.labels))
    if names.error is not None:
        st.error(f"**{plain(names.name)}**: {plain(str(names.error))}", icon=":material/error:")
    elif not fits:
        st.error(
            f"**{plain(names.name)} has {len(names.labels):,} names, the weights have {classes:,} classes.**\n\n"
            "Drop the file that belongs to these weights, or remove this one and go on without names.",
            icon=":material/error:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        if fits:
            waiting = "" if dropped.weights() else " · Drop the weights that it belongs to"
            st.markdown(f"{plain(f'{names.name}: {dropped.class_words(names.labels)}')}{waiting}", width="content")
        forget = {"on_click": dropped.forget_names, "type": "tertiary", "icon": ":material/close:"}
        st.button("Remove the class names", key="forget names", **forget)
    return fits


def _choose(suggested: tuple[Suggestion, ...], usable: bool) -> tuple[str | None, tuple[tuple[str, Any], ...]]:
    """Let the user choose an architecture; None while nothing is chosen."""
    architecture = None
    complete = [suggestion.reference for suggestion in suggested if suggestion.complete]
    with st.container(horizontal=True):
        for reference in complete[:1]:
            kind: Any = "primary" if usable else "secondary"  # a disabled primary button cannot be read in the dark
            if st.button(f"Use {plain(reference)}", type=kind, disabled=not usable, key="use the best"):
                architecture = reference
        st.button("Remove", on_click=dropped.forget_weights, icon=":material/close:")
    others = [suggestion for suggestion in suggested if suggestion.reference != (complete[:1] or [""])[0]]
    if complete[1:]:
        st.caption(
            "The same tensors fit the networks below as well, which may compute something else with them. Choose the "
            "one that the weights were trained with."
        )
    for suggestion in others:
        if suggestion.complete:
            if st.button(f"Use {plain(suggestion.reference)}", disabled=not usable, key=f"use {suggestion.reference}"):
                architecture = suggestion.reference
        else:
            st.markdown(f"- {_differences(suggestion)}")
    with st.expander("Another architecture", expanded=not complete):
        named = pick_architecture()
    return (architecture or named) if usable else None, _pick_preprocessing()


def _differences(suggestion: Suggestion) -> str:
    """What would be missing, with examples."""
    parts = {
        "missing": suggestion.missing,
        "not part of it": suggestion.unexpected,
        "of another shape": suggestion.misshapen,
    }
    words = [
        f"{len(names)} {what} ({', '.join(map(shown_name, names[:MOST_EXAMPLES]))}"
        f"{', …' if len(names) > MOST_EXAMPLES else ''})"
        for what, names in parts.items()
        if names
    ]
    return f"{plain(suggestion.reference)}: {plain('; '.join(words))}"


def _pick_preprocessing() -> tuple[tuple[str, Any], ...]:
    """How pictures were prepared in training, where that differs from the architecture's default."""
    with st.expander("Custom preprocessing"):
        size = st.number_input("Input size in pixels", 0, 1024, 0, help="0: the architecture’s default.")
        mean = st.text_input("Mean", placeholder="e.g. 0.5, or 0.485, 0.456, 0.406")
        std = st.text_input("Standard deviation", placeholder="e.g. 0.5, or 0.229, 0.224, 0.225")
    changes: list[tuple[str, Any]] = [("size", int(size))] if size else []
    for name, text in (("mean", mean), ("std", std)):
        if text.strip():
            changes.append((name, tuple(part.strip() for part in text.split(","))))
    return tuple(changes)


def _load(
    weights: dropped.Weights, names: dropped.Names | None, architecture: str, changes: tuple[tuple[str, Any], ...]
) -> None:
    """Load the weights into an architecture; on success the model is added and chosen."""
    try:
        beside = [(Path(names.path).read_bytes(), ".names")] if names else []
        path, labels = keep_file(Path(weights.path).read_bytes(), "", beside)
    except FileNotFoundError:  # unused for too long
        show_error(GradcamError("The server no longer has this file.", "Add it again."))
        return
    choice = ModelChoice(
        title=weights.name,
        reference=f"file:{path}",
        architecture=architecture,
        weights=weights.sha256,
        labels=str(labels[0]) if labels else "",
        preprocessing=changes,
    )
    model = loads(choice)
    if model is not None:
        dropped.forget_weights()
        session.add_model(dataclasses.replace(choice, title=_title(choice, model)))


def _title(choice: ModelChoice, model: LoadedModel) -> str:
    """The file's name; where another model has it, with its classes, and with a number where they are the same."""
    taken = {
        other.title
        for other in st.session_state.models.values()
        if dataclasses.replace(other, title=choice.title) != choice
    }
    longer = f"{choice.title} · {dropped.class_words(model.labels)}"
    numbered = (f"{longer} ({number})" for number in range(2, len(taken) + 3))
    return next(title for title in (choice.title, longer, *numbered) if title not in taken)
