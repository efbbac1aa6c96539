"""Open the film strip of a training: what a model looked at, epoch by epoch."""

import streamlit as st

from gradcam_core import GradcamError, film_document, read_film
from pages.components.words import show_error

HEIGHT, MEGABYTES = 720, 200


def show_film() -> None:
    """Offer to open a film.html. Only its checked contents are shown, in a page of our own."""
    with st.expander("Heatmaps of a training", icon=":material/movie:", key="training film"):
        file = st.file_uploader(
            "Open the film.html that a training wrote",
            type="html",
            max_upload_size=MEGABYTES,
            key="film file",
            help="gradcam_core.training writes it while a network learns. It is not kept.",
        )
        if file is None:
            return
        try:
            epochs = read_film(file.getvalue())
        except GradcamError as error:
            show_error(error)
            return
        st.iframe(film_document(epochs), height=HEIGHT)
