"""Offer what Evaluate shows as files: the measurements, the reference region, and the heatmaps with its outline."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from gradcam_core import (
    DISCLAIMER,
    Explanation,
    caption_lines,
    heatmap_names,
    meaning_of_one,
    overlay,
    png,
    to_csv,
    to_dict,
    to_json,
    with_caption,
)
from pages.components.analysis.cache import Measured
from pages.components.evaluate.regions import OUTLINE, Region, outline_of, share_of
from pages.components.panels.displayed import Display, display_of, drawing_of
from pages.components.panels.downloads import download, pick_captions, stem_of
from pages.components.panels.heatmaps import display

Rows = Sequence[Mapping[str, str | float | None]]
README = """\
measurements.csv    the measurements, one a row
measurements.json   the same, with the reference region and the record of the heatmaps
region.png          the reference region as a mask of the picture's size: white inside
overlays/           each heatmap over the picture, with the reference region outlined

{disclaimer}
A heatmap in the right place does not show that the model uses what is there.
"""


def offer_measurements(explanation: Explanation, tables: Sequence[Measured], region: Region) -> None:
    """Offer all measurements so far as CSV and JSON, and with the region and the heatmaps as ZIP; no names of files."""
    stem = f"{stem_of(explanation)}-measurements"
    share = None if region.mask is None else share_of(explanation.heatmaps[0], region.mask)
    rows = _rows(explanation, tables, share)
    shown = display_of(explanation.image, display())
    record = lambda: to_json(_record(explanation, rows, region, share))  # noqa: E731
    with st.container(horizontal=True, key="measurements", vertical_alignment="center"):
        inside = pick_captions()
        pack = lambda: _archive(explanation, rows, record(), region, shown, inside)  # noqa: E731
        download("All as ZIP", pack, f"{stem}.zip", "application/zip", "evaluate")
        download("Measurements, CSV", lambda: _csv(rows), f"{stem}.csv", "text/csv", "evaluate")
        download("Measurements, JSON", record, f"{stem}.json", "application/json", "evaluate")
        st.caption("Saved as displayed, without file names. Text in the picture stays, unless you blank it.")


def _rows(explanation: Explanation, tables: Sequence[Measured], region_share: float | None) -> Rows:
    target = explanation.heatmaps[0].target
    return [
        {
            "picture": explanation.image.sha256,
            "model": explanation.architecture,
            "fingerprint": explanation.fingerprint,
            "created": explanation.created,
            "region_share": region_share,
            "class": target.label,
            "layer": explanation.heatmaps[0].layer,
            "method": method,
            "measurement": name,
            "value": result.value,
            "by_chance": result.chance,
            "better": result.better,
            "reason": result.reason,
        }
        for table in tables
        for method, results in table.items()
        for name, result in results.items()
    ]


def _csv(rows: Rows) -> bytes:
    return to_csv(tuple(rows[0]), rows)


def _record(explanation: Explanation, rows: Rows, region: Region, share: float | None) -> dict[str, Any]:
    """Strict JSON: the measurements, what they were measured against, and the record of the heatmaps."""
    values = ("method", "measurement", "value", "by_chance", "better", "reason")
    return {
        "measurements": [{name: row[name] for name in values} for row in rows],
        "region": None if region.mask is None else _region(explanation, region, share),
        "explanation": to_dict(explanation, names="hash"),
        "disclaimer": DISCLAIMER,
    }


def _region(explanation: Explanation, region: Region, share: float | None) -> dict[str, Any]:
    return {
        "source": region.source,
        "label": region.label,
        "unit": "pixels of the picture, from its top left corner",
        "width": explanation.image.width,
        "height": explanation.image.height,
        "shapes": [dict(shape) for shape in region.shapes],
        "pixels": int(np.count_nonzero(region.mask)),
        "share_of_what_the_model_saw": share,
        "file": "region.png",
    }


def _archive(
    explanation: Explanation, rows: Rows, record: bytes, region: Region, shown: Display, captions: bool
) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("README.txt", README.format(disclaimer=DISCLAIMER))
        target.writestr("measurements.csv", _csv(rows))
        target.writestr("measurements.json", record)
        if region.mask is not None:
            mask = np.repeat(255 * region.mask.astype(np.uint8)[..., None], 3, axis=2)
            target.writestr("region.png", png(mask))
            for name, picture in _overlays(explanation, region.mask, shown, captions):
                target.writestr(f"overlays/{name}.png", picture)
    return packed.getvalue()


def _overlays(explanation: Explanation, mask: np.ndarray, shown: Display, captions: bool) -> list[tuple[str, bytes]]:
    """Each heatmap over the picture with the region's outline, as it is displayed."""
    drawing = drawing_of(shown, captions)
    pictures = []
    for name, heatmap in zip(heatmap_names(explanation.heatmaps), explanation.heatmaps, strict=True):
        pixels = overlay(drawing.shown or explanation.image, heatmap, **drawing.style)
        pixels[outline_of(mask)] = np.rint(255 * OUTLINE)
        if drawing.captions:
            lines = caption_lines(explanation, heatmap, display_window=drawing.window)
            lines = (lines[0], "The line is the reference region.", *lines[1:])
            colours = {"colormap": drawing.colormap, "signed": heatmap.signed}
            pixels = with_caption(pixels, lines, **colours, meaning=meaning_of_one(heatmap))
        pictures.append((name, png(pixels)))
    return pictures
