"""Areas of the session's pictures that are blanked, such as burned-in names. Loads no torch at import.

The user draws them, and the picture is read again without them: nothing of them is computed, shown or exported.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from gradcam_core import GradcamError, counted
from pages.components import pixels
from pages.components.marker import Shape, marker
from pages.components.words import show_error

if TYPE_CHECKING:
    from gradcam_core import Area, ImageRecord

AREAS, DRAWN = "blanked", "areas to blank"
WORDS = (
    "Draw boxes over text that may name the patient. What lies under them is deleted in every frame before anything is "
    "computed: no model and no export gets it. The model sees these areas black, so its answer may change."
)


def blanked_areas(sha256: str) -> "tuple[Area, ...]":
    """The areas of a picture that its user blanked."""
    return _areas().get(sha256, ())


def _areas() -> "dict[str, tuple[Area, ...]]":
    areas: dict[str, tuple[Area, ...]] = st.session_state.setdefault(AREAS, {})
    return areas


def keep_blanked(sha256: str, areas: "tuple[Area, ...]") -> None:
    """Blank these areas of a picture from now on, and forget how it was shown."""
    _areas()[sha256] = areas
    pixels.withdraw(sha256)
    for shown in ("thumbnails", "encoded"):
        st.session_state.get(shown, {}).pop(sha256, None)


def offer_blanking(image: "ImageRecord", content: bytes) -> None:
    """Offer to blank areas of a picture, in a dialog."""
    count = len(image.blanked)
    label = f"Blanked: {counted(count, 'area')}" if count else "Blank areas"
    if st.button(label, type="tertiary", key="blank", icon=":material/ink_eraser:", help="Delete burned-in text"):
        st.session_state[DRAWN] = _boxes(image.blanked, image)
        _dialog(image, content)


@st.dialog("Blank areas of this picture", width="large")
def _dialog(image: "ImageRecord", content: bytes) -> None:
    from gradcam_core import corner_areas
    from pages.components.analysis import cache
    from pages.components.viewer.encoding import picture_of

    st.markdown(WORDS)
    whole = cache.picture(image.sha256, content, image.frame, image.window)
    st.session_state[DRAWN] = shapes = marker(
        picture_of(whole), shapes=st.session_state.get(DRAWN, []), key=f"areas of {image.sha256}", purpose="blanking"
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Add the four corners", icon=":material/crop_free:"):
            st.session_state[DRAWN] = [*shapes, *_boxes(corner_areas(), image)]
            st.rerun(scope="fragment")
        label = "Blank" if shapes or not image.blanked else "Blank nothing any more"
        if st.button(label, icon=":material/check:", disabled=not (shapes or image.blanked)):
            _blank(image, content, shapes)


def _blank(image: "ImageRecord", content: bytes, shapes: Sequence[Shape]) -> None:
    """Read the picture without these areas from now on, if anything of it remains."""
    from pages.components.analysis import cache

    areas = tuple(_area(shape, image) for shape in shapes)
    try:
        cache.picture(image.sha256, content, image.frame, image.window, areas)
    except GradcamError as error:
        show_error(error)
        return
    keep_blanked(image.sha256, areas)
    st.rerun()


def _boxes(areas: "Sequence[Area]", image: "ImageRecord") -> list[dict[str, Any]]:
    """Areas as the marker has them, in pixels of the picture."""
    sides = ("left", "top", "right", "bottom")
    size = (image.width, image.height) * 2
    return [
        {"kind": "box"} | {side: share * most for side, share, most in zip(sides, area, size, strict=True)}
        for area in areas
    ]


def _area(box: Mapping[str, Any], image: "ImageRecord") -> "Area":
    width, height = image.width, image.height
    return box["left"] / width, box["top"] / height, box["right"] / width, box["bottom"] / height
