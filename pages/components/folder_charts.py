"""Pictures of an evaluation: which part of the edge decides, how honest the probabilities are, how classes differ."""

import html
from typing import Any

import plotly.graph_objects
import streamlit as st

from gradcam_core import EDGE_REGIONS, Evaluation
from pages.components.panels import shortened

MOST_MAPS, MOST_CLASSES = 6, 10
QUIET = {"displayModeBar": False}
# The first eight regions tile the edge and are always drawn; the others overlap them, and are drawn where they decide.
TILES = tuple(EDGE_REGIONS)[:8]


def show_edge_maps(found: Evaluation) -> None:
    """Draw a picture's frame for each answer, filled where hiding that part decides; the most decided ones first."""
    st.header("Which part of the edge decides?")
    groups = sorted(found.edges_by_answer, key=lambda one: -(one.share.value or 0))
    st.html(f'<div class="edge-maps">{"".join(map(_edge_map, groups[:MOST_MAPS]))}</div>')
    more = len(groups) - MOST_MAPS
    rest = f" {more} more answers are in the results." if more > 0 else ""
    st.caption(f"For each answer, how many of its pictures hang on that part. The fuller its colour, the more.{rest}")


def _edge_map(edges: Any) -> str:
    """One answer's frame, as plain boxes: Streamlit takes drawings out of its HTML."""
    counts = {name: cost.count for name, cost in edges.regions.items()}
    drawn = [name for name in EDGE_REGIONS if name in TILES or counts.get(name)]
    parts = "".join(_region(name, counts.get(name, 0) / edges.share.whole) for name in drawn)
    named = ", ".join(f"{name} {count}" if len(counts) > 1 else name for name, count in counts.items()) or "none"
    label, count = html.escape(shortened(edges.label)), f"{edges.share.part} of {edges.share.whole}"
    return (
        f'<figure><div role="img" aria-label="{label}: {count}, {named}">{parts}<b>{count}</b></div>'
        f"<figcaption>{label}<span>{named}</span></figcaption></figure>"
    )


def _region(name: str, share: float) -> str:
    fill = f'<i style="opacity: {0.2 + 0.8 * share:.2f}"></i>' if share else ""
    hundredths = [[100 * share for share in rectangle] for rectangle in EDGE_REGIONS[name]]
    boxes = [
        f"left: {left:g}%; top: {top:g}%; width: {right - left:g}%; height: {bottom - top:g}%"
        for left, top, right, bottom in hundredths
    ]
    return "".join(f'<span style="{box}">{fill}</span>' for box in boxes)


def show_charts(found: Evaluation) -> None:
    """Show how honest the probabilities are and how the classes differ, side by side; both take labels."""
    if not found.accuracy.whole:
        st.caption("With labels, more can be said: add a table with the columns *name* and *label*.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.header("Can its probabilities be taken at their word?")
        st.plotly_chart(
            _reliability(found), key="reliability", config=QUIET, alt="Share answered as labelled by probability"
        )
        st.caption("On the line, of 100 answers given at 80\u202f%, 80 are as labelled. Larger dots: more pictures.")
    with right:
        st.header("Which classes does it know?")
        st.plotly_chart(_classes(found), key="classes", config=QUIET, alt="Share answered as labelled for each class")
        if len(found.classes) > MOST_CLASSES:
            st.caption(f"The {MOST_CLASSES} of {len(found.classes)} classes that are answered as labelled least often.")


def _reliability(found: Evaluation) -> plotly.graph_objects.Figure:
    bins = [one for one in found.bins if one.count]
    most = max(one.count for one in bins)
    line = plotly.graph_objects.Scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"width": 1, "color": "rgba(128, 128, 128, 0.7)"}, hoverinfo="skip"
    )
    points = plotly.graph_objects.Scatter(
        x=[100 * one.probability for one in bins],
        y=[100 * one.right for one in bins],
        mode="markers",
        marker={"size": [9 + 17 * (one.count / most) ** 0.5 for one in bins], "opacity": 0.9, "line": {"width": 0}},
        customdata=[one.count for one in bins],
        hovertemplate="%{customdata} pictures<br>probability %{x:.0f} %, as labelled %{y:.0f} %<extra></extra>",
        cliponaxis=False,
    )
    figure = plotly.graph_objects.Figure([points, line])
    figure.update_xaxes(title="Probability of the first answer, %", range=[0, 103], dtick=20)
    figure.update_yaxes(title="Answered as labelled, %", range=[0, 106], dtick=20)
    return _quiet(figure, 280)


def _classes(found: Evaluation) -> plotly.graph_objects.Figure:
    """A bar for each class, the least known on top; labels are escaped, since Plotly reads tags in them."""
    classes = sorted(found.classes, key=lambda one: one[1].value or 0.0)[:MOST_CLASSES][::-1]
    bars = plotly.graph_objects.Bar(
        x=[100 * (share.value or 0.0) for _, share in classes],
        y=[html.escape(shortened(label)) for label, _ in classes],
        text=[f"{share.part} of {share.whole}" for _, share in classes],
        textposition="outside",
        orientation="h",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure = plotly.graph_objects.Figure(bars)
    figure.update_xaxes(title="Answered as labelled, %", range=[0, 118], tickvals=[0, 20, 40, 60, 80, 100])
    figure.update_layout(bargap=0.55)
    return _quiet(figure, 100 + 36 * len(classes))


def _quiet(figure: plotly.graph_objects.Figure, height: int) -> plotly.graph_objects.Figure:
    figure.update_layout(height=height, margin={"l": 0, "r": 8, "t": 8, "b": 0}, showlegend=False)
    return figure
