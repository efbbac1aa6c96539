"""Demonstration (:material/co_present:): three models, one of them cheats. A story in six steps."""

import streamlit as st

from pages.components.frame import frame
from pages.components.presenter import Talk
from pages.components.session import kept

frame(__doc__, "Which of three models is cheating?", pickers=False)
place = st.empty()
with place, st.spinner("Running three models …"):
    from pages.components.story import STEPS, show_glossary, suspects

    results = suspects()
place.empty()

titles = tuple(title for title, _ in STEPS)
talk = Talk(titles, "step", "presenter")
talk.listen(on_page=True)
if talk.presented:
    with talk.stage():
        STEPS[talk.step - 1][1](results)
    st.stop()

with st.container(horizontal=True, vertical_alignment="center", key="story"):
    step = st.segmented_control(
        "Step",
        range(1, len(STEPS) + 1),
        format_func=lambda number: f"{number}  {titles[number - 1]}",
        required=True,
        label_visibility="collapsed",
        **kept("step", 1, range(1, len(STEPS) + 1)),
    )
    st.space("stretch")
    st.toggle(
        "Presenter view",
        help="One screen a step. Keys: arrows, Page Down, Space, Home; Esc leaves.",
        **kept("presenter", False),
    )

STEPS[step - 1][1](results)

with st.container(horizontal=True, key="moves"):
    st.button("Back", on_click=talk.move, args=(-1,), disabled=step == 1)
    st.button("Next", on_click=talk.move, args=(1,), disabled=step == len(STEPS))
show_glossary()
