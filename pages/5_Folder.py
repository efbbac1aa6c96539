"""Folder: one model over many pictures, with what they show: how often it holds, and where it looks instead."""

import streamlit as st

from pages.components.folder import ask, choose_files, evaluated
from pages.components.folder_results import show_results
from pages.components.frame import frame
from pages.components.pickers import pick_layer, pick_method

desk = frame("Folder", "Does it hold over many pictures?")
folder = choose_files()
if folder is None or desk.model is None:
    st.stop()

left, middle, right = st.columns([1.1, 1.2, 1.5], vertical_alignment="top", gap="medium")
with middle:
    layers = pick_layer(desk.model)
with left:
    method = pick_method(desk.model, layers, key="folder_method", only_layers=True)
with right:
    asked = ask(folder, desk.model, method, layers, desk.changes)

found = evaluated(asked, folder)
if found is not None:
    show_results(found, folder, key=asked.key)
