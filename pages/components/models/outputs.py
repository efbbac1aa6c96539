"""What a model's outputs mean: as it was found, or as its user says."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from gradcam_core import TASK_WORDS, LoadedModel, list_tasks
from pages.components.analysis.requests import ModelChoice

Save = Callable[[Mapping[str, Any]], None]


def pick_task(model: LoadedModel, choice: ModelChoice, key: str, save: Save) -> None:
    """Say what the outputs mean, and let the user correct it where it was assumed or is wrong."""
    tasks = ["", *list_tasks(model)]
    box, unit_box, threshold_box = f"task {key}", f"unit {key}", f"threshold {key}"

    def save_task() -> None:
        picked, unit = st.session_state[box], st.session_state.get(unit_box, "").strip()
        task = picked if picked in tasks else ""  # a box that another model's page run drew may hold its words
        save({"task": task, "unit": unit if task == "regression" else ""})

    left, right = st.columns([1.4, 1], gap="medium")
    left.selectbox(
        "What its outputs mean",
        tasks,
        index=tasks.index(choice.task) if choice.task in tasks else 0,
        format_func=lambda task: TASK_WORDS[task].capitalize() if task else f"As found: {_found_words(model, choice)}",
        key=box,
        on_change=save_task,
        help="Probabilities, checks and sentences follow it. Heatmaps do not change.",
    )
    if choice.task == "regression":
        right.text_input("Unit", choice.unit, 20, key=unit_box, on_change=save_task)
    if model.outputs.has_findings:
        right.number_input(
            "A finding is present from",
            0.0,
            1.0,
            choice.threshold if choice.threshold is not None else model.outputs.threshold(0),
            0.05,
            key=threshold_box,
            on_change=lambda: save({"threshold": st.session_state[threshold_box]}),
            help="The probability from which on every finding counts as present.",
        )


def _found_words(model: LoadedModel, choice: ModelChoice) -> str:
    """What the model itself says of its outputs; where the user has said otherwise, that this is left to it."""
    return "what the model says" if choice.task else model.outputs.words
