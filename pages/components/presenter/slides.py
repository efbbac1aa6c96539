"""Screens of an explanation: the picture with its top answers, the heatmaps of each class, the checks of one."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import streamlit as st

from gradcam_core import (
    Explanation,
    GradcamError,
    Heatmap,
    ImageRecord,
    amount_of,
    colour_heatmap,
    colour_table,
    overlay,
    picture_pixels,
    place_words,
)
from pages.components import audited, session
from pages.components.analysis import cache
from pages.components.analysis.requests import Analysis
from pages.components.analysis.work import watched
from pages.components.checks import show_checks
from pages.components.panels.displayed import display_of, displayed
from pages.components.panels.figures import figures, show_predictions
from pages.components.panels.heatmaps import METHODS, by_class, display, doubts_of, heatmap_title, layer_title
from pages.components.presenter import Talk
from pages.components.words import plain, shortened, show_error

ROOM = (74.0, 31.0)  # what a screen has for its pictures, in rem
GAP, CAPTION = 1.4, 2.4
LONGEST_SIDE = 2200
OWN = "A probability is the model’s own number."


@dataclasses.dataclass(frozen=True)
class Slide:
    """One screen. `warning` stands above what it shows: a screen is often seen without the others."""

    title: str
    draw: Callable[[], None]
    warning: str = ""


def offer_presenting(explanation: Explanation, analysis: Analysis, *, key: str) -> None:
    """Offer to show an explanation full screen."""
    offer_slides(functools.partial(_slides, explanation, analysis, key), key=key)


@st.fragment
def offer_slides(make: Callable[[], Sequence[Slide]], *, key: str) -> None:
    """Offer to show screens, one at a time. The page below stays as it is: only this part runs again."""
    slides = make()
    talk = Talk(tuple(slide.title for slide in slides), f"{key} slide", f"{key} presented")
    st.button("Present this", on_click=talk.enter, key=f"present {key}", icon=":material/co_present:", type="tertiary")
    talk.listen()
    if talk.presented:
        slide = slides[talk.step - 1]
        with talk.stage():
            if slide.warning:
                st.warning(plain(slide.warning), icon=":material/warning:")
            slide.draw()


def _slides(explanation: Explanation, analysis: Analysis, key: str) -> list[Slide]:
    warning = " ".join(explanation.unsuited)
    slides = [Slide("What does the model answer?", lambda: _answers(explanation), warning)]
    for heatmaps in by_class(explanation):
        target = heatmaps[0].target
        title = plain(f"{shortened(target.label)}, {amount_of(target)}")
        slides.append(Slide(title, functools.partial(_heatmaps, explanation, heatmaps), warning))
    return [*slides, Slide("Can I trust this heatmap?", lambda: _checks(explanation, analysis, key), warning)]


def _answers(explanation: Explanation) -> None:
    picture, answers = st.columns([1.15, 1], gap="large", vertical_alignment="center")
    with picture:
        pixels = picture_pixels(as_displayed(explanation.image))
        figures([(reduced(pixels), "")], height=tallest([pixels], 0.53 * ROOM[0])[1])
    with answers:
        show_answers(explanation)
        titles = session.models()
        title = titles.get(session.value_of(session.MODEL), next(iter(titles.values())))
        st.caption(f"Model: {plain(title)}. {OWN if explanation.outputs.has_probabilities else ''}")


def show_answers(explanation: Explanation) -> None:
    """The top answers as large bars, and how far to doubt them."""
    with st.container(key="answers"):
        show_predictions(explanation.predictions[:5])
    for doubt in doubts_of(explanation):
        st.markdown(doubt)


def _heatmaps(explanation: Explanation, heatmaps: Sequence[Heatmap]) -> None:
    several_layers = len({heatmap.layer for heatmap in heatmaps}) > 1
    captions = [METHODS[heatmap.method].title for heatmap in heatmaps]
    if several_layers:
        captions = [f"{words} · {layer_title(heatmap)}" for words, heatmap in zip(captions, heatmaps, strict=True)]
    show_stills(explanation.image, heatmaps, captions)


def _checks(explanation: Explanation, analysis: Analysis, key: str) -> None:
    place = min(int(session.value_of(f"trust of {key}", 0)), len(explanation.heatmaps) - 1)
    heatmap = explanation.heatmaps[place]
    with beside(explanation.image, heatmap, heatmap_title(heatmap)):
        try:
            name = f"checks {analysis.key} {place}"
            checked = watched(name, lambda progress: cache.checked(analysis, explanation, place, progress))
            if checked is not None:
                audited.note_checks(name, explanation, checked)
        except GradcamError as error:
            show_error(error)
            return
        if checked is not None:
            show_checks(checked, explanation.preprocessing)


def beside(image: ImageRecord, heatmap: Heatmap, caption: str) -> Any:
    """Show a heatmap on the left; return the place to its right."""
    left, right = st.columns([1, 1.9], gap="large")
    with left:
        pixels = reduced(still(as_displayed(image), heatmap))
        figures([(pixels, caption)], height=tallest([pixels], 0.32 * ROOM[0])[1])
    return right


def show_stills(
    image: ImageRecord,
    heatmaps: Sequence[Heatmap],
    captions: Sequence[str],
    *,
    plain_too: bool = True,
    room: tuple[float, float] = ROOM,
) -> None:
    """Show heatmaps as large as they fit side by side, after the picture itself, with what their colours mean."""
    image = as_displayed(image)
    pictures = [(reduced(picture_pixels(image)), "The picture")] if plain_too else []
    for heatmap, caption in zip(heatmaps, captions, strict=True):
        pictures.append((reduced(still(image, heatmap)), caption if heatmap.state == "ok" else _without_heat(heatmap)))
    columns, height = tallest([pixels for pixels, _ in pictures], *room)
    for start in range(0, len(pictures), columns):
        figures(pictures[start : start + columns], height=height)
    show_scale(heatmaps)


def as_displayed(image: ImageRecord) -> ImageRecord:
    """The picture through the window that the viewer's user has set."""
    return displayed(display_of(image, display()))


def still(image: ImageRecord, heatmap: Heatmap) -> np.ndarray:
    """A heatmap as it is displayed at the moment in the viewer, on its own scale."""
    settings = display()
    if settings["view"] == "heatmap":
        return colour_heatmap(heatmap, colormap=settings["colormap"])
    style = {name: settings[name] for name in ("opacity", "threshold", "colormap")}
    return overlay(image, heatmap, **style)


def _without_heat(heatmap: Heatmap) -> str:
    return f"Nothing in this picture speaks for {shortened(heatmap.target.label)} here."


def reduced(pixels: np.ndarray) -> np.ndarray:
    """A picture with no more pixels than a large screen shows."""
    height, width = pixels.shape[:2]
    share = LONGEST_SIDE / max(height, width)
    if share >= 1:
        return pixels
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def tallest(pictures: Sequence[np.ndarray], width: float = ROOM[0], height: float = ROOM[1]) -> tuple[int, float]:
    """How many pictures stand in a row, and how tall each is in rem, so that all are as large as they fit."""
    count = len(pictures)
    ratio = pictures[0].shape[1] / pictures[0].shape[0]

    def tall(columns: int) -> float:
        rows = -(-count // columns)
        across = (width - GAP * (columns - 1)) / columns / ratio
        return min(across, height / rows - CAPTION)

    columns = max(range(1, count + 1), key=lambda columns: (tall(columns), columns))
    return columns, tall(columns)


def show_scale(heatmaps: Sequence[Heatmap]) -> None:
    """Say what the colours mean, and how coarse the heatmaps are."""
    signed = all(heatmap.signed for heatmap in heatmaps)
    table = colour_table("diverging" if signed else display()["colormap"])[::15]
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in table)
    cells = {heatmap.placement.cell_size(heatmap.raw.shape) for heatmap in heatmaps}
    sizes = sorted(f"{width:.0f} × {height:.0f}" for height, width in cells)
    size = " to ".join(sizes[:: max(1, len(sizes) - 1)])
    places = {place_words(heatmap.placement) for heatmap in heatmaps}
    place = f", {places.pop()}" if len(places) == 1 and "" not in places else ""
    words = f"{'each' if len(heatmaps) > 1 else 'this'} map’s own peak"
    ends = (f"against the class, −1 × {words}", f"for it, {words}") if signed else ("0", words)
    hatched = "Hatched: not seen by the model." if _is_partly_unseen(heatmaps[0]) else ""
    st.html(
        f'<p class="scale">{ends[0]} <i style="background: linear-gradient(to right, {stops})"></i> {ends[1]}'
        f"<span>One map cell = {size} px{place}.</span><span>{hatched}</span></p>"
    )


def _is_partly_unseen(heatmap: Heatmap) -> bool:
    top, left, bottom, right = heatmap.placement.seen()
    height, width = heatmap.placement.image_size
    return (bottom - top) * (right - left) < height * width
