"""What a session has and has chosen: its pictures, its models, the values of its widgets.

Values of widgets that outlive a page are kept here and not by the widgets: `kept` lays a value out before its
widget is drawn, and takes only a change that the user made. So a widget that is drawn on another page, with
other options or another limit, neither loses nor changes what was chosen.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import streamlit as st

from gradcam_core import list_bundled, list_samples, read_sample
from pages.components.cache import ModelChoice

PICTURE, MODEL, DEVICE, FIT = "picture", "model", "device", "fit"
FITS = {
    "model": "Standard crop (as in testing)",
    "letterbox": "Whole picture, padded",
    "squash": "Whole picture, stretched",
    "crop": "Largest centre part",
}


@dataclass(frozen=True)
class Upload:
    """A picture that this session brought. The name is shown to this session alone."""

    name: str
    content: bytes


def start_session() -> None:
    """Set up what a new session starts with: the sample pictures and the bundled models."""
    state = st.session_state
    state.setdefault("uploads", {})
    state.setdefault("uploader", 0)
    state.setdefault("models", {f"bundled:{name}": ModelChoice(title, f"bundled:{name}") for name, title in bundled()})
    state.setdefault("usual_fit", list_samples()[0].fit)


def kept(
    key: str,
    default: Any,
    options: Collection[Any] | None = None,
    *,
    most: int | None = None,
    then: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Lay out the kept value of a widget; return the arguments that keep it.

    Of what was chosen before, only what is among `options` is laid out, at most `most` of a list. `then` is
    called after a change that the user made.
    """
    value = _allowed(value_of(key, default), default, options, most)
    st.session_state[key] = value
    _store("shown values")[key] = value
    return {"key": key, "on_change": _take_change, "args": (key, then)}


def value_of(key: str, default: Any = None) -> Any:
    """The kept value of a widget, or what it starts with."""
    values = _store("kept values")
    if key in st.session_state and key not in values and key not in _store("shown values"):
        values[key] = st.session_state[key]  # laid out by a link or a test before the widget was ever drawn
    return values.get(key, default)


def choose(key: str, value: Any) -> None:
    """Change a kept value as if the user had chosen it."""
    _store("kept values")[key] = value


def _store(name: str) -> dict[str, Any]:
    store: dict[str, Any] = st.session_state.setdefault(name, {})
    return store


def _allowed(value: Any, default: Any, options: Collection[Any] | None, most: int | None) -> Any:
    """The part of a value that a widget with these options and this limit can show."""
    if isinstance(value, list | tuple):
        return [part for part in value if options is None or part in options][:most]
    if options is None or value is None or value in options:
        return value
    return default if default is None or default in options else next(iter(options), None)


def _take_change(key: str, then: Callable[[], None] | None) -> None:
    """Keep a value that the user changed. Streamlit also reports changes that are none."""
    value = st.session_state[key]
    if value == _store("shown values").get(key):
        return
    choose(key, value)
    if then is not None:
        then()


def bundled() -> list[tuple[str, str]]:
    """Names and titles of the models that need no network."""
    return [(model.name, model.title) for model in list_bundled()]


def pictures() -> dict[str, str]:
    """Keys and titles of the session's own pictures, newest first, then of the samples."""
    own = {sha256: upload.name for sha256, upload in reversed(st.session_state.uploads.items())}
    return own | {sample.name: f"{sample.title} (sample)" for sample in list_samples()}


def models() -> dict[str, str]:
    """Keys and titles of the session's models."""
    return {key: choice.title for key, choice in st.session_state.models.items()}


def chosen_picture() -> str:
    """The key of the chosen picture; the first one where the chosen one was removed."""
    key = value_of(PICTURE, list_samples()[0].name)
    return str(key) if key in pictures() else next(iter(pictures()))


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
        # A new uploader: the old one would hold the files even after they are removed here.
        st.session_state.uploader += 1
        choose_picture(added)


def choose_picture(key: str) -> None:
    """Choose one of the session's pictures."""
    choose(PICTURE, key)
    picture_changed()


def uploader_key() -> str:
    """The key of the uploader that is on the page now."""
    return f"uploader {st.session_state.uploader}"


def forget_upload() -> None:
    """Drop the chosen picture, which is one that this session brought."""
    st.session_state.uploads.pop(chosen_picture(), None)
    choose_picture(next(iter(pictures())))


def picture_changed() -> None:
    """Fit a sample as it is meant, unless the user has chosen a fit."""
    choice_made()
    fits = {sample.name: sample.fit for sample in list_samples()}
    suggest_fit(fits.get(chosen_picture(), "model"))


def suggest_fit(fit: str) -> None:
    """Change the fit that is used while the user has chosen none."""
    st.session_state.usual_fit = fit


def choice_made() -> None:
    """Remember, for this run, that the user chose something in the sidebar."""
    st.session_state.choice_made = True


def add_model(choice: ModelChoice) -> None:
    """Add a model to the session, choose it, and start the page again."""
    parts = (choice.reference, choice.architecture, choice.weights, choice.labels, str(choice.preprocessing))
    st.session_state.models["|".join(parts)] = choice
    choose(MODEL, "|".join(parts))
    st.rerun()
