"""Demonstration: three models, one of them cheats. A story in five steps for people who are not engineers."""

import streamlit as st

from pages.components.demonstration import STEPS, show_glossary, suspects
from pages.components.frame import frame, go_to, large_type

desk = frame("Demonstration", "Which of three models is cheating?")
if desk.choice_made:  # the story stays the same: whoever chooses something in the sidebar wants to see that
    go_to("pages/1_Explain.py")

st.session_state.setdefault("step", 1)


def move(by: int) -> None:
    """Go on, or back."""
    st.session_state.step = min(max(st.session_state.step + by, 1), len(STEPS))


with st.container(horizontal=True, vertical_alignment="center", key="story"):
    step = st.segmented_control(
        "Step",
        range(1, len(STEPS) + 1),
        format_func=lambda number: f"{number}  {STEPS[number - 1][0]}",
        key="step",
        persist_state="session",
        required=True,
        label_visibility="collapsed",
    )
    st.space("stretch")
    large = st.toggle("Presenter view", key="presenter", persist_state="session", help="Large type, nothing beside it.")
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
