"""The frame of every page: set-up, navigation, the shared sidebar. It is sent before torch is loaded."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from gradcam_core import DISCLAIMER, GradcamError
from pages.components import audited, blanking, blind, session, windows
from pages.components.filmstrip import note_thumbnail, show_filmstrip
from pages.components.frame.navigation import show_navigation, title_and_icon
from pages.components.frame.sidebar import Picked, note_fit, pick_device, pick_frame, reading_words, show_pickers
from pages.components.intake import show_intake
from pages.components.words import plain, show_error

if TYPE_CHECKING:
    from gradcam_core import ImageRecord, LoadedModel

HERE = Path(__file__).parent
SENT_AFTER_S = 0.05
FORMER_HIDDEN = '<i class="former-hidden"></i>'


@dataclass(frozen=True)
class Chosen:
    """What is chosen in the sidebar. Where a page needs something that is None, the page has already said why."""

    image: ImageRecord | None = None
    model: LoadedModel | None = None
    changed: bool = False


def frame(
    first_line: str,
    heading: str,
    *,
    pickers: bool = True,
    picture: bool = True,
    model: bool = True,
    impression: bool = True,
) -> Chosen:
    """Set the page up and draw what all pages share, then load what is chosen, as far as the page needs it.

    `first_line` is the page's docstring. The title and the sidebar are sent before anything is loaded. With
    `impression`, a blind reader writes one here before the picture is given to the page.
    """
    title, _ = title_and_icon(first_line)
    audited.note_page(title)
    st.set_page_config(f"{title} · CAM Lightbox", str(HERE / "icon.png"), "wide", "expanded")
    session.start_session()
    picked = _sidebar(pickers)
    st.html(f"<style>{(HERE / 'frame.css').read_text('utf-8')}</style>")
    st.html(_on_paper(picked))
    show_intake()
    st.title(heading)
    image_shown = f"{picked.picture} {picked.choice} {picked.fit}" if picked and picture else ""
    changed = image_shown != st.session_state.get("on screen", "")
    former = st.empty()
    if changed and image_shown:
        former.html(FORMER_HIDDEN)
    st.session_state.update({"to be shown": image_shown, "former hidden": former})
    choice_made = st.session_state.pop("choice_made", False)
    place = st.empty()
    image = _picture(picked, place) if picked and picture else None
    if picked:
        with picked.film:  # after the picture is read, and so has a thumbnail
            show_filmstrip()
    loaded = _model(picked, place) if picked and model else None
    for error in session.refusals():
        show_error(error)
    image, loaded = _as_far_as_shown(image, loaded, picture=picture, model=model, form=impression)
    return Chosen(image, loaded, choice_made)


def _as_far_as_shown(
    image: ImageRecord | None, loaded: LoadedModel | None, *, picture: bool, model: bool, form: bool
) -> tuple[ImageRecord | None, LoadedModel | None]:
    """Hold back what may not be shown yet: before the reader's impression, or where the audit log cannot be kept."""
    try:
        if model and audited.is_on():
            audited.folder()
    except GradcamError as error:
        show_error(error)
        return None, None
    if not blind.is_on():
        return image, loaded
    if not picture and loaded is not None:
        blind.show_for_many()
        return None, None
    if image is None or not blind.holds_back(image.sha256):
        return image, loaded
    if form and loaded is not None:
        blind.show_form(image)
    return None, None if form else loaded


def _on_paper(picked: Picked | None) -> str:
    """What a printed page says above its heading, since the sidebar is not printed: the day, the model, the purpose."""
    model = f" Model: {html.escape(picked.choice.title)}." if picked else ""
    return f'<p class="on-paper">CAM Lightbox, {date.today().isoformat()}.{model} {DISCLAIMER}</p>'


def note_shown() -> None:
    """Note that the results of the chosen picture and model are on the screen now.

    From here on nothing stale is of a former picture. The next run would hide the page for a moment.
    """
    st.session_state["on screen"] = st.session_state.get("to be shown", "")
    former = st.session_state.pop("former hidden", None)
    if former is not None:
        former.empty()


def _sidebar(pickers: bool) -> Picked | None:
    with st.sidebar:
        st.html('<div class="brand"><span class="mark"></span>CAM Lightbox</div>')
        show_navigation()
        picked = show_pickers() if pickers else None
        blind.show_switch()
        st.caption(DISCLAIMER)
    return picked


@contextmanager
def _waiting(place: Any, subject: str, words: str) -> Iterator[Any]:
    """Say what is waited for, and give a place for more. The pause lets the page be sent before the work begins.

    Streamlit's own spinner would appear half a second late.
    """
    try:
        with place.container(key=f"waiting-{subject}"):
            st.markdown(plain(words))
            more = st.empty()
            time.sleep(SENT_AFTER_S)
            yield more
    finally:  # after an error too: what follows is hidden as long as this stands
        place.empty()


def _picture(picked: Picked, place: Any) -> ImageRecord | None:
    """Decode the chosen picture. One that cannot be read is dropped, and said in words."""
    try:
        image = _decoded(picked, place)
    except GradcamError as error:
        if windows.forget_given(picked.sha256):  # what the model was to see, and not the picture, is to blame
            session.refuse(error)
            st.rerun()
        if picked.picture in st.session_state.uploads:
            session.refuse_picture(picked.picture, error)
            st.rerun()
        session.refuse(error)
        return None
    session.note_read(picked.picture)
    note_thumbnail(picked.picture, image)
    with picked.below_picture:
        blanking.offer_blanking(image, picked.content)
    return image


def _decoded(picked: Picked, place: Any) -> ImageRecord:
    cache = _cache(place)
    kept = int(session.value_of(f"frame {picked.sha256}", 1)) - 1
    window, blanked = windows.model_window(picked.sha256, kept), blanking.blanked_areas(picked.sha256)
    another_frame = st.session_state.get("last read") == picked.picture  # the page and the viewer's focus stay
    if another_frame or cache.picture_key(picked.sha256, kept, window, blanked) in cache.PICTURES:
        image = cache.picture(picked.sha256, picked.content, kept, window, blanked)
    else:
        with _waiting(place, "picture", reading_words(picked)):
            image = cache.picture(picked.sha256, picked.content, kept, window, blanked)
    if image.frames == 1:
        return image
    frame = pick_frame(picked, image.frames)
    return cache.picture(picked.sha256, picked.content, frame, windows.model_window(picked.sha256, frame), blanked)


def _model(picked: Picked, place: Any) -> LoadedModel | None:
    """Load the chosen model with its progress on the page; a failure is said in words, and the page lives on."""
    cache = _cache(place)
    try:
        device = pick_device(picked)
        model = load(picked.choice, device, place)
        note_fit(picked, model)
        return cache.fitted(model, {"fit": picked.fit})
    except GradcamError as error:
        session.refuse(error)
        return None


def load(choice: Any, device: str, place: Any, subject: str = "model") -> LoadedModel:
    """Load a model, saying so; downloads show how far they are."""
    cache = _cache(place)
    if cache.choice_key(choice, device) in cache.MODELS:
        return cache.model(choice, device)
    with _waiting(place, subject, f"Loading {choice.title} …") as more:

        def on_progress(share: float, words: str, drafts: Any = ()) -> None:
            if "ownload" in words:  # other steps are over before one could read them
                more.progress(min(max(share, 0.0), 1.0), plain(words))

        return cache.model(choice, device, on_progress)


def _cache(place: Any) -> Any:
    """Import what loads torch, saying so where it is not loaded yet."""
    if "pages.components.analysis.cache" not in sys.modules:
        with _waiting(place, "library", "Loading PyTorch …"):
            from pages.components.analysis import cache
    from pages.components.analysis import cache

    return cache
