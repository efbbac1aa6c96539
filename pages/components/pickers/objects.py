"""Pick a detector's objects or a segmenter's regions: from a list, or by a click on the picture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from gradcam_core import GradcamError, ImageRecord, LoadedModel, Prediction, amount_of
from pages.components import audited
from pages.components.analysis import cache
from pages.components.analysis.requests import digest, model_key
from pages.components.analysis.work import watched
from pages.components.panels.heatmaps import PICTURE_PANEL, show_panels
from pages.components.session import choose, kept, value_of
from pages.components.words import shortened, show_error

MOST_PICKED = 5
ABOUT = {"class": "Its class", "place": "Its place"}
EDGES = ("left", "top", "right", "bottom")
PLACE = "segment:@"
NOTHING = {
    "detection": "The model finds no object in this picture. Choose a picture with an object that it knows.",
    "segmentation": "The model paints no region in this picture.",
}
Chosen = int | str


@dataclass(frozen=True)
class Picks:
    """What a model finds in a picture, and which of it is to be explained: a target each, as `explain` takes them.

    `titles` holds the name of each; of regions they are classes, and places that were clicked.
    """

    key: str
    predictions: tuple[Prediction, ...]
    titles: Mapping[Chosen, str]
    picked: tuple[Chosen, ...]
    targets: tuple[Chosen, ...]
    are_objects: bool

    def panel(self, explained: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The picture for the viewer: with the objects on it, or with the outlines of the panels that are explained."""
        if not self.are_objects:
            return PICTURE_PANEL | {"outlines": [line for panel in explained for line in panel["outlines"]]}
        marks = [
            {"id": id, "label": title, "score": prediction.probability, "box": _rounded(prediction), "picked": picked}
            for (id, title), prediction in zip(self.titles.items(), self.predictions, strict=False)
            for picked in [id in self.picked]
        ]
        return PICTURE_PANEL | {"marks": marks}

    def take(self, clicked: Any, seen: tuple[int, int, int, int], picture: str) -> None:
        """Pick what was clicked on the picture; an object that was the only one is put back."""
        if not isinstance(clicked, Mapping) or clicked.get("picture") != picture:
            return
        chosen = self._object(clicked) if self.are_objects else _place(clicked, seen)
        if chosen is None:
            return
        choose(self.key, [] if self.picked == (chosen,) else [chosen])
        st.rerun()

    def _object(self, clicked: Mapping[str, Any]) -> Chosen | None:
        mark = clicked.get("mark")
        return mark if isinstance(mark, str) and mark in self.titles else None


def pick_objects(image: ImageRecord, model: LoadedModel, top: int) -> Picks | None:
    """Pick up to five objects or regions; none stands for the `top` first ones. None where the model finds nothing."""
    name = digest([image.identity, model_key(model)])
    predictions = watched(f"objects {name}", lambda work: cache.predicted(image, model, name))
    try:
        audited.note_predictions(f"objects {name}", image, model, predictions or ())
    except GradcamError as error:
        show_error(error)
        return None
    if not predictions:
        if predictions is not None:
            st.info(NOTHING[model.task])
            show_panels(image, [PICTURE_PANEL], "explain", chosen=True)
        return None
    are_objects, key = model.task == "detection", f"picked {name}"
    titles = _titles(predictions, value_of(key, []), are_objects)
    with st.container(horizontal=True, vertical_alignment="bottom", key="objects"):
        picked = st.multiselect(
            "Objects" if are_objects else "Regions",
            list(titles),
            format_func=lambda each: titles.get(each, str(each)),
            **kept(key, [], titles, most=MOST_PICKED),
            max_selections=MOST_PICKED,
            select_all=False,
            filter_mode="contains",
            wrap=True,
            placeholder=f"The first {min(top, len(predictions))}; click one on the picture, or choose it here",
        )
        place = are_objects and _about_place(bool(picked))
    targets = [f"{each}:{edge}" for each in picked for edge in EDGES] if place else picked
    return Picks(key, predictions, titles, tuple(picked), tuple(targets), are_objects)


def _about_place(can: bool) -> bool:
    """Whether the heatmaps are about the objects' edges instead of their class."""
    about = st.segmented_control(
        "What is explained",
        list(ABOUT),
        format_func=ABOUT.get,
        required=True,
        disabled=not can,
        help="*Its class*: what raises the object's score. *Its place*: what moves each edge of its box outwards.",
        **kept("about objects", "class", ABOUT),
    )
    return can and about == "place"


def _titles(predictions: tuple[Prediction, ...], picked: list[Chosen], are_objects: bool) -> dict[Chosen, str]:
    words = [f"{shortened(each.label)} {amount_of(each)}" for each in predictions]
    if are_objects:
        return {f"box:{number}": f"{number} · {title}" for number, title in enumerate(words)}
    places = [each for each in picked if isinstance(each, str) and each.startswith(PLACE)]
    titles: dict[Chosen, str] = {each.index: title for each, title in zip(predictions, words, strict=True)}
    return titles | {place: _place_title(place) for place in places}


def _place_title(place: str) -> str:
    """The place as the viewer reads it under the pointer: whole pixels."""
    x, y = (math.floor(float(part)) for part in place.removeprefix(PLACE).split(","))
    return f"The region at x {x}, y {y}"


def _rounded(prediction: Prediction) -> list[float]:
    return [round(side, 2) for side in prediction.box or ()]


def _place(clicked: Mapping[str, Any], seen: tuple[int, int, int, int]) -> Chosen | None:
    """The region at a clicked place; None where the model did not look."""
    x, y = clicked.get("x"), clicked.get("y")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in (x, y)):
        return None
    top, left, bottom, right = seen
    if not (left <= x < right and top <= y < bottom):
        st.toast("The model did not look at this place.", icon=":material/visibility_off:")
        return None
    return f"{PLACE}{math.floor(x) + 0.5:g},{math.floor(y) + 0.5:g}"
