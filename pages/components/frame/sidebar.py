"""The sidebar's pickers: picture, model, and what the model sees of a picture. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.components import session
from pages.components.analysis.requests import ModelChoice
from pages.components.dicomweb.search import offer_archive
from pages.components.words import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from gradcam_core import ImageRecord, LoadedModel

LARGE_MB = 5.0
TURNED = "frames that the viewer chose"
FITS_INTO_LIST = 26  # letters; a longer name is cut off there


@dataclass(frozen=True)
class Picked:
    """What is picked in the sidebar, before anything is loaded; and the places for what is known only then."""

    picture: str
    title: str
    sha256: str
    content: bytes
    choice: ModelChoice
    fit: str
    film: DeltaGenerator
    below_picture: DeltaGenerator
    below_model: DeltaGenerator


def show_pickers() -> Picked:
    """Draw the pickers; return what is picked."""
    picture, film, below_picture = _pick_picture()
    choice, fit, below_model = _pick_model()
    sha256, content = session.picture_content(picture)
    title = session.pictures()[picture]
    return Picked(picture, title, sha256, content, choice, fit, film, below_picture, below_model)


def _pick_picture() -> tuple[str, DeltaGenerator, DeltaGenerator]:
    titles = session.pictures()
    kept = session.kept(session.PICTURE, next(iter(titles)), titles, then=session.picture_changed)
    st.selectbox("Picture", list(titles), format_func=titles.get, **kept)
    picture = session.chosen_picture()
    _show_all_of(titles[picture])
    film = st.container()
    below = st.container()
    if picture in st.session_state.uploads:
        forget = {"on_click": session.forget_upload, "key": "forget", "icon": ":material/delete:"}
        st.button("Remove this picture", type="tertiary", **forget)
    st.file_uploader(
        "Add pictures",
        accept_multiple_files=True,
        key=session.uploader_key(),
        on_change=session.take_uploads,
        max_upload_size=session.MOST_MEGABYTES,
        help="JPEG, PNG, TIFF, WebP, BMP, GIF, HEIC, AVIF, JPEG 2000 or DICOM, up to 50 megapixels and 256 MB. The "
        "files of a DICOM series become one stack. All stay on this machine, and are removed a few minutes after this "
        "tab is closed.",
    )
    offer_archive()
    return picture, film, below


def _pick_model() -> tuple[ModelChoice, str, DeltaGenerator]:
    titles = session.models()
    kept = session.kept(session.MODEL, next(iter(titles)), titles, then=session.choice_made)
    model = st.selectbox("Model", list(titles), format_func=titles.get, **kept)
    _show_all_of(titles[model])
    usual = "model" if st.session_state.models[model] in _with_own_fit() else st.session_state.usual_fit
    kept = session.kept(session.FIT, usual, session.FITS, then=session.choice_made)
    fit = st.selectbox(
        "What the model sees",
        list(session.FITS),
        format_func=session.FITS.get,
        **kept,
        help="A model takes pictures of one size. Most are tested on the centre of a picture; what is cut away "
        "is never seen, and is hatched. Detectors and segmenters are tested on all of it, padded. Padding or "
        "stretching shows other models everything, in a form that they may know less well.",
    )
    _show_all_of(session.FITS[fit])
    return st.session_state.models[model], fit, st.container()


def note_fit(picked: Picked, model: LoadedModel) -> None:
    """Let a model that states its own fit have it, whatever fits the samples, as long as the user has chosen none."""
    if model.preprocessing.fit == "model" or picked.choice in _with_own_fit():
        return
    _with_own_fit().add(picked.choice)
    if picked.fit != "model" and session.value_of(session.FIT) is None:
        st.rerun()


def _with_own_fit() -> set[ModelChoice]:
    models: set[ModelChoice] = st.session_state.setdefault("models with a fit of their own", set())
    return models


def _show_all_of(title: str) -> None:
    """Repeat a name that is cut off in its list."""
    if len(title) > FITS_INTO_LIST:
        st.caption(plain(title))


def reading_words(picked: Picked) -> str:
    """Say that a picture is being read, with the size of its file where that is large."""
    megabytes = len(picked.content) / 1e6
    size = f" ({megabytes:.0f} MB)" if megabytes >= LARGE_MB else ""
    return f"Reading {picked.title}{size} …"


def pick_frame(picked: Picked, frames: int) -> int:
    """Pick one frame, counted from 0, of a picture that has several.

    The field has another key after each frame that the viewer chose: while that is explained, the browser may still
    report the field's former number, which would turn the viewer back.
    """
    key = f"frame {picked.sha256}"
    shown = min(int(session.value_of(key, 1)), frames)
    field = f"{key} {st.session_state.get(TURNED, 0)}"
    chosen = int(picked.below_picture.number_input(f"Frame (1–{frames})", 1, frames, shown, key=field))
    session.choose(key, chosen)
    return chosen - 1


def choose_frame(image: ImageRecord, frame: object) -> bool:
    """Choose another frame of a picture, as if it was picked; whether that changes anything."""
    if not isinstance(frame, int) or not 0 <= frame < image.frames or frame == image.frame:
        return False
    session.choose(f"frame {image.sha256}", int(frame) + 1)
    st.session_state[TURNED] = st.session_state.get(TURNED, 0) + 1
    return True


def pick_device(picked: Picked) -> str:
    """Pick where to compute, where there is a choice."""
    from gradcam_core import describe_device, list_devices

    devices = list_devices()
    if len(devices) == 1:
        picked.below_model.caption(f"Computed on this machine’s {plain(describe_device(devices[0]))}.")
        return devices[0]
    kept = session.kept(session.DEVICE, devices[0], devices)
    return str(picked.below_model.selectbox("Computed on", devices, format_func=describe_device, **kept))
