"""Colours, overlay and veil, on hand-made heatmaps."""

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch

from gradcam_core.errors import GradcamError
from gradcam_core.explanation import explain
from gradcam_core.placement import Placement
from gradcam_core.records import Heatmap, ImageRecord
from gradcam_core.render import (
    COLOUR_MAPS,
    colour_heatmap,
    colour_table,
    heat_opacity,
    outline_cells,
    overlay,
    picture_pixels,
)
from tests import networks


@dataclass(frozen=True)
class Cat:
    index: int = 285
    label: str = "Egyptian cat"
    probability: float = 0.7

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs[:, self.index]


def photograph(height: int = 60, width: int = 90) -> ImageRecord:
    stored = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.float32)
    return ImageRecord(stored / np.float32(255), "ab" * 32, "cat.png", "PNG")


def heatmap_on(image: ImageRecord, raw: np.ndarray, box: tuple[float, float, float, float] | None = None) -> Heatmap:
    size = (image.height, image.width)
    placement = Placement(size, (224, 224), box or (0.0, 0.0, float(size[0]), float(size[1])))
    return Heatmap("grad_cam", {}, Cat(), "layer4", raw.astype(np.float32), placement)


def signed_map(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, 7))


def literal_overlay(image: ImageRecord, heatmap: Heatmap, opacity: float, threshold: float, name: str) -> np.ndarray:
    """Blend pixel by pixel, as the words say it."""
    table, values, drawn = colour_table(name), heatmap.values, np.empty((image.height, image.width, 3))
    for row in range(image.height):
        for column in range(image.width):
            value = float(values[row, column])
            x = min(value / 0.5, 1)
            share = opacity * (3 * x**2 - 2 * x**3) if value >= threshold else 0
            ground = image.pixels[row, column] * 255
            drawn[row, column] = (1 - share) * ground + share * table[round(value * 255)]
    return drawn


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_every_colour_table_has_256_rows_and_dark_to_bright_ends_that_differ(name: str) -> None:
    table = colour_table(name)
    assert table.shape == (256, 3)
    assert np.abs(table[0].astype(int) - table[255]).sum() > 100


def test_colour_tables_are_red_green_blue() -> None:
    assert colour_table("jet")[0].tolist() == [0, 0, 128]
    assert colour_table("cividis")[255].tolist() == pytest.approx([254, 232, 56], abs=4)
    assert colour_table("gray")[77].tolist() == [77, 77, 77]


@pytest.mark.parametrize("name", ["cividis", "viridis", "inferno", "gray"])
def test_the_honest_tables_grow_lighter_at_every_step(name: str) -> None:
    lightness = cv2.cvtColor(colour_table(name)[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert np.diff(lightness).min() >= -1
    assert lightness[-1] - lightness[0] > 100


def test_the_default_comes_first_and_the_misleading_one_last() -> None:
    assert next(iter(COLOUR_MAPS)) == "inferno"
    assert list(COLOUR_MAPS)[-1] == "jet"
    assert "mislead" in COLOUR_MAPS["jet"]


def test_an_unknown_colour_map_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(GradcamError, match="inferno, cividis, viridis, turbo, gray, jet"):
        colour_table("rainbow")


def test_opacity_rises_from_nothing_to_all_and_is_zero_below_the_threshold() -> None:
    values = np.linspace(0, 1, 101, dtype=np.float32)
    covered = heat_opacity(values, 0.8, 0.3)
    assert (covered[values < 0.3] == 0).all()
    assert (np.diff(covered[values >= 0.3]) >= 0).all()
    assert covered[-1] == pytest.approx(0.8)
    assert heat_opacity(np.array([0, np.nan, 0.25], np.float32), 1.0, 0.0).tolist() == [0, 0, 0.5]


@pytest.mark.parametrize(("opacity", "threshold"), [(1.2, 0), (-0.1, 0), (0.5, 2), (float("nan"), 0)])
def test_shares_outside_0_to_1_are_refused(opacity: float, threshold: float) -> None:
    image = photograph()
    with pytest.raises(GradcamError, match="from 0 to 1"):
        overlay(image, heatmap_on(image, signed_map()), opacity=opacity, threshold=threshold)


@pytest.mark.parametrize(("opacity", "threshold", "name"), [(0.6, 0, "cividis"), (1, 0.4, "turbo"), (0.3, 0.7, "gray")])
def test_an_overlay_equals_the_literal_blend(opacity: float, threshold: float, name: str) -> None:
    image = photograph()
    heatmap = heatmap_on(image, signed_map())
    drawn = overlay(image, heatmap, opacity=opacity, threshold=threshold, colormap=name)
    off = np.abs(drawn - literal_overlay(image, heatmap, opacity, threshold, name))
    assert off.max() <= 3
    assert off.mean() < 0.6


def test_nothing_changes_below_the_threshold_or_without_opacity() -> None:
    image = photograph()
    heatmap = heatmap_on(image, signed_map())
    cold = heatmap.values < 0.5
    assert (overlay(image, heatmap, threshold=0.5)[cold] == picture_pixels(image)[cold]).all()
    assert (overlay(image, heatmap, threshold=0.5)[~cold] != picture_pixels(image)[~cold]).any()
    assert (overlay(image, heatmap, opacity=0) == picture_pixels(image)).all()


def test_the_picture_is_shown_in_its_own_bytes() -> None:
    stored = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image = ImageRecord(stored.astype(np.float32) / np.float32(255), "ab" * 32, "ramp.png", "PNG")
    assert (picture_pixels(image) == stored).all()


def test_a_map_without_positive_evidence_leaves_the_picture_plain() -> None:
    image = photograph()
    for raw in (-np.abs(signed_map()), np.zeros((5, 7))):
        assert (overlay(image, heatmap_on(image, raw)) == picture_pixels(image)).all()


def test_what_the_model_did_not_see_is_darkened_and_hatched_and_nothing_else_is() -> None:
    image = photograph(200, 300)
    heatmap = heatmap_on(image, -np.ones((5, 7)), (0.0, 50.0, 200.0, 250.0))
    drawn, plain = overlay(image, heatmap), picture_pixels(image)
    unseen = np.isnan(heatmap.values)
    assert unseen.sum() == 200 * 100
    assert (drawn[~unseen] == plain[~unseen]).all()
    dark = np.abs(drawn[unseen] - 0.4 * plain[unseen]).max(axis=1) <= 1
    assert 0.7 < dark.mean() < 0.95
    lines = drawn[unseen][~dark].astype(int)
    assert (np.abs(lines - (0.28 * plain[unseen][~dark] + 76.5)) <= 1).all()


def test_the_veil_lies_over_a_warm_map_too_and_hatches_run_in_diagonals() -> None:
    image = ImageRecord(np.ones((80, 80, 3), np.float32), "ab" * 32, "white.png", "PNG")
    drawn = overlay(image, heatmap_on(image, np.ones((2, 2)), (40.0, 0.0, 80.0, 80.0)))
    assert set(np.unique(drawn[:40])) == {102, 148}
    assert (drawn[:39, 1:] == drawn[1:40, :-1]).all()
    assert len(np.unique(drawn[40:].reshape(-1, 3), axis=0)) == 1


def test_a_heatmap_alone_shows_the_tables_own_colours_and_hatching_where_unseen() -> None:
    image = photograph(100, 100)
    heatmap = heatmap_on(image, signed_map(), (20.0, 0.0, 100.0, 100.0))
    drawn, seen = colour_heatmap(heatmap, colormap="inferno"), ~np.isnan(heatmap.values)
    expected = colour_table("inferno")[np.rint(heatmap.values[seen] * 255).astype(int)]
    assert (drawn[seen] == expected).all()
    assert len(np.unique(drawn[~seen].reshape(-1, 3), axis=0)) == 2


def test_a_peak_too_small_to_divide_by_does_not_break_the_drawing() -> None:
    image = photograph()
    for raw in (np.full((5, 7), 1e-42), np.full((1, 1), 3.0)):
        assert overlay(image, heatmap_on(image, raw)).shape == (60, 90, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 5)])
def test_thin_pictures_are_drawn_too(size: tuple[int, int]) -> None:
    image = photograph(*size)
    for box in (None, (0.0, 0.0, 0.4, 0.4)):
        heatmap = heatmap_on(image, signed_map(), box)
        assert overlay(image, heatmap).shape == (*size, 3)
        assert colour_heatmap(heatmap).shape == (*size, 3)


def test_drawing_changes_neither_picture_nor_map() -> None:
    image = photograph()
    heatmap = heatmap_on(image, signed_map(), (0.0, 10.0, 60.0, 70.0))
    pixels, raw = image.pixels.copy(), heatmap.raw.copy()
    overlay(image, heatmap, threshold=0.3)
    colour_heatmap(heatmap)
    assert (image.pixels == pixels).all()
    assert (heatmap.raw == raw).all()


def test_a_map_with_both_signs_is_drawn_in_two_colours_by_its_size() -> None:
    image = photograph()
    raw = np.zeros((6, 9), np.float32)
    raw[1, 2], raw[4, 6] = 2.0, -4.0
    heatmap = dataclasses.replace(heatmap_on(image, raw), signed=True)
    assert heatmap.raw_size == 4
    values = heatmap.signed_values
    assert -1 <= values.min() < -0.85
    assert 0.4 < values.max() <= 0.5
    table = colour_table("diverging")
    shown = colour_heatmap(heatmap)
    np.testing.assert_array_equal(shown, table[np.rint((values + 1) / 2 * 255).astype(int)])
    against, beside = np.unravel_index(values.argmin(), values.shape), (0, image.width - 1)
    assert table[0][2] > table[0][0]  # against the class: blue
    assert table[255][0] > table[255][2]  # for it: orange
    drawn = overlay(image, heatmap, opacity=1)
    np.testing.assert_allclose(drawn[against].astype(int), table[round((values[against] + 1) / 2 * 255)], atol=3)
    np.testing.assert_array_equal(drawn[beside], np.rint(image.pixels[beside] * 255))
    assert (
        np.abs(overlay(image, heatmap, threshold=0.9).astype(int) - image.pixels * 255).max(axis=2)[values > 0].max()
        < 3
    )


def test_a_map_with_both_signs_and_nothing_in_it_leaves_the_picture_plain() -> None:
    image = photograph()
    heatmap = dataclasses.replace(heatmap_on(image, np.zeros((3, 3), np.float32)), signed=True)
    assert heatmap.state == "no evidence"
    np.testing.assert_array_equal(overlay(image, heatmap), np.rint(image.pixels * 255).astype(np.uint8))
    negative = dataclasses.replace(heatmap_on(image, -np.ones((3, 3), np.float32)), signed=True)
    assert negative.state == "ok"


def test_a_heatmap_is_laid_on_its_own_picture_only() -> None:
    image, model = networks.picture(), networks.loaded(networks.conv_net())
    heatmap = explain(image, model, top_k=1, methods="grad_cam").heatmaps[0]
    assert overlay(image, heatmap).shape == (image.height, image.width, 3)
    for other in (dataclasses.replace(image, sha256="1" * 64), networks.picture(20, 60)):
        with pytest.raises(GradcamError, match="another picture"):
            overlay(other, heatmap)


@pytest.mark.parametrize("box", [(0.0, 0.0, 60.0, 90.0), (-12.0, 15.0, 72.0, 75.0)])
def test_cells_are_outlined_on_their_borders_and_nowhere_else(box: tuple[float, float, float, float]) -> None:
    image = photograph()
    pixels = np.zeros((60, 90, 3), np.uint8)
    lines = outline_cells(pixels, heatmap_on(image, np.ones((3, 2)), box))[..., 0]
    top, left, bottom, right = box
    rows, columns = np.linspace(top, bottom, 4).astype(int), np.linspace(left, right, 3).astype(int)
    drawn_rows, drawn_columns = np.nonzero(lines)
    assert set(lines[lines > 0]) == {166}, "65 % white"
    assert (np.isin(drawn_rows, rows) | np.isin(drawn_columns, columns)).all()
    assert drawn_rows.min() >= max(top, 0)
    assert drawn_columns.min() >= left
    for column in columns[columns < 90]:
        assert 0.3 < (lines[max(int(top), 0) : min(int(bottom), 60), column] > 0).mean() < 0.6, "dashes"
    assert not pixels.any(), "the picture given is left as it is"
