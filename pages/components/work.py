"""Long work: an analysis runs in a thread of its own, so that its page can show how far it is, and stop it.

Whatever ends the page's run (another choice, another page, a closed tab) cancels the analysis.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from threading import Event
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from gradcam_core import Explanation, Heatmap, ImageRecord, LoadedModel, overlay
from pages.components import cache
from pages.components.cache import Request
from pages.components.panels import plain

Result = TypeVar("Result")
QUICK, POLL, DRAFT_EVERY = 0.4, 0.25, 1.0
SHOWN_DRAFTS, DRAFT_PIXELS = 3, 4_000_000


class Cancelled(Exception):
    """The analysis was called off."""


class Work:
    """What an analysis tells while it runs, and the wish to end it."""

    def __init__(self) -> None:
        self.cancel = Event()
        self.share, self.words = 0.0, ""
        self.drafts: tuple[Heatmap, ...] = ()

    def __call__(self, share: float, words: str, drafts: tuple[Heatmap, ...]) -> None:
        if self.cancel.is_set():
            raise Cancelled
        self.share, self.words = share, words
        self.drafts = drafts or self.drafts


def explained(image: ImageRecord, loaded: LoadedModel, request: Request, changes: Mapping[str, Any]) -> Explanation:
    """Explain, showing how far it is where that takes long. Ends the page's run where the person stopped it."""
    asked = cache.identity(image, loaded, request) + str(changes)
    found = watched(
        asked,
        lambda work: cache.explanation(image, loaded, request, changes, work),
        lambda place, drafts: _show_drafts(place, image, drafts),
    )
    if found is None:
        st.stop()
    return found


def watched(
    asked: str, compute: Callable[["Work"], Result], show_drafts: Callable[[Any, Any], None] | None = None
) -> Result | None:
    """Compute in a thread, with progress on the page and a way to stop it; None where the person stopped it.

    `asked` tells one piece of work from another, `compute` gets whom to tell how far it is.
    """
    if st.session_state.get("stopped") == asked:
        _show_stopped(asked)
        return None
    work, context, start = Work(), get_script_run_ctx(), time.monotonic()
    threads = ThreadPoolExecutor(1, initializer=lambda: add_script_run_ctx(ctx=context))
    done = threads.submit(compute, work)
    threads.shutdown(wait=False)
    try:
        found = _finished(done, QUICK)
        if found is None:
            found = _watch(done, work, asked, start, show_drafts)
    finally:  # also where Streamlit ends this run
        work.cancel.set()
    return found


def _finished(done: "Future[Result]", seconds: float) -> Result | None:
    """The result, if it is there in time."""
    try:
        return done.result(timeout=seconds)
    except NotYet:
        return None


def _watch(
    done: "Future[Result]", work: "Work", asked: str, start: float, show_drafts: Callable[[Any, Any], None] | None
) -> Result:
    place = st.empty()
    name = hashlib.sha256(asked.encode()).hexdigest()[:8]  # several pieces of work may stand on one page
    with place.container():
        with st.container(horizontal=True, vertical_alignment="center", key=f"working {name}"):
            bar = st.progress(0.0, "Computing …")
            st.button("Stop", on_click=_stop, args=(asked,), key=f"stop {name}", icon=":material/stop_circle:")
        drafts = st.empty()
    drawn, seen = 0.0, ()
    try:
        while (found := _finished(done, POLL)) is None:
            bar.progress(min(work.share, 1.0), _words(work, time.monotonic() - start))
            if show_drafts and work.drafts is not seen and time.monotonic() - drawn > DRAFT_EVERY:
                drawn, seen = time.monotonic(), work.drafts
                show_drafts(drafts, work.drafts)
    finally:
        place.empty()
    return found


def _words(work: Work, elapsed: float) -> str:
    left = elapsed * (1 - work.share) / work.share if work.share > 0.02 else None
    rest = "" if left is None else f", about {max(1, round(left))}\u202fs left"
    return f"{work.words or 'Computing'}: {100 * work.share:.0f}\u202f%{rest}"


def _show_drafts(place: Any, image: ImageRecord, drafts: tuple[Heatmap, ...]) -> None:
    if image.width * image.height > DRAFT_PIXELS:
        return
    with place.container():
        st.caption("Draft: it changes until the work is done.")
        for column, heatmap in zip(st.columns(SHOWN_DRAFTS), drafts, strict=False):
            column.image(overlay(image, heatmap), caption=plain(heatmap.target.label), output_format="JPEG")


def _stop(asked: str) -> None:
    st.session_state.stopped = asked


def _show_stopped(asked: str) -> None:
    name = hashlib.sha256(asked.encode()).hexdigest()[:8]
    with st.container(horizontal=True, vertical_alignment="center", key=f"stopped-note {name}"):
        st.markdown("**Stopped.** Nothing of it was kept.")
        st.button("Start again", on_click=_start_again, key=f"start again {name}", icon=":material/play_circle:")


def _start_again() -> None:
    st.session_state.pop("stopped", None)
