"""A comparison as long work: computed once for the same content, with progress and a way to stop it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from gradcam_core import Comparison, ImageRecord, LoadedModel, OnProgress, compare
from pages.components import audited, blind
from pages.components.analysis import cache
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import watched

TOP = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A picture, the models with their titles, and what to compare."""

    image: ImageRecord
    models: Sequence[tuple[str, LoadedModel]]
    method: tuple[str, tuple[tuple[str, Any], ...]]
    target: int | None
    match: Sequence[Mapping[int, int | None]]

    @property
    def key(self) -> str:
        """The identity of this comparison, by content. It begins with the picture's sha256."""
        models = [model_key(model) for _, model in self.models]
        match = [sorted(mapping.items()) for mapping in self.match]
        parts = [self.image.identity, models, self.method, self.target, match]
        return f"{self.image.sha256} models {digest(parts)}"


def compared(task: Task) -> Comparison:
    """Compare, showing how far it is where that takes long. Ends the page's run if the user stopped it.

    Raises AuditError where it cannot be logged.
    """
    blind.hold(task.image)
    comparison = watched(task.key, lambda work: computed(task, work))
    if comparison is None:
        st.stop()
    audited.note_explanations(task.key, *comparison.explanations)
    blind.note_answered(task.image)
    return comparison


def computed(task: Task, work: OnProgress) -> Comparison:
    """Compare, or find what was compared of the same content before."""

    def compute() -> Comparison:
        return compare(
            task.image,
            [model for _, model in task.models],
            top_k=TOP,
            targets=None if task.target is None else [task.target],
            match=list(task.match),
            method=(task.method[0], dict(task.method[1])),
            on_progress=work,
        )

    return cache.comparison(task.key, task.image, compute)
