"""The results of a drift: sentences, the pictures with the largest movement, the table of all pictures, files."""

import math
from collections.abc import Mapping
from typing import Any

import streamlit as st

from gradcam_core import Drift, drift_sentences, drift_to_csv, drift_to_dict, to_json
from pages.components.folder.drift import Models
from pages.components.folder.evaluation import Method
from pages.components.folder.files import Folder
from pages.components.folder.results import CSS, offer_names, thumbnails, ticked, wanted_names
from pages.components.folder.worst import offer_comparison, show_worst
from pages.components.panels.downloads import download
from pages.components.words import plain, shown_name


def show_drift(
    drift: Drift, folder: Folder, models: Models, method: Method, match: Mapping[int, int | None], *, key: str
) -> None:
    """Show the results, from the main sentences to the table of all pictures."""
    st.html(f"<style>{CSS.read_text('utf-8')}</style>")
    compared = len(drift.failures) < drift.count
    sentences = drift_sentences(drift)
    with st.container(key="findings", gap="xsmall"):
        for sentence in sentences[:-1] if compared else sentences:
            st.markdown(plain(sentence))
    names = [
        f"Model {number}: {plain(title)} ({plain(model.architecture)})."
        for number, (title, model) in enumerate(models, 1)
    ]
    st.caption(" ".join(names))
    show_worst(drift, folder, models, method, match, key=key)
    _show_pictures(drift, folder, method, key)
    if compared:
        st.caption(plain(sentences[-1]))
    _show_downloads(drift, key)


def _show_pictures(drift: Drift, folder: Folder, method: Method, key: str) -> None:
    st.header("Pictures, the largest movement of evidence on top")
    small = thumbnails(drift.rows, folder, key)
    row = ticked(
        drift.rows,
        [_line(row, small) for row in drift.rows],
        _columns(drift, bool(small)),
        key=f"drift pictures {key[:16]}",
        alt="The pictures of this folder with what both models answer and how far the evidence moved",
    )
    with st.container(horizontal=True, vertical_alignment="center", key="open-bar"):
        if row is None or folder.find(row) is None:
            st.caption("Tick a row to open its picture.")
            return
        offer_comparison(row, folder, method, key="open in compare models")
        st.caption(plain(row.problem or row.note or row.name))


def _line(row: Any, small: dict[str, str]) -> dict[str, Any]:
    failed = bool(row.problem)
    return {
        "Picture": small.get(row.sha256),
        "Name": shown_name(row.name),
        "Look at": row.standing,
        "Model 1": row.answers[0],
        "Probability 1": None if failed else _hundredths(row.probabilities[0]),
        "Model 2": row.answers[1],
        "Probability 2": None if failed else _hundredths(row.probabilities[1]),
        "Overlap": None if row.movement is None else 100 * (1 - row.movement),
        "Rank correlation": row.correlation,
        "Note": row.problem or row.note,
    }


def _hundredths(share: float) -> float | None:
    return None if math.isnan(share) else 100 * share


def _columns(drift: Drift, pictures: bool) -> dict[str, Any]:
    """How the columns look; those that would be empty throughout are left out."""
    share = {"format": "%.0f %%", "min_value": 0, "max_value": 100, "width": "small"}
    columns = {
        "Picture": st.column_config.ImageColumn("", width=52) if pictures else None,
        "Probability 1": st.column_config.ProgressColumn(**share),
        "Probability 2": st.column_config.ProgressColumn(**share),
        "Overlap": st.column_config.ProgressColumn(
            help="The share of both hottest areas together that is part of both. 100: they are the same; 0: they have "
            "nothing in common.",
            **share,
        ),
        "Rank correlation": st.column_config.NumberColumn(
            help="Spearman’s, of all places of both heatmaps: 1 the same order, 0 no relation.",
            format="%.2f",
            width="small",
        ),
        "Note": st.column_config.TextColumn(width="medium"),
    }
    if not any(row.problem or row.note for row in drift.rows):
        columns["Note"] = None
    return columns


def _show_downloads(drift: Drift, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="folder-downloads"):
        names = wanted_names()  # a file is written outside the session, which has this choice
        table = lambda: drift_to_csv(drift, names)  # noqa: E731
        record = lambda: to_json(drift_to_dict(drift, names=names))  # noqa: E731
        download("Results, CSV", table, f"models-{key[:8]}.csv", "text/csv", "drift")
        download("Record, JSON", record, f"models-{key[:8]}.json", "application/json", "drift")
        offer_names()
