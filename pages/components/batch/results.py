"""The results of a batch: sentences, the pictures to look at first, the table, files."""

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import streamlit as st

from gradcam_core import (
    MOST_AT_BORDER,
    BatchSummary,
    Journal,
    Result,
    batch_sheet,
    draw_on_tile,
    journal_name,
    percent,
    summarise_results,
    write_batch_gallery,
    write_results_csv,
    write_results_parquet,
)
from pages.components.batch.archive import offer_overlays
from pages.components.batch.task import OVERLAYS, BatchRun
from pages.components.folder.files import bring
from pages.components.folder.results import CSS, offer_names, ticked, wanted_names
from pages.components.frame.navigation import go_to
from pages.components.panels.downloads import download
from pages.components.panels.figures import data_url, figures
from pages.components.session import kept
from pages.components.words import plain, shortened, shown_name

TileOf = Callable[[str], bytes]
MOST_FIRST, MOST_ROWS, MOST_SMALL = 6, 500, 150
ALL, WRONG, RIGHT, BORDER, FAILED = "all", "wrong", "right", "border", "failed"
SHOWN = {ALL: "All", WRONG: "Wrong", RIGHT: "Right", BORDER: "Heat at the border", FAILED: "Not explained"}


@dataclass(frozen=True)
class Report:
    """The results without their maps, the ones to look at first on top."""

    results: tuple[Result, ...]

    def of(self, kind: str) -> list[Result]:
        """Those of one kind."""
        return [result for result in self.results if kind == ALL or kind in _kinds(result)]


def _kinds(result: Result) -> set[str]:
    if result.problem:
        return {FAILED}
    judged = {RIGHT if result.correct else WRONG} if result.correct is not None else set()
    return judged | ({BORDER} if (result.border or 0) > MOST_AT_BORDER else set())


def show_batch(run: BatchRun, *, key: str) -> None:
    """Show the results, from the main sentences to the files."""
    st.html(f"<style>{CSS.read_text('utf-8')}</style>")
    report = _report(run, key)
    with st.container(key="findings", gap="small"):
        for sentence in summarise_results(report.results).sentences:
            st.markdown(plain(sentence))
    _show_first(report, run)
    _show_table(report, run, key)
    _show_downloads(run, key)


def _report(run: BatchRun, key: str) -> Report:
    """The results in the order in which they are shown; read once, and again where there are more."""
    cached = st.session_state.get("batch report")
    if cached is None or cached[0] != (key, run.count):
        results = [replace(result, maps=(), tile=b"") for result in results_of(run, "worst")]
        # Here, what could not be explained comes last.
        cached = ((key, run.count), Report(tuple(sorted(results, key=lambda result: bool(result.problem)))))
        st.session_state["batch report"] = cached
        st.session_state["batch small"] = {}
    report: Report = cached[1]
    return report


def results_of(run: BatchRun, order: Literal["name", "worst"] = "name") -> Iterator[Result]:
    """The results of the run's pictures, with their names."""
    journal = Journal(run.place / journal_name())
    try:
        for result in journal.results(order=order):
            if job := run.jobs.get(result.id):
                yield replace(result, name=job.name)
    finally:
        journal.close()


def _show_first(report: Report, run: BatchRun) -> None:
    """Show the pictures that deserve a look, with their heatmaps."""
    suspicious = [result for result in report.results if _kinds(result) & {WRONG, BORDER}][:MOST_FIRST]
    pictures = [(pixels, _caption(result)) for result in suspicious if (pixels := _heatmaps(run, result)) is not None]
    if pictures:
        st.header("The pictures to look at first")
        with st.container(key="batch-first"):
            figures(pictures, height=9)


def _caption(result: Result) -> str:
    amount = "" if result.probability is None else f" {percent(result.probability, 0)}"
    words = f"{shown_name(result.name)}: {shortened(result.label)}{amount}"
    if result.correct is False:
        return f"{words}. Beside it: {shortened(result.true_label)}, the true label"
    return f"{words}. {percent(result.border or 0.0, 0)} of the heat at the border"


def _heatmaps(run: BatchRun, result: Result) -> np.ndarray | None:
    """The picture as the model saw it under its heatmap; beside it the true label's where the answer is wrong."""
    with_maps = _whole(run, result.id)
    if with_maps is None or not with_maps.tile:
        return None
    decoded = cv2.imdecode(np.frombuffer(with_maps.tile, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        return None
    tile = np.ascontiguousarray(decoded[..., ::-1])
    drawn = [draw_on_tile(tile, each.raw, each.offset, signed=each.signed) for each in with_maps.maps]
    gap = np.zeros((tile.shape[0], 4, 3), np.uint8)
    return np.hstack([part for picture in drawn for part in (gap, picture)][1:]) if drawn else tile


def _whole(run: BatchRun, picture: str) -> Result | None:
    journal = Journal(run.place / journal_name())
    try:
        return journal.result(picture)
    finally:
        journal.close()


def _small(run: BatchRun, results: Sequence[Result]) -> dict[str, str]:
    """Small heatmaps of results, by id; drawn once."""
    drawn: dict[str, str] = st.session_state.setdefault("batch small", {})
    for result in results:
        if result.id not in drawn:
            pixels = None if result.problem else _heatmaps(run, result)
            drawn[result.id] = "" if pixels is None else data_url(pixels)
    return drawn


def _show_table(report: Report, run: BatchRun, key: str) -> None:
    st.header("All pictures, the ones to look at first on top")
    with st.container(horizontal=True, vertical_alignment="bottom", key="batch-filter"):
        kinds = [kind for kind in SHOWN if report.of(kind)]
        shown = st.segmented_control(
            "Show",
            kinds,
            format_func=lambda kind: f"{SHOWN[kind]} · {len(report.of(kind))}",
            required=True,
            **kept("batch shown", ALL, kinds),
        )
        answers = sorted({result.label for result in report.results if result.label})
        answer = st.selectbox(
            "Top answer",
            answers,
            index=None,
            placeholder="Every class",
            width=260,
            **kept("batch answer", None, answers),
        )
    results = [result for result in report.of(str(shown)) if answer is None or result.label == answer]
    small = _small(run, results[:MOST_SMALL])
    result = ticked(
        results[:MOST_ROWS],
        [_line(result, small) for result in results[:MOST_ROWS]],
        _columns(results),
        key=f"batch {key[:12]} {shown} {answer}",
        alt="The pictures of this batch with their answers and heatmaps",
    )
    if len(results) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {len(results)}. The files below have all of them.")
    _offer_picture(result, run)


def _offer_picture(result: Result | None, run: BatchRun) -> None:
    """Offer to open the ticked picture, and say what is to be said of it."""
    with st.container(horizontal=True, vertical_alignment="center", key="open-bar"):
        if result is None:
            st.caption("Tick a row to open its picture.")
            return
        if not result.problem:
            opened = st.button(
                "Open in Explain",
                on_click=bring,
                args=(run.jobs[result.id], run.blanked),
                key="open in explain",
                icon=":material/center_focus_strong:",
            )
            if opened:
                go_to("pages/1_Explain.py")
        st.caption(plain(result.problem or result.note or result.name))


def _line(result: Result, small: dict[str, str]) -> dict[str, Any]:
    return {
        "Heatmap": small.get(result.id) or None,
        "Name": shown_name(result.name),
        "Top answer": result.label,
        "Probability": None if result.probability is None else 100 * result.probability,
        "True label": result.true_label,
        "Heat at the border": None if result.border is None else 100 * result.border,
        "Note": result.problem or result.note,
    }


def _columns(results: Sequence[Result]) -> dict[str, Any]:
    """How the columns look; those that would be empty throughout are left out."""
    share = {"format": "%.0f %%", "min_value": 0, "max_value": 100, "width": "small"}
    columns: dict[str, Any] = {
        "Heatmap": st.column_config.ImageColumn(
            "Heatmap", width=92, help="The picture as the model saw it. Beside a wrong answer: for the true label."
        ),
        "Probability": st.column_config.ProgressColumn(**share),
        "Heat at the border": st.column_config.ProgressColumn(
            help="The share of the heat on the outer tenth of the picture. Heat that is the same everywhere has 36 %.",
            **share,
        ),
        "Note": st.column_config.TextColumn(width="large"),
    }
    if not any(result.true_label for result in results):
        columns["True label"] = None
    if not any(result.problem or result.note for result in results):
        columns["Note"] = None
    return columns


def _show_downloads(run: BatchRun, key: str) -> None:
    names = wanted_names()  # a file is written outside the session, which has this choice
    with st.container(horizontal=True, vertical_alignment="center", key="folder-downloads"):
        table = functools.partial(_written, run, write_results_csv, names)
        download("Results, CSV", table, f"batch-{key[:8]}.csv", "text/csv", "batch")
        maps = functools.partial(_written, run, write_results_parquet, names)
        download("Results and maps, Parquet", maps, f"batch-{key[:8]}.parquet", "application/octet-stream", "batch")
        gallery = functools.partial(_page, run, write_batch_gallery, names)
        download("Gallery, HTML", gallery, f"gallery-{key[:8]}.html", "text/html", "batch")
        sheet = functools.partial(_page, run, _write_sheet, names)
        download("Contact sheet, JPEG", sheet, f"contact-sheet-{key[:8]}.jpg", "image/jpeg", "batch")
        if run.overlays and (run.place / OVERLAYS).is_dir():
            offer_overlays(run, names)
        offer_names()


def _written(run: BatchRun, write: Callable[..., Any], names: str) -> bytes:
    """A table of all results as a file."""
    with tempfile.TemporaryDirectory(dir=run.place) as folder:
        path = Path(folder) / "results"
        write(path, results_of(run), names)
        return path.read_bytes()


def _page(run: BatchRun, write: Callable[[Path, Iterator[Result], TileOf, BatchSummary], Any], names: str) -> bytes:
    """The gallery or the contact sheet, with the names of files where the user wants them."""
    journal, keep = Journal(run.place / journal_name()), names == "keep"
    worst = results_of(run, "worst")
    named = worst if keep else (replace(result, name=result.sha256[:16] or result.id[:16]) for result in worst)
    try:
        with tempfile.TemporaryDirectory(dir=run.place) as folder:
            path = Path(folder) / "page"
            write(path, named, journal.tile, summarise_results(results_of(run)))
            return path.read_bytes()
    finally:
        journal.close()


def _write_sheet(path: Path, results: Iterator[Result], tile_of: TileOf, summary: BatchSummary) -> None:
    path.write_bytes(batch_sheet(results, tile_of))
