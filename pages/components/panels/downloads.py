"""Offer an analysis as files that look as it is displayed. None contains the picture's name; each is made on click."""

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from gradcam_core import (
    Explanation,
    Extras,
    Heatmap,
    Trust,
    archive,
    caption_lines,
    colour_heatmap,
    meaning_of_one,
    npy,
    overlay,
    png,
    shared_peak,
    to_dict,
    to_json,
    trust_to_dict,
    with_caption,
)
from pages.components import session
from pages.components.panels.displayed import display_record, displayed
from pages.components.panels.heatmaps import METHODS, heatmap_title
from pages.components.viewer import Settings

CAPTIONS = {"inside": "Caption in the picture", "beside": "Caption in a file beside it"}
WORDS = re.compile(r"[^\w.+]+")


def show_downloads(
    explanation: Explanation, settings: Settings, *, key: str, checks: Mapping[int, Trust] | None = None
) -> None:
    """Offer the whole analysis as ZIP, one heatmap as pictures or numbers, and the record; `checks` by heatmap."""
    stem = stem_of(explanation)
    checks = checks or {}
    with st.container(horizontal=True, key=f"downloads-{key}", vertical_alignment="center"):
        kept = session.kept("captions", "inside", CAPTIONS)
        caption = st.selectbox(
            "Captions", list(CAPTIONS), format_func=CAPTIONS.get, label_visibility="collapsed", width=230, **kept
        )
        inside = caption != "beside"
        pack = lambda: _archive(explanation, settings, checks, inside)  # noqa: E731
        download("All as ZIP", pack, f"{stem}.zip", "application/zip", key)
        with st.popover("One heatmap", icon=":material/image:"):
            _one_heatmap(explanation, settings, stem, key, inside)
        record = lambda: to_json(_record(explanation, settings, checks))  # noqa: E731
        download("Record, JSON", record, f"{stem}.json", "application/json", key)
        st.caption("Saved as displayed. File names are removed. Text burnt into the image is not.")


def stem_of(explanation: Explanation) -> str:
    """What the names of downloaded files begin with: the top answer, the model, the day, and a little of the hashes."""
    answer = explanation.predictions[0].label if explanation.predictions else "picture"
    model = explanation.architecture.split(":")[-1]
    hashes = f"{explanation.image.sha256[:8]}-{explanation.fingerprint[:6]}"
    return f"{readable(answer)}_{readable(model)}_{explanation.created[:10]}_{hashes}"


def readable(text: str) -> str:
    """Text as a short part of a file name: letters and numbers of any script, and dashes."""
    return WORDS.sub("-", text)[:40].strip("-._") or "unnamed"


def download(label: str, make: Callable[[], bytes], file_name: str, kind: str, key: str) -> None:
    """A download button whose file is made on the click."""
    st.download_button(
        label, make, file_name, kind, key=f"download {key} {label}", on_click="ignore", icon=":material/download:"
    )


def _style(settings: Settings) -> dict[str, Any]:
    return {name: settings[name] for name in ("opacity", "threshold", "colormap")}  # type: ignore[literal-required]


def _archive(explanation: Explanation, settings: Settings, checks: Mapping[int, Trust], captions: bool) -> bytes:
    extras = Extras(
        shown=displayed(explanation.image),
        captions=captions,
        shared_scale=settings["scale"] == "shared",
        display=display_record(explanation.image, settings["scale"]),
        checks=checks,
    )
    return archive(explanation, **_style(settings), extras=extras)


def _record(explanation: Explanation, settings: Settings, checks: Mapping[int, Trust]) -> dict[str, Any]:
    record = to_dict(explanation, names="hash")
    record["drawing"] = _style(settings) | display_record(explanation.image, settings["scale"])
    if checks:
        record["checks"] = [{"heatmap": place} | trust_to_dict(trust) for place, trust in checks.items()]
    return record


def _one_heatmap(explanation: Explanation, settings: Settings, stem: str, key: str, inside: bool) -> None:
    heatmaps = explanation.heatmaps
    places = range(len(heatmaps))
    place = st.selectbox("Heatmap", places, format_func=lambda place: heatmap_title(heatmaps[place]))
    heatmap = heatmaps[place]
    name = "_".join(map(readable, (heatmap.target.label, METHODS[heatmap.method].title, heatmap.layer or "input")))
    name = f"{name}_{stem.split('_', 1)[1]}"
    peak = shared_peak(explanation, heatmap) if settings["scale"] == "shared" else None
    style = _style(settings) | {"peak": peak}
    alone = {name: style[name] for name in ("threshold", "colormap", "peak")}
    drawn: dict[str, Callable[[], np.ndarray]] = {
        "Overlay": lambda: overlay(displayed(explanation.image), heatmap, **style),
        "Heatmap alone": lambda: colour_heatmap(heatmap, **alone),
    }
    for label, draw in drawn.items():
        file = name if label == "Overlay" else f"{name}_alone"
        if inside:
            make = lambda draw=draw: png(_captioned(explanation, heatmap, draw(), settings, peak))  # noqa: E731
            download(f"{label}, PNG", make, f"{file}.png", "image/png", key)
        else:
            make = lambda draw=draw, file=file: _beside(explanation, heatmap, draw(), settings, file)  # noqa: E731
            download(f"{label}, PNG and JSON", make, f"{file}.zip", "application/zip", key)
    download("Raw map, NumPy", lambda: npy(heatmap.raw), f"{name}.npy", "application/octet-stream", key)


def _captioned(
    explanation: Explanation, heatmap: Heatmap, pixels: np.ndarray, settings: Settings, peak: float | None
) -> np.ndarray:
    lines, meaning = caption_lines(explanation, heatmap), meaning_of_one(heatmap, peak)
    return with_caption(pixels, lines, colormap=settings["colormap"], signed=heatmap.signed, meaning=meaning)


def _beside(explanation: Explanation, heatmap: Heatmap, pixels: np.ndarray, settings: Settings, name: str) -> bytes:
    """The picture without a caption, and what the caption says in a JSON file beside it."""
    place = explanation.heatmaps.index(heatmap)
    record = _record(explanation, settings, {})
    record["heatmaps"] = [record["heatmaps"][place] | {"file": f"{name}.png"}]
    record["caption"] = list(caption_lines(explanation, heatmap))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr(f"{name}.png", png(pixels))
        target.writestr(f"{name}.json", to_json(record))
    return packed.getvalue()
