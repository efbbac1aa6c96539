"""Evaluate (:material/rule:): is the heatmap where it should be, and does the model use what it shows?"""

import streamlit as st

from pages.components.frame import frame

chosen = frame(__doc__, "Is it in the right place?")
if chosen.image is None or chosen.model is None:
    st.stop()

from gradcam_core import GradcamError
from pages.components.analysis.cache import measured
from pages.components.analysis.requests import Analysis, Request
from pages.components.analysis.work import explained, watched
from pages.components.evaluate.export import offer_measurements
from pages.components.evaluate.regions import pick_region, region_key, show_with_region
from pages.components.evaluate.tables import (
    measured_by_changing,
    measured_directly,
    names_of,
    show_curves,
    show_measurements,
)
from pages.components.evaluate.verdict import show_verdict
from pages.components.panels.details import show_algebra
from pages.components.panels.heatmaps import as_shown, show_notes
from pages.components.pickers.classes import pick_class
from pages.components.pickers.layers import pick_layer
from pages.components.pickers.methods import pick_methods
from pages.components.pickers.reference import pick_reference
from pages.components.pickers.texts import pick_texts
from pages.components.words import show_error

left, right = st.columns([1.15, 1], gap="large")
with left:
    reference = pick_region(chosen.image)
    region = reference.mask
with right:
    methods = pick_methods(chosen.model, (), key="evaluated")
    layers = pick_layer(chosen.model)
    texts = pick_texts(chosen.model)[:1]
    likened = pick_reference(chosen.model)
    target = None if texts or likened else pick_class(chosen.model, key="evaluated class", wanted=reference.label)
    st.caption(
        "Mark where the finding really is, before you look at heatmaps: draw a box, paint, or upload a mask. Every "
        "method is then measured against the same region. A heatmap in the right place does not show that the model "
        "uses what is there: even an edge detector can be in the right place."
    )
if not methods:
    st.info("Choose at least one method to measure its heatmap.", icon=":material/arrow_upward:")
    st.stop()

request = Request(methods, layers, 1, () if target is None else (target,), texts=texts)
analysis = Analysis(chosen.image, chosen.model, request, likened)
try:
    analysis, explanation = explained(analysis, "evaluate")
    explanation = as_shown(explanation)
except GradcamError as error:
    show_error(error)
    st.stop()

show_notes(explanation)
verdict, tables = st.container(), []
if region is None:
    st.info("Mark the finding first; the heatmaps then appear.", icon=":material/draw:")
else:
    show_with_region(explanation, region)
    show_algebra(explanation, chosen.model)
    names = names_of("place")
    key = f"{analysis.key} place {region_key(region)}"
    place = measured(key, lambda: measured_directly(explanation, region, names))
    with verdict:
        show_verdict(explanation, region, place)
    show_measurements("In the right place", place, names)
    tables.append(place)
names = names_of("spread")
spread = measured(f"{analysis.key} spread", lambda: measured_directly(explanation, None, names))
show_measurements("How wide it spreads", spread, names)
tables.append(spread)

st.header("Does the model use what the heatmap shows?")
name = f"{analysis.key} changed"
opened = st.session_state.setdefault("changed pictures", set())
with st.container(horizontal=True, vertical_alignment="center", key="change-bar"):
    if st.button("Run deletion and insertion tests", icon=":material/experiment:", key="change"):
        opened.add(name)
    st.caption("Hides and shows the hottest parts step by step, about fifty passes a method: about 1 min.")
if name in opened:
    try:
        changed = watched(
            name, lambda work: measured(name, lambda: measured_by_changing(explanation, chosen.model, work))
        )
    except GradcamError as error:
        show_error(error)
        st.stop()
    if changed is not None:
        show_measurements("With the picture changed", changed, names_of("change"))
        show_curves(changed, explanation.outputs)
        tables.append(changed)
offer_measurements(explanation, tables, reference)
