"""Layers: one class across the network's depth, shallow to deep, and all of it fused."""

import streamlit as st

from gradcam_core import GradcamError, layers_by_depth
from pages.components.cache import Request
from pages.components.details import show_times
from pages.components.frame import frame, link
from pages.components.panels import show_downloads, show_error, show_notes, show_strip
from pages.components.pickers import choose_layer, pick_class, pick_method
from pages.components.trust import offer_trust
from pages.components.work import explained

desk = frame("Layers", "At which depth does it show?")
if desk.image is None or desk.model is None:
    st.stop()

layers = tuple(layer.name for layer in layers_by_depth(desk.model))
left, middle, right = st.columns([1.1, 1.2, 1.5], vertical_alignment="top", gap="medium")
with left:
    method = pick_method(desk.model, layers, key="layers_method", only_layers=True)
with middle:
    target = pick_class(desk.model)
with right:
    st.caption(
        "Early layers see edges and textures sharply, whatever the class; deep ones know what it is, but only roughly "
        "where. A sharper map is not a better one. LayerCAM is made for the earlier layers."
    )

try:
    targets = () if target is None else (target,)
    request = Request((method,), layers, 1, targets)
    found = explained(desk.image, desk.model, request, desk.changes)
except GradcamError as error:
    show_error(error)
    st.stop()

show_notes(found)
settings, chosen = show_strip(found, desk.model, key="layers")
if chosen:
    choose_layer(desk.model, chosen)
if st.session_state.get("layer_chosen"):
    name = st.session_state.layer_chosen
    link("pages/1_Explain.py", f"Explain at **{name}**", ":material/center_focus_strong:")
else:
    st.caption("Click a layer’s name to explain there.")
offer_trust(found, desk.model, request, desk.changes, key="layers")
show_times(found)
show_downloads(found, settings, key="layers")
