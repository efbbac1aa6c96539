"""The frame of every page: set-up, navigation, the shared sidebar with picture and model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException, StreamlitPageNotFoundError

from gradcam_core import GradcamError, ImageRecord, LoadedModel, describe_device, list_devices
from pages.components import cache, desk
from pages.components.panels import show_error

HERE = Path(__file__).parent
PAGES = (
    ("app.py", "Start", ":material/home:"),
    ("pages/1_Explain.py", "Explain", ":material/center_focus_strong:"),
    ("pages/2_Compare.py", "Compare", ":material/compare:"),
    ("pages/3_Layers.py", "Layers", ":material/layers:"),
    ("pages/4_Evaluate.py", "Evaluate", ":material/rule:"),
    ("pages/5_Folder.py", "Folder", ":material/folder_open:"),
    ("pages/6_Models.py", "Models", ":material/deployed_code:"),
    ("pages/7_Demonstration.py", "Demonstration", ":material/co_present:"),
)
DISCLAIMER = "For research and teaching, not for diagnosis. A heatmap shows where the model’s score is sensitive."


@dataclass(frozen=True)
class Desk:
    """What is chosen in the sidebar. Where something is None, the page has already said why."""

    image: ImageRecord | None
    model: LoadedModel | None
    changes: dict[str, Any]
    choice_made: bool


def frame(title: str, heading: str) -> Desk:
    """Set the page up, draw what all pages share with the heading, and return what is chosen."""
    st.set_page_config(
        page_title=f"{title} · CAM Lightbox",
        page_icon=str(HERE / "icon.png"),
        layout="wide",
        initial_sidebar_state="expanded",
    )
    st.html(f"<style>{(HERE / 'frame.css').read_text('utf-8')}</style>")
    cache.tune_process()
    desk.open_desk()
    with st.sidebar:
        st.html('<div class="brand"><span class="mark"></span>CAM Lightbox</div>')
        with st.container(key="navigation", gap="xxsmall"):
            for path, label, icon in PAGES:
                link(path, label, icon)
        image = _picture_section()
        choice, device, changes = _model_section()
        st.caption(DISCLAIMER)
    st.title(heading)
    if isinstance(image, GradcamError):
        show_error(image)
        image = None
    return Desk(image, _load(choice, device), changes, st.session_state.pop("choice_made", False))


def large_type() -> None:
    """Make everything large and leave the sidebar out, for a room full of people."""
    st.html(f"<style>{(HERE / 'presenter.css').read_text('utf-8')}</style>")


def link(path: str, label: str, icon: str) -> None:
    """A link to another page; plain words where this page is run alone and there is no other."""
    try:
        st.page_link(path, label=label, icon=icon, width="stretch")
    except StreamlitPageNotFoundError:
        st.caption(label)


def go_to(path: str) -> None:
    """Show another page; stay where this page is run alone and there is no other."""
    try:
        st.switch_page(path)
    except StreamlitAPIException:
        return


def _picture_section() -> ImageRecord | GradcamError:
    titles = desk.pictures()
    st.selectbox(
        "Picture",
        list(titles),
        format_func=titles.get,
        key=desk.PICTURE,
        persist_state="session",
        on_change=desk.picture_changed,
    )
    if st.session_state[desk.PICTURE] in st.session_state.uploads:
        st.button(
            "Remove this picture", on_click=desk.forget_upload, type="tertiary", key="forget", icon=":material/delete:"
        )
    st.file_uploader(
        "Add pictures",
        accept_multiple_files=True,
        key=desk.uploader_key(),
        on_change=desk.take_uploads,
        max_upload_size=256,
        help="JPEG, PNG, TIFF, WebP or BMP, up to 50 megapixels. They stay on this machine.",
    )
    sha256, content = desk.picture_content(st.session_state[desk.PICTURE])
    try:
        image = cache.picture(sha256, 0, None, content)
        return _other_frame(image, sha256, content) if image.frames > 1 else image
    except GradcamError as error:
        return error


def _other_frame(image: ImageRecord, sha256: str, content: bytes) -> ImageRecord:
    number = st.number_input(
        f"Frame, of {image.frames}", 1, image.frames, 1, key=f"frame {sha256}", persist_state="session"
    )
    return cache.picture(sha256, int(number) - 1, None, content)


def _model_section() -> tuple[cache.ModelChoice, str, dict[str, Any]]:
    titles = desk.models()
    st.selectbox(
        "Model",
        list(titles),
        format_func=titles.get,
        key=desk.MODEL,
        persist_state="session",
        on_change=desk.choice_made,
    )
    st.selectbox(
        "What the model sees",
        list(desk.FITS),
        format_func=desk.FITS.get,
        key=desk.FIT,
        persist_state="session",
        on_change=desk.fit_changed,
        help="A model takes pictures of one size. Most are tested on the centre of a picture; what is cut away "
        "is never seen, and is hatched. Padding or stretching shows the model everything, in a form that it "
        "may know less well.",
    )
    return st.session_state.models[st.session_state[desk.MODEL]], _device(), {"fit": st.session_state[desk.FIT]}


def _device() -> str:
    devices = list_devices()
    if len(devices) == 1:
        st.caption(f"Computed on this machine’s {describe_device(devices[0])}.")
        return devices[0]
    return st.selectbox("Computed on", devices, format_func=describe_device, key=desk.DEVICE, persist_state="session")


def _load(choice: cache.ModelChoice, device: str) -> LoadedModel | None:
    """Load the model with its progress on the page; a failure is said in words, and the page lives on."""
    place = st.empty()

    def on_progress(share: float, words: str, drafts: object = ()) -> None:
        if "ownload" in words:  # other steps are over before one could read them
            place.progress(min(max(share, 0.0), 1.0), words)

    try:
        with st.spinner(f"Loading {choice.title} …"):
            loaded = cache.model(choice, device, on_progress)
    except GradcamError as error:
        show_error(error)
        return None
    finally:
        place.empty()
    return loaded
