"""The task that evaluates one model on every picture of a folder."""

from collections.abc import Callable
from typing import Any

from gradcam_core import Evaluation, LoadedModel, evaluate
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import LastingWork
from pages.components.folder.files import Files, Folder
from pages.components.folder.job import Task

Method = tuple[str, tuple[tuple[str, Any], ...]]


def evaluation_task(folder: Folder, model: LoadedModel, method: Method, layers: tuple[str, ...]) -> Task[Evaluation]:
    """Return the task: how often the model is correct on this folder, and where it looks."""

    def compute(folder: Folder, known: tuple[Any, ...], work: LastingWork) -> Evaluation:
        return evaluate(
            reading(folder.pictures),
            folder.table,
            dict(reading(folder.masks)),
            model,
            method=(method[0], dict(method[1])),
            layers=layers or None,
            known=known,
            stop=work.stop.is_set,
            on_progress=work,
        )

    key = digest([folder.key, model_key(model), method, layers])
    return Task(key, "Evaluate", "Evaluated with these settings.", compute)


def reading(files: Files) -> list[tuple[str, Callable[[], bytes]]]:
    """Each file's name, and a function that returns its bytes."""
    return [(name, lambda file=file: file.content) for (name, _), file in files.items()]  # type: ignore[misc]
