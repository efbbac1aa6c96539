"""Widgets of the Evaluate page: what is marked as the truth, and how the heatmaps measure up to it."""

import dataclasses
import hashlib
import html
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import plotly.graph_objects
import streamlit as st

from gradcam_core import (
    Explanation,
    GradcamError,
    Heatmap,
    ImageRecord,
    LoadedModel,
    Measurement,
    draw_truth,
    list_measurements,
    list_samples,
    measure,
    read_truth,
    read_truths,
)
from pages.components import session
from pages.components.cache import Measured
from pages.components.figures import figures
from pages.components.marker import marker
from pages.components.panels import METHODS, show_error, show_panels
from pages.components.viewer import panel_of, picture_of

MEASUREMENTS = {entry.name: entry for entry in list_measurements()}
PLACE = ("iou_top_fifth", "iou_fixed", "iou_otsu", "pointing_game", "energy_inside", "relevance_mass", "relevance_rank")
SPREAD = ("entropy", "gini")
CHANGED = ("deletion", "insertion", "road", "average_drop", "average_increase")
MARK = np.array([64, 224, 208], np.float32) / 255
GOOD = {"higher": "higher is better", "lower": "lower is better", "": "neither good nor bad"}
DRAW, UPLOAD = "Draw it", "Upload a mask"


def pick_truth(image: ImageRecord) -> tuple[np.ndarray | None, str]:
    """What is marked as the truth, booleans [H W], and the class that it is known to be of, if that is known."""
    known = _known_truths()
    ways = [*known, DRAW, UPLOAD]
    way = st.segmented_control(
        "The truth", ways, required=True, **session.kept(f"truth of {image.sha256} {len(known)}", ways[0], ways)
    )
    if way == DRAW:
        return _drawn(image), ""
    if way == UPLOAD:
        return _uploaded(image), ""
    truth = read_truth(known[str(way)], image)
    figures([(np.uint8(255 * outlined(image, truth).pixels), f"Where the {way} is, known exactly")], height=26)
    return truth, str(way)


def _known_truths() -> Mapping[str, bytes]:
    """The masks that come with a sample, by class."""
    chosen = session.chosen_picture()
    return read_truths(chosen) if chosen in {sample.name for sample in list_samples()} else {}


def _drawn(image: ImageRecord) -> np.ndarray | None:
    drawings = st.session_state.setdefault("truths", {})
    drawings[image.sha256] = marker(picture_of(image), shapes=drawings.get(image.sha256, []), key="marker")
    truth = draw_truth(drawings[image.sha256], (image.height, image.width))
    return truth if truth.any() else None


def _uploaded(image: ImageRecord) -> np.ndarray | None:
    """A mask that the session brought for this picture; kept, since the uploader forgets it on the next page."""
    masks = st.session_state.setdefault("masks", {})

    def keep() -> None:
        file = st.session_state.get(key)
        if file is not None:
            masks[image.sha256] = file.getvalue()

    key = f"mask of {image.sha256}"
    st.file_uploader("A picture of the same size, white inside", key=key, on_change=keep, max_upload_size=64)
    if image.sha256 not in masks:
        return None
    try:
        truth = read_truth(masks[image.sha256], image)
    except GradcamError as error:
        show_error(error)
        return None
    figures([(np.uint8(255 * outlined(image, truth).pixels), "The mask’s outline")], height=22)
    return truth


def outlined(image: ImageRecord, truth: np.ndarray) -> ImageRecord:
    """The picture with a line around the truth, outside of it."""
    thick = max(1, round(max(truth.shape) / 400))
    grown = cv2.dilate(truth.astype(np.uint8), np.ones((2 * thick + 1,) * 2, np.uint8)).astype(bool)
    pixels = image.pixels.copy()
    pixels[grown & ~truth] = MARK
    return dataclasses.replace(image, pixels=pixels, sha256=f"{image.sha256} {mark_of(truth)}")


def mark_of(truth: np.ndarray) -> str:
    """What tells one marked region from another."""
    return hashlib.sha256(f"{truth.shape}".encode() + np.packbits(truth).tobytes()).hexdigest()


def show_against_truth(found: Explanation, truth: np.ndarray) -> None:
    """The heatmaps of all methods side by side, over the picture with the truth outlined."""
    panels = [panel_of(one, id=one.method, title=METHODS[one.method].title) for one in found.heatmaps]
    show_panels(outlined(found.image, truth), panels, "evaluate", columns=max(3, len(panels)))


def taken(found: Explanation, truth: np.ndarray | None, names: Sequence[str]) -> Measured:
    """Measurements that need no further pass, by method and name."""
    return {one.method: {made.name: made for made in measure(one, truth=truth, names=names)} for one in found.heatmaps}


def taken_by_changing(found: Explanation, loaded: LoadedModel, work: Any) -> Measured:
    """Measurements that change the picture and ask the model again, by method and name."""
    made = {}
    for place, heatmap in enumerate(found.heatmaps):

        def tell(share: float, words: str, drafts: tuple[Heatmap, ...], place: int = place) -> None:
            work((place + share) / len(found.heatmaps), words, drafts)

        several = measure(heatmap, explanation=found, model=loaded, names=CHANGED, on_progress=tell)
        made[heatmap.method] = {one.name: one for one in several}
    return made


def show_measurements(title: str, made: Mapping[str, Mapping[str, Measurement]], names: Sequence[str]) -> None:
    """A table: a measurement a row with its meaning and source, a method a column."""
    head = "".join(f'<th scope="col">{html.escape(METHODS[method].title)}</th>' for method in made)
    rows = "".join(_row(name, [several[name] for several in made.values()]) for name in names)
    st.html(
        f'<table class="measured"><thead><tr><th scope="col">{html.escape(title)}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    reasons = {one.reason for several in made.values() for one in several.values() if one.reason}
    for reason in sorted(reasons):
        st.caption(f"– not measured: {reason}")


def _row(name: str, made: Sequence[Measurement]) -> str:
    entry = MEASUREMENTS[name]
    cells = "".join(f"<td>{'–' if one.value is None else f'{one.value:.3f}'}</td>" for one in made)
    source = (
        f'<a href="{html.escape(entry.url)}" target="_blank" rel="noopener noreferrer">{html.escape(entry.paper)}</a>'
    )
    return (
        f'<tr><th scope="row"><b>{html.escape(entry.title)}</b> {html.escape(entry.summary)} '
        f"<small>{GOOD[made[0].better]} · {source}</small></th>{cells}</tr>"
    )


def show_curves(made: Mapping[str, Mapping[str, Measurement]]) -> None:
    """Deletion, insertion and ROAD as curves: the class's probability as more and more of the picture is changed."""
    titles = {
        "deletion": "Hottest hidden first (deletion)",
        "insertion": "Hottest shown first (insertion)",
        "road": "Hottest removed first (ROAD)",
    }
    for column, (name, title) in zip(st.columns(len(titles), gap="medium"), titles.items(), strict=True):
        figure = plotly.graph_objects.Figure()
        for method, several in made.items():
            curve = several[name].curve
            if curve is not None:
                x, y = ([100 * value for value in part] for part in (curve.shares, curve.values))
                figure.add_scatter(x=x, y=y, mode="lines+markers", name=METHODS[method].title, marker={"size": 4})
        figure.update_xaxes(title="Share of the picture, %", range=[0, 100])
        figure.update_yaxes(title="Probability, %", range=[0, 102])
        figure.update_layout(
            height=300, margin={"l": 0, "r": 0, "t": 8, "b": 0}, legend={"orientation": "h", "y": -0.32}
        )
        with column:
            st.markdown(f"**{title}**")
            st.plotly_chart(
                figure, key=f"curve {name}", alt=f"{title}: probability by share of the picture, per method"
            )
