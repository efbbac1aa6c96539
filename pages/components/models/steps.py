"""The rows of the model that was given: the name of a step on the left, what is known and can be changed beside it."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from gradcam_core import LoadedModel, counted
from pages.components.models import candidate
from pages.components.models.candidate import NAMES
from pages.components.models.dropped import read_names
from pages.components.words import NO_BREAK, plain

LONGEST_LISTED, LONGEST_PASTED = 60, 200_000
SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@contextmanager
def step(name: str) -> Iterator[None]:
    """One row, with its name on the left."""
    with st.container(key=f"step {name}"):
        left, right = st.columns([1, 6.2], gap="medium")
        left.markdown(name)
        with right:
            yield


def size_words(size: int) -> str:
    """Such as "9.2 MB"."""
    unit, name = next(((unit, name) for unit, name in SIZES if size >= unit), (1, "bytes"))
    return f"{size / unit:.{1 if unit > 1 else 0}f}{NO_BREAK}{name}"


def class_words(labels: tuple[str, ...]) -> str:
    """Such as "7 classes: daisy, dandelion, …"."""
    first, length = [], 0
    for label in labels:
        length += len(label) + 2
        if length > LONGEST_LISTED:
            break
        first.append(label)
    shown = ", ".join(first) + (", …" if first and len(first) < len(labels) else "")
    count = counted(len(labels), "class").replace(" ", NO_BREAK)
    return f"{count}: {shown}" if shown else count


def show_names(model: LoadedModel | None) -> bool:
    """Show the names of the classes, and let them be given; return whether those that were given fit the model."""
    names = candidate.names()
    classes = len(model.labels) if model is not None else None
    fits = names is None or (names.error is None and classes in (None, len(names.labels)))
    if names is not None and names.error is not None:
        st.error(f"**{plain(names.origin)}**: {plain(str(names.error))}", icon=":material/error:")
    elif names is not None and not fits:
        one_less = classes is not None and len(names.labels) == classes - 1
        background = " Detectors often count the background first: add a name for it at the top." if one_less else ""
        st.error(
            f"**{plain(names.origin)}: {len(names.labels):,} names, the weights have {classes:,} classes.**\n\n"
            f"Give the names that belong to these weights, or remove them and go on without names.{background}",
            icon=":material/error:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        if names is not None and fits:
            waiting = "" if model is not None else " · Drop the weights that it belongs to"
            st.markdown(f"{plain(f'{names.origin}: {class_words(names.labels)}')}{waiting}", width="stretch")
        elif model is not None and names is None:
            st.markdown(plain(class_words(model.labels)), width="stretch")
        if names is not None:
            forget = {"on_click": candidate.forget_names, "type": "tertiary", "icon": ":material/close:"}
            st.button("Remove the class names", key="forget names", **forget)
        if model is not None:
            _paste_names()
    return fits


def _paste_names() -> None:
    with st.popover("Give class names", type="tertiary"):
        with st.form("paste names", border=False, clear_on_submit=True):
            text = st.text_area(
                "One name a line, in the order of the outputs; or JSON",
                height=180,
                max_chars=LONGEST_PASTED,
                placeholder="daisy\nrose\ntulip",
            )
            if st.form_submit_button("Use these names") and text.strip():
                st.session_state[NAMES] = read_names("Given names", text.encode("utf-8", "replace"))
                st.rerun()
        st.caption("Or drop a file with the names on the page.")
