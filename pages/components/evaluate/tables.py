"""Measurements of heatmaps, as tables and curves. Their themes are read off what each of them needs."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from gradcam_core import (
    Explanation,
    LoadedModel,
    Measurement,
    OnProgress,
    Outputs,
    Progress,
    list_measurements,
    measure,
    theme_of,
)
from pages.components.analysis.cache import Measured
from pages.components.panels.heatmaps import METHODS
from pages.components.words import plain

MEASUREMENTS = {measurement.name: measurement for measurement in list_measurements()}
GOOD = {"higher": "higher is better", "lower": "lower is better", "": "neither good nor bad"}


def names_of(theme: str) -> tuple[str, ...]:
    """The measurements of a theme: "place" needs a reference region, "change" runs the model, "spread" neither."""
    return tuple(name for name, measurement in MEASUREMENTS.items() if theme_of(measurement) == theme)


def measured_directly(explanation: Explanation, region: np.ndarray | None, names: Sequence[str]) -> Measured:
    """Measurements that need no further pass, by method and name."""
    return {
        heatmap.method: {result.name: result for result in measure(heatmap, truth=region, names=names)}
        for heatmap in explanation.heatmaps
    }


def measured_by_changing(explanation: Explanation, model: LoadedModel, on_progress: OnProgress) -> Measured:
    """Measurements that change the picture and run the model on it, by method and name."""
    names, count = names_of("change"), len(explanation.heatmaps)
    results = {}
    for place, heatmap in enumerate(explanation.heatmaps):
        part = Progress(on_progress).part(place, count)

        def report(share: float, words: str, drafts: tuple[Any, ...] = (), part: Progress = part) -> None:
            part(share, words=words)

        several = measure(heatmap, explanation=explanation, model=model, names=names, on_progress=report)
        results[heatmap.method] = {result.name: result for result in several}
    return results


def show_measurements(title: str, results: Measured, names: Sequence[str]) -> None:
    """A table: a measurement a row with its meaning and source, a method a column."""
    head = "".join(f'<th scope="col">{html.escape(METHODS[method].title)}</th>' for method in results)
    rows = "".join(_row(name, [several[name] for several in results.values()]) for name in names)
    st.html(
        f'<table class="measured"><thead><tr><th scope="col">{html.escape(title)}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    reasons = {result.reason for several in results.values() for result in several.values() if result.reason}
    for reason in sorted(reasons):
        st.caption(f"– not measured: {plain(reason)}")


def _row(name: str, results: Sequence[Measurement]) -> str:
    member = MEASUREMENTS[name]
    cells = "".join(f"<td>{_number(result)}</td>" for result in results)
    source = (
        f'<a href="{html.escape(member.url)}" target="_blank" rel="noopener noreferrer">{html.escape(member.paper)}</a>'
    )
    return (
        f'<tr><th scope="row"><b>{html.escape(member.title)}</b> {html.escape(member.summary)} '
        f"<small>{GOOD[results[0].better]} · {source}</small></th>{cells}</tr>"
    )


def _number(result: Measurement) -> str:
    """The number, with what a heatmap of the same values that lie anywhere would give."""
    if result.value is None:
        return "–"
    chance = "" if result.chance is None else f"<small>chance {result.chance:.3f}</small>"
    return f"{result.value:.3f}{chance}"


def show_curves(results: Mapping[str, Mapping[str, Measurement]], outputs: Outputs) -> None:
    """The measurements that have curves: what the model gives the target as more and more of the picture is changed."""
    import plotly.graph_objects

    what = {"detection": "Score", "segmentation": "Part of the region"}.get(outputs.task, "Probability")
    first = next(iter(results.values()), {})
    names = [name for name, result in first.items() if result.curve is not None]
    for column, name in zip(st.columns(max(len(names), 1), gap="medium"), names, strict=False):
        title = MEASUREMENTS[name].title
        figure = plotly.graph_objects.Figure()
        for method, several in results.items():
            curve = several[name].curve
            if curve is not None:
                x, y = ([100 * value for value in part] for part in (curve.shares, curve.values))
                figure.add_scatter(x=x, y=y, mode="lines+markers", name=METHODS[method].title, marker={"size": 4})
        figure.update_xaxes(title="Share of the picture, %", range=[0, 100])
        figure.update_yaxes(title=f"{what}, %", range=[0, 102])
        figure.update_layout(
            height=300, margin={"l": 0, "r": 0, "t": 8, "b": 0}, legend={"orientation": "h", "y": -0.32}
        )
        with column:
            st.markdown(f"**{title}**")
            st.plotly_chart(
                figure, key=f"curve {name}", alt=f"{title}: {what.lower()} by share of the picture, per method"
            )
