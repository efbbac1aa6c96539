"""Compare models (:material/difference:): two to four models on one picture: their answers, and where they look."""

import dataclasses

import streamlit as st

from pages.components.frame import frame

chosen = frame(__doc__, "Do the models agree?")
if chosen.image is None or chosen.model is None:
    st.stop()

from gradcam_core import GradcamError
from pages.components.comparison.choices import CLASS, METHOD, chosen_words, pick_others, show_empty
from pages.components.comparison.classes import pick_match, show_matching
from pages.components.comparison.downloads import offer_files
from pages.components.comparison.results import (
    show_answers,
    show_maps,
    show_numbers,
    show_seconds,
    show_verdict,
)
from pages.components.comparison.slides import slides_of
from pages.components.comparison.trust import offer_all_checks
from pages.components.comparison.work import Task, compared
from pages.components.pickers import fold_of
from pages.components.pickers.classes import pick_class
from pages.components.pickers.methods import pick_method
from pages.components.presenter.slides import offer_slides
from pages.components.words import show_error

left, right = st.columns([1.5, 2.1], vertical_alignment="bottom", gap="medium")
with left:
    models = pick_others(chosen.model)
if len(models) < 2:
    show_empty()
    st.stop()
with right, fold_of(chosen_words(chosen.model), key="models"):
    first, second = st.columns(2, vertical_alignment="top", gap="medium")
    with first:
        method = pick_method(chosen.model, (), key=METHOD)
    with second:
        target = pick_class(chosen.model, key=CLASS)
match = pick_match(models)

task = Task(chosen.image, models, method, target, match)
try:
    comparison = compared(task)
except GradcamError as error:
    show_error(error)
    st.stop()

show_verdict(comparison)
show_answers(comparison, models)
show_maps(comparison, models)
offer_slides(lambda: slides_of(comparison, task), key="models")
show_numbers(comparison)
show_matching(comparison, models)
checks = offer_all_checks(comparison, task)
show_seconds(comparison)
offer_files(dataclasses.replace(comparison, checks=checks))
