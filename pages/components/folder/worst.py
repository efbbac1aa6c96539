"""The pictures whose evidence moved most, each with the heatmaps of both models side by side."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import streamlit as st

from gradcam_core import (
    Area,
    Drift,
    GradcamError,
    Heatmap,
    ImageRecord,
    Job,
    OnProgress,
    Progress,
    amount_of,
    overlay,
    percent,
    read_picture,
)
from pages.components import session
from pages.components.analysis import cache
from pages.components.analysis.work import watched
from pages.components.comparison.choices import OTHERS
from pages.components.comparison.work import Task, computed
from pages.components.folder.drift import OTHER, Models
from pages.components.folder.evaluation import Method
from pages.components.folder.files import Folder, bring
from pages.components.frame.navigation import go_to
from pages.components.panels.figures import figures
from pages.components.words import plain, shortened

MOST_SHOWN, SIDE, CARD_WIDTH = 4, 448, 460
Stills = tuple[tuple[np.ndarray, str], ...]


def show_worst(
    drift: Drift, folder: Folder, models: Models, method: Method, match: Mapping[int, int | None], *, key: str
) -> None:
    """Show the pictures with the largest movement, of those that deserve a look."""
    worst = [row for row in drift.rows if row.standing and row.movement is not None]
    rows = [row for row in worst if folder.find(row) is not None][:MOST_SHOWN]
    stills = _stills(rows, folder, Task(None, models, method, None, [match]), key) if rows else {}
    if not stills:
        return
    st.header("The largest movement of evidence")
    with st.container(horizontal=True, gap="large", key="worst"):
        for row in rows:
            if row.sha256 in stills:
                with st.container(width=CARD_WIDTH, key=f"worst {row.sha256[:12]}", gap="xsmall"):
                    _show_card(row, stills[row.sha256])
                    offer_comparison(row, folder, method, key=f"compare {row.sha256[:12]}", kind="tertiary")


def _show_card(row: Any, stills: Stills) -> None:
    overlap = "" if row.overlap is None else f", {percent(row.overlap, 0)} overlap of the hottest areas"
    share = "" if math.isnan(row.probabilities[1]) else f", {percent(row.probabilities[1])}"
    answer = f" Model 2 answers {plain(shortened(row.answers[1]))}{share}."
    figures(stills, height=14.5)
    st.caption(
        f"**{plain(row.name)}** Heatmaps for {plain(shortened(row.label))}{overlap}. {row.standing.capitalize()}."
        f"{'' if row.same_answer or not row.answers[1] else answer}"
    )


def offer_comparison(row: Any, folder: Folder, method: Method, *, key: str, kind: Any = "secondary") -> None:
    """Offer to open a picture and both models on Compare models."""
    opened = st.button(
        f"Open in Compare models *{plain(row.name)}*",
        on_click=_choose,
        args=(row, folder, method[0]),
        key=key,
        icon=":material/difference:",
        type=kind,
    )
    if opened:
        go_to("pages/2_Compare_models.py")


def _choose(row: Any, folder: Folder, method: str) -> None:
    if (file := folder.find(row)) is not None:
        bring(file, folder.blanked)
    session.choose(OTHERS, [session.value_of(OTHER)])
    session.choose("models_method", method)


def _stills(rows: Sequence[Any], folder: Folder, task: Task, key: str) -> dict[str, Stills]:
    """Both heatmaps of each row on the picture, by sha256; drawn once, and not again while they are shown."""
    kept = st.session_state.setdefault("folder_stills", {})
    wanted = [key, *(row.sha256 for row in rows)]
    if kept.get("of") != wanted:
        files = {row.sha256: file for row in rows if (file := folder.find(row)) is not None}
        drawn = watched(f"worst {' '.join(wanted)}", lambda work: _drawn(rows, files, task, folder.blanked, work))
        if drawn is None:
            return {}
        kept.update(of=wanted, stills=drawn)
    stills: dict[str, Stills] = kept["stills"]
    return stills


def _drawn(
    rows: Sequence[Any], files: Mapping[str, Job], task: Task, blanked: tuple[Area, ...], work: OnProgress
) -> dict[str, Stills]:
    """Compute what Compare models shows of these pictures, and draw the heatmaps of the first class."""
    stills = {}
    for place, row in enumerate(rows):
        part = Progress(work).part(place, len(rows), "Drawing the heatmaps")
        try:
            image = cache.picture(row.sha256, read_picture(files[row.sha256]), blanked=blanked)
            comparison = computed(
                dataclasses.replace(task, image=image), lambda share, words, drafts, part=part: part(share)
            )
        except GradcamError:  # its row says so already where it is the picture's fault
            continue
        stills[row.sha256] = tuple(
            (
                _still(image, heatmap),
                f"Model {number}, for {shortened(heatmap.target.label)}: {amount_of(heatmap.target)}",
            )
            for number, heatmap in enumerate(comparison.classes[0].heatmaps, 1)
            if heatmap is not None
        )
    return stills


def _still(image: ImageRecord, heatmap: Heatmap) -> np.ndarray:
    """The heatmap on a small copy of the picture."""
    share = min(1.0, SIDE / max(image.width, image.height))
    width, height = (max(1, round(side * share)) for side in (image.width, image.height))
    box = np.multiply(heatmap.placement.box, (height / image.height, width / image.width) * 2)
    placement = dataclasses.replace(heatmap.placement, image_size=(height, width), box=tuple(box.tolist()))
    pixels = cv2.resize(image.pixels, (width, height), interpolation=cv2.INTER_AREA)
    small = dataclasses.replace(image, pixels=np.clip(pixels, 0, 1), channels=None)
    return overlay(small, dataclasses.replace(heatmap, placement=placement))
