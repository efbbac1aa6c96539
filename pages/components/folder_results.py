"""What an evaluation found, for people: sentences, four numbers, charts, and the pictures to look at first."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import streamlit as st

from gradcam_core import Evaluation, GradcamError, evaluation_sentences, evaluation_to_csv, percent, read_image
from pages.components import session
from pages.components.figures import data_url
from pages.components.folder import Folder
from pages.components.folder_charts import show_charts, show_edge_maps
from pages.components.frame import go_to
from pages.components.panels import plain
from pages.components.session import Upload

THUMBNAIL, MOST_THUMBNAILS, LARGEST_FILE = 56, 200, 2_000_000
NO_BREAK = "\u202f"
CSS = Path(__file__).with_name("folder.css")


def show_results(found: Evaluation, folder: Folder, *, key: str) -> None:
    """Show what was found, from the sentence for everybody to the table for who wants it all."""
    st.html(f"<style>{CSS.read_text('utf-8')}</style>")
    evaluated = len(found.failures) < found.count
    left, right = st.columns([1.35, 1], gap="large") if evaluated else (st.container(), None)
    with left, st.container(key="findings", gap="small"):
        for sentence in evaluation_sentences(found):
            st.markdown(plain(sentence))
    if right is not None:
        with right:
            show_edge_maps(found)
        _show_numbers(found)
    _show_pictures(found, folder, key)
    _show_downloads(found, key)
    if evaluated:
        show_charts(found)


def _show_numbers(found: Evaluation) -> None:
    accuracy, edges, heat = found.accuracy, found.edges.share, found.localisation["relevance_mass"]
    low, high = accuracy.interval or (0.0, 0.0)
    error = found.calibration_error
    numbers = (
        (
            "Answered as labelled",
            percent(accuracy.value, 0),
            f"95{NO_BREAK}% interval {100 * low:.0f} to {100 * high:.0f}{NO_BREAK}%" if accuracy.whole else "no labels",
            "The share of labelled pictures whose first answer is the label, with the interval after Wilson.",
        ),
        (
            "Calibration error",
            "–" if error is None else f"{100 * error:.1f} points",
            "0 would be exact" if error is not None else "no labels",
            "By how many percentage points the probabilities and the share answered as labelled differ on average, "
            "over ten groups of like probability (expected calibration error, Guo et al. 2017).",
        ),
        (
            "A corner or border decides",
            percent(edges.value, 0),
            f"{edges.part} of {edges.whole} pictures",
            f"Hiding it takes more than {100 * found.thresholds.numbers['most_lost_at_edge']:.0f}{NO_BREAK}% of the "
            "first answer’s probability away.",
        ),
        (
            "Heat inside the marked region",
            percent(heat.value, 0),
            f"mean of {heat.count} pictures" if heat.count else "no masks",
            "How much of the heatmap’s heat lies inside the mask, on average (relevance mass, Arras et al. 2022).",
        ),
    )
    for column, (label, value, words, help_) in zip(st.columns(4, gap="medium"), numbers, strict=True):
        with column.container(gap=None):
            st.metric(label, value, help=help_)
            st.caption(words)


def _show_pictures(found: Evaluation, folder: Folder, key: str) -> None:
    st.header("Pictures, those to look at first on top")
    thumbnails = _thumbnails(found, folder, key)
    chosen = st.dataframe(
        [_line(row, thumbnails) for row in found.rows],
        hide_index=True,
        width="stretch",
        height=min(40 + 44 * found.count, 480),
        row_height=44,
        key=f"pictures {key[:16]}",
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        column_config=_columns(found, bool(thumbnails)),
        alt="The pictures of this folder with what the model answers",
    )
    rows = chosen.selection.rows
    row = found.rows[rows[0]] if rows and rows[0] < found.count else None
    file = folder.pictures.get((row.name, row.sha256)) if row else None
    with st.container(horizontal=True, vertical_alignment="center", key="open-bar"):
        if file is None:
            st.caption("Tick a row to open its picture.")
            return
        opened = st.button(
            "Open in Explain",
            on_click=_lay_on_desk,
            args=(row.sha256, file),
            key="open in explain",
            icon=":material/center_focus_strong:",
        )
        st.caption(plain(row.problem or row.note or row.name))
    if opened:
        go_to("pages/1_Explain.py")


def _lay_on_desk(sha256: str, file: Upload) -> None:
    st.session_state.uploads[sha256] = file
    session.choose_picture(sha256)


def _line(row: Any, thumbnails: dict[str, str]) -> dict[str, Any]:
    failed = bool(row.problem)
    return {
        "Picture": thumbnails.get(row.sha256),
        "Name": row.name,
        "Look at": row.standing,
        "Label": row.label,
        "Answer": row.answer,
        "Probability": None if failed else 100 * row.probability,
        "Costliest edge": row.region,
        "Lost": None if failed else 100 * max(row.lost, 0.0),
        "Heat inside": None if row.relevance_mass is None else 100 * row.relevance_mass,
        "Note": row.problem or row.note,
    }


def _columns(found: Evaluation, pictures: bool) -> dict[str, Any]:
    """How the columns look; those that would be empty throughout are left out."""
    share = {"format": "%.0f %%", "min_value": 0, "max_value": 100, "width": "small"}
    columns = {
        "Picture": st.column_config.ImageColumn("", width=52) if pictures else None,
        "Probability": st.column_config.ProgressColumn(**share),
        "Lost": st.column_config.ProgressColumn(
            help="The share of the answer’s probability that is lost when that part is hidden.", **share
        ),
        "Heat inside": st.column_config.NumberColumn(format="%.0f %%", width="small"),
        "Note": st.column_config.TextColumn(width="medium"),
    }
    if not found.localisation["relevance_mass"].count:
        columns["Heat inside"] = None
    if not any(row.problem or row.note for row in found.rows):
        columns["Note"] = None
    if not any(row.label for row in found.rows):
        columns["Label"] = None
    return columns


def _thumbnails(found: Evaluation, folder: Folder, key: str) -> dict[str, str]:
    """Small pictures of the rows on top, by sha256; made once, and only of files that decode quickly."""
    kept = st.session_state.setdefault("folder_thumbnails", {})
    if kept.get("key") != key:
        kept.clear()
        kept["key"], kept["found"] = key, {}
        for row in found.rows[:MOST_THUMBNAILS]:
            file = folder.pictures.get((row.name, row.sha256))
            if file is not None and len(file.content) <= LARGEST_FILE and not row.problem:
                kept["found"][row.sha256] = _thumbnail(file.content)
    found_ones: dict[str, str] = kept["found"]
    return found_ones


def _thumbnail(content: bytes) -> str:
    """A picture as a small data URL; "" where it cannot be read."""
    try:
        pixels = read_image(content).pixels
    except GradcamError:
        return ""
    scale = THUMBNAIL / max(pixels.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    return data_url(np.rint(255 * cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)).astype(np.uint8))


def _show_downloads(found: Evaluation, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="folder-downloads"):
        names = "keep" if session.value_of("folder names", False) else "hash"
        st.download_button(
            "Results, CSV",
            lambda: evaluation_to_csv(found, names),
            f"evaluation-{key[:8]}.csv",
            "text/csv",
            key="download evaluation",
            on_click="ignore",
            icon=":material/download:",
        )
        st.toggle(
            "With file names",
            **session.kept("folder names", False),
            help="Otherwise a picture is known by the sha256 of its file alone.",
        )
