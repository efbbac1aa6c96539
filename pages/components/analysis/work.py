"""Long work: it runs in a thread of its own, so that its page can show how far it is, and stop it.

Whatever ends the page's run (another choice, another page, a closed tab) cancels an analysis. A lasting job goes on
over other pages and choices, and ends with its session.
"""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Generic, TypeVar
from weakref import WeakSet

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from gradcam_core import Explanation, Heatmap, ImageRecord, overlay, percent
from pages.components import audited, blind
from pages.components.analysis import cache
from pages.components.analysis.requests import Analysis, model_key
from pages.components.panels.figures import figures
from pages.components.pickers.methods import METHODS
from pages.components.words import NO_BREAK, plain

Result = TypeVar("Result")
QUICK, POLL, DRAFT_EVERY = 0.4, 0.25, 1.0
AWAY_S = 120.0  # a lasting job outlives a lost connection by this
SHOWN_DRAFTS, DRAFT_PIXELS = 3, 4_000_000


class Cancelled(Exception):
    """The analysis was cancelled."""


class Work:
    """How far work is, and whether it is to be cancelled; called as the core's `on_progress`."""

    def __init__(self) -> None:
        self.cancel = Event()
        self.share, self.words = 0.0, ""
        self.seconds_left: float | None = None  # where the work itself knows it better than its share tells
        self.drafts: tuple[Heatmap, ...] = ()

    def __call__(self, share: float, words: str, drafts: tuple[Any, ...] = ()) -> None:
        if self.cancel.is_set():
            raise Cancelled
        self.share, self.words = share, words
        self.drafts = drafts or self.drafts


class LastingWork(Work):
    """Work that `stop` ends after the picture that is under way; it is cancelled when its session has ended."""

    def __init__(self, session_id: str) -> None:
        super().__init__()
        self.stop = Event()
        self._session_id, self._seen = session_id, time.monotonic()

    def __call__(self, share: float, words: str, drafts: tuple[Any, ...] = ()) -> None:
        if not runtime.exists() or runtime.get_instance().is_active_session(self._session_id):
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > AWAY_S:
            raise Cancelled
        super().__call__(share, words, drafts)


AnyWork = TypeVar("AnyWork", bound=Work)
RUNNING: "WeakSet[Work]" = WeakSet()


@dataclass(frozen=True)
class Job(Generic[AnyWork, Result]):
    """Work that was begun in a thread."""

    work: AnyWork
    done: "Future[Result]"
    begun: float = field(default_factory=time.monotonic)


def begin(compute: Callable[[Work], Result]) -> Job[Work, Result]:
    """Begin work as a part of this run; `compute` gets the callback for its progress."""
    context, work = get_script_run_ctx(), Work()
    return _begun(work, lambda: compute(work), lambda: add_script_run_ctx(ctx=context))


def begin_lasting(compute: Callable[[LastingWork], Result]) -> Job[LastingWork, Result]:
    """Begin a job that goes on over other pages and choices. `compute` may not touch the session."""
    context = get_script_run_ctx()
    work = LastingWork(context.session_id if context else "")
    return _begun(work, lambda: compute(work), lambda: None)


def _begun(work: AnyWork, compute: Callable[[], Result], prepare: Callable[[], Any]) -> Job[AnyWork, Result]:
    threads = ThreadPoolExecutor(1, initializer=prepare)
    done = threads.submit(compute)
    threads.shutdown(wait=False)
    RUNNING.add(work)
    return Job(work, done)


def cancel_all() -> None:
    """Cancel all work, of all sessions: the server ends, and would wait for it."""
    for work in list(RUNNING):
        work.cancel.set()


def explained(analysis: Analysis, key: str) -> tuple[Analysis, Explanation]:
    """Explain, showing how far it is where that takes long.

    If the user stopped it, return what the page `key` showed of the same picture and model before, and say so;
    where there is nothing of that kind, end the page's run. What a blind reader may not see yet ends it too. Raises
    AuditError where it cannot be logged.
    """
    blind.hold(analysis.image)
    explanation = watched(
        analysis.key,
        lambda work: cache.explanation(analysis, work),
        lambda place, drafts: _show_drafts(place, analysis.image, drafts),
    )
    if explanation is not None:
        st.session_state[f"last analysis {key}"] = analysis
        return analysis, _noted(analysis, explanation)
    last: Analysis | None = st.session_state.get(f"last analysis {key}")
    if last is None or not _same_subject(last, analysis) or last.key not in cache.EXPLANATIONS:
        st.stop()
    methods = ", ".join(METHODS[name].title for name, _ in last.request.methods)
    st.markdown(f"The heatmaps below are the previous ones: {plain(methods)}, {plain(', '.join(last.request.layers))}.")
    return last, _noted(last, cache.explanation(last))


def _noted(analysis: Analysis, explanation: Explanation) -> Explanation:
    """Log an explanation that is about to be shown."""
    audited.note_explanations(analysis.key, explanation)
    blind.note_answered(analysis.image)
    return explanation


def _same_subject(last: Analysis, now: Analysis) -> bool:
    image, before = now.image, last.image
    return image.identity == before.identity and model_key(last.model) == model_key(now.model)


def watched(
    name: str, compute: Callable[["Work"], Result], show_drafts: Callable[[Any, Any], None] | None = None
) -> Result | None:
    """Compute in a thread, with progress on the page and a way to stop it; None if the user stopped it.

    `name` identifies the work; `compute` gets the callback for its progress.
    """
    if st.session_state.get("stopped") == name:
        _show_stopped(name)
        return None
    job = begin(compute)
    try:
        return watch(job, name, lambda: _stop(name), show_drafts)
    finally:  # also where Streamlit ends this run
        job.work.cancel.set()


def watch(
    job: Job[Any, Result], name: str, stop: Callable[[], None], show_drafts: Callable[[Any, Any], None] | None = None
) -> Result:
    """Wait until a job is done, with its progress on the page and a button that calls `stop`."""
    place = st.empty()  # there is one also for quick work: what follows then keeps its place, and is not drawn again
    result = _finished(job.done, QUICK)
    return _watch(place, job, name, stop, show_drafts) if result is None else result


def _finished(done: "Future[Result]", seconds: float) -> Result | None:
    """The result, if it is there in time."""
    try:
        return done.result(timeout=seconds)
    except NotYet:
        return None


def _watch(
    place: Any,
    job: Job[Any, Result],
    name: str,
    stop: Callable[[], None],
    show_drafts: Callable[[Any, Any], None] | None,
) -> Result:
    work, short = job.work, _short(name)  # several pieces of work may stand on one page
    with place.container():
        with st.container(horizontal=True, vertical_alignment="center", key=f"working {short}"):
            bar = st.progress(0.0, "Computing …")
            st.button("Stop", on_click=stop, key=f"stop {short}", icon=":material/stop_circle:")
        drafts = st.empty()
    drawn, seen = 0.0, ()
    try:
        while (result := _finished(job.done, POLL)) is None:
            bar.progress(min(work.share, 1.0), _words(work, time.monotonic() - job.begun))
            if show_drafts and work.drafts is not seen and time.monotonic() - drawn > DRAFT_EVERY:
                drawn, seen = time.monotonic(), work.drafts
                show_drafts(drafts, work.drafts)
    finally:
        place.empty()
    return result


def _words(work: Work, elapsed: float) -> str:
    if isinstance(work, LastingWork) and work.stop.is_set():
        return "Stopping after this picture"
    left = elapsed * (1 - work.share) / work.share if work.share > 0.02 else None
    left = left if work.seconds_left is None else work.seconds_left
    rest = "" if left is None else f", about {_duration(left)} left"
    return f"{plain(work.words or 'Computing')}: {percent(work.share, 0)}{rest}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f}{NO_BREAK}min" if seconds >= 90 else f"{max(1, round(seconds))}{NO_BREAK}s"


def _show_drafts(place: Any, image: ImageRecord, drafts: tuple[Heatmap, ...]) -> None:
    if image.width * image.height > DRAFT_PIXELS:
        return
    with place.container():
        st.caption("Draft: it changes until the work is done.")
        figures([(overlay(image, heatmap), heatmap.target.label) for heatmap in drafts[:SHOWN_DRAFTS]], height=18)


def _stop(name: str) -> None:
    st.session_state.stopped = name


def _show_stopped(name: str) -> None:
    short = _short(name)
    with st.container(horizontal=True, vertical_alignment="center", key=f"stopped-note {short}"):
        st.markdown("**You stopped this analysis.** No results were saved.")
        st.button("Start again", on_click=_start_again, key=f"start again {short}", icon=":material/play_circle:")


def _start_again() -> None:
    st.session_state.pop("stopped", None)


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
