"""Models: what is loaded and what it expects; bring one from a hub or a checkpoint."""

import streamlit as st

from pages.components.frame import frame
from pages.components.models import add_from_checkpoint, add_from_hub, show_model

desk = frame("Models", "Models")
if desk.model is not None:
    show_model(desk.model)

st.header("Add a model")
source = st.segmented_control(
    "Where from", ["Own checkpoint", "timm", "torchvision"], default="Own checkpoint", required=True
)
if source == "Own checkpoint":
    add_from_checkpoint()
else:
    add_from_hub(str(source))
