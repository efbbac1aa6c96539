"""Compare methods (:material/compare:): several methods on the same picture, class and layer, side by side."""

import streamlit as st

from pages.components.frame import frame

chosen = frame(__doc__, "Do the methods agree?")
if chosen.image is None or chosen.model is None:
    st.stop()

from gradcam_core import GradcamError
from pages.components.analysis.requests import Analysis, Request
from pages.components.analysis.work import explained
from pages.components.checks import offer_checks, outcomes
from pages.components.panels.details import show_agreement, show_times, show_verdict
from pages.components.panels.downloads import show_downloads
from pages.components.panels.heatmaps import show_heatmaps, show_notes
from pages.components.pickers import fold
from pages.components.pickers.classes import pick_classes
from pages.components.pickers.layers import one_layer_words, pick_layer
from pages.components.pickers.methods import pick_methods
from pages.components.pickers.reference import pick_reference
from pages.components.pickers.texts import KEY, pick_texts
from pages.components.presenter.slides import offer_presenting
from pages.components.words import show_error

verdict = st.container()
texts = pick_texts(chosen.model)
reference = pick_reference(chosen.model)
top = KEY if texts or reference else "compare_top"
with fold(chosen.model, one_layer_words(chosen.model), methods="compared", top=top, key="compare"):
    left, middle, right = st.columns([1.35, 0.9, 1.45], vertical_alignment="top", gap="medium")
    with middle:
        layers = pick_layer(chosen.model)
    with left:
        methods = pick_methods(chosen.model, layers)
    with right:
        classes = () if texts or reference else pick_classes(chosen.model, most=5, key="compare_top", start=3)
if not methods:
    st.info("Choose at least one method to see its heatmap.", icon=":material/arrow_upward:")
    st.stop()

analysis = Analysis(chosen.image, chosen.model, Request(methods, layers, *classes, texts=texts), reference)
try:
    analysis, explanation = explained(analysis, "compare")
except GradcamError as error:
    show_error(error)
    st.stop()

with verdict:
    show_verdict(explanation, chosen.model)
    show_notes(explanation)
settings = show_heatmaps(explanation, key="compare", by_method=True)
offer_presenting(explanation, analysis, key="compare")
show_agreement(explanation, chosen.model)
offer_checks(explanation, analysis, key="compare")
show_times(explanation)
show_downloads(explanation, settings, key="compare", checks=outcomes(explanation, analysis))
