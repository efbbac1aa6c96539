"""The trust panel: six checks of one heatmap, in words, one click away from any heatmap."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from gradcam_core import (
    Check,
    Explanation,
    GradcamError,
    Heatmap,
    LoadedModel,
    Preprocessing,
    Trust,
    shown_input,
    to_json,
    trust_to_dict,
)
from pages.components import cache
from pages.components.cache import Request
from pages.components.figures import data_url
from pages.components.panels import METHODS, plain, shortened, show_error
from pages.components.work import watched

CSS = Path(__file__).with_name("trust.css")
WORDS = {"passed": "Passed", "attention": "Look here", "not tested": "Not tested"}
SHOWN = {"matters": "the hottest area hidden", "edges": "that part hidden"}


def offer_trust(
    found: Explanation, loaded: LoadedModel, request: Request, changes: Mapping[str, Any], *, key: str
) -> None:
    """Offer the checks of each heatmap; show them once they were asked for."""
    st.header("Can I trust this heatmap?")
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"trust-bar-{key}"):
        place = _pick_heatmap(found, key)
        heatmap = found.heatmaps[place]
        asked = f"trust {place} {cache.identity(found.image, loaded, request)} {changes}"
        open_ones = st.session_state.setdefault("checked heatmaps", set())
        if st.button("Run six checks", key=f"check {key}", icon=":material/fact_check:"):
            open_ones.add(asked)
        st.caption(
            "Is it strong enough, learned, needed, stable, about this class; is a border being read? Takes seconds."
        )
    if asked not in open_ones:
        return
    try:
        checked = watched(asked, lambda work: cache.checked(asked, found, heatmap, loaded, changes, work))
    except GradcamError as error:
        show_error(error)
        return
    if checked is not None:
        show_checks(checked, found.preprocessing)
        _offer_record(checked, found, key)


def _pick_heatmap(found: Explanation, key: str) -> int:
    """Which heatmap to check: the classes as buttons, or a list where there is more than the class to choose."""
    places = range(len(found.heatmaps))
    only_classes = len({(one.method, one.layer) for one in found.heatmaps}) == 1
    if len(places) == 1:
        return 0
    if only_classes and len(places) <= 3:
        titles = [plain(shortened(one.target.label)) for one in found.heatmaps]
        name = f"trust of {key} {len(places)}"
        chosen = st.segmented_control(
            "Heatmap", places, default=0, format_func=titles.__getitem__, key=name, required=True
        )
        return int(chosen or 0)
    return int(
        st.selectbox("Heatmap", places, format_func=lambda place: _title(found.heatmaps[place]), key=f"trust of {key}")
    )


def _title(heatmap: Heatmap) -> str:
    where = "all layers fused" if heatmap.fusion else heatmap.layer or "model input"
    return f"{shortened(heatmap.target.label)} · {METHODS[heatmap.method].title} · {where}"


def show_checks(checked: Trust, preprocessing: Preprocessing) -> None:
    """Show the outcome, each check as a row with its sentence, and what always holds."""
    rows = "".join(_row(check, preprocessing) for check in checked.checks)
    always = " ".join(checked.always)
    limits = f"Thresholds: version {checked.thresholds.version}, {checked.thresholds.set}."
    st.html(
        f"<style>{CSS.read_text('utf-8')}</style>"
        f'<section class="trust"><p class="outcome">{html.escape(checked.outcome)}</p>'
        f"<ul>{rows}</ul><p>{html.escape(always)}</p>"
        f'<p class="limits">{html.escape(limits)}</p></section>'
    )


def _row(check: Check, preprocessing: Preprocessing) -> str:
    """One check as a row; whatever may hold a stranger's words is escaped."""
    picture = ""
    if check.shown is not None and check.outcome != "not tested":
        words = f"The model’s input with {SHOWN[check.name]}"
        picture = f'<img alt="{words}" title="{words}" src="{data_url(shown_input(check.shown, preprocessing))}">'
    return (
        f'<li class="{check.outcome.replace(" ", "-")}"><span class="mark">{WORDS[check.outcome]}</span>'
        f"<strong>{html.escape(check.question)}</strong><span>{html.escape(check.sentence)}</span>{picture}</li>"
    )


def _offer_record(checked: Trust, found: Explanation, key: str) -> None:
    stem = f"{found.image.sha256[:8]}-{found.fingerprint[:6]}-checks"
    parts = {"image": {"sha256": found.image.sha256}, "model": {"fingerprint": found.fingerprint}}
    st.download_button(
        "Checks, JSON",
        lambda: to_json(parts | trust_to_dict(checked)),
        f"{stem}.json",
        "application/json",
        key=f"download checks {key}",
        on_click="ignore",
        icon=":material/download:",
    )
