"""One line on what an example of a page has chosen in the sidebar, since its user did not choose it there."""

import streamlit as st

from pages.components import session
from pages.components.words import plain


def note_chosen(page: str, *titles: str) -> None:
    """Remember what was chosen; call it once the choice is made."""
    words = f"Now shown: {' and '.join(titles)}."
    st.session_state[f"example of {page}"] = (words, session.chosen_picture(), session.value_of(session.MODEL))


def show_chosen(page: str) -> None:
    """Say what was chosen, as long as picture and model are still the same."""
    words, *chosen = st.session_state.get(f"example of {page}", ("",))
    if chosen == [session.chosen_picture(), session.value_of(session.MODEL)]:
        st.caption(plain(words))


def forget_chosen(page: str) -> None:
    """Say no more about it."""
    st.session_state.pop(f"example of {page}", None)
