"""One line on what an example of a page has chosen in the sidebar, since its user did not choose it there."""

import streamlit as st

from gradcam_core import listed
from pages.components import session
from pages.components.words import plain


def note_chosen(page: str, *titles: str, others: object = None) -> None:
    """Remember what was chosen, with the page's `others`; call it once the choice is made."""
    words = f"Chosen by the example: {listed(titles)}."
    st.session_state[f"example of {page}"] = (words, session.chosen_picture(), session.value_of(session.MODEL), others)


def show_chosen(page: str, others: object = None) -> None:
    """Say what was chosen, as long as picture, model and `others` are still the same."""
    words, *chosen = st.session_state.get(f"example of {page}", ("",))
    if chosen == [session.chosen_picture(), session.value_of(session.MODEL), others]:
        st.caption(plain(words))


def forget_chosen(page: str) -> None:
    """Say no more about it."""
    st.session_state.pop(f"example of {page}", None)
