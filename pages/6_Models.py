"""Models (:material/deployed_code:): what is loaded and what it expects; bring one from a hub or a checkpoint."""

import streamlit as st

from pages.components.frame import frame
from pages.components.session import kept

chosen = frame(__doc__, "Models", picture=False)

from pages.components.models import HUBS, add_from_checkpoint, add_from_hub, show_model

if chosen.model is not None:
    show_model(chosen.model)

st.header("Add a model")
SOURCES = ["Own checkpoint", *HUBS]
source = st.segmented_control("Where from", SOURCES, required=True, **kept("model source", SOURCES[0], SOURCES))
if source == "Own checkpoint":
    add_from_checkpoint()
else:
    add_from_hub(str(source))
