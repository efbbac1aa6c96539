"""Screens of a comparison: the answers, the heatmaps of each class with their difference, the checks of each model."""

import functools
from collections.abc import Sequence

import streamlit as st

from gradcam_core import (
    Comparison,
    LoadedModel,
    amount_of,
    comparison_sentences,
    overlay_difference,
    pair_sentence,
    picture_pixels,
    unsuited_models,
)
from pages.components.comparison.trust import show_checks_of
from pages.components.comparison.work import Task
from pages.components.panels.figures import figures, show_bars
from pages.components.panels.heatmaps import display, heatmap_title
from pages.components.presenter.slides import Slide, as_displayed, beside, reduced, show_scale, still, tallest
from pages.components.words import plain, shortened

Models = Sequence[tuple[str, LoadedModel]]
MOST_ANSWERS = 3


def slides_of(comparison: Comparison, task: Task) -> list[Slide]:
    """The screens, in their order."""
    models, warning = task.models, " ".join(unsuited_models(comparison.explanations))
    slides = [Slide("Do the models agree?", lambda: _answers(comparison, models), warning)]
    for place, compared in enumerate(comparison.classes):
        if compared.pairs:
            title = plain(shortened(compared.label))
            slides.append(Slide(title, functools.partial(_heatmaps, comparison, place), warning))
    for place in range(len(models)):
        title = f"Can I trust the heatmap of model {place + 1}?"
        slides.append(Slide(title, functools.partial(_checks, comparison, task, place), warning))
    return slides


def _answers(comparison: Comparison, models: Models) -> None:
    """What differs, in words, and each model's top answers as bars."""
    answers, evidence = comparison_sentences(comparison)
    st.markdown(f"**{plain(answers)}** {plain(evidence)}")
    picture, *columns = st.columns([1.2, *[1.0] * len(models)], gap="large", vertical_alignment="top")
    with picture:
        pixels = reduced(picture_pixels(as_displayed(comparison.image)))
        figures([(pixels, "The picture")], height=min(25.0, 24 * pixels.shape[0] / pixels.shape[1]))
    for place, column in enumerate(columns):
        with column, st.container(key=f"answers-stage-{place}", gap=None):
            st.markdown(f"**Model {place + 1}** {plain(models[place][0])}")
            predictions = comparison.explanations[place].predictions[:MOST_ANSWERS]
            show_bars([("", shortened(each.label), each.probability) for each in predictions])


def _heatmaps(comparison: Comparison, place: int) -> None:
    """The heatmap of each model for one class, then the first model's minus each other one's."""
    compared, image = comparison.classes[place], as_displayed(comparison.image)
    pictures = [
        (reduced(still(image, heatmap)), f"Model {number}: {amount_of(heatmap.target)}")
        for number, heatmap in enumerate(compared.heatmaps, 1)
        if heatmap is not None
    ]
    style = {name: display()[name] for name in ("opacity", "threshold")}
    for pair in compared.pairs:
        if pair.places[0] == 0 and pair.difference_map is not None:
            words = f"Model 1 minus model {pair.places[1] + 1}"
            pictures.append((reduced(overlay_difference(image, pair, **style)), words))
    columns, height = tallest([pixels for pixels, _ in pictures], height=25.0)
    for start in range(0, len(pictures), columns):
        figures(pictures[start : start + columns], height=height)
    show_scale([heatmap for heatmap in compared.heatmaps if heatmap is not None])
    words = "Orange: model 1 is hotter. Blue: the other one is. The scale of differences is fixed."
    st.caption(f"{plain(pair_sentence(compared.pairs[0]))} {words}")


def _checks(comparison: Comparison, task: Task, place: int) -> None:
    heatmap = comparison.classes[0].heatmaps[place]
    if heatmap is None:
        show_checks_of(comparison, task, place)
        return
    with beside(comparison.image, heatmap, heatmap_title(heatmap)):
        show_checks_of(comparison, task, place)
