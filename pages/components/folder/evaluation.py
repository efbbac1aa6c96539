"""The evaluation of a folder: the button that starts it, and its results. They stay in the session, with the names."""

import dataclasses
from contextlib import suppress
from typing import Any

import streamlit as st

from gradcam_core import Evaluation, GradcamError, LoadedModel, counted, evaluate, percent
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import Cancelled, Job, LastingWork, begin_lasting, watch
from pages.components.folder.files import Folder
from pages.components.words import show_error

MOST_RESULTS = 3


@dataclasses.dataclass(frozen=True)
class Task:
    """What to evaluate the folder with, and the identity of that evaluation."""

    model: LoadedModel
    method: tuple[str, dict[str, Any]]
    layers: tuple[str, ...]
    key: str


@dataclasses.dataclass(frozen=True)
class _FolderJob:
    """An evaluation that was begun, and the identity of its task."""

    key: str
    running: Job[LastingWork, Evaluation]


def offer_evaluation(
    folder: Folder, model: LoadedModel, method: tuple[str, tuple[tuple[str, Any], ...]], layers: tuple[str, ...]
) -> Task:
    """Draw the button that starts an evaluation or goes on with it, and return its task."""
    task = Task(model, (method[0], dict(method[1])), layers, digest([folder.key, model_key(model), method, layers]))
    st.html('<div style="height: 0.6rem"></div>')  # beside boxes whose labels are above them
    job, earlier = _job(), _results().get(task.key)
    if job is not None and job.key == task.key:
        # Streamlit shows the button of the run before, faded, until this run ends, which may take minutes.
        st.html("<style>.st-key-evaluate { display: none; }</style>")
        st.caption("It goes on while you are on other pages.")
        return task
    left = len(folder.pictures) - (earlier.count if earlier else 0)
    if left == 0:
        st.caption("Evaluated with these settings.")
    else:
        words = f"Go on with the other {left}" if earlier else f"Evaluate {counted(left, 'picture')}"
        st.button(words, on_click=_start, args=(task, folder), key="evaluate", type="primary")
    if job is not None and not job.running.done.done():
        done = percent(job.running.work.share, 0)
        st.caption(f"An evaluation with other settings is running ({done} done). Starting this one stops that one.")
    return task


def evaluated(task: Task, folder: Folder) -> Evaluation | None:
    """The results so far; None where nothing was evaluated with these settings. Waits for a job that is running."""
    job = _job()
    if job is not None and job.key == task.key:
        try:
            evaluation = watch(job.running, task.key, job.running.work.stop.set)
        except (GradcamError, Cancelled) as error:
            st.session_state.pop("folder_job", None)
            if isinstance(error, GradcamError):
                show_error(error)
            return None
        except Exception:
            st.session_state.pop("folder_job", None)
            raise
        _keep(task.key, evaluation)
        st.rerun()  # the button above was drawn while there was no result
    evaluation = _results().get(task.key)
    if evaluation is not None and evaluation.count < len(folder.pictures):
        st.markdown(f"**Stopped after {evaluation.count} of {counted(len(folder.pictures), 'picture')}.**")
    return evaluation


def stop_evaluation() -> None:
    """Stop the session's evaluation after the picture that is under way, and keep what it has so far."""
    job = _job()
    st.session_state.pop("folder_job", None)
    if job is not None:
        job.running.work.stop.set()
        with suppress(Exception):  # its results are no longer wanted, so its failure need not be shown
            _keep(job.key, job.running.done.result())


def _start(task: Task, folder: Folder) -> None:
    """Begin the evaluation. What another one has so far is kept."""
    stop_evaluation()
    earlier = _results().get(task.key)
    pictures = [(name, lambda file=file: file.content) for (name, _), file in folder.pictures.items()]
    masks = {name: lambda file=file: file.content for (name, _), file in folder.masks.items()}
    chosen: dict[str, Any] = {"method": task.method, "layers": task.layers or None}
    chosen["known"] = earlier.rows if earlier else ()

    def compute(work: LastingWork) -> Evaluation:
        return evaluate(pictures, folder.table, masks, task.model, stop=work.stop.is_set, on_progress=work, **chosen)

    st.session_state.folder_job = _FolderJob(task.key, begin_lasting(compute))


def _job() -> _FolderJob | None:
    """The evaluation that is running in this session. The results of one that has ended meanwhile are kept."""
    job: _FolderJob | None = st.session_state.get("folder_job")
    if job is not None and job.running.done.done() and not job.running.done.exception():
        _keep(job.key, job.running.done.result())
        return None
    return job


def _results() -> dict[str, Evaluation]:
    results: dict[str, Evaluation] = st.session_state.setdefault("evaluations", {})
    return results


def _keep(key: str, evaluation: Evaluation) -> None:
    st.session_state.pop("folder_job", None)
    results = _results()
    if evaluation.count:
        results[key] = evaluation
    for old in list(results)[:-MOST_RESULTS]:
        del results[old]
