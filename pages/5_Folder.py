"""Folder (:material/folder_open:): many pictures: is a model correct, where does it look, and how do two differ."""

import streamlit as st

from pages.components.frame import frame

chosen = frame(__doc__, "Does it hold up across many pictures?", picture=False)
if chosen.model is None:
    st.stop()

from pages.components.comparison.classes import pick_match
from pages.components.folder.drift import drift_task, pick_other, say_layers
from pages.components.folder.drift_results import show_drift
from pages.components.folder.evaluation import evaluation_task, pick_reference
from pages.components.folder.files import choose_files
from pages.components.folder.job import offer_job, result_of
from pages.components.folder.results import show_results
from pages.components.pickers.layers import pick_layer
from pages.components.pickers.methods import pick_method

folder = choose_files(
    "One heatmap is an anecdote. Many pictures show how often the model is correct, whether its probabilities are "
    "calibrated, and whether it reads a marker, a label or a device at the edge instead of the picture."
)
if folder is None:
    st.stop()

places = st.columns([1, 1.1, 1.2, 1.2], vertical_alignment="top", gap="medium")
with places[2]:
    models = pick_other(chosen.model)
    match = pick_match(models)[0] if models else {}
with places[1]:
    layers = say_layers(models) if models else pick_layer(chosen.model)
with places[0]:
    method = pick_method(chosen.model, layers, key="folder_method", only_layers=True)
with places[3]:
    if models:
        task = drift_task(folder, models, method, match)
    else:
        reference = pick_reference(folder, chosen.model)
        task = evaluation_task(folder, chosen.model, method, layers, reference)
    offer_job(task, folder)

result = result_of(task, folder)
if result is not None and models:
    show_drift(result, folder, models, method, match, key=task.key)
elif result is not None:
    show_results(result, folder, key=task.key)
