"""How a model's pictures are prepared, and a test of it on the picture that is chosen in the sidebar."""

import streamlit as st

from gradcam_core import (
    GradcamError,
    ImageRecord,
    LoadedModel,
    Preprocessing,
    number,
    predict,
    prepare,
    quantity,
    shown_input,
)
from pages.components import audited, blind, session
from pages.components.analysis import cache
from pages.components.analysis.requests import digest, model_key
from pages.components.models import candidate
from pages.components.models.ranges import RANGES, in_shares, read_numbers
from pages.components.panels.figures import figures, show_predictions
from pages.components.words import plain, show_error

MOST_ANSWERS = 3


def show_pictures(model: LoadedModel) -> None:
    """Say how pictures are prepared, and let the user change it to what it was in training."""
    words, change = st.columns([6, 1], gap="small")
    words.markdown(preprocessing_words(model.preprocessing))
    with change, st.container(horizontal=True, horizontal_alignment="right"), st.popover("Change", type="tertiary"):
        _change()


def preprocessing_words(spec: Preprocessing) -> str:
    """Size, channels and the values that black and white become."""
    mean, std = (", ".join(number(value, ".4g") for value in values) for values in (spec.mean, spec.std))
    black, white = _becomes(spec, 0), _becomes(spec, 1)
    colours = {1: "grey", 3: "colour"}.get(spec.channels, f"{spec.channels} channels")
    return (
        f"{spec.size[1]} × {spec.size[0]} px, {colours}, {spec.interpolation}; mean {mean}; standard deviation {std}. "
        f"Black becomes {black}, white {white}."
    )


def _becomes(spec: Preprocessing, share: int) -> str:
    """What black (0) or white (1) is in the model's input: one number, or the least and the largest of the channels."""
    values = [(share - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True)]
    return " to ".join(dict.fromkeys(quantity(value) for value in (min(values), max(values))))


def _change() -> None:
    """A form for how pictures were prepared in training; left empty, it stays as it is assumed."""
    with st.form("preprocessing", border=False):
        size = st.number_input("Input size in pixels", 0, 1024, 0, help="0: the architecture’s default.")
        span = st.selectbox(
            "Values of the training pictures",
            list(RANGES),
            help="What black and white were when mean and standard deviation were applied in training: 0 and 1 after "
            "ToTensor, 0 and 255 for bytes. Radiograph networks often have -1024 and 1024.",
        )
        mean = st.text_input("Mean, in these values", placeholder="e.g. 0.5, or 0.485, 0.456, 0.406")
        std = st.text_input("Standard deviation, in these values", placeholder="e.g. 0.5, or 0.229, 0.224, 0.225")
        st.caption("How a picture is fitted into the input is chosen in the sidebar: *What the model sees*.")
        sent = st.form_submit_button("Apply")
    if not sent:
        return
    try:
        numbers = in_shares(RANGES[str(span)], read_numbers(mean, "Mean"), read_numbers(std, "Standard deviation"))
    except GradcamError as error:
        show_error(error)
        return
    sizes = (("size", int(size)),) if size else ()
    candidate.change(preprocessing=tuple(sorted((*sizes, *numbers))))
    st.rerun()


def show_test(image: ImageRecord | None, model: LoadedModel) -> None:
    """The model's answer to the chosen picture, beside the picture as the model gets it."""
    if image is None:
        st.caption("Choose a picture in the sidebar.")
        return
    usual = st.session_state.usual_fit if model.preprocessing.fit == "model" else "model"
    fit = session.value_of(session.FIT, usual)
    try:
        fitted = cache.fitted(model, {"fit": fit})
        values, _ = prepare(image, fitted.preprocessing)
        predictions = predict(image, fitted, MOST_ANSWERS)
        audited.note_predictions(f"test {image.sha256} {digest(model_key(fitted))}", image, fitted, predictions)
        blind.note_answered(image)
    except GradcamError as error:
        show_error(error)
        return
    left, right = st.columns([1, 2.6], gap="medium")
    with left:
        figures([(shown_input(values, fitted.preprocessing), "As the model gets it")], height=9)
    with right:
        if predictions:
            show_predictions(predictions, beside=True)
        else:
            st.markdown(f"The model gives {plain(fitted.outputs.words)}.")
        st.caption("Choose another picture in the sidebar, or add your own there.")
