"""Explain (:material/center_focus_strong:): one picture, one model, one heatmap for each class."""

import streamlit as st

from pages.components.frame import frame

chosen = frame(__doc__, "What did the model look at?")
if chosen.image is None or chosen.model is None:
    st.stop()

from gradcam_core import GradcamError
from pages.components.analysis.requests import Analysis, Request
from pages.components.analysis.work import explained
from pages.components.blind import show_reading
from pages.components.checks import offer_checks, outcomes
from pages.components.panels.details import show_details, show_help, show_times
from pages.components.panels.downloads import show_downloads
from pages.components.panels.heatmaps import show_headline, show_heatmaps
from pages.components.pickers import fold
from pages.components.pickers.classes import pick_classes
from pages.components.pickers.layers import chosen_layers, pick_layers
from pages.components.pickers.methods import layer_words, pick_method
from pages.components.pickers.objects import pick_objects
from pages.components.pickers.reference import pick_reference
from pages.components.pickers.texts import KEY, pick_texts
from pages.components.presenter.slides import offer_presenting
from pages.components.words import show_error

answers = st.container()
texts = pick_texts(chosen.model)
reference = pick_reference(chosen.model)
top = KEY if texts or reference else "top"
with fold(chosen.model, chosen_layers(chosen.model), methods="method", top=top, key="explain"):
    left, middle, right = st.columns([1.1, 1.2, 1.5], vertical_alignment="top", gap="medium")
    with middle:
        layers = pick_layers(chosen.model)
    with left:
        method = pick_method(chosen.model, layers)
    middle.caption(layer_words(method[0]))
    with right:
        classes = () if texts or reference else pick_classes(chosen.model)

picks = None
if chosen.model.outputs.has_places:
    top_k, targets, *others = classes
    picks = pick_objects(chosen.image, chosen.model, top_k)
    if picks is None:
        st.stop()
    classes = (top_k, picks.targets or targets, *others)

analysis = Analysis(chosen.image, chosen.model, Request((method,), layers, *classes, texts=texts), reference)
try:
    analysis, explanation = explained(analysis, "explain")
except GradcamError as error:
    show_error(error)
    st.stop()

with answers:
    show_headline(explanation)
settings = show_heatmaps(explanation, key="explain", picks=picks)
offer_presenting(explanation, analysis, key="explain")
offer_checks(explanation, analysis, key="explain")
show_reading(chosen.image)
show_downloads(explanation, settings, key="explain", checks=outcomes(explanation, analysis))
show_details(explanation)
show_times(explanation)
show_help(explanation, chosen.model)
