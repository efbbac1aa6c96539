"""Pick what to look for, in words, with a model that compares pictures with texts."""

import streamlit as st

from gradcam_core import LoadedModel
from pages.components.session import kept

KEY, MOST_TEXTS = "texts", 8


def pick_texts(model: LoadedModel) -> tuple[str, ...]:
    """Ask for texts; () for a model that reads none. Ends the page's run as long as there is no text."""
    if model.text is None or model.task != "embedding":
        return ()
    written = st.text_input(
        "Where does it see …?",
        placeholder="a pacemaker",
        help="The model compares the picture with these words. Write several texts with semicolons between them: "
        "a pacemaker; a normal chest",
        **kept(KEY, ""),
    )
    texts = tuple(dict.fromkeys(filter(None, (part.strip() for part in written.split(";")))))
    if not texts:
        st.info("Write what to look for, such as: a pacemaker", icon=":material/arrow_upward:")
        st.stop()
    if len(texts) > MOST_TEXTS:
        st.caption(f"The first {MOST_TEXTS} of {len(texts)} texts are looked for.")
    return texts[:MOST_TEXTS]
