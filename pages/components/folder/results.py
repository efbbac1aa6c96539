"""The results of an evaluation: sentences, four numbers, charts, and the pictures to look at first."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import streamlit as st

from gradcam_core import (
    Area,
    Evaluation,
    GradcamError,
    Job,
    evaluation_sentences,
    evaluation_to_csv,
    evaluation_to_dict,
    percent,
    quantity,
    read_picture,
    to_json,
)
from pages.components import session
from pages.components.analysis.decoding import read_image
from pages.components.folder.charts import show_charts, show_edge_maps
from pages.components.folder.files import Folder, bring
from pages.components.frame.navigation import go_to
from pages.components.panels.downloads import download
from pages.components.panels.figures import data_url
from pages.components.words import NO_BREAK, plain, shown_name

THUMBNAIL, MOST_THUMBNAILS, LARGEST_FILE = 56, 200, 2_000_000
CSS = Path(__file__).with_name("folder.css")
# What hiding an edge takes away, of answers without a probability.
COSTS = {"detection": "score", "segmentation": "region"}
# Columns of the table that a task leaves empty.
EMPTY = {
    "regression": ("Probability", "Objects"),
    "embedding": ("Probability", "Error", "Objects", "Answer"),
    "segmentation": ("Probability", "Number", "Error", "Objects"),
    "detection": ("Number", "Error"),
}


def show_results(evaluation: Evaluation, folder: Folder, *, key: str) -> None:
    """Show the results, from the main sentences to the table of all pictures."""
    st.html(f"<style>{CSS.read_text('utf-8')}</style>")
    evaluated = len(evaluation.failures) < evaluation.count
    left, right = st.columns([1.35, 1], gap="large") if evaluated else (st.container(), None)
    with left, st.container(key="findings", gap="small"):
        for sentence in evaluation_sentences(evaluation):
            st.markdown(plain(sentence))
    if right is not None:
        with right:
            show_edge_maps(evaluation)
        _show_numbers(evaluation)
    _show_pictures(evaluation, folder, key)
    _show_downloads(evaluation, key)
    if evaluated:
        show_charts(evaluation)


def _show_numbers(evaluation: Evaluation) -> None:
    edges, heat, error = evaluation.edges.share, evaluation.localisation["relevance_mass"], evaluation.calibration_error
    calibrated = evaluation.outputs.has_probabilities
    limit = percent(evaluation.thresholds.numbers["most_lost_at_edge"], 0)
    numbers = (
        _right(evaluation),
        (
            "Calibration error",
            "–" if error is None else f"{100 * error:.1f} points",
            "0 would be exact" if error is not None else "no labels" if calibrated else "no probabilities",
            "By how many percentage points the probabilities and the share of correct answers differ on average, "
            "over ten groups of similar probability (expected calibration error, Guo et al. 2017).",
        ),
        (
            "A corner or border decides",
            percent(edges.value, 0),
            f"{edges.part} of {edges.whole} pictures",
            f"Hiding it {_cost(evaluation.outputs.task, limit)}.",
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


def _cost(task: str, limit: str) -> str:
    """What counts as deciding, in words."""
    if task in ("regression", "embedding"):
        return f"changes the number by more than {limit} of what the picture’s mean colour alone changes"
    return f"takes more than {limit} of the answer’s {COSTS.get(task, 'probability')} away"


def _right(evaluation: Evaluation) -> tuple[str, str, str, str]:
    """The first number: the share that is correct, of one class or of all findings; or a number's mean error."""
    outputs, accuracy, error = evaluation.outputs, evaluation.accuracy, evaluation.error
    if outputs.task == "regression":
        value = "–" if error.value is None else quantity(error.value, outputs.unit)
        words = f"mean of {error.count} pictures" if error.count else "no numbers in the table"
        return "Mean absolute error", value, words, "By how much the model’s number and the table’s differ on average."
    if outputs.task == "embedding":
        values = evaluation.values
        mean = "–" if not values else quantity(sum(values) / len(values))
        return (
            "Mean similarity",
            mean,
            f"mean of {len(values)} pictures",
            "How similar the pictures are to the reference.",
        )
    low, high = accuracy.interval or (0.0, 0.0)
    interval = (
        f"95{NO_BREAK}% interval {100 * low:.0f} to {100 * high:.0f}{NO_BREAK}%" if accuracy.whole else "no labels"
    )
    if outputs.has_places:
        help_ = "The share of labelled pictures in which the classes found are as in the table, with Wilson’s interval."
        return "As in the table", percent(accuracy.value, 0), interval, help_
    if outputs.has_findings:
        help_ = "The share of labelled pictures in which every finding is as in the table, with Wilson’s interval."
        return "All findings correct", percent(accuracy.value, 0), interval, help_
    help_ = "The share of labelled pictures whose top answer is the label, with Wilson’s interval."
    return "Correct", percent(accuracy.value, 0), interval, help_


def _show_pictures(evaluation: Evaluation, folder: Folder, key: str) -> None:
    st.header("Pictures, the ones to look at first on top")
    small = thumbnails(evaluation.rows, folder, key)
    row = ticked(
        evaluation.rows,
        [_line(row, small) for row in evaluation.rows],
        _columns(evaluation, bool(small)),
        key=f"pictures {key[:16]}",
        alt="The pictures of this folder with what the model answers",
    )
    file = folder.find(row) if row else None
    with st.container(horizontal=True, vertical_alignment="center", key="open-bar"):
        if file is None:
            st.caption("Tick a row to open its picture.")
            return
        opened = st.button(
            "Open in Explain",
            on_click=bring,
            args=(file, folder.blanked),
            key="open in explain",
            icon=":material/center_focus_strong:",
        )
        st.caption(plain(row.problem or row.note or row.name))
    if opened:
        go_to("pages/1_Explain.py")


def ticked(
    rows: Sequence[Any], lines: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], *, key: str, alt: str
) -> Any:
    """Show the pictures as a table, a line for each row; return the row that is ticked, or None."""
    chosen = st.dataframe(
        lines,
        hide_index=True,
        width="stretch",
        height=min(40 + 44 * len(rows), 480),
        row_height=44,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        column_config=columns,
        alt=alt,
    )
    places = chosen.selection.rows
    return rows[places[0]] if places and places[0] < len(rows) else None


def _line(row: Any, thumbnails: dict[str, str]) -> dict[str, Any]:
    failed = bool(row.problem)
    return {
        "Picture": thumbnails.get(row.sha256),
        "Name": shown_name(row.name),
        "Look at": row.standing,
        "Label": row.label,
        "Answer": row.answer,
        "Probability": None if failed or math.isnan(row.probability) else 100 * row.probability,
        "Objects": row.objects,
        "Number": row.value,
        "Error": row.error,
        "Most influential edge": row.region,
        "Lost when it is hidden": None if failed or not row.region else 100 * max(row.lost, 0.0),
        "Heat inside": None if row.relevance_mass is None else 100 * row.relevance_mass,
        "Note": row.problem or row.note,
    }


def _columns(evaluation: Evaluation, pictures: bool) -> dict[str, Any]:
    """How the columns look; those that would be empty throughout are left out."""
    share = {"format": "%.0f %%", "min_value": 0, "max_value": 100, "width": "small"}
    columns = {
        "Picture": st.column_config.ImageColumn("Picture", width=72) if pictures else None,
        "Probability": st.column_config.ProgressColumn(**share),
        "Lost when it is hidden": st.column_config.ProgressColumn(
            help="The share of what the model gives the answer that is lost, or changes, when that part is hidden.",
            **share,
        ),
        "Objects": st.column_config.NumberColumn(help="Those with a score of at least 50 %.", width="small"),
        "Heat inside": st.column_config.NumberColumn(format="%.0f %%", width="small"),
        "Note": st.column_config.TextColumn(width="medium"),
    }
    columns |= dict.fromkeys(EMPTY.get(evaluation.outputs.task, ("Number", "Error", "Objects")))
    if not evaluation.localisation["relevance_mass"].count:
        columns["Heat inside"] = None
    if not any(row.problem or row.note for row in evaluation.rows):
        columns["Note"] = None
    if not any(row.label for row in evaluation.rows):
        columns["Label"] = None
    return columns


def thumbnails(rows: Sequence[Any], folder: Folder, key: str) -> dict[str, str]:
    """Small pictures of the rows on top, by sha256; made once, and only of files that decode quickly."""
    kept = st.session_state.setdefault("folder_thumbnails", {})
    if kept.get("key") != key:
        kept.clear()
        kept["key"], kept["pictures"] = key, {}
        for row in rows[:MOST_THUMBNAILS]:
            file = folder.find(row)
            if file is not None and file.size <= LARGEST_FILE and not row.problem:
                kept["pictures"][row.sha256] = _thumbnail(file, folder.blanked)
    pictures: dict[str, str] = kept["pictures"]
    return pictures


def _thumbnail(file: Job, blanked: tuple[Area, ...]) -> str:
    """A picture as a small data URL; "" where it cannot be read."""
    try:
        pixels = read_image(read_picture(file), blanked=blanked).pixels
    except GradcamError:
        return ""
    scale = THUMBNAIL / max(pixels.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    return data_url(np.rint(255 * cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)).astype(np.uint8))


def _show_downloads(evaluation: Evaluation, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="folder-downloads"):
        names = wanted_names()  # a file is written outside the session, which has this choice
        make = lambda: evaluation_to_csv(evaluation, names)  # noqa: E731
        download("Results, CSV", make, f"evaluation-{key[:8]}.csv", "text/csv", "evaluation")
        record = lambda: to_json(evaluation_to_dict(evaluation, names=names))  # noqa: E731
        download("Results, JSON", record, f"evaluation-{key[:8]}.json", "application/json", "evaluation")
        offer_names()


def wanted_names() -> Literal["keep", "hash"]:
    """How pictures are named in the files that are offered."""
    return "keep" if session.value_of("folder names", False) else "hash"


def offer_names() -> None:
    """Let the user choose whether files contain the names of pictures."""
    st.toggle(
        "With file names",
        help="Otherwise a picture is known by the sha256 of its file alone.",
        **session.kept("folder names", False),
    )
