"""Evaluate: is the heatmap where it should be, and does the model use what it shows? Methods on the same truth."""

import streamlit as st

from gradcam_core import GradcamError
from pages.components.cache import Request, fitted, identity, measured
from pages.components.details import show_algebra
from pages.components.evaluate import (
    CHANGED,
    PLACE,
    SPREAD,
    mark_of,
    pick_truth,
    show_against_truth,
    show_curves,
    show_measurements,
    taken,
    taken_by_changing,
)
from pages.components.frame import frame
from pages.components.panels import show_error, show_notes
from pages.components.pickers import pick_class, pick_layer, pick_methods
from pages.components.work import explained, watched

desk = frame("Evaluate", "Is it in the right place?")
if desk.image is None or desk.model is None:
    st.stop()

left, right = st.columns([1.15, 1], gap="large")
with left:
    truth, known = pick_truth(desk.image)
with right:
    methods = pick_methods(desk.model, (), key="evaluated")
    layers = pick_layer(desk.model)
    target = pick_class(desk.model, key="evaluated class", wanted=known)
    st.caption(
        "Mark where the thing really is, before you look at heatmaps: draw a box, paint, or upload a mask. Every "
        "method is then measured on the same truth. A heatmap in the right place does not show that the model uses "
        "what is there: even an edge detector can be in the right place."
    )
if not methods:
    st.info("Choose at least one method to measure its heatmap.", icon=":material/arrow_upward:")
    st.stop()

try:
    request = Request(methods, layers, 1, () if target is None else (target,))
    found = explained(desk.image, desk.model, request, desk.changes)
except GradcamError as error:
    show_error(error)
    st.stop()

show_notes(found)
content = f"{identity(desk.image, desk.model, request)} {desk.changes}"
if truth is None:
    st.info("Nothing is marked yet. The heatmaps appear once there is a truth to hold them to.", icon=":material/draw:")
else:
    show_against_truth(found, truth)
    show_algebra(found, desk.model)
    where = measured(f"place {mark_of(truth)} {content}", lambda: taken(found, truth, PLACE))
    show_measurements("In the right place", where, PLACE)
spread = measured(f"spread {content}", lambda: taken(found, None, SPREAD))
show_measurements("How wide it spreads", spread, SPREAD)

st.header("Does the model use what the heatmap shows?")
asked = f"changed {content}"
opened = st.session_state.setdefault("changed pictures", set())
with st.container(horizontal=True, vertical_alignment="center", key="change-bar"):
    if st.button("Change the picture, ask again", icon=":material/experiment:", key="change"):
        opened.add(asked)
    st.caption("Hides and shows the hottest parts step by step; about fifty passes a method.")
if asked in opened:
    try:
        prepared = fitted(desk.model, desk.changes)
        made = watched(asked, lambda work: measured(asked, lambda: taken_by_changing(found, prepared, work)))
    except GradcamError as error:
        show_error(error)
        st.stop()
    if made is not None:
        show_measurements("With the picture changed", made, CHANGED)
        show_curves(made)
