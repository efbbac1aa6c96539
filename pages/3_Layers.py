"""Layers (:material/layers:): one class across the network's depth, shallow to deep, and all of it fused."""

import streamlit as st

from pages.components.frame import frame
from pages.components.frame.navigation import link

chosen = frame(__doc__, "How does it change with depth?")
if chosen.image is None or chosen.model is None:
    st.stop()

from gradcam_core import GradcamError, layers_by_depth
from pages.components.analysis.requests import Analysis, Request
from pages.components.analysis.work import explained
from pages.components.checks import offer_checks, outcomes
from pages.components.panels.details import show_times
from pages.components.panels.downloads import show_downloads
from pages.components.panels.heatmaps import show_notes, show_strip
from pages.components.pickers.classes import pick_class
from pages.components.pickers.layers import choose_layer
from pages.components.pickers.methods import pick_method
from pages.components.pickers.reference import pick_reference
from pages.components.pickers.texts import pick_texts
from pages.components.words import plain, show_error

layers = tuple(layer.name for layer in layers_by_depth(chosen.model))
texts = pick_texts(chosen.model)[:1]
reference = pick_reference(chosen.model)
left, middle, right = st.columns([1.1, 1.2, 1.5], vertical_alignment="top", gap="medium")
with left:
    method = pick_method(chosen.model, layers, key="layers_method", only_layers=True)
with middle:
    target = None if texts or reference else pick_class(chosen.model)
with right:
    st.caption(
        "Early layers see edges and textures sharply, whatever the class; late ones know what it is, but only roughly "
        "where. A sharper map is not a better one. LayerCAM is made for the earlier layers."
    )

targets = () if target is None else (target,)
analysis = Analysis(chosen.image, chosen.model, Request((method,), layers, 1, targets, texts=texts), reference)
try:
    analysis, explanation = explained(analysis, "layers")
except GradcamError as error:
    show_error(error)
    st.stop()

show_notes(explanation)
settings, clicked = show_strip(explanation, chosen.model, key="layers")
if clicked:
    choose_layer(chosen.model, clicked)
if st.session_state.get("layer_chosen"):
    name = plain(st.session_state.layer_chosen)
    link("pages/1_Explain.py", f"Explain at **{name}**", ":material/center_focus_strong:")
else:
    st.caption("Click a layer’s name to open it in Explain.")
offer_checks(explanation, analysis, key="layers")
show_times(explanation)
show_downloads(explanation, settings, key="layers", checks=outcomes(explanation, analysis))
