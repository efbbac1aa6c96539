"""Offer an analysis as files. No file contains the picture's name; each is made on the click."""

from collections.abc import Callable

import streamlit as st

from gradcam_core import (
    Explanation,
    archive,
    colour_heatmap,
    heatmap_names,
    npy,
    overlay,
    png,
    to_dict,
    to_json,
)
from pages.components.panels.heatmaps import heatmap_title
from pages.components.viewer import Settings


def show_downloads(explanation: Explanation, settings: Settings, *, key: str) -> None:
    """Offer the whole analysis as ZIP, one heatmap as pictures or numbers, and the record."""
    style = {name: settings[name] for name in ("opacity", "threshold", "colormap")}
    stem = stem_of(explanation)
    with st.container(horizontal=True, key=f"downloads-{key}", vertical_alignment="center"):
        download("All as ZIP", lambda: archive(explanation, **style), f"{stem}.zip", "application/zip", key)
        with st.popover("One heatmap", icon=":material/image:"):
            _one_heatmap(explanation, style, stem, key)
        record = lambda: to_json(to_dict(explanation, names="hash"))  # noqa: E731
        download("Record, JSON", record, f"{stem}.json", "application/json", key)
        st.caption("Each heatmap is saved on its own scale. File names are removed. Text burnt into the image is not.")


def stem_of(explanation: Explanation) -> str:
    """What the names of downloaded files begin with: a little of the picture's and the model's hashes."""
    return f"{explanation.image.sha256[:8]}-{explanation.fingerprint[:6]}"


def download(label: str, make: Callable[[], bytes], file_name: str, kind: str, key: str) -> None:
    """A download button whose file is made on the click."""
    st.download_button(
        label, make, file_name, kind, key=f"download {key} {label}", on_click="ignore", icon=":material/download:"
    )


def _one_heatmap(explanation: Explanation, style: dict[str, object], stem: str, key: str) -> None:
    heatmaps = explanation.heatmaps
    names = heatmap_names(heatmaps)
    place = st.selectbox("Heatmap", range(len(names)), format_func=lambda place: heatmap_title(heatmaps[place]))
    heatmap, name = heatmaps[place], f"{stem}-{names[place]}"
    colours = {"colormap": style["colormap"]}
    download("Overlay, PNG", lambda: png(overlay(explanation.image, heatmap, **style)), f"{name}.png", "image/png", key)
    download(
        "Heatmap alone, PNG",
        lambda: png(colour_heatmap(heatmap, **colours)),
        f"{name}-heatmap.png",
        "image/png",
        key,
    )
    download("Raw map, NumPy", lambda: npy(heatmap.raw), f"{name}.npy", "application/octet-stream", key)
