"""Files that were dropped on the page of models: weights, which are compared at once, and names of classes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gradcam_core import GradcamError, Suggestion, load_model, read_labels, suggest_architectures
from pages.components import session
from pages.components.analysis.files import keep_file
from pages.components.words import NO_BREAK, shown_name

NAMES_END = (".json", ".txt", ".csv")
WEIGHTS_END = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".tar")
HEAD_BYTES, LONGEST_LISTED = 4096, 40
WEIGHTS, NAMES, LEFT_OUT = "dropped weights", "dropped names", "dropped besides"


@dataclass(frozen=True)
class Weights:
    """A dropped checkpoint: the name of its file, for this session alone, and where its content lies."""

    name: str
    sha256: str
    path: str


@dataclass(frozen=True)
class Names:
    """A dropped file with names of classes. `path` is where its content lies, `error` why it cannot be read."""

    name: str
    path: str
    labels: tuple[str, ...]
    error: GradcamError | None = None


def drop_zone() -> None:
    """The place for weights and names of classes; files that are dropped elsewhere on the page come here, too."""
    st.html(f"<style>{(Path(__file__).parent / 'models.css').read_text('utf-8')}</style>")
    with st.container(key="takes-drops"):
        st.file_uploader(
            "**Drop a checkpoint here**, with its class names if they are in a file of their own",
            accept_multiple_files=True,
            key=_uploader_key(),
            on_change=_take_files,
            help="A state dict, bare or in one of the usual wrappers: .pth, .pt, .bin, .ckpt, .safetensors, .pth.tar "
            "or any other ending, since the content decides. Together with it, or afterwards: the names of the classes "
            "(class_indices.json, or one name a line). Nothing in these files is run.",
        )


def weights() -> Weights | None:
    """The checkpoint that waits to be loaded."""
    waiting: Weights | None = st.session_state.get(WEIGHTS)
    return waiting


def names() -> Names | None:
    """The names of classes that wait to be loaded."""
    waiting: Names | None = st.session_state.get(NAMES)
    return waiting


def left_out() -> str:
    """The name of a second checkpoint that was dropped at the same time; said once."""
    return str(st.session_state.pop(LEFT_OUT, ""))


def suggestions(weights: Weights) -> tuple[tuple[Suggestion, ...] | None, GradcamError | None]:
    """Compare the dropped checkpoint with known networks, once.

    Returns None where it cannot be read, and why; and why there are no suggestions.
    """
    kept = st.session_state.get("suggestions")
    if kept is None or kept[0] != weights.sha256:
        kept = st.session_state.suggestions = (weights.sha256, _suggested(weights.path))
    suggested: tuple[tuple[Suggestion, ...] | None, GradcamError | None] = kept[1]
    return suggested


def _suggested(path: str) -> tuple[tuple[Suggestion, ...] | None, GradcamError | None]:
    suggested: tuple[Suggestion, ...] | None = None
    try:
        suggested = suggest_architectures(path)
        if not suggested:
            load_model(f"file:{path}")  # without an architecture: says what is known of the file
    except GradcamError as error:
        return suggested, error
    return suggested, None


def forget_weights() -> None:
    """Drop the waiting checkpoint and the names of its classes."""
    for key in (WEIGHTS, NAMES, "suggestions"):
        st.session_state.pop(key, None)


def forget_names() -> None:
    """Drop the waiting names of classes."""
    st.session_state.pop(NAMES, None)


def class_words(labels: tuple[str, ...]) -> str:
    """Such as "7 classes: daisy, dandelion, …"."""
    first, length = [], 0
    for label in labels:
        length += len(label) + 2
        if length > LONGEST_LISTED:
            break
        first.append(label)
    shown = ", ".join(first) + (", …" if first and len(first) < len(labels) else "")
    count = f"{len(labels):,}{NO_BREAK}class{'' if len(labels) == 1 else 'es'}"
    return f"{count}: {shown}" if shown else count


def _uploader_key() -> str:
    return f"model uploader {st.session_state.get('model uploaders', 0)}"


def _take_files() -> None:
    """Keep what was dropped. Names of classes stay with the weights that they were dropped with or after."""
    files = _still_there(st.session_state.get(_uploader_key()) or [])
    st.session_state["model uploaders"] = st.session_state.get("model uploaders", 0) + 1
    of_names = [file for file in files if _holds_names(file)]
    of_weights = [file for file in files if file not in of_names]
    if of_weights:
        if weights():
            forget_weights()
        st.session_state[WEIGHTS] = _weights(of_weights[0])
        st.session_state[LEFT_OUT] = shown_name(of_weights[1].name) if len(of_weights) > 1 else ""
    if of_names:
        st.session_state[NAMES] = _names(of_names[-1])


def _still_there(files: Iterable[Any]) -> list[UploadedFile]:
    files = list(files)
    present = [file for file in files if isinstance(file, UploadedFile)]
    if len(present) < len(files):
        session.refuse(GradcamError("The server no longer has this file.", "Add it again."))
    return present


def _holds_names(file: UploadedFile) -> bool:
    """Tell names of classes from weights: by the ending, and where it says nothing, by whether it is text."""
    ending = PurePath(file.name).suffix.lower()
    if ending in NAMES_END or ending in WEIGHTS_END:
        return ending in NAMES_END
    try:
        text = file.getvalue()[:HEAD_BYTES].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(sign.isprintable() or sign.isspace() for sign in text)


def _weights(file: UploadedFile) -> Weights:
    content = file.getvalue()
    path, _ = keep_file(content, "")
    return Weights(shown_name(file.name), hashlib.sha256(content).hexdigest(), str(path))


def _names(file: UploadedFile) -> Names:
    path, _ = keep_file(file.getvalue(), "")
    try:
        return Names(shown_name(file.name), str(path), read_labels(Path(path)))
    except GradcamError as error:
        return Names(shown_name(file.name), str(path), (), error)
