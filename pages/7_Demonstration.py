"""Demonstration: three models, one of them cheats. A story in five steps for people who are not engineers."""

import streamlit as st

from pages.components.demonstration import STEPS, show_glossary, suspects
from pages.components.frame import frame, large_type
from pages.components.session import choose, kept, value_of

desk = frame("Demonstration", "Which of three models is cheating?")


def move(by: int) -> None:
    """Go on, or back."""
    choose("step", min(max(value_of("step", 1) + by, 1), len(STEPS)))


with st.container(horizontal=True, vertical_alignment="center", key="story"):
    step = st.segmented_control(
        "Step",
        range(1, len(STEPS) + 1),
        format_func=lambda number: f"{number}  {STEPS[number - 1][0]}",
        **kept("step", 1, range(1, len(STEPS) + 1)),
        required=True,
        label_visibility="collapsed",
    )
    st.space("stretch")
    large = st.toggle("Presenter view", help="Large type, nothing beside it.", **kept("presenter", False))
if large:
    large_type()

with st.spinner("Asking three models …"):
    found = suspects()
STEPS[step - 1][1](found)

with st.container(horizontal=True, key="moves"):
    st.button("Back", on_click=move, args=(-1,), disabled=step == 1, shortcut="Left", icon=":material/arrow_back:")
    st.button(
        "Next", on_click=move, args=(1,), disabled=step == len(STEPS), shortcut="Right", icon=":material/arrow_forward:"
    )
show_glossary()
