"""Demonstration (:material/co_present:): three models, one of them cheats. A story in five steps."""

import streamlit as st

from pages.components.frame import frame, large_type
from pages.components.session import choose, kept, value_of

frame(__doc__, "Which of three models is cheating?", pickers=False)
place = st.empty()
with place, st.spinner("Running three models …"):
    from pages.components.story import STEPS, show_glossary, suspects

    results = suspects()
place.empty()


def move(by: int) -> None:
    """Go forward or back."""
    choose("step", min(max(value_of("step", 1) + by, 1), len(STEPS)))


with st.container(horizontal=True, vertical_alignment="center", key="story"):
    step = st.segmented_control(
        "Step",
        range(1, len(STEPS) + 1),
        format_func=lambda number: f"{number}  {STEPS[number - 1][0]}",
        required=True,
        label_visibility="collapsed",
        **kept("step", 1, range(1, len(STEPS) + 1)),
    )
    st.space("stretch")
    large = st.toggle("Presenter view", help="Large type, nothing beside it.", **kept("presenter", False))
if large:
    large_type()

STEPS[step - 1][1](results)

with st.container(horizontal=True, key="moves"):
    st.button("Back", on_click=move, args=(-1,), disabled=step == 1, shortcut="Left")
    st.button("Next", on_click=move, args=(1,), disabled=step == len(STEPS), shortcut="Right")
show_glossary()
