"""The model that was given and is not used yet: where it comes from, what is inside, and what its user says of it."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from gradcam_core import Contents, GradcamError, look_inside, observe_file, place_of
from pages.components.analysis.requests import ModelChoice

CANDIDATE, INSIDE, NAMES, LEFT_OUT = "candidate", "inside", "dropped names", "dropped besides"
Origin = Literal["dropped", "path", "name"]


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of classes that were dropped or pasted; `error` says why they cannot be read."""

    origin: str
    labels: tuple[str, ...]
    error: GradcamError | None = None


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to try: how it would be loaded, where it comes from, and the size of its file in bytes."""

    choice: ModelChoice
    origin: Origin
    bytes: int = 0

    @property
    def path(self) -> Path | None:
        """Its file or folder; None for a name."""
        return place_of(self.choice.reference)


def candidate() -> Candidate | None:
    """The model that is being looked at before it is used."""
    given: Candidate | None = st.session_state.get(CANDIDATE)
    return given


def give(new: Candidate) -> None:
    """Look at a model before it is used. Names of classes of the one before do not stay."""
    if candidate() is not None:
        forget()
    st.session_state[CANDIDATE] = new


def give_path(path: Path, title: str) -> None:
    """Look at a file or folder of this machine. Raises GradcamError."""
    state = observe_file(f"file:{path}")
    if state is not None:
        choice = ModelChoice(title, f"file:{path}", weights=state.sha256)
        give(Candidate(choice, "path", state.bytes))


def change(**parts: Any) -> None:
    """Take over what the user says of the model."""
    given = candidate()
    if given is not None:
        st.session_state[CANDIDATE] = dataclasses.replace(given, choice=dataclasses.replace(given.choice, **parts))


def forget() -> None:
    """Drop the model that is being looked at, and the names of its classes."""
    for key in (CANDIDATE, NAMES, INSIDE):
        st.session_state.pop(key, None)


def names() -> Names | None:
    """The names of classes that were dropped or pasted, and belong to the model that is being looked at."""
    given: Names | None = st.session_state.get(NAMES)
    return given


def forget_names() -> None:
    """Drop the names of classes."""
    st.session_state.pop(NAMES, None)


def left_out() -> str:
    """The name of a second checkpoint that was dropped at the same time; said once."""
    return str(st.session_state.pop(LEFT_OUT, ""))


def is_read() -> bool:
    """Whether the candidate's file has been looked into."""
    return INSIDE in st.session_state


def inside(path: Path) -> Contents | GradcamError:
    """What the candidate's file holds, or why it cannot be read; looked up once."""
    if INSIDE not in st.session_state:
        try:
            st.session_state[INSIDE] = look_inside(path)
        except GradcamError as error:
            st.session_state[INSIDE] = error
    read: Contents | GradcamError = st.session_state[INSIDE]
    return read
