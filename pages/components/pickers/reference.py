"""Pick the picture that this one is compared with, for models that give features and no classes."""

import streamlit as st

from gradcam_core import GradcamError, ImageRecord, LoadedModel
from pages.components import session
from pages.components.analysis import cache
from pages.components.blanking import blanked_areas
from pages.components.words import show_error


def pick_reference(model: LoadedModel) -> ImageRecord | None:
    """Pick a reference picture; None for a model that has classes or reads texts."""
    if model.task != "embedding" or model.text is not None:
        return None
    shown = session.chosen_picture()
    titles = {key: title for key, title in session.pictures().items() if key != shown}
    chosen = st.selectbox(
        "What makes it like …",
        list(titles),
        format_func=titles.get,
        **session.kept("reference picture", next(iter(titles)), titles),
        help="This model gives features and no classes. The heatmap shows what makes the picture like this one; choose "
        "the two the other way round to see the other side.",
    )
    try:
        sha256, content = session.picture_content(chosen)
        return cache.picture(sha256, content, blanked=blanked_areas(sha256))
    except GradcamError as error:
        show_error(error)
        st.stop()
