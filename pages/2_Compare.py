"""Compare: several methods on the same picture, class and layer, side by side."""

import streamlit as st

from gradcam_core import GradcamError
from pages.components.cache import Request
from pages.components.details import show_agreement, show_times
from pages.components.frame import frame
from pages.components.panels import show_downloads, show_error, show_heatmaps, show_notes
from pages.components.pickers import pick_classes, pick_layer, pick_methods
from pages.components.trust import offer_trust
from pages.components.work import explained

desk = frame("Compare", "Do the methods agree?")
if desk.image is None or desk.model is None:
    st.stop()

left, middle, right = st.columns([1.35, 0.9, 1.45], vertical_alignment="top", gap="medium")
with middle:
    layers = pick_layer(desk.model)
with left:
    methods = pick_methods(desk.model, layers)
with right:
    top_k, targets, against = pick_classes(desk.model, most=5, key="compare_top", start=3)
if not methods:
    st.info("Choose at least one method to see its heatmap.", icon=":material/arrow_upward:")
    st.stop()

try:
    request = Request(methods, layers, top_k, targets, against)
    found = explained(desk.image, desk.model, request, desk.changes)
except GradcamError as error:
    show_error(error)
    st.stop()

show_notes(found)
settings = show_heatmaps(found, key="compare", by_method=True)
show_agreement(found, desk.model)
offer_trust(found, desk.model, request, desk.changes, key="compare")
show_times(found)
show_downloads(found, settings, key="compare")
