"""Folder (:material/folder_open:): one model over many pictures: how often it is correct, and where it looks."""

import streamlit as st

from pages.components.frame import frame

chosen = frame(__doc__, "Does it hold up across many pictures?", picture=False)
if chosen.model is None:
    st.stop()

from pages.components.folder.evaluation import evaluated, offer_evaluation
from pages.components.folder.files import choose_files
from pages.components.folder.results import show_results
from pages.components.pickers.layers import pick_layer
from pages.components.pickers.methods import pick_method

folder = choose_files()
if folder is None:
    st.stop()

left, middle, right = st.columns([1.1, 1.2, 1.5], vertical_alignment="top", gap="medium")
with middle:
    layers = pick_layer(chosen.model)
with left:
    method = pick_method(chosen.model, layers, key="folder_method", only_layers=True)
with right:
    task = offer_evaluation(folder, chosen.model, method, layers)

evaluation = evaluated(task, folder)
if evaluation is not None:
    show_results(evaluation, folder, key=task.key)
