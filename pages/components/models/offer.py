"""The model that was given, from what is inside to a test on a picture, and the button that uses it everywhere."""

import dataclasses
import time
from typing import Any

import streamlit as st

from gradcam_core import (
    CatalogueError,
    Contents,
    GradcamError,
    ImageRecord,
    LoadedModel,
    list_devices,
)
from pages.components import frame, remembered, session
from pages.components.frame import SENT_AFTER_S
from pages.components.models import candidate
from pages.components.models.architecture import choose_architecture, classes_of, pick_weights, show_inside
from pages.components.models.candidate import Candidate
from pages.components.models.outputs import pick_task
from pages.components.models.pictures import show_pictures, show_test
from pages.components.models.steps import class_words, show_names, size_words, step
from pages.components.words import plain, show_error

SESSION_ONLY = (
    "A dropped file has no place on this server: the model is here until this tab is closed. To keep it, open it by "
    "its path, or add it in a terminal: `python -m gradcam_core models add PATH`."
)
NOT_KEPT = "This server does not remember models: it is here until this tab is closed."


def show_offer(image: ImageRecord | None) -> None:
    """Show the candidate step by step. Only what its user accepts at the end is used on other pages."""
    given = candidate.candidate()
    if given is None:
        if candidate.names() is not None:
            show_names(None)
        return
    with st.container(key="offer", border=True):
        use = _show_title(given)
        read = _read(given)
        if isinstance(read, GradcamError):
            show_error(read)
            return
        ready = _show_network(given, read)
        if ready is None:
            return
        model, usable = ready
        with step("Outputs"):
            pick_task(model, given.choice, "candidate", lambda changes: candidate.change(**changes))
        with step("Pictures"):
            show_pictures(model)
        with step("Test"):
            show_test(image, model)
        if model.notes:
            with step("Notes"):
                for note in model.notes:
                    st.caption(plain(note))
        with use:
            _offer_use(given, model, usable)
    if words := _how_long(given):
        st.caption(words)


def _show_title(given: Candidate) -> Any:
    """Show the name, and return the place for the button that uses the model: it stays in sight."""
    size = f" :small[{size_words(given.bytes)}]" if given.bytes else ""
    with st.container(horizontal=True, vertical_alignment="center", key="title"):
        st.markdown(f"**{plain(given.choice.title)}**{size}", width="stretch")
        use = st.container(horizontal=True, vertical_alignment="center", width="content")
        st.button("Remove", on_click=candidate.forget, icon=":material/close:", type="tertiary")
    if other := candidate.left_out():
        st.caption(f"One checkpoint at a time: {plain(other)} was left out. Drop it afterwards.")
    return use


def _read(given: Candidate) -> Contents | GradcamError | None:
    """Look into the file, saying so; the pause lets the words be sent before the work begins. None for a name."""
    if given.path is None:
        return None
    place = st.empty()
    if not candidate.is_read():
        place.markdown("Reading the tensors …")
        time.sleep(SENT_AFTER_S)
    read = candidate.inside(given.path)
    place.empty()
    return read


def _show_network(given: Candidate, read: Contents | None) -> tuple[LoadedModel, bool] | None:
    """Show what is inside, choose the architecture and load it; return the model, and whether its names fit it."""
    if read is not None:
        with step("Inside"):
            show_inside(read)
            if read.averaged:
                averaged = pick_weights(given.choice)
                given = dataclasses.replace(given, choice=dataclasses.replace(given.choice, averaged=averaged))
        if read.configured:
            architecture = ""
        else:
            with step("Architecture"):
                architecture = choose_architecture(read, given.choice)
            if not architecture:
                return None
    else:
        architecture = ""
    given = dataclasses.replace(given, choice=dataclasses.replace(given.choice, architecture=architecture, labels=()))
    names = candidate.names()
    labels = names.labels if names is not None else ()
    fits = bool(labels) and len(labels) == classes_of(read, architecture)
    model = _load(given, labels if fits else ())
    if model is not None and labels and not fits and len(labels) == len(model.labels):
        fits, model = True, _load(given, labels, "added with names")
    if model is None:
        return None
    if read is None or read.configured:
        with step("Architecture"):
            st.markdown(f"**{plain(model.architecture)}**")
    with step("Classes"):
        usable = show_names(model)
    candidate.change(architecture=architecture, averaged=given.choice.averaged, labels=labels if fits else ())
    return model, usable


def _load(given: Candidate, labels: tuple[str, ...], subject: str = "added") -> LoadedModel | None:
    """Load a model with these names of classes to try it; where that fails, say why and return None.

    `subject` tells the loads of one run from each other.
    """
    if given.origin == "dropped" and given.path is not None and not given.path.exists():  # unused for too long
        show_error(GradcamError("The server no longer has this file.", "Add it again."))
        return None
    try:
        choice = dataclasses.replace(given.choice, labels=labels)
        return frame.load(choice, session.value_of(session.DEVICE) or list_devices()[0], st.empty(), subject)
    except GradcamError as error:
        show_error(error)
        return None


def _how_long(given: Candidate) -> str:
    """How long the model stays, where it is not remembered."""
    if given.origin == "dropped":
        return SESSION_ONLY
    return "" if remembered.use() == "on" else NOT_KEPT


def _offer_use(given: Candidate, model: LoadedModel, usable: bool) -> None:
    """The button that adds the model to every page, and whether the catalogue remembers it."""
    can_keep = given.origin != "dropped" and remembered.use() == "on"
    keep = can_keep and st.checkbox(
        "Remember it on this machine",
        True,
        help="Its path or name and its settings go into a file in the configuration folder of the server’s user; "
        "the weights are not copied. It is then offered at the next start.",
    )
    kind: Any = "primary" if usable else "secondary"  # a disabled primary button cannot be read in the dark
    used = st.button("Use it everywhere", type=kind, disabled=not usable, key="use everywhere")
    now = candidate.candidate()  # with what was chosen above
    if used and now is not None:
        choice = dataclasses.replace(now.choice, title=_title(now.choice, model), fingerprint=model.fingerprint)
        if keep:
            try:
                remembered.remember(choice)
            except CatalogueError as error:  # it is used in this session all the same
                session.refuse(error)
        candidate.forget()
        session.add_model(choice)


def _title(choice: Any, model: LoadedModel) -> str:
    """The file's name; where another model has it, with its classes, and with a number where they are the same."""
    taken = {other.title for key, other in st.session_state.models.items() if key != choice.key}
    longer = f"{choice.title} · {class_words(model.labels)}"
    numbered = (f"{longer} ({number})" for number in range(2, len(taken) + 3))
    return next(title for title in (choice.title, longer, *numbered) if title not in taken)
