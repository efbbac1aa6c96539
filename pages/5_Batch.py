"""Batch (:material/grid_view:): a heatmap for each of hundreds of pictures, and which of them to look at first."""

import streamlit as st

from pages.components.frame import frame

chosen = frame(__doc__, "Heatmaps for hundreds of pictures", picture=False)
if chosen.model is None:
    st.stop()

from pages.components.batch.results import show_batch
from pages.components.batch.settings import offers_classes, pick_labels, pick_overlays
from pages.components.batch.task import batch_task
from pages.components.folder.files import choose_files
from pages.components.folder.job import offer_job, result_of
from pages.components.pickers.classes import pick_class
from pages.components.pickers.layers import pick_layer
from pages.components.pickers.methods import pick_method

folder = choose_files(
    "Add hundreds of pictures, or a ZIP of them. Each gets its answer and its heatmap, and the ones to look at first "
    "come first: wrong answers, and heat at the border of the picture. With a table of true labels, the page also says "
    "how often the model is correct."
)
if folder is None or not offers_classes(chosen.model):
    st.stop()

places = st.columns([1, 1.1, 1.1, 1, 1.2], vertical_alignment="top", gap="medium")
with places[1]:
    layers = pick_layer(chosen.model)
with places[0]:
    method = pick_method(chosen.model, layers, key="folder_method", only_layers=True)
with places[2]:
    target = pick_class(chosen.model, key="batch class")
with places[3]:
    jobs = pick_labels(folder)
    overlays = pick_overlays()
with places[4]:
    task = batch_task(folder, jobs, chosen.model, method, layers, target, overlays)
    offer_job(task, folder)

result = result_of(task, folder)
if result is not None:
    show_batch(result, key=task.key)
