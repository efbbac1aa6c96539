"""A job over a folder: the button that starts it, and its results. They stay in the session, with the names."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import streamlit as st

from gradcam_core import GradcamError, LoadedModel, counted, percent
from pages.components import audited, session
from pages.components.analysis.work import Cancelled, Job, LastingWork, begin_lasting, watch
from pages.components.folder.files import Folder
from pages.components.words import show_error


class PartlyDone(Protocol):
    """What a job has so far: of how many pictures, and the rows with which it goes on."""

    @property
    def count(self) -> int:
        """How many pictures have a result."""

    @property
    def rows(self) -> Sequence[Any]:
        """What `compute` gets as known."""


Result = TypeVar("Result", bound=PartlyDone)
MOST_RESULTS = 4


@dataclasses.dataclass(frozen=True)
class Task(Generic[Result]):
    """What to do with every picture of a folder, and its identity by content.

    `verb` is what its button says, and `done` what stands there afterwards. `compute` gets the rows that are known, and
    may not touch the session. `earlier` looks for results that are kept elsewhere. `models` are named in the audit log.
    """

    key: str
    verb: str
    done: str
    compute: Callable[[Folder, tuple[Any, ...], LastingWork], Result]
    earlier: Callable[[], Result | None] = lambda: None
    models: tuple[LoadedModel, ...] = ()


@dataclasses.dataclass(frozen=True)
class _FolderJob:
    """A job that was begun, and the identity of its task."""

    key: str
    running: Job[LastingWork, Any]


def offer_job(task: Task[Any], folder: Folder) -> None:
    """Draw the button that starts a task or goes on with it."""
    st.html('<div style="height: 0.6rem"></div>')  # beside boxes whose labels are above them
    job = _job()
    earlier = _known(task, job)
    if job is not None and job.key == task.key:
        # Streamlit shows the button of the run before, faded, until this run ends, which may take minutes.
        st.html(f"<style>.st-key-{task.verb.lower()} {{ display: none; }}</style>")
        st.caption("It goes on while you are on other pages.")
        return
    left = len(folder.pictures) - (earlier.count if earlier else 0)
    if left == 0:
        st.caption(task.done)
    else:
        words = f"Go on with the other {left}" if earlier else f"{task.verb} {counted(left, 'picture')}"
        st.button(words, on_click=_start, args=(task, folder), key=task.verb.lower(), type="primary")
    if job is not None and not job.running.done.done():
        done = percent(job.running.work.share, 0)
        st.caption(f"A job with other settings is running ({done} done). Starting this one stops that one.")


def result_of(task: Task[Result], folder: Folder) -> Result | None:
    """The results so far; None where nothing was computed with these settings. Waits for a job that is running."""
    job = _job()
    if job is not None and job.key == task.key:
        try:
            result = watch(job.running, task.key, job.running.work.stop.set)
        except (GradcamError, Cancelled) as error:
            st.session_state.pop("folder_job", None)
            if isinstance(error, GradcamError):
                session.refuse(error)
                st.rerun()  # the button comes back
            return None
        except Exception:
            st.session_state.pop("folder_job", None)
            raise
        _keep(task.key, result)
        st.rerun()  # the button above was drawn while there was no result
    kept = _known(task, job)
    if kept is not None and not _is_logged(task, kept):
        return None
    if kept is not None and kept.count < len(folder.pictures):
        st.markdown(f"**Stopped after {kept.count} of {counted(len(folder.pictures), 'picture')}.**")
    return kept


def _is_logged(task: Task[Any], result: PartlyDone) -> bool:
    """Log results that are about to be shown; where that fails, say why."""
    try:
        audited.note_results(f"{task.key} {result.count}", audited.job_of(task.key, result.count, task.models))
    except GradcamError as error:
        show_error(error)
        return False
    return True


def _stop() -> None:
    """Stop the session's job after the picture that is under way, and keep what it has so far."""
    job = _job()
    st.session_state.pop("folder_job", None)
    if job is not None:
        job.running.work.stop.set()
        with suppress(Exception):  # its results are no longer wanted, so its failure need not be shown
            _keep(job.key, job.running.done.result())


def _start(task: Task[Any], folder: Folder) -> None:
    """Begin the job. What another one has so far is kept."""
    _stop()
    earlier = _results().get(task.key)
    known = earlier.rows if earlier else ()
    st.session_state.folder_job = _FolderJob(task.key, begin_lasting(lambda work: task.compute(folder, known, work)))


def _job() -> _FolderJob | None:
    """The job that is running in this session. The results of one that has ended meanwhile are kept."""
    job: _FolderJob | None = st.session_state.get("folder_job")
    if job is not None and job.running.done.done() and not job.running.done.exception():
        _keep(job.key, job.running.done.result())
        return None
    return job


def _known(task: Task[Result], job: _FolderJob | None) -> Result | None:
    """The results so far; those that are kept elsewhere are looked for once, while nothing is computed there."""
    results = _results()
    if task.key not in results and (job is None or job.key != task.key):
        result = task.earlier()
        if result is not None:
            _keep_result(task.key, result)
    kept: Result | None = results.get(task.key)
    return kept


def _results() -> dict[str, Any]:
    results: dict[str, Any] = st.session_state.setdefault("folder_results", {})
    return results


def _keep(key: str, result: PartlyDone) -> None:
    st.session_state.pop("folder_job", None)
    _keep_result(key, result)


def _keep_result(key: str, result: PartlyDone) -> None:
    results = _results()
    if result.count:
        results[key] = result
    for old in list(results)[:-MOST_RESULTS]:
        del results[old]
