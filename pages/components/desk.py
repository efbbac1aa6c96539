"""What lies on a session's desk: its pictures, its models, and what is chosen. The only place of state.

Widgets keep their own values under their keys, for the whole session; everything else is here.
"""

import hashlib
from dataclasses import dataclass

import streamlit as st

from gradcam_core import list_bundled, list_samples, read_sample
from pages.components.cache import ModelChoice

PICTURE, MODEL, DEVICE, FIT = "picture", "model", "device", "fit"
FITS = {
    "model": "As the model was tested",
    "letterbox": "Whole picture, padded",
    "squash": "Whole picture, stretched",
    "crop": "Largest centre part",
}


@dataclass(frozen=True)
class Upload:
    """A picture that this session brought. The name is shown to this session alone."""

    name: str
    content: bytes


def open_desk() -> None:
    """Lay out what a new session starts with: the sample pictures and the bundled models."""
    state = st.session_state
    state.setdefault("uploads", {})
    state.setdefault("uploader", 0)
    state.setdefault("models", {f"bundled:{name}": ModelChoice(title, f"bundled:{name}") for name, title in bundled()})
    state.setdefault(PICTURE, list_samples()[0].name)
    state.setdefault(MODEL, next(iter(state.models)))
    state.setdefault(FIT, list_samples()[0].fit)
    state.setdefault("fit_chosen", False)
    if "next_model" in state:
        state[MODEL] = state.pop("next_model")


def bundled() -> list[tuple[str, str]]:
    """Names and titles of the models that need no network."""
    return [(entry.name, entry.title) for entry in list_bundled()]


def pictures() -> dict[str, str]:
    """Keys and titles of the session's own pictures, newest first, then of the samples."""
    own = {sha256: upload.name for sha256, upload in reversed(st.session_state.uploads.items())}
    return own | {sample.name: f"{sample.title} (sample)" for sample in list_samples()}


def models() -> dict[str, str]:
    """Keys and titles of the models on the desk."""
    return {key: choice.title for key, choice in st.session_state.models.items()}


def picture_content(key: str) -> tuple[str, bytes]:
    """A picture's sha256 and file."""
    if key in st.session_state.uploads:
        return key, st.session_state.uploads[key].content
    content = read_sample(key)
    return hashlib.sha256(content).hexdigest(), content


def take_uploads() -> None:
    """Keep what was just uploaded, since the uploader itself forgets it on the next page."""
    added = ""
    for file in st.session_state.get(uploader_key()) or []:
        content = file.getvalue()
        added = hashlib.sha256(content).hexdigest()
        st.session_state.uploads[added] = Upload(file.name, content)
    if added:
        # A new uploader: the old one would go on holding the files, also after they are removed here.
        st.session_state.uploader += 1
        st.session_state[PICTURE] = added
        picture_changed()


def uploader_key() -> str:
    """The key of the uploader that is on the page now."""
    return f"uploader {st.session_state.uploader}"


def forget_upload() -> None:
    """Drop the chosen picture, which is one that this session brought."""
    st.session_state.uploads.pop(st.session_state[PICTURE], None)
    st.session_state[PICTURE] = next(iter(pictures()))
    picture_changed()


def picture_changed() -> None:
    """Fit a sample as it is meant, until the person has chosen a fit."""
    choice_made()
    if not st.session_state.fit_chosen:
        fits = {sample.name: sample.fit for sample in list_samples()}
        st.session_state[FIT] = fits.get(st.session_state[PICTURE], "model")


def fit_changed() -> None:
    """Remember that the fit is the person's own choice."""
    choice_made()
    st.session_state.fit_chosen = True


def choice_made() -> None:
    """Remember, for this run, that the person chose something in the sidebar."""
    st.session_state.choice_made = True


def add_model(choice: ModelChoice) -> None:
    """Put a model on the desk, choose it, and start the page anew."""
    parts = (choice.reference, choice.architecture, choice.weights, choice.labels, str(choice.preprocessing))
    st.session_state.models["|".join(parts)] = choice
    # The list of models is drawn already in this run; the next one starts with the new choice.
    st.session_state.next_model = "|".join(parts)
    st.rerun()
