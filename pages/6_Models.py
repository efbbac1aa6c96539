"""Models (:material/deployed_code:): drop a checkpoint or name a model of a hub; what is loaded and what it expects."""

import streamlit as st

from pages.components.frame import frame
from pages.components.session import kept

chosen = frame(__doc__, "Models", picture=False)

from pages.components.models.dropped import drop_zone
from pages.components.models.hubs import HUBS, add_from_hub
from pages.components.models.loaded import note_classes, show_list, show_model
from pages.components.models.offer import show_offer

st.header("Add a model")
drop_zone()
show_offer()
with st.expander("Load a model by its name"):
    hub = st.segmented_control("Where from", HUBS, required=True, **kept("model source", HUBS[0], HUBS))
    add_from_hub(str(hub))

st.header("Loaded")
if chosen.model is not None:
    note_classes(chosen.model)
show_list()
if chosen.model is not None:
    st.header("The chosen model")
    show_model(chosen.model)
