"""What a session has and has chosen: its pictures, its models, the values of its widgets. Loads no torch.

Values of widgets that outlive a page are kept here and not by the widgets: `kept` lays a value out before its widget is
drawn, and takes only what the user changed. So other options or limits on another page neither lose nor change it.
"""

import functools
import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gradcam_core import GradcamError, list_bundled, list_samples, read_sample
from pages.components import remembered
from pages.components.analysis.requests import ModelChoice
from pages.components.reading_ahead import read_ahead
from pages.components.stacks import in_stacks
from pages.components.words import shown_name

MOST_FILES, MOST_BYTES, MOST_MEGABYTES = 2000, 2 * 2**30, 256
MOST_WORDS = f"{MOST_FILES} pictures or 2 GB"
PICTURE, MODEL, DEVICE, FIT = "picture", "model", "device", "fit"
FITS = {
    "model": "As the model was tested",
    "letterbox": "Whole picture, padded",
    "squash": "Whole picture, stretched",
    "crop": "Largest centre square",
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
    if "models" not in state:
        state.models = {choice.reference: choice for choice in bundled()}
        take_remembered()
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
    if value != _store("shown values").get(key):
        choose(key, value)
        (then or (lambda: None))()


def bundled() -> list[ModelChoice]:
    """The models that need no network, the default first."""
    return [ModelChoice(model.title, f"bundled:{model.name}") for model in list_bundled()]


def pictures() -> dict[str, str]:
    """Keys and titles of the session's own pictures, newest first, then of the samples."""
    uploads = st.session_state.uploads
    own = {sha256: shown_name(uploads[sha256].name) or "Picture" for sha256 in reversed(uploads)}
    return own | {sample.name: f"{sample.title} (sample)" for sample in list_samples()}


def models() -> dict[str, str]:
    """Keys and titles of the session's models; those that know one kind of picture only stand last."""
    last = {f"bundled:{model.name}" for model in list_bundled() if model.only}
    choices = sorted(st.session_state.models.items(), key=lambda item: item[1].reference in last)
    return {key: choice.title for key, choice in choices}


def chosen_picture() -> str:
    """The key of the chosen picture; the first one where the chosen one was removed."""
    key, keys = value_of(PICTURE, list_samples()[0].name), pictures()
    return str(key) if key in keys else next(iter(keys))


def picture_content(key: str) -> tuple[str, bytes]:
    """A picture's sha256 and file."""
    if key in st.session_state.uploads:
        return key, st.session_state.uploads[key].content
    content = read_sample(key)
    return hashlib.sha256(content).hexdigest(), content


def content_of(sha256: str) -> bytes | None:
    """The file of one of this session's pictures or samples, by its content's hash."""
    if sha256 in st.session_state.get("uploads", {}):
        return bytes(st.session_state.uploads[sha256].content)
    return _samples().get(sha256)


@functools.cache
def _samples() -> dict[str, bytes]:
    contents = [read_sample(sample.name) for sample in list_samples()]
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def accepted(files: Iterable[Any]) -> list[UploadedFile]:
    """Those of the uploaded files that the session may keep; for the others, say why not."""
    accepted_files, present = list[UploadedFile](), sizes()
    for file in files:
        if not isinstance(file, UploadedFile):
            refuse(GradcamError("The server no longer has this file.", "Add it again."))
        elif sum(present) + file.size > MOST_BYTES or len(present) >= MOST_FILES:
            refuse(GradcamError(f"This session already has {MOST_WORDS}.", "Remove some of its pictures first."))
        else:
            accepted_files.append(file)
            present.append(file.size)
    return accepted_files


def taken(files: Iterable[Any]) -> list[Upload]:
    """Uploaded files, as far as the session may keep them, DICOM series as stacks; for what it may not, say why."""
    return [Upload(*file) for file in in_stacks((file.name, file.getvalue()) for file in accepted(files))]


def sizes() -> list[int]:
    """The sizes of all files that this session brought. Those that lie on the server anyway do not count."""
    files = st.session_state.get("folder_files", {}).items()
    in_folder = (job.size for (_, sha256), job in files if sha256 and job.member is None)
    return [*in_folder, *(len(upload.content) for upload in st.session_state.get("uploads", {}).values())]


def take_uploads(place: str = "sidebar") -> None:
    """Keep what was just uploaded, since the uploader itself forgets it on the next page."""
    uploads = read_ahead(taken(st.session_state.get(uploader_key(place)) or []), refuse)
    st.session_state.uploader += 1  # a new one: the old one would keep the files even after they are removed here
    st.session_state["unread"] = [keep_picture(upload) for upload in uploads]
    if uploads:
        choose_picture(st.session_state["unread"][-1])


def keep_picture(upload: Upload) -> str:
    """Keep a picture without choosing it; return its key."""
    choose(PICTURE, chosen_picture())
    sha256 = hashlib.sha256(upload.content).hexdigest()
    st.session_state.uploads.setdefault(sha256, upload)
    return sha256


def refuse(error: GradcamError) -> None:
    """Let the next page say once what is wrong."""
    refusals: list[GradcamError] = st.session_state.setdefault("refusals", [])
    if str(error) not in map(str, refusals):
        refusals.append(error)


def refuse_picture(key: str, error: GradcamError) -> None:
    """Drop a picture that cannot be read; go on with one that came with it, or go back to the one before it."""
    drop_picture(key)
    unread = st.session_state.get("unread", [])
    which = f"File {unread.index(key) + 1} of {len(unread)}. " if len(unread) > 1 and key in unread else ""
    others = [other for other in unread if other in st.session_state.uploads]
    back = "" if others else " The picture that was chosen before is shown again."
    refuse(GradcamError(f"{which}{error.message}", f"{error.remedy}{back}"))  # without the file's name
    choose_picture(others[-1] if others else st.session_state.get("last read", ""))
    choose_picture(chosen_picture())


def note_read(key: str) -> None:
    """Remember the last picture that could be read."""
    st.session_state.update({"last read": key, "unread": []})


def refusals() -> list[GradcamError]:
    """What is to be said now, once."""
    return list(st.session_state.pop("refusals", []))


def choose_picture(key: str) -> None:
    """Choose one of the session's pictures."""
    choose(PICTURE, key)
    picture_changed()


def place_in_list() -> tuple[int, int]:
    """The place of the chosen picture in the list of pictures, and how many there are."""
    keys = list(pictures())
    return keys.index(chosen_picture()), len(keys)


def choose_at(place: int) -> bool:
    """Choose the picture at a place of the list; whether that is another one than before."""
    keys = list(pictures())
    if other := 0 <= place < len(keys) and keys[place] != chosen_picture():
        choose_picture(keys[place])
    return other


def uploader_key(place: str = "sidebar") -> str:
    """The key of the uploader that is in this place of the page now."""
    return f"uploader {place} {st.session_state.uploader}"


def forget_upload() -> None:
    """Drop the chosen picture, which is one that this session brought."""
    drop_picture(chosen_picture())
    choose_picture(next(iter(pictures())))


def drop_picture(sha256: str) -> None:
    """Drop a picture that this session brought, and all that was made of it. The only way in which one leaves."""
    from pages.components import pixels
    from pages.components.analysis import cache

    st.session_state.uploads.pop(sha256, None)
    kinds = ("regions", "masks", "encoded", "thumbnails", "windows", "model windows", "readings", "notes")
    for name in kinds:
        st.session_state.get(name, {}).pop(sha256, None)
    for name in [name for name in st.session_state if str(name).startswith("last analysis")]:
        del st.session_state[name]  # they hold pixels
    pixels.withdraw(sha256)
    cache.forget_picture(sha256)


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
    st.session_state.models[choice.key] = choice
    choose(MODEL, choice.key)
    st.rerun()


def take_remembered() -> None:
    """Offer the catalogue's models in this session; where it cannot be read, say why."""
    try:
        st.session_state.models |= remembered.take(st.session_state.models)
    except GradcamError as error:
        refuse(error)
