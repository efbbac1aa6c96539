"""Charts of an evaluation: which part of the edge decides, calibration, accuracy by class."""

import html
from typing import Any

import streamlit as st

from gradcam_core import EDGE_REGIONS, Evaluation
from pages.components.words import shortened

MOST_MAPS, MOST_CLASSES = 6, 10
QUIET = {"displayModeBar": False}
# The first eight regions tile the edge and are always drawn; the others overlap them, and are drawn where they decide.
TILES = tuple(EDGE_REGIONS)[:8]


def show_edge_maps(evaluation: Evaluation) -> None:
    """Draw a picture's frame for each answer, filled where hiding that part decides; the most affected first."""
    if not evaluation.edges.share.whole:
        return
    st.header("Which part of the edge decides?")
    groups = sorted(evaluation.edges_by_answer, key=lambda edges: -(edges.share.value or 0))
    st.html(f'<div class="edge-maps">{"".join(map(_edge_map, groups[:MOST_MAPS]))}</div>')
    more = len(groups) - MOST_MAPS
    rest = f" {more} more answers are in the results." if more > 0 else ""
    st.caption(
        f"For each answer, how many of its pictures depend on that part. The stronger the colour, the more.{rest}"
    )


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


def show_charts(evaluation: Evaluation) -> None:
    """Show calibration and accuracy by class or finding, side by side; both need labels. A number has neither."""
    if evaluation.outputs.task in ("regression", "embedding"):
        return
    if not evaluation.accuracy.whole:
        st.caption("With labels, more can be said: add a table with the columns *name* and *label*.")
        return
    findings = bool(evaluation.findings)
    if not evaluation.outputs.has_probabilities:
        st.header("Accuracy by class")
        st.plotly_chart(_findings(evaluation), key="finding bars", config=QUIET, alt="Accuracy of each class")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.header("Are its probabilities calibrated?")
        st.plotly_chart(
            _reliability(evaluation), key="reliability", config=QUIET, alt="Share of correct answers by probability"
        )
        right_words = (
            "findings given at 80\u202f%, 80 are there" if findings else "answers given at 80\u202f%, 80 are correct"
        )
        st.caption(f"On the line, of 100 {right_words}. Larger dots: more {'findings' if findings else 'pictures'}.")
    with right:
        if findings:
            st.header("Accuracy by finding")
            st.plotly_chart(_findings(evaluation), key="finding bars", config=QUIET, alt="Accuracy of each finding")
            return
        st.header("Accuracy by class")
        st.plotly_chart(
            _classes(evaluation), key="classes", config=QUIET, alt="Share of correct answers for each class"
        )
        if len(evaluation.classes) > MOST_CLASSES:
            st.caption(
                f"The {MOST_CLASSES} of {len(evaluation.classes)} classes that are answered correctly least often."
            )


def _reliability(evaluation: Evaluation) -> Any:
    """Share of correct answers by probability, a dot for each group of probabilities."""
    import plotly.graph_objects

    what, right = ("findings", "there") if evaluation.findings else ("pictures", "correct")
    bins = [group for group in evaluation.bins if group.count]
    most = max(group.count for group in bins)
    line = plotly.graph_objects.Scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"width": 1, "color": "rgba(128, 128, 128, 0.7)"}, hoverinfo="skip"
    )
    points = plotly.graph_objects.Scatter(
        x=[100 * group.probability for group in bins],
        y=[100 * group.right for group in bins],
        mode="markers",
        marker={"size": [9 + 17 * (group.count / most) ** 0.5 for group in bins], "opacity": 0.9, "line": {"width": 0}},
        customdata=[group.count for group in bins],
        hovertemplate=f"%{{customdata}} {what}<br>probability %{{x:.0f}} %, {right} %{{y:.0f}} %<extra></extra>",
        cliponaxis=False,
    )
    figure = plotly.graph_objects.Figure([points, line])
    of, correct = ("finding", "Findings that are there") if evaluation.findings else ("top answer", "Correct answers")
    figure.update_xaxes(title=f"Probability of the {of}, %", range=[0, 103], dtick=20)
    figure.update_yaxes(title=f"{correct}, %", range=[0, 106], dtick=20)
    return _quiet(figure, 280)


def _classes(evaluation: Evaluation) -> Any:
    """A bar for each class, the least accurate on top; labels are escaped, since Plotly reads tags in them."""
    import plotly.graph_objects

    classes = sorted(evaluation.classes, key=lambda row: row[1].value or 0.0)[:MOST_CLASSES][::-1]
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
    figure.update_xaxes(title="Correct answers, %", range=[0, 118], tickvals=[0, 20, 40, 60, 80, 100])
    figure.update_layout(bargap=0.55)
    return _quiet(figure, 100 + 36 * len(classes))


def _findings(evaluation: Evaluation) -> Any:
    """Two bars for each finding: of the pictures with it, and of those without it, how many the model tells so."""
    import plotly.graph_objects

    findings = evaluation.findings[::-1]
    absent, present = ("not found", "found") if evaluation.outputs.has_places else ("absent", "present")
    parts = {
        f"Without it: {absent}": [finding.specificity for finding in findings],
        f"With it: {present}": [finding.sensitivity for finding in findings],
    }
    bars = [
        plotly.graph_objects.Bar(
            name=name,
            x=[100 * (share.value or 0.0) for share in shares],
            y=[html.escape(shortened(finding.label)) for finding in findings],
            text=[f"{share.part} of {share.whole}" for share in shares],
            textposition="outside",
            orientation="h",
            cliponaxis=False,
            hoverinfo="skip",
        )
        for name, shares in parts.items()
    ]
    figure = _quiet(plotly.graph_objects.Figure(bars), 140 + 48 * len(findings))
    figure.update_xaxes(title="Pictures told right, %", range=[0, 118], tickvals=[0, 20, 40, 60, 80, 100])
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.15, "traceorder": "reversed"})
    return figure


def _quiet(figure: Any, height: int) -> Any:
    figure.update_layout(height=height, margin={"l": 0, "r": 8, "t": 8, "b": 0}, showlegend=False)
    return figure
