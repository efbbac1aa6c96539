"""Whether heatmaps lie in the reference region, compared with chance."""

import numpy as np
import streamlit as st

from gradcam_core import Explanation, percent
from pages.components.analysis.cache import Measured
from pages.components.evaluate.regions import share_of
from pages.components.panels.heatmaps import METHODS

# How many times as much heat as chance would put into the region.
MUCH, BARELY = 3.0, 1.25


def show_verdict(explanation: Explanation, region: np.ndarray, results: Measured) -> None:
    """Say for each method how much of its heat lies in the region, compared with the region's share of the picture."""
    sentences = []
    for heatmap in explanation.heatmaps:
        heat = results[heatmap.method]["relevance_mass"].value
        chance = share_of(heatmap, region)
        if heat is not None and chance > 0:
            inside, by_chance = percent(heat), percent(chance)
            title = METHODS[heatmap.method].title
            sentences.append(
                f"- **{title}**: {inside} of the heat lies in a region that is {by_chance} of what the model saw: "
                f"**{_words(heat / chance)}**."
            )
    st.markdown("\n".join(sentences))


def _words(ratio: float) -> str:
    if ratio >= MUCH:
        return f"{ratio:.0f} times as much as by chance"
    if ratio >= BARELY:
        return f"more than by chance ({ratio:.1f} times)"
    return "hardly better than chance" if ratio >= 1 / BARELY else "less than by chance"
