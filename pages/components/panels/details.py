"""What is needed now and then: the model's input, the numbers, the times, agreement, help in place."""

import html
import itertools
from collections.abc import Sequence
from typing import Any

import streamlit as st

from gradcam_core import (
    Agreement,
    Explanation,
    Heatmap,
    LoadedModel,
    agreement,
    amount_of,
    describe_device,
    equal_by_algebra,
    knows_class,
    number,
    percent,
    place_words,
    shown_input,
    signed,
)
from pages.components.panels.figures import figures
from pages.components.panels.heatmaps import METHODS, by_class, layer_title
from pages.components.words import NO_BREAK, plain, shortened

AGREE, AGREE_IN_PART = 0.8, 0.5
# What the models without a probability give.
AMOUNTS = {"regression": "Value", "embedding": "Value", "detection": "Score", "segmentation": "Share"}


def show_details(explanation: Explanation) -> None:
    """Fold away what is needed now and then: the model's input, the numbers, how it was made."""
    with st.expander("What the model was given", key="input"):
        left, right = st.columns([1, 2.2], gap="large")
        with left:
            pixels = shown_input(explanation.model_input, explanation.preprocessing)
            figures([(pixels, "Exactly what the model received")], height=20, exact=True)
        with right:
            _describe_input(explanation)
    with st.expander("Numbers", key="numbers"):
        st.dataframe(_table(explanation), hide_index=True, width="stretch")
    if not explanation.predictions:
        return
    scores = st.expander("Scores", key="scores", on_change="rerun")
    if scores.open:  # the chart's script is large: it is fetched only by those who look
        scores.plotly_chart(_score_bars(explanation), key="score bars", alt="The most probable classes as bars")


def _score_bars(explanation: Explanation) -> Any:
    """The most probable classes, or the numbers, as bars; labels are escaped, since Plotly reads tags in them."""
    import plotly.graph_objects

    predictions, outputs = explanation.predictions[::-1], explanation.outputs
    bars = plotly.graph_objects.Bar(
        x=[100 * each.probability if each.value is None else each.value for each in predictions],
        y=[f"{html.escape(prediction.label[:60])} · {prediction.index}" for prediction in predictions],
        text=[amount_of(prediction) for prediction in predictions],
        textposition="outside",
        orientation="h",
        cliponaxis=False,
    )
    figure = plotly.graph_objects.Figure(bars)
    if outputs.has_probabilities:
        figure.update_xaxes(title="Probability, %", range=[0, 108])
    elif outputs.has_places:
        title = "Score, %" if outputs.task == "detection" else "Share of the picture, %"
        figure.update_xaxes(title=title, range=[0, 108])
    else:
        figure.update_xaxes(title=html.escape(outputs.unit or "Value"))
    figure.update_layout(height=90 + 34 * len(predictions), margin={"l": 0, "r": 0, "t": 8, "b": 0}, bargap=0.45)
    return figure


def _describe_input(explanation: Explanation) -> None:
    spec, placement = explanation.preprocessing, explanation.placement
    top, left, bottom, right = placement.seen()
    height, width = placement.image_size
    share = placement.seen_share
    numbers = ", ".join(number(value) for value in spec.mean), ", ".join(number(value) for value in spec.std)
    st.markdown(
        f"- The model gives {plain(explanation.outputs.words)}\n"
        f"- Picture {width} × {height} px; input {spec.size[1]} × {spec.size[0]} px, {spec.interpolation}\n"
        f"- The model saw **{percent(share, 0)}** of the picture"
        + ("." if share > 0.995 else f": columns {left} to {right}, rows {top} to {bottom}.")
        + f"\n- Mean {numbers[0]}; standard deviation {numbers[1]}\n"
        f"- Computed on {plain(describe_device(explanation.device))}"
    )


def _table(explanation: Explanation) -> list[dict[str, str]]:
    rows = []
    for heatmap in explanation.heatmaps:
        height, width = heatmap.placement.cell_size(heatmap.raw.shape)
        rows.append(
            {
                "Method": METHODS[heatmap.method].title,
                "Class": heatmap.target.label,
                AMOUNTS.get(explanation.outputs.task, "Probability"): amount_of(heatmap.target),
                "Layer": layer_title(heatmap),
                "Peak evidence": number(heatmap.raw_peak, ".4g"),
                "Map": f"{heatmap.raw.shape[1]} × {heatmap.raw.shape[0]}",
                "One cell": "; ".join(filter(None, (f"{width:.0f} × {height:.0f} px", place_words(heatmap.placement)))),
                "State": heatmap.state,
            }
        )
    return rows


def show_times(explanation: Explanation) -> None:
    """Fold away where this analysis spent its time."""
    steps = [("Decoding the picture", explanation.image.seconds)]
    steps += [(_step_title(step), seconds) for step, seconds in explanation.seconds.items()]
    steps += [("Encoding it for the screen", st.session_state.get("encoding seconds", 0.0))]
    total = sum(seconds for _, seconds in steps)
    with st.expander("Where the time went", key="times"):
        rows = [{"Step": name, "ms": 1000 * seconds, "Share": 100 * seconds / total} for name, seconds in steps]
        st.dataframe(
            rows,
            hide_index=True,
            width="stretch",
            column_config={
                "ms": st.column_config.NumberColumn("Milliseconds", format="%.1f", width="small"),
                "Share": st.column_config.ProgressColumn("Share", format="%.0f %%", min_value=0, max_value=100),
            },
        )
        st.caption(
            f"{1000 * total:.0f}{NO_BREAK}ms in all, when it was computed. Results are kept for some minutes, and not "
            "computed twice. The viewer shows its own times under *More*."
        )


def _step_title(step: str) -> str:
    titles = {
        "preprocess": "Preparing the model's input",
        "forward": "Forward pass",
        "tail": "Backward pass through the tail",
        "centres": "Measuring where the cells lie, once per model",
        "guided backpropagation": "Guided backward pass",
    }
    return titles.get(step, METHODS[step].title if step in METHODS else step)


def show_verdict(explanation: Explanation, model: LoadedModel) -> None:
    """Say in one sentence how far the methods agree, compared with chance."""
    same = show_algebra(explanation, model)
    if pairs := _pairs(explanation, same[1:]):
        first, second, numbers = min(pairs, key=lambda pair: pair[2].correlation)
        least_alike = numbers.correlation
        words = "agree" if least_alike >= AGREE else "agree in part" if least_alike >= AGREE_IN_PART else "disagree"
        worst = f" They agree least for {plain(shortened(first.target.label))}:" if len(pairs) > 1 else ""
        st.markdown(
            f"The methods **{words}**.{worst} {METHODS[first.method].title} and {METHODS[second.method].title} have "
            f"{percent(numbers.overlap, 0)} of their hottest areas in common; unrelated maps with areas of these sizes "
            f"have {percent(numbers.chance, 0)}. Correlation {signed(numbers.correlation)}."
        )


def show_agreement(explanation: Explanation, model: LoadedModel) -> None:
    """Show how far each pair of methods agrees, and what their agreement does not mean."""
    methods = {heatmap.method for heatmap in explanation.heatmaps}
    if len(methods) < 2:
        return
    st.header("Agreement")
    if "random" in methods:
        st.markdown("A method that agrees with the **random map** says nothing about the picture.")
    for name in sorted(methods - {"random"}):
        if not knows_class(METHODS[name]):
            st.markdown(f"**{METHODS[name].title}** knows no class: its map is the same for all of them.")
    rows = [
        {
            "Class": first.target.label,
            "Methods": f"{METHODS[first.method].title} and {METHODS[second.method].title}",
            "Correlation": signed(numbers.correlation),
            "Overlap of the hottest areas": percent(numbers.overlap, 0),
            "By chance": percent(numbers.chance, 0),
        }
        for first, second, numbers in _pairs(explanation, _equal(explanation, model)[1:])
    ]
    if rows:
        st.dataframe(rows, hide_index=True, width="stretch")
    st.caption(
        "Correlation: 1 means the same map up to scale, 0 no relation. Overlap: what the hottest areas (at least half "
        "of the peak) have in common, as a share of both together. By chance: the overlap of two such areas that lie "
        "anywhere. Methods that agree may still be wrong together. A pair of which one has no evidence is left out."
    )


def show_algebra(explanation: Explanation, model: LoadedModel) -> list[str]:
    """Name the methods that give the same map at this layer, whatever the picture; return them."""
    same = _equal(explanation, model)
    if len(same) > 1:
        titles = " and ".join(METHODS[name].title for name in same)
        st.markdown(
            f"{titles} are **the same by algebra** at this layer: the classifier only averages it. "
            "That they look alike says nothing about the picture."
        )
    return same


def _equal(explanation: Explanation, model: LoadedModel) -> list[str]:
    methods = list(dict.fromkeys(heatmap.method for heatmap in explanation.heatmaps))
    used = next((heatmap.layer for heatmap in explanation.heatmaps if heatmap.layer), model.default_layer)
    layer = next(info for info in model.layers if info.name == used)
    return [name for name in methods if name in equal_by_algebra(layer)]


def _pairs(explanation: Explanation, doubles: Sequence[str]) -> list[tuple[Heatmap, Heatmap, Agreement]]:
    """Every pair of methods for one class with how far they agree, without those equal by algebra."""
    pairs = []
    for heatmaps in by_class(explanation):
        kept = [heatmap for heatmap in heatmaps if heatmap.method not in doubles]
        for first, second in itertools.combinations(kept, 2):
            if numbers := agreement(first, second):
                pairs.append((first, second, numbers))
    return pairs


def show_help(explanation: Explanation, model: LoadedModel) -> None:
    """Help with what goes wrong most, in place."""
    with st.expander("Does something look wrong?", key="help"):
        st.markdown(
            "**All dark, or the words “nothing in this picture speaks for …”.** The map has no positive evidence for "
            "that class at this layer. Choose a more probable class, or an earlier layer.\n\n"
            "**In the wrong place.** See *What the model was given*. If a custom model was trained on stretched or "
            "padded pictures, or with other means, set the same in the sidebar and on the Models page. One map cell "
            "covers many pixels: do not read the heatmap finer than that.\n\n"
            "**Spots all over, or only edges.** The layer may be too early. "
            f"The recommended one here is `{model.default_layer}`.\n\n"
            "**Out of memory.** Choose a smaller model or input size; with a graphics card, the app falls back to the "
            "processor and says so.\n\n"
            "**Convincing but odd.** A heatmap always looks like something. Look at the probability first, and compare "
            "it with another class and another method."
        )
