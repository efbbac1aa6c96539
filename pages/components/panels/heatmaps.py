"""Show an explanation: its headline, its notes, and its heatmaps in the viewer."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from gradcam_core import (
    Explanation,
    Heatmap,
    ImageRecord,
    LayerInfo,
    LoadedModel,
    amount_of,
    display_words,
    list_methods,
    percent,
    what_it_reads,
)
from pages.components import session, windows
from pages.components.frame import note_shown
from pages.components.frame.sidebar import choose_frame
from pages.components.viewer import DEFAULTS, Settings, checked_window, viewer
from pages.components.viewer.encoding import colours_of, panel_of, picture_of
from pages.components.words import NO_BREAK, plain, shortened

if TYPE_CHECKING:
    from pages.components.pickers.objects import Picks

METHODS = {method.name: method for method in list_methods()}
PICTURE_PANEL = {"id": "picture", "kind": "picture", "title": "Picture", "probability": None, "subtitle": ""}
UNSURE, SEEN_LITTLE = 0.5, 0.99


def show_notes(explanation: Explanation) -> None:
    """Say whether model and picture match at all, and what was done to both that a reader should know."""
    if explanation.unsuited:
        st.warning(plain(" ".join(explanation.unsuited)), icon=":material/warning:")
    notes = [plain(note) for note in explanation.notes if note not in explanation.unsuited]
    if window := windows.window_of(explanation.image):
        inverted = ", and not inverted" if window["invert"] else ""
        notes.append(f"{plain(display_words(window))} The model saw the picture without this window{inverted}.")
    if notes:  # one paragraph: each of its own would push the heatmaps down
        st.caption(" ".join(notes))


def show_headline(explanation: Explanation) -> None:
    """Say in one sentence what the model answers, and how sure it is."""
    st.markdown(answer_sentence(explanation))
    doubts = doubts_of(explanation)
    if doubts or not explanation.notes:  # a line even without doubts, so that the heatmaps below stay where they are
        st.caption(" ".join(doubts) or "\u00a0")
    show_notes(explanation)


def answer_sentence(explanation: Explanation) -> str:
    """What the model answers: its top classes, its most probable findings with their thresholds, or its numbers."""
    outputs, predictions = explanation.outputs, explanation.predictions[:3]
    if not predictions:
        alike = {each.target.label: amount_of(each.target) for each in explanation.heatmaps if each.target.index < 0}
        words = ", ".join(f"**{plain(shortened(label))} {amount}**" for label, amount in alike.items())
        return words or f"The model gives {outputs.words}."
    if outputs.has_findings:
        words = ", ".join(map(_finding_words, predictions))
        return words if outputs.task == "binary" else f"Most probable findings: {words}"
    answers = [f"{plain(shortened(each.label))} {amount_of(each)}" for each in predictions]
    if outputs.task == "regression":
        return ", ".join(f"**{answer}**" for answer in answers)
    if outputs.has_places:
        what = "Objects found" if outputs.task == "detection" else "Regions"
        return f"{what}: {', '.join([f'**{answers[0]}**', *answers[1:]])}"
    return f"Top answer{'s' if len(answers) > 1 else ''}: {', '.join([f'**{answers[0]}**', *answers[1:]])}"


def _finding_words(prediction: Any) -> str:
    words = f"{plain(shortened(prediction.label))} {amount_of(prediction)}"
    return f"**{words} (present)**" if prediction.present else f"{words} (absent)"


def doubts_of(explanation: Explanation) -> list[str]:
    """Sentences on how far to doubt the answers: the model is unsure, or saw only a part of the picture."""
    doubts = []
    one_class = explanation.outputs.task == "single_label"  # independent findings do not compete
    if one_class and explanation.predictions[0].probability < UNSURE and len(explanation.predictions) > 1:
        doubts.append(f"The model is unsure: no answer reaches 50{NO_BREAK}%.")
    share = explanation.placement.seen_share
    if share < SEEN_LITTLE:
        cropped = f"{100 * (1 - share):.0f}{NO_BREAK}%"
        doubts.append(
            f"{cropped} of this picture was cropped away; *What the model sees* can show the model all of it."
        )
    return doubts


def show_heatmaps(
    explanation: Explanation, *, key: str, by_method: bool = False, picks: Picks | None = None
) -> Settings:
    """Show the picture and its heatmaps, linked; return how they are displayed at the moment.

    With `picks`, a click on an object or a region chooses what is explained.
    """
    columns = None
    classes = by_class(as_shown(explanation))
    heatmaps = [heatmap for group in classes for heatmap in group]
    several_layers = len({heatmap.layer for heatmap in heatmaps}) > 1
    fusions = [heatmap.fusion for heatmap in heatmaps if heatmap.fusion]
    repeated = len(fusions) > 1
    panels = [_panel(heatmap, by_method, several_layers, repeated) for heatmap in heatmaps]
    if by_method or (several_layers and len(classes) > 1):  # a row for each class
        columns = len(heatmaps) // len(classes)
    else:
        panels.insert(0, picks.panel(panels) if picks else PICTURE_PANEL)
    places = picks is not None and not picks.are_objects
    result = show_panels(explanation.image, panels, key, chosen=True, columns=columns, places=places)
    if repeated:  # said once, and not under each of them
        st.caption(f"All layers fused: {plain(fusions[0])}.")
    if picks:
        picks.take(result["picked"], explanation.placement.seen(), picture_of(explanation.image)["key"])
    return display()


def shown_places(explanation: Explanation) -> list[int]:
    """The positions of the heatmaps to read: of an object the fused one, as it lies on few levels of a pyramid."""
    heatmaps = explanation.heatmaps
    fused = [place for place, heatmap in enumerate(heatmaps) if heatmap.fusion]
    return fused if fused and explanation.outputs.task == "detection" else list(range(len(heatmaps)))


def as_shown(explanation: Explanation) -> Explanation:
    """The explanation with the heatmaps to read alone."""
    heatmaps = tuple(explanation.heatmaps[place] for place in shown_places(explanation))
    return dataclasses.replace(explanation, heatmaps=heatmaps)


def display() -> Settings:
    """How heatmaps are displayed at the moment: opacity, threshold, colours, view, scale."""
    settings: Settings = st.session_state.get("display", DEFAULTS)
    return settings


def show_panels(
    image: ImageRecord, panels: list[dict[str, Any]], key: str, *, chosen: bool = False, **layout: Any
) -> dict[str, Any]:
    """Put the panels into the viewer, with the display that is kept over pages, and the picture's own window.

    `chosen` says that the picture is the one of the sidebar: the viewer then leads to the ones beside it, and can
    give the model the window of the display.
    """
    start = time.perf_counter()
    picture = picture_of(image)
    st.session_state["encoding seconds"] = time.perf_counter() - start
    result = viewer(
        picture,
        panels,
        colours=colours_of(),
        settings=display(),
        key=f"viewer {key}",
        window=windows.window_of(image),
        chosen=session.place_in_list() if chosen else None,
        **layout,
    )
    st.session_state.display = {name: result[name] for name in DEFAULTS}
    changed = result["window"] != windows.window_of(image)
    windows.keep_window(image, result["window"])
    if chosen:
        _follow(image, result, picture["key"])
    if changed:  # the notes above say through which window the picture is displayed
        st.rerun()
    note_shown()
    return result


def _follow(image: ImageRecord, result: dict[str, Any], picture: str) -> None:
    """Go to another picture, or give the model another window, where that was clicked."""
    wanted = result["model_window"]
    if isinstance(result["turn"], int) and session.choose_at(result["turn"]):
        st.rerun()
    rested = result["frame"]
    if isinstance(rested, Mapping) and rested.get("picture") == picture and choose_frame(image, rested["frame"]):
        st.rerun()
    if isinstance(wanted, Mapping) and wanted.get("picture") == picture:
        window = checked_window(wanted)
        windows.give_window(image, None if window is None else (window["level"], window["width"]))
        st.rerun()


def show_strip(explanation: Explanation, model: LoadedModel, *, key: str) -> tuple[Settings, str]:
    """Show one class's heatmaps from layer to layer in a row; return the display and the layer that was clicked."""
    infos = {layer.name: layer for layer in model.layers}
    target = explanation.heatmaps[0].target
    share = amount_of(target)
    st.markdown(f"**{plain(target.label)}**, {share}, from the first layers to the last, then all of them fused.")
    panels = [_layer_panel(heatmap, infos, model.default_layer) for heatmap in explanation.heatmaps]
    clicked = show_panels(explanation.image, panels, key, chosen=True, strip=True, selectable=True)["selected"]
    return display(), clicked if isinstance(clicked, str) and clicked in infos else ""


def _layer_panel(heatmap: Heatmap, infos: Mapping[str, LayerInfo], recommended: str) -> dict[str, Any]:
    rows, columns = heatmap.raw.shape
    height, width = heatmap.placement.cell_size((rows, columns))
    cells = f"{columns} × {rows} cells of {width:.0f} × {height:.0f} px"
    if heatmap.layer not in infos:
        return panel_of(heatmap, id="fused", title="All fused", subtitle=cells, note=heatmap.fusion)
    words = f"{cells} · recommended" if heatmap.layer == recommended else cells
    return panel_of(heatmap, id=heatmap.layer, title=heatmap.layer, subtitle=words, note=draft_words(heatmap))


def by_class(explanation: Explanation) -> list[list[Heatmap]]:
    """The heatmaps of each class, the classes in their own order."""
    groups: dict[tuple[int, str], list[Heatmap]] = {}
    for heatmap in explanation.heatmaps:
        groups.setdefault((heatmap.target.index, heatmap.target.label), []).append(heatmap)
    return list(groups.values())


def _panel(heatmap: Heatmap, by_method: bool, several_layers: bool, repeated: bool) -> dict[str, Any]:
    title = METHODS[heatmap.method].title
    subtitle = title if by_method else f"{title} · {layer_title(heatmap)}" if several_layers else ""
    notes = [words for words in ("" if repeated else heatmap.fusion, draft_words(heatmap)) if words]
    return panel_of(
        heatmap,
        id=f"{heatmap.method}/{panel_class(heatmap)}/{heatmap.layer}",
        subtitle=subtitle,
        note="; ".join(notes),
    )


def panel_class(heatmap: Heatmap) -> str:
    """What tells the heatmaps of one class from those of another, and of what lowers it."""
    target = heatmap.target
    own = getattr(target, "box", "") if target.index >= 0 else f" {target.label}"  # a text is no class
    return f"{'-' if hasattr(target, 'class_label') else ''}{target.index}{own}"


def layer_title(heatmap: Heatmap) -> str:
    """The layer of a heatmap, in words."""
    return "all layers fused" if heatmap.fusion else heatmap.layer or what_it_reads(heatmap.method).removeprefix("the ")


def heatmap_title(heatmap: Heatmap) -> str:
    """A heatmap's class, method and layer in one line."""
    return f"{shortened(heatmap.target.label)} · {METHODS[heatmap.method].title} · {layer_title(heatmap)}"


def draft_words(heatmap: Heatmap) -> str:
    """What makes a heatmap a draft, where it is one."""
    share = heatmap.options.get("share", 1)
    return f"Draft: from the most varied {percent(share, 0)} of the channels" if share < 1 else ""
