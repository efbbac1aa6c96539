"""Widgets that show core records: errors, the headline, the viewer, downloads."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from gradcam_core import (
    COLOUR_MAPS,
    Explanation,
    GradcamError,
    Heatmap,
    ImageRecord,
    LayerInfo,
    LoadedModel,
    archive,
    colour_heatmap,
    colour_table,
    heatmap_names,
    list_methods,
    npy,
    overlay,
    percent,
    png,
    to_dict,
    to_json,
)
from pages.components.viewer import DEFAULTS, Settings, colormaps_of, panel_of, picture_of, viewer

METHODS = {entry.name: entry for entry in list_methods()}
LONG_MESSAGE = 160
PICTURE_PANEL = {"id": "picture", "kind": "picture", "title": "Picture", "probability": None, "subtitle": ""}


def plain(text: str) -> str:
    """Take the meaning from Markdown's signs: labels and file names come from outside."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()<>#+-!|~$:" else sign for sign in text)


def show_error(error: GradcamError) -> None:
    """Say what is wrong and what to do, always in this one form; a long report becomes a list."""
    head, rest = error.message, ""
    if len(error.message) > LONG_MESSAGE:
        head, _, rest = error.message.partition(": ")
    listed, _, guess = rest.partition(". ")
    parts = [f"- {plain(part)}" for part in listed.split("; ") if part]
    lines = [f"**{plain(head)}**", "\n".join(parts), plain(guess), plain(error.remedy)]
    st.error("\n\n".join(filter(None, lines)), icon=":material/error:")


def show_notes(found: Explanation) -> None:
    """Say what was done on the way that a reader should know."""
    for note in found.notes:
        st.caption(plain(note))


def shortened(label: str) -> str:
    """A label that fits into a sentence; the panels show all of it."""
    return label if len(label) <= 48 else f"{label[:47].rstrip()}…"


def show_headline(found: Explanation) -> None:
    """Say in one sentence what the model answers, and how sure it is."""
    first, *others = found.predictions
    follow = ", ".join(f"{plain(shortened(one.label))} {percent(one.probability)}" for one in others[:2])
    doubts = []
    sentence = f"The model’s first answer is **{plain(shortened(first.label))}** at **{percent(first.probability)}**"
    sentence += f", then {follow}." if follow else "."
    if first.probability < 0.5 and others:
        doubts.append("No class reaches 50\u202f%.")
    share = seen_share(found)
    if share < 0.7:
        doubts.append(
            f"The model saw {100 * share:.0f}\u202f% of this picture; under *What the model sees* it can be given "
            "the whole."
        )
    st.markdown(sentence)
    if doubts or not found.notes:  # a line even without doubts, so that the heatmaps below stay where they are
        st.caption(" ".join(doubts) or "\u00a0")
    show_notes(found)


def seen_share(found: Explanation) -> float:
    """The share of the picture's pixels that the model saw."""
    top, left, bottom, right = found.placement.seen()
    return (bottom - top) * (right - left) / (found.image.height * found.image.width)


def show_heatmaps(found: Explanation, *, key: str, by_method: bool = False, columns: int | None = None) -> Settings:
    """Show the picture and its heatmaps, linked; return how they are displayed at the moment."""
    classes = by_class(found)
    heatmaps = [heatmap for one in classes for heatmap in one]
    several_layers = len({heatmap.layer for heatmap in heatmaps}) > 1
    panels = [_panel(heatmap, by_method, several_layers) for heatmap in heatmaps]
    if by_method or (several_layers and len(classes) > 1):  # a row for each class
        columns = len(heatmaps) // len(classes)
    else:
        panels.insert(0, PICTURE_PANEL)
    show_panels(found.image, panels, key, columns=columns)
    return st.session_state.display


def show_panels(image: ImageRecord, panels: list[dict], key: str, **layout: Any) -> dict[str, Any]:
    """Put the panels into the viewer, with the display that is kept over pages."""
    start = time.perf_counter()
    picture = picture_of(image)
    st.session_state.encoded = time.perf_counter() - start
    result = viewer(
        picture,
        panels,
        colormaps=colormaps_of(colour_table, COLOUR_MAPS),
        settings=st.session_state.get("display", DEFAULTS),
        key=f"viewer {key}",
        **layout,
    )
    st.session_state.display = {name: result[name] for name in DEFAULTS}
    return result


def show_strip(found: Explanation, loaded: LoadedModel, *, key: str) -> tuple[Settings, str]:
    """Show one class's heatmaps from layer to layer in a row; return the display and the layer that was clicked."""
    infos = {layer.name: layer for layer in loaded.layers}
    target = found.heatmaps[0].target
    share = percent(target.probability)
    st.markdown(f"**{plain(target.label)}**, {share}, from the first layers to the last, then all of them fused.")
    panels = [_layer_panel(heatmap, infos, loaded.default_layer) for heatmap in found.heatmaps]
    result = show_panels(found.image, panels, key, strip=True, selectable=True)
    chosen = result["selected"]
    return st.session_state.display, chosen if chosen in infos else ""


def _layer_panel(heatmap: Heatmap, infos: Mapping[str, LayerInfo], usual: str) -> dict:
    rows, columns = heatmap.raw.shape
    height, width = heatmap.placement.cell_size((rows, columns))
    cells = f"{columns} × {rows} cells of {width:.0f} × {height:.0f} px"
    if heatmap.layer not in infos:
        return panel_of(heatmap, id="fused", title="All fused", subtitle=cells, note=heatmap.fusion)
    words = f"{cells} · usual" if heatmap.layer == usual else cells
    return panel_of(heatmap, id=heatmap.layer, title=heatmap.layer, subtitle=words, note=draft_words(heatmap))


def by_class(found: Explanation) -> list[list[Heatmap]]:
    """The heatmaps of each class, the classes in their own order."""
    groups: dict[tuple[int, str], list[Heatmap]] = {}
    for heatmap in found.heatmaps:
        groups.setdefault((heatmap.target.index, heatmap.target.label), []).append(heatmap)
    return list(groups.values())


def _panel(heatmap: Heatmap, by_method: bool, several_layers: bool) -> dict:
    title = METHODS[heatmap.method].title
    layer = "all layers fused" if heatmap.fusion else heatmap.layer or "model input"
    subtitle = title if by_method else f"{title} · {layer}" if several_layers else ""
    notes = [words for words in (heatmap.fusion, draft_words(heatmap)) if words]
    return panel_of(
        heatmap,
        id=f"{heatmap.method}/{heatmap.target.index}/{heatmap.layer}",
        subtitle=subtitle,
        note="; ".join(notes),
    )


def draft_words(heatmap: Heatmap) -> str:
    """What makes a heatmap a draft, where it is one."""
    share = heatmap.options.get("share", 1)
    return f"Draft: from the most varied {100 * share:.0f}\u202f% of the channels" if share < 1 else ""


def show_downloads(found: Explanation, settings: Settings, *, key: str) -> None:
    """Offer the whole analysis as ZIP, or one heatmap as pictures or numbers; made on the click."""
    style = {name: settings[name] for name in ("opacity", "threshold", "colormap")}
    stem = f"{found.image.sha256[:8]}-{found.fingerprint[:6]}"
    with st.container(horizontal=True, key=f"downloads-{key}", vertical_alignment="center"):
        _download("All as ZIP", lambda: archive(found, **style), f"{stem}.zip", "application/zip", key)
        with st.popover("One heatmap", icon=":material/image:"):
            names = heatmap_names(found.heatmaps)
            chosen = st.selectbox("Heatmap", range(len(names)), format_func=lambda i: _heatmap_title(found.heatmaps[i]))
            heatmap, name = found.heatmaps[chosen], f"{stem}-{names[chosen]}"
            _download(
                "Overlay, PNG", lambda: png(overlay(found.image, heatmap, **style)), f"{name}.png", "image/png", key
            )
            colours = {"colormap": settings["colormap"]}
            _download(
                "Heatmap alone, PNG",
                lambda: png(colour_heatmap(heatmap, **colours)),
                f"{name}-heatmap.png",
                "image/png",
                key,
            )
            _download("Raw map, NumPy", lambda: npy(heatmap.raw), f"{name}.npy", "application/octet-stream", key)
        _download(
            "Record, JSON", lambda: to_json(to_dict(found, names="hash")), f"{stem}.json", "application/json", key
        )
        st.caption(
            "Each heatmap is saved on its own scale. No file bears the picture’s name; what is written in the "
            "picture stays."
        )


def _download(label: str, make: Callable[[], bytes], file_name: str, kind: str, key: str) -> None:
    st.download_button(
        label, make, file_name, kind, key=f"download {key} {label}", on_click="ignore", icon=":material/download:"
    )


def _heatmap_title(heatmap: Heatmap) -> str:
    return f"{METHODS[heatmap.method].title} · {heatmap.target.label} · {heatmap.layer or 'model input'}"
