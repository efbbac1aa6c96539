"""Offer a comparison as files that look as it is displayed. None contains the picture's name; each is made on click."""

import dataclasses
import functools
import io
import zipfile
from typing import Any

import streamlit as st

from gradcam_core import (
    Comparison,
    Drawing,
    comparison_archive,
    comparison_to_dict,
    difference_picture,
    png,
    same_network,
    to_json,
)
from pages.components.panels.displayed import Display, display_of, drawing_of
from pages.components.panels.downloads import download, pick_captions, readable
from pages.components.panels.heatmaps import display
from pages.components.words import shortened


def offer_files(comparison: Comparison) -> None:
    """Offer the whole comparison as ZIP, one difference as a picture, and the record."""
    shown = display_of(comparison.image, display())
    stem = f"models_{readable(comparison.answers[0].label)}_{_created(comparison)}_{comparison.image.sha256[:8]}"
    with st.container(horizontal=True, key="downloads-models", vertical_alignment="center"):
        inside = pick_captions()
        pack = lambda: comparison_archive(comparison, drawing=_drawing(comparison, shown, inside))  # noqa: E731
        download("All as ZIP", pack, f"{stem}.zip", "application/zip", "models")
        if any(pair.overlap is not None for compared in comparison.classes for pair in compared.pairs):
            with st.popover("One difference", icon=":material/difference:"):
                _one_difference(comparison, shown, stem, inside)
        record = lambda: to_json(_record(comparison, shown))  # noqa: E731
        download("Record, JSON", record, f"{stem}.json", "application/json", "models")
        st.caption("Saved as displayed, without file names. Text in the picture stays, unless you blank it.")


def _created(comparison: Comparison) -> str:
    return comparison.explanations[0].created[:10]


def _drawing(comparison: Comparison, shown: Display, captions: bool) -> Drawing:
    """How the files are drawn: as it is displayed."""
    shared = shown.shared_scale and same_network(comparison.explanations)
    values = {**shown.to_dict(), "scale": "shared" if shared else "own"}
    return dataclasses.replace(drawing_of(shown, captions), shared_scale=shared, display=values)


def _record(comparison: Comparison, shown: Display) -> dict[str, Any]:
    drawing = _drawing(comparison, shown, False)
    return comparison_to_dict(_scaled(comparison, drawing), names="hash") | {"drawing": drawing.to_dict()}


def _scaled(comparison: Comparison, drawing: Drawing) -> Comparison:
    return comparison.on_scale("same") if drawing.shared_scale else comparison


def _one_difference(comparison: Comparison, shown: Display, stem: str, inside: bool) -> None:
    """Offer one difference as PNG, or without its caption as a ZIP of the PNG and the record."""
    places = [
        (place, which)
        for place, compared in enumerate(comparison.classes)
        for which, pair in enumerate(compared.pairs)
        if pair.difference_map is not None
    ]

    def title(index: int) -> str:
        place, which = places[index]
        first, second = (number + 1 for number in comparison.classes[place].pairs[which].places)
        return f"{shortened(comparison.classes[place].label)} · {first} − {second}"

    index = st.selectbox("Difference", range(len(places)), format_func=title)
    place, which = places[index]
    first, second = (number + 1 for number in comparison.classes[place].pairs[which].places)
    name = f"{readable(comparison.classes[place].label)}_{first}-minus-{second}_{stem}"
    kind = ("PNG", "png", "image/png") if inside else ("PNG and JSON", "zip", "application/zip")
    make = functools.partial(_difference_file, comparison, places[index], shown, name, inside)
    download(f"Difference, {kind[0]}", make, f"{name}.{kind[1]}", kind[2], "models")


def _difference_file(comparison: Comparison, place: tuple[int, int], shown: Display, name: str, inside: bool) -> bytes:
    drawing = _drawing(comparison, shown, inside)
    pair = _scaled(comparison, drawing).classes[place[0]].pairs[place[1]]
    picture = png(difference_picture(comparison, pair, "hash", drawing))
    if inside:
        return picture
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr(f"{name}.png", picture)
        target.writestr(f"{name}.json", to_json(_record(comparison, shown)))
    return packed.getvalue()
