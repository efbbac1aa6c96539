"""Models (:material/deployed_code:): bring a model, see what is inside and how it answers, and use it on every page."""

import streamlit as st

from pages.components.frame import frame, note_shown
from pages.components.session import take_remembered

chosen = frame(__doc__, "Models", impression=False)

from pages.components.models.film import show_film
from pages.components.models.given import take_model
from pages.components.models.loaded import note_classes, show_list, show_model
from pages.components.models.offer import show_offer

st.header("Add a model")
take_model()
show_offer(chosen.image)

st.header("Loaded")
if chosen.model is not None:
    note_classes(chosen.model)
take_remembered()
show_list()
if chosen.model is not None:
    st.header("The chosen model")
    show_model(chosen.model)
show_film()
note_shown()
