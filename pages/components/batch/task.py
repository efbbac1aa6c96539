"""The task that computes a heatmap for every picture. Its results lie in a journal in the session's private folder."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from gradcam_core import Area, Job, Journal, JournalError, LoadedModel, Recipe, Standing, journal_name, run_batch
from pages.components import session
from pages.components.analysis.decoding import DECODER
from pages.components.analysis.files import PrivateFolder
from pages.components.analysis.requests import ModelChoice, digest, model_key
from pages.components.analysis.work import LastingWork
from pages.components.folder import spool
from pages.components.folder.evaluation import Method
from pages.components.folder.files import Folder
from pages.components.folder.job import Task

OVERLAYS = "overlays"


@dataclasses.dataclass(frozen=True)
class BatchRun:
    """What a batch has so far: how many of its pictures have a result, and the folder with its journal.

    `jobs` are the pictures by id, all of which have the `blanked` areas deleted. The journal has no names, so that none
    is on the disk.
    """

    count: int
    place: Path
    jobs: Mapping[str, Job]
    overlays: bool
    blanked: tuple[Area, ...] = ()
    rows: tuple[Any, ...] = ()


def batch_task(
    folder: Folder,
    jobs: tuple[Job, ...],
    model: LoadedModel,
    method: Method,
    layers: tuple[str, ...],
    target: int | None,
    overlays: bool,
) -> Task[BatchRun]:
    """Return the task. Each choice of model, method, layer and class has a journal of its own."""
    settings = digest(["batch", model_key(model), method, layers, target, folder.blanked])
    private = spool.session_folder()
    place = private.path / "batch" / settings
    recipe = Recipe(
        model.reference,
        _options(model),
        (method[0], dict(method[1])),
        layers,
        "" if target is None else _named(model, target),
        str(place / OVERLAYS) if overlays else "",
        named=False,
        blanked=folder.blanked,
    )
    by_id = {job.id: job for job in jobs}

    def compute(folder: Folder, known: tuple[Any, ...], work: LastingWork) -> BatchRun:
        count = _run(private, place, jobs, recipe, work)
        return BatchRun(count, place, by_id, overlays, folder.blanked)

    def earlier() -> BatchRun | None:
        count = _finished(place, jobs, recipe.overlays)
        return BatchRun(count, place, by_id, overlays, folder.blanked) if count else None

    labels = sorted((job.id, job.label) for job in jobs)
    key = digest([settings, folder.key, labels, overlays])
    return Task(key, "Explain", "Explained with these settings.", compute, earlier, (model,))


def _run(private: PrivateFolder, place: Path, jobs: tuple[Job, ...], recipe: Recipe, work: LastingWork) -> int:
    """Compute what is missing; return how many pictures have a result. `private` stays on the disk meanwhile."""
    place.mkdir(parents=True, exist_ok=True)

    def show(standing: Standing) -> None:
        done = standing.known + standing.done
        rate = f", {standing.rate:.1f} a second" if standing.done else ""
        work.seconds_left = standing.seconds_left
        work(done / max(standing.total, 1), standing.paused or f"{done} of {standing.total} pictures{rate}")

    journal = place / journal_name()
    standing = run_batch(jobs, recipe, journal, stop=work.stop.is_set, on_standing=show, decode=DECODER.decode)
    return standing.known + standing.done


def _finished(place: Path, jobs: tuple[Job, ...], overlays: str) -> int:
    """How many of the pictures have a result from before; 0 while they are being computed."""
    if not (place / journal_name()).exists() or (overlays and not Path(overlays).exists()):
        return 0
    try:
        journal = Journal(place / journal_name())
    except JournalError:
        return 0
    try:
        return len(journal.finished(jobs, overlays=overlays))
    finally:
        journal.close()


def _options(model: LoadedModel) -> dict[str, Any]:
    """The arguments with which a process loads the model as it is chosen here."""
    choice: ModelChoice = st.session_state.models[session.value_of(session.MODEL, next(iter(session.models())))]
    return {
        "architecture": choice.architecture or None,
        "labels": choice.labels or None,
        "preprocessing": {**dict(choice.preprocessing), "fit": model.preprocessing.fit},
        "weights": "averaged" if choice.averaged else None,
        "task": choice.task or "auto",
        "unit": choice.unit,
        "thresholds": choice.threshold if model.outputs.has_findings else None,
        "device": str(model.device),
    }


def _named(model: LoadedModel, target: int) -> str:
    """A class as its label; as its index where the label is not its own."""
    label = model.labels[target]
    return label if model.labels.count(label) == 1 else str(target)
