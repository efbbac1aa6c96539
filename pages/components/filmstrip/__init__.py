"""The session's pictures as thumbnails in a row; a click chooses one. Loads no torch."""

import base64
import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image

from gradcam_core import list_samples, read_sample
from pages.components import session
from pages.components.component import component

if TYPE_CHECKING:
    from gradcam_core import ImageRecord

SIDE, MOST = 88, 200  # pixels, for screens with two to a point; and pictures
KEY = "filmstrip"

_mount = component("filmstrip", Path(__file__).parent, ("filmstrip.js",))


def show_filmstrip() -> None:
    """Draw the row. A picture that was not read yet has its place, without a thumbnail."""
    own: dict[str, str] = st.session_state.setdefault("thumbnails", {})
    shown = list(session.pictures().items())[:MOST]
    pictures = [
        {"key": key, "title": title, "src": _sample(key) if key in _samples() else own.get(key, "")}
        for key, title in shown
    ]
    _mount(key=KEY, data={"pictures": pictures, "chosen": session.chosen_picture()}, on_picked_change=_take)


def note_thumbnail(key: str, image: "ImageRecord") -> None:
    """Keep the thumbnail of a picture that was just read, as the session's own."""
    thumbnails: dict[str, str] = st.session_state.setdefault("thumbnails", {})
    if key in st.session_state.uploads and key not in thumbnails:
        step = max(1, min(image.height, image.width) // (2 * SIDE))
        thumbnails[key] = _encoded(Image.fromarray((255 * image.pixels[::step, ::step]).round().astype("uint8")))


@functools.cache
def _samples() -> frozenset[str]:
    return frozenset(sample.name for sample in list_samples())


@functools.cache
def _sample(name: str) -> str:
    with Image.open(io.BytesIO(read_sample(name))) as picture:
        return _encoded(picture.convert("RGB"))


def _encoded(picture: Image.Image) -> str:
    """The centre square of a picture, small, as a data URL."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX, (left, top, left + side, top + side))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _take() -> None:
    """Choose the picture that was clicked, if it is one of this session's."""
    key = (st.session_state.get(KEY) or {}).get("picked")
    if isinstance(key, str) and key in session.pictures():
        session.choose_picture(key)
