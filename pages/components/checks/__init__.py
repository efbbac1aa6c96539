"""The checks of one heatmap, in words, one click away from any heatmap."""

import html
from pathlib import Path

import streamlit as st

from gradcam_core import (
    Check,
    Explanation,
    GradcamError,
    Preprocessing,
    Trust,
    list_checks,
    shown_input,
    to_json,
    trust_to_dict,
)
from pages.components import audited, session
from pages.components.analysis import cache
from pages.components.analysis.requests import Analysis
from pages.components.analysis.work import watched
from pages.components.panels.downloads import download, stem_of
from pages.components.panels.figures import data_url
from pages.components.panels.heatmaps import heatmap_title, shown_places
from pages.components.words import plain, shortened, show_error

CSS = Path(__file__).with_name("checks.css")
WORDS = {"passed": "Passed", "attention": "Look here", "not tested": "Not tested"}


def offer_checks(explanation: Explanation, analysis: Analysis, *, key: str) -> None:
    """Offer the checks of each heatmap; show them after a click."""
    st.header("Can I trust this heatmap?")
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"trust-bar-{key}"):
        place = _pick_heatmap(explanation, key)
        name = f"{analysis.key} {place}"
        opened = st.session_state.setdefault("checked heatmaps", set())
        if st.button("Run the checks", key=f"check {key}", icon=":material/fact_check:"):
            opened.add(name)
        st.caption(f"{len(list_checks())} tests of this heatmap, about 10 seconds.")
    if name not in opened:
        return
    try:
        checked = watched(f"checks {name}", lambda work: cache.checked(analysis, explanation, place, work))
        if checked is not None:
            audited.note_checks(f"checks {name}", explanation, checked)
    except GradcamError as error:
        show_error(error)
        return
    if checked is not None:
        if explanation.unsuited:
            st.warning(plain(" ".join(explanation.unsuited)), icon=":material/warning:")
        show_checks(checked, explanation.preprocessing)
        _offer_record(checked, explanation, key)


def outcomes(explanation: Explanation, analysis: Analysis) -> dict[int, Trust]:
    """The checks that this session ran on this explanation, by the heatmap's position."""
    names = {place: f"{analysis.key} {place}" for place in range(len(explanation.heatmaps))}
    opened = st.session_state.get("checked heatmaps", set())
    return {
        place: cache.checked(analysis, explanation, place, None)
        for place, name in names.items()
        if name in opened and name in cache.CHECKS
    }


def _pick_heatmap(explanation: Explanation, key: str) -> int:
    """Pick which heatmap to check: the classes as buttons, or a list where there is more than the class to pick."""
    heatmaps = explanation.heatmaps
    places = shown_places(explanation)
    only_classes = len({(heatmaps[place].method, heatmaps[place].layer) for place in places}) == 1
    if len(places) == 1:
        return places[0]
    kept = session.kept(f"trust of {key}", places[0], places)
    if only_classes and len(places) <= 3:
        titles = {place: plain(shortened(heatmaps[place].target.label)) for place in places}
        place = st.segmented_control("Heatmap", places, format_func=titles.__getitem__, required=True, **kept)
        return int(places[0] if place is None else place)
    return int(st.selectbox("Heatmap", places, format_func=lambda place: heatmap_title(heatmaps[place]), **kept))


def show_checks(checked: Trust, preprocessing: Preprocessing) -> None:
    """Show the outcome, each check as a row with its sentence, and what is always true."""
    rows = "".join(_row(check, preprocessing) for check in checked.checks)
    always = " ".join(checked.always)
    limits = f"Thresholds v{checked.thresholds.version}, set on {checked.thresholds.set}."
    st.html(
        f"<style>{CSS.read_text('utf-8')}</style>"
        f'<section class="trust"><p class="outcome">{html.escape(checked.outcome)}</p>'
        f"<ul>{rows}</ul><p>{html.escape(always)}</p>"
        f'<p class="limits">{html.escape(limits)}</p></section>'
    )


def _row(check: Check, preprocessing: Preprocessing) -> str:
    """One check as a row; text from outside is escaped."""
    picture = ""
    if check.shown is not None and check.outcome != "not tested":
        words = f"The model’s input with {check.shown_words}"
        picture = f'<img alt="{words}" title="{words}" src="{data_url(shown_input(check.shown, preprocessing))}">'
    return (
        f'<li class="{check.outcome.replace(" ", "-")}"><span class="mark">{WORDS[check.outcome]}</span>'
        f"<strong>{html.escape(check.question)}</strong><span>{html.escape(check.sentence)}</span>{picture}</li>"
    )


def _offer_record(checked: Trust, explanation: Explanation, key: str) -> None:
    parts = {"image": {"sha256": explanation.image.sha256}, "model": {"fingerprint": explanation.fingerprint}}
    download(
        "Checks, JSON",
        lambda: to_json(parts | trust_to_dict(checked)),
        f"{stem_of(explanation)}-checks.json",
        "application/json",
        key,
    )
