"""Explain: one picture, one model, one heatmap for each class."""

import streamlit as st

from gradcam_core import GradcamError
from pages.components.cache import Request
from pages.components.details import show_details, show_help, show_times
from pages.components.frame import frame
from pages.components.panels import show_downloads, show_error, show_headline, show_heatmaps
from pages.components.pickers import layer_words, pick_classes, pick_layers, pick_method
from pages.components.trust import offer_trust
from pages.components.work import explained

desk = frame("Explain", "Where is the model’s score sensitive?")
if desk.image is None or desk.model is None:
    st.stop()

left, middle, right = st.columns([1.1, 1.2, 1.5], vertical_alignment="top", gap="medium")
with middle:
    layers = pick_layers(desk.model)
with left:
    method = pick_method(desk.model, layers)
middle.caption(layer_words(method[0]))
with right:
    top_k, targets, against = pick_classes(desk.model)

try:
    request = Request((method,), layers, top_k, targets, against)
    found = explained(desk.image, desk.model, request, desk.changes)
except GradcamError as error:
    show_error(error)
    st.stop()

show_headline(found)
settings = show_heatmaps(found, key="explain")
offer_trust(found, desk.model, request, desk.changes, key="explain")
show_downloads(found, settings, key="explain")
show_details(found)
show_times(found)
show_help(found, desk.model)
