"""The checks of each model's heatmap, side by side, on request."""

import streamlit as st

from gradcam_core import Comparison, GradcamError, Trust, list_checks, trust
from pages.components import audited
from pages.components.analysis import cache
from pages.components.analysis.work import watched
from pages.components.checks import show_checks
from pages.components.comparison.work import Task
from pages.components.words import plain, shortened, show_error


def offer_all_checks(comparison: Comparison, task: Task) -> tuple[Trust | None, ...]:
    """Offer the checks of each model's heatmap of the first class; show and return them after a click."""
    compared = comparison.classes[0]
    st.header("Can I trust these heatmaps?")
    opened = st.session_state.setdefault("checked comparisons", set())
    with st.container(horizontal=True, vertical_alignment="center", key="trust-bar-models"):
        if st.button("Run the checks for each model", key="check models", icon=":material/fact_check:"):
            opened.add(task.key)
        words = f"{len(list_checks())} tests of each heatmap for {plain(shortened(compared.label))}"
        st.caption(f"{words}, about 10 seconds a model.")
    if task.key not in opened:
        return ()
    checks = []
    for place, column in enumerate(st.columns(len(task.models), gap="large")):
        with column:
            st.markdown(f"**Model {place + 1}**")
            checks.append(show_checks_of(comparison, task, place))
    return tuple(checks)


def show_checks_of(comparison: Comparison, task: Task, place: int) -> Trust | None:
    """Check one model's heatmap of the first class, or find its checks; show and return them, where there are any."""
    explanation, heatmap = comparison.explanations[place], comparison.classes[0].heatmaps[place]
    if heatmap is None:
        st.caption("This model has no such class.")
        return None
    key = f"{task.key} checks {place}"
    model = task.models[place][1]
    try:
        checked = watched(
            key, lambda work: cache.CHECKS.get(key, lambda: trust(explanation, heatmap, model, on_progress=work))
        )
        if checked is not None:
            audited.note_checks(key, explanation, checked)
    except GradcamError as error:
        show_error(error)
        return None
    if checked is not None:
        show_checks(checked, explanation.preprocessing)
    return checked
