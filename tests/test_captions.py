"""What exported pictures say about themselves, and that they look as displayed."""

import dataclasses
import json

import numpy as np
import pytest

from gradcam_core.checks.panel import Check, Trust
from gradcam_core.checks.thresholds import read_thresholds
from gradcam_core.exporters import (
    Drawing,
    ReportContents,
    archive,
    caption_lines,
    meaning_of_one,
    shared_peak,
    with_caption,
)
from gradcam_core.exporters.letters import REPLACEMENT
from gradcam_core.render import colour_heatmap, colour_table, outline_cells, overlay, picture_pixels
from pages.components.panels.displayed import Display
from pages.components.panels.downloads import _picture_file
from pages.components.viewer import DEFAULTS
from tests.test_exporters import HOSTILE, PERSON, decoded, explanation, heatmap, unpack


def test_a_caption_says_class_probability_model_layer_method_date_and_purpose() -> None:
    example = explanation(reference=f"file:/home/{PERSON}/{PERSON}.pth")
    lines = caption_lines(example, example.heatmaps[0])
    text = " ".join(lines)
    for part in (
        "cat (class 2)",
        "70.0",
        "Grad-CAM",
        "layer4.1",
        "cd" * 6,
        "ab" * 6,
        "2026-01-01",
        "not for diagnosis",
    ):
        assert part in text, part
    assert "window 40, 400 given to the model" in text
    assert PERSON not in text
    assert "\n" not in text


def test_the_colour_bar_says_what_one_stands_for() -> None:
    one, other = heatmap(raw=np.full((4, 4), 2.0)), heatmap(raw=np.full((4, 4), 5.0), index=3)
    example = explanation(one, other, heatmap("cam", raw=np.full((4, 4), 90.0)))
    assert meaning_of_one(one) == "this map's own peak (raw 2)"
    assert shared_peak(example, one) == 5, "raw values of other methods cannot be compared"
    assert meaning_of_one(one, 5.0) == "the highest peak of all maps (raw 5)"
    assert meaning_of_one(heatmap(raw=-np.ones((4, 4)))) == "no positive evidence"


@pytest.mark.parametrize("label", ["cat", HOSTILE, "猫", "long " * 60, "x" * 500])
@pytest.mark.parametrize("width", [800, 50])
def test_a_caption_stands_below_the_picture_and_changes_none_of_its_pixels(label: str, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, width, 3)).astype(np.uint8)
    example = explanation(heatmap(label=label), label=label)
    drawn = with_caption(pixels, caption_lines(example, example.heatmaps[0]), meaning="this map's own peak")
    times = drawn.shape[1] // width
    assert drawn.shape[1] >= 640
    assert np.array_equal(drawn[: 90 * times : times, ::times], pixels)
    below = drawn[90 * times :]
    assert (below < 100).all(axis=2).sum() > 1000, "there is no text"
    colours = {tuple(colour) for colour in colour_table("inferno")}
    assert len(colours & {tuple(colour) for colour in below.reshape(-1, 3)}) > 150, "there is no colour bar"


def test_a_shared_scale_and_a_threshold_are_followed() -> None:
    one = heatmap(raw=np.linspace(0, 1, 16).reshape(4, 4))
    example = explanation(one)
    table = colour_table("viridis")
    seen = ~np.isnan(one.values)
    halved = colour_heatmap(one, colormap="viridis", peak=2 * one.raw_peak)
    assert np.abs(halved[seen].astype(int) - table[np.rint(one.values[seen] / 2 * 255).astype(int)]).max() <= 3
    cut = colour_heatmap(one, colormap="viridis", threshold=0.5)
    assert (cut[seen & (one.values < 0.49)] == 0).all()
    assert (cut[seen & (one.values > 0.51)] > 0).any(axis=1).all()
    own = overlay(example.image, one, peak=one.raw_peak)
    assert np.array_equal(own, overlay(example.image, one))
    assert not np.array_equal(own, overlay(example.image, one, peak=2 * one.raw_peak))


def trust_of(one: object) -> Trust:
    check = Check("stable", "Is it {stable}?", "attention", "It moved by {0}.", {"moved": 0.5})
    return Trust(one, (check,), (10.0, 10.0), read_thresholds())  # type: ignore[arg-type]


def test_an_archive_follows_the_display_and_holds_the_outcomes_of_checks() -> None:
    first, second = heatmap(), heatmap(index=3)
    example = explanation(first, second)
    shown = dataclasses.replace(example.image, pixels=1 - example.image.pixels)
    display = {"scale": "shared", "display_window": {"level": 50.0, "width": 10.0, "invert": True}}
    drawing = Drawing(opacity=0.4, shown=shown, shared_scale=True, display=display)
    files = unpack(archive(example, ReportContents(drawing, checks={1: trust_of(second)})))
    record = json.loads(files["explanation.json"])
    assert record["drawing"] == {"opacity": 0.4, "threshold": 0.0, "colormap": "inferno", **display}
    assert (decoded(files["picture.png"]) == picture_pixels(shown)).all()
    peak = shared_peak(example, first)
    for entry, one in zip(record["heatmaps"], (first, second), strict=True):
        assert (decoded(files[entry["file"]]) == overlay(shown, one, opacity=0.4, peak=peak)).all()
    (checked,) = record["checks"]
    assert (checked["heatmap"], checked["checks"][0]["outcome"]) == (1, "attention")
    words = files["README.txt"].decode()
    assert "Is it {stable}? attention. It moved by {0}." in words
    captioned = unpack(archive(example, ReportContents(dataclasses.replace(drawing, captions=True))))
    assert decoded(captioned[record["heatmaps"][0]["file"]]).shape[1] >= 640


@pytest.mark.parametrize("size", [(3000, 3), (1, 30000), (30000, 1), (4, 4), (500, 639)])
def test_a_caption_never_makes_a_picture_much_larger(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 7, np.uint8)
    drawn = with_caption(pixels, ("cat (class 1) 90 %",))
    assert drawn.shape[1] >= 640
    assert drawn[0, 0].tolist() == [7, 7, 7]
    assert drawn.size <= 4 * 3 * (max(*size, 1300) + 300) * max(size[1], 1300)


def test_a_caption_says_through_which_window_the_picture_was_displayed() -> None:
    example = explanation(heatmap())
    window = {"level": 40.0, "width": 400.0, "invert": True}
    text = "\n".join(caption_lines(example, example.heatmaps[0], display_window=window))
    assert "Displayed with level 40, window 400, inverted. The model did not see it so." in text
    text = "\n".join(caption_lines(example, example.heatmaps[0], display_window={**window, "named": 1}))
    assert "Displayed with level 40, window 400, by table of greys 2 of the file, inverted." in text
    assert "Displayed" not in "\n".join(caption_lines(example, example.heatmaps[0]))
    drawn = with_caption(np.zeros((90, 800, 3), np.uint8), ("90.2\u202f% 7\u00a0%",))
    assert np.array_equal(drawn, with_caption(np.zeros((90, 800, 3), np.uint8), ("90.2 % 7 %",))), "no missing letters"


@pytest.mark.parametrize("text", ["结节与钙化", "лёгких", "Ακτινογραφία", "Łódź, Ệ", "흉부", "0.5 × 10⁻³ −2"])
def test_text_of_every_script_with_a_font_stands_in_pictures_and_none_is_cut(text: str) -> None:
    pixels = np.zeros((9, 700, 3), np.uint8)
    drawn = with_caption(pixels, (text * 30,))
    assert not np.array_equal(drawn, with_caption(pixels, (text[::-1] * 30,))), "each sign has its own shape"
    assert not np.array_equal(
        drawn, with_caption(pixels, ("".join(REPLACEMENT if s != " " else s for s in text) * 30,))
    )
    below = drawn[40:]
    assert (below[:, :5] > 250).all()
    assert (below[:, -5:] > 250).all(), "lines are as wide as computed"
    assert (below[-8:] > 250).all()
    assert (below < 100).any()


def test_what_one_stands_for_is_cut_visibly_where_it_has_no_room() -> None:
    drawn = with_caption(np.zeros((9, 640, 3), np.uint8), ("cat",), meaning="a long sentence " * 9)
    assert (drawn[:, -5:][9:] > 250).all()
    assert (drawn[9:35, 600:635] < 100).any()


@pytest.mark.parametrize("over", [True, False])
def test_one_heatmap_is_saved_as_it_is_displayed(over: bool) -> None:
    example = explanation(heatmap())
    shown = Display(example.image, {**DEFAULTS, "cells": True, "colormap": "viridis"}, None, None)
    drawn = overlay(example.image, example.heatmaps[0], colormap="viridis", opacity=0.6)
    drawn = outline_cells(
        drawn if over else colour_heatmap(example.heatmaps[0], colormap="viridis"), example.heatmaps[0]
    )
    captioned = decoded(_picture_file(example, example.heatmaps[0], shown, "x", over, True))
    lines = caption_lines(example, example.heatmaps[0])
    meaning = meaning_of_one(example.heatmaps[0])
    assert np.array_equal(captioned, with_caption(drawn, lines, colormap="viridis", meaning=meaning))
    files = unpack(_picture_file(example, example.heatmaps[0], shown, "x", over, False))
    assert np.array_equal(decoded(files["x.png"]), drawn)
    assert json.loads(files["x.json"])["caption"] == {"lines": list(lines), "one": meaning}
