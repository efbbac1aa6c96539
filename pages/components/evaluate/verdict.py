"""Whether heatmaps lie in the reference region, compared with chance; and all measurements as files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from gradcam_core import Explanation, Heatmap, csv_cell, percent
from pages.components.analysis.cache import Measured
from pages.components.panels.downloads import download, stem_of
from pages.components.panels.heatmaps import METHODS

# How many times as much heat as chance would put into the region.
MUCH, BARELY = 3.0, 1.25


def show_verdict(explanation: Explanation, region: np.ndarray, results: Measured) -> None:
    """Say for each method how much of its heat lies in the region, compared with the region's share of the picture."""
    sentences = []
    for heatmap in explanation.heatmaps:
        heat = results[heatmap.method]["relevance_mass"].value
        chance = _by_chance(heatmap, region)
        if heat is not None and chance > 0:
            inside, by_chance = percent(heat), percent(chance)
            title = METHODS[heatmap.method].title
            sentences.append(
                f"- **{title}**: {inside} of the heat lies in a region that is {by_chance} of what the model saw: "
                f"**{_words(heat / chance)}**."
            )
    st.markdown("\n".join(sentences))


def _by_chance(heatmap: Heatmap, region: np.ndarray) -> float:
    """The region's share of what the model saw."""
    return float(region[np.isfinite(heatmap.values)].mean())


def _words(ratio: float) -> str:
    if ratio >= MUCH:
        return f"{ratio:.0f} times as much as by chance"
    if ratio >= BARELY:
        return f"more than by chance ({ratio:.1f} times)"
    return "hardly better than chance" if ratio >= 1 / BARELY else "less than by chance"


def offer_measurements(explanation: Explanation, tables: Sequence[Measured], region: np.ndarray | None) -> None:
    """Offer all measurements so far as CSV and JSON, without names of files."""
    stem = f"{stem_of(explanation)}-measurements"
    rows = _rows(explanation, tables, None if region is None else _by_chance(explanation.heatmaps[0], region))
    with st.container(horizontal=True, key="measurements", vertical_alignment="center"):
        download("Measurements, CSV", lambda: _csv(rows), f"{stem}.csv", "text/csv", "evaluate")
        download("Measurements, JSON", lambda: _json(rows), f"{stem}.json", "application/json", "evaluate")


def _rows(
    explanation: Explanation, tables: Sequence[Measured], region_share: float | None
) -> list[Mapping[str, str | float | None]]:
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
            "better": result.better,
            "reason": result.reason,
        }
        for table in tables
        for method, results in table.items()
        for name, result in results.items()
    ]


def _csv(rows: Sequence[Mapping[str, str | float | None]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([csv_cell(value) if isinstance(value, str) else value for value in row.values()])
    return text.getvalue().encode("utf-8-sig", "replace")


def _json(rows: Sequence[Mapping[str, str | float | None]]) -> bytes:
    return json.dumps(list(rows), indent=2, ensure_ascii=False).encode()
