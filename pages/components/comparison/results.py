"""The results of a comparison: the verdict, the answers, the heatmaps side by side, the numbers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from gradcam_core import (
    Comparison,
    LoadedModel,
    comparison_sentences,
    pair_sentence,
    percent,
    same_network,
    signed,
    unsuited_models,
)
from pages.components.panels.figures import show_predictions
from pages.components.panels.heatmaps import METHODS, PICTURE_PANEL, display, show_panels
from pages.components.viewer.encoding import grid_of, panel_of
from pages.components.words import NO_BREAK, plain

Models = Sequence[tuple[str, LoadedModel]]
SAME_SCALE = "shared"
CSS = Path(__file__).with_name("comparison.css")


def show_verdict(comparison: Comparison) -> None:
    """Say first what differs, then how the evidence overlaps."""
    answers, evidence = comparison_sentences(comparison)
    st.markdown(f"**{plain(answers)}** {plain(evidence)}")
    if unsuited := unsuited_models(comparison.explanations):
        st.warning(plain(" ".join(unsuited)), icon=":material/warning:")


def show_answers(comparison: Comparison, models: Models) -> None:
    """Each model's top answers with bars, side by side."""
    st.html(f"<style>{CSS.read_text('utf-8')}</style>")
    for place, column in enumerate(st.columns(len(models), gap="large")):
        title, model = models[place]
        predictions = comparison.explanations[place].predictions
        with column, st.container(key=f"answers-{place}", gap=None):
            st.markdown(f"**Model {place + 1}** {plain(title)} ({plain(model.architecture)})")
            show_predictions(predictions, beside=True)
            if not predictions:
                st.caption(f"It gives {plain(comparison.explanations[place].outputs.words)}.")


def show_maps(comparison: Comparison, models: Models) -> None:
    """The heatmaps of the same class side by side, then the differences; a row for each class that is an answer."""
    scale, comparable = display()["scale"], same_network(comparison.explanations)
    shared = scale == SAME_SCALE
    comparison = comparison.on_scale("same" if shared and comparable else "own")
    answers = {
        compared.index
        for compared in comparison.classes
        for partners, answer in zip(comparison.partners, comparison.answers, strict=True)
        if answer is not None and partners[compared.index] == answer.index
    }
    panels: list[dict[str, Any]] = []
    for compared in comparison.classes:
        if compared is comparison.classes[0] or compared.index in answers:
            panels += _row(compared, models, comparison.partners)
    show_panels(comparison.image, panels, "models", columns=3 if len(models) == 2 else len(models))
    if display()["scale"] != scale:  # the differences above are still on the scale of before
        st.rerun()
    words = "Differences: orange where the first of the two is hotter, blue where the second is, on a fixed scale."
    if not comparable:
        own = "Each model" if shared else "Each heatmap"
        words += f" {own} has its own scale: the models’ raw values have no common unit."
    st.caption(words)


def _row(compared: Any, models: Models, partners: Sequence[Any]) -> list[dict[str, Any]]:
    """The panels of one class: each model's heatmap, and the first model's minus each other one's."""
    panels = []
    for place, heatmap in enumerate(compared.heatmaps):
        title = f"{place + 1} · {compared.label}"
        if heatmap is None:
            words = "has no such class" if partners[place][compared.index] is None else "finds none here"
            empty = {"id": f"none {compared.index} {place}", "title": title, "subtitle": words}
            panels.append(PICTURE_PANEL | empty)
            continue
        architecture = models[place][1].architecture
        panel = panel_of(heatmap, id=f"map {compared.index} {place}", title=title, subtitle=models[place][0])
        unit = f"{architecture} {panel['unit']}"
        share = heatmap.target.probability
        panels.append(panel | {"probability": share if math.isfinite(share) else None, "unit": unit})
    if len(models) > 2:
        panels.append(PICTURE_PANEL | {"id": f"picture {compared.index}"})
    panels += [_difference(compared, place) for place in range(1, len(models))]
    return panels


def _difference(compared: Any, place: int) -> dict[str, Any]:
    title, id = f"1 − {place + 1} · {compared.label}", f"difference {compared.index} {place}"
    pair = next((pair for pair in compared.pairs if pair.places == (0, place)), None)
    drawn = pair.difference_map if pair else None
    if pair is None or drawn is None:
        return PICTURE_PANEL | {"id": id, "title": title, "subtitle": "nothing to compare"}
    subtitle = "nothing to compare" if pair.overlap is None else f"{percent(pair.overlap, 0)} overlap of the hottest"
    panel = panel_of(drawn, id=id, title=title, subtitle=subtitle)
    # On a fixed scale, -1 to 1: a small difference looks small.
    return panel | {"grid": grid_of(drawn.raw), "peak": 1.0, "fused": True, "state": "ok", "fixed": True}


def show_numbers(comparison: Comparison) -> None:
    """Every pair of every class: overlap of the hottest areas and rank correlation, each with its sentence."""
    pairs = [pair for compared in comparison.classes for pair in compared.pairs]
    if not pairs:
        return
    with st.expander("Numbers", key="numbers"):
        st.dataframe([_number_row(pair) for pair in pairs], hide_index=True, width="stretch")
        st.caption(
            "Overlap: what the hottest areas (at least half of the peak) have in common, as a share of both together. "
            "By chance: the overlap of two such areas that lie anywhere. Rank correlation (Spearman): 1 the same "
            "order, 0 no relation; faint places count as much as hot ones. Models that agree may still be wrong "
            "together."
        )


def _number_row(pair: Any) -> dict[str, str]:
    return {
        "Class": pair.label,
        "Models": " and ".join(str(place + 1) for place in pair.places),
        "Overlap": percent(pair.overlap, 0),
        "By chance": percent(pair.chance, 0),
        "Rank correlation": "–" if pair.correlation is None else signed(pair.correlation),
        "In words": pair_sentence(pair),
    }


def show_seconds(comparison: Comparison) -> None:
    """Fold away how long each model took."""
    with st.expander("Where the time went", key="times"):
        method = comparison.explanations[0].heatmaps[0].method
        rows = [
            {"Step": f"Model {place}, {METHODS[method].title}", "ms": 1000 * seconds}
            for place, seconds in enumerate(comparison.seconds, 1)
        ]
        rows.append({"Step": "Comparing them", "ms": 1000 * comparison.comparing_seconds})
        number = st.column_config.NumberColumn("Milliseconds", format="%.1f", width="small")
        st.dataframe(rows, hide_index=True, width="stretch", column_config={"ms": number})
        st.caption(f"When it was computed. Results are kept for some minutes, and not computed twice.{NO_BREAK}")
