"""Files that were dropped on the page of models: weights, which are looked into at once, and names of classes."""

import hashlib
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gradcam_core import GradcamError, parse_labels
from pages.components import session
from pages.components.analysis.files import keep_file
from pages.components.analysis.requests import ModelChoice
from pages.components.models import candidate
from pages.components.models.candidate import Candidate, Names
from pages.components.models.places import WEIGHTS_END
from pages.components.words import shown_name

NAMES_END = (".json", ".txt", ".csv")
HEAD_BYTES, LARGEST_NAMES = 4096, 8_000_000
NOT_TEXT = ("The label file is not text (UTF-8).", "Save it as plain text, one name a line.")
TOO_LARGE = ("The label file is far too large for names of classes.", "Choose the file with the names.")


def drop_zone() -> None:
    """The place for weights and names of classes; files that are dropped elsewhere on the page come here, too."""
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


def read_names(origin: str, content: bytes) -> Names:
    """Read names of classes out of text; what cannot be read carries the reason."""
    try:
        if len(content) > LARGEST_NAMES:
            raise GradcamError(*TOO_LARGE)
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Windows' Notepad may write
        return Names(origin, parse_labels(content.decode("utf-16" if utf16 else "utf-8-sig")))
    except UnicodeDecodeError:
        return Names(origin, (), GradcamError(*NOT_TEXT))
    except GradcamError as error:
        return Names(origin, (), error)


def _uploader_key() -> str:
    return f"model uploader {st.session_state.get('model uploaders', 0)}"


def _take_files() -> None:
    """Keep what was dropped. Names of classes stay with the weights that they were dropped with or after."""
    files = _still_there(st.session_state.get(_uploader_key()) or [])
    st.session_state["model uploaders"] = st.session_state.get("model uploaders", 0) + 1
    of_names = [file for file in files if _holds_names(file)]
    of_weights = [file for file in files if file not in of_names]
    if of_weights:
        candidate.give(_weights(of_weights[0]))
        second = shown_name(of_weights[1].name) if len(of_weights) > 1 else ""
        st.session_state[candidate.LEFT_OUT] = second
    if of_names:
        st.session_state[candidate.NAMES] = read_names(shown_name(of_names[-1].name), of_names[-1].getvalue())


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


def _weights(file: UploadedFile) -> Candidate:
    content = file.getvalue()
    choice = ModelChoice(
        shown_name(file.name), f"file:{keep_file(content)}", weights=hashlib.sha256(content).hexdigest()
    )
    return Candidate(choice, "dropped", len(content))
