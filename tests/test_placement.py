"""From the map's cells back to the picture's own pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcam_core.placement import Centres, Placement, on_common_grid, resample
from gradcam_core.preprocess import prepare
from gradcam_core.records import Preprocessing
from tests import networks
from tests.papers import value_at

SIDES = st.integers(1, 40)
CELLS = st.integers(1, 9)


def whole(height: int, width: int) -> Placement:
    return Placement((height, width), (32, 32), (0.0, 0.0, float(height), float(width)))


def looked_at(length: int, start: float, stop: float) -> list[int]:
    """Pixels whose centre lies in the box; where it holds none, the pixel in the middle of what it holds."""
    inside = [pixel for pixel in range(length) if start <= pixel + 0.5 <= stop]
    start, stop = max(start, 0.0), min(stop, float(length))
    return inside or ([math.floor((start + stop) / 2)] if start < stop else [])


def twin(placement: Placement, grid: np.ndarray) -> np.ndarray:
    """Pixel by pixel: where does its centre fall between the centres of the cells? The input has 32 pixels a side."""
    (height, width), (top, left, bottom, right) = placement.image_size, placement.box
    heat = np.full((height, width), np.nan)
    for y in looked_at(height, top, bottom):
        for x in looked_at(width, left, right):
            value, places = 0.0, []
            for centre, start, stop, cells, beside in (
                (y + 0.5, top, bottom, grid.shape[0], placement.centres.offset[0]),
                (x + 0.5, left, right, grid.shape[1], placement.centres.offset[1]),
            ):
                at = (centre - start) / (stop - start) * cells - 0.5 - beside * cells / 32
                at = min(max(at, 0.0), cells - 1.0)
                low = min(math.floor(at), cells - 1)
                places.append((low, min(low + 1, cells - 1), at - low))
            (r0, r1, down), (c0, c1, across) = places
            value += (1 - down) * ((1 - across) * grid[r0, c0] + across * grid[r0, c1])
            value += down * ((1 - across) * grid[r1, c0] + across * grid[r1, c1])
            heat[y, x] = value
    return heat


@given(SIDES, SIDES, CELLS, CELLS, st.integers(0, 1000))
def test_a_whole_picture_is_filled_like_torchs_bilinear_interpolation(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    grid = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None, None], (height, width), mode="bilinear", align_corners=False
    )[0, 0]
    ours = whole(height, width).restore(grid)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
    np.testing.assert_array_equal(resample(grid, (height, width)), ours)


@settings(max_examples=150)
@given(
    SIDES,
    SIDES,
    CELLS,
    CELLS,
    st.tuples(st.floats(-20, 30), st.floats(-20, 30), st.floats(1, 60), st.floats(1, 60)),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    st.integers(0, 1000),
)
def test_any_box_is_filled_like_the_twin_and_empty_just_where_nothing_was_seen(
    height: int,
    width: int,
    rows: int,
    columns: int,
    box: tuple[float, float, float, float],
    offset: tuple[float, float],
    seed: int,
) -> None:
    top, left, tall, wide = (round(value * 8) / 8 for value in box)
    placement = Placement((height, width), (32, 32), (top, left, top + tall, left + wide), Centres(offset))
    grid = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    ours, expected = placement.restore(grid), twin(placement, grid)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    first_row, first_column, last_row, last_column = placement.seen()
    seen = np.zeros((height, width), bool)
    seen[first_row:last_row, first_column:last_column] = True
    np.testing.assert_array_equal(seen, ~np.isnan(expected))


@given(SIDES, SIDES, CELLS, CELLS, st.integers(0, 1000))
def test_values_stay_within_the_maps_own(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    grid = np.random.default_rng(seed).uniform(0, 1, (rows, columns)).astype(np.float32)
    grid /= grid.max()
    heat = whole(height, width).restore(grid)
    assert heat.max() <= 1
    assert heat.min() >= 0
    np.testing.assert_allclose(whole(height, width).restore(np.ones_like(grid)), 1, atol=1e-6)


def test_on_the_input_the_cells_lie_where_they_lie_on_the_picture() -> None:
    grid = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    placement = Placement((32, 40), (32, 40), (0.0, 0.0, 32.0, 40.0), Centres((-4.0, 3.0)))
    np.testing.assert_array_equal(placement.on_input(grid), placement.restore(grid))
    larger = Placement((64, 80), (32, 40), (0.0, 0.0, 64.0, 80.0), Centres((-4.0, 3.0), (1.0, None)))
    assert larger.cell_offset == (-8, 6)
    assert larger.cell_known_to == (2, None)


def test_pixels_on_the_very_edge_count_as_seen() -> None:
    edge = Placement((4, 6), (8, 8), (0.5, 1.5, 3.5, 4.5))
    heat = edge.restore(np.ones((2, 2), np.float32))
    assert edge.seen() == (0, 1, 4, 5)
    assert not np.isnan(heat[:, 1:5]).any()
    assert np.isnan(heat[:, [0, 5]]).all()


def test_a_cells_size_is_told_in_picture_pixels() -> None:
    assert Placement((300, 600), (224, 224), (0.0, 150.0, 300.0, 450.0)).cell_size((7, 7)) == (300 / 7, 300 / 7)
    assert whole(300, 600).cell_size((7, 7)) == (300 / 7, 600 / 7)


FITS = {
    "model": {"fit": "model", "resize": (72, 72)},
    "model, border": {"fit": "model", "crop_mode": "border", "resize": (72, 72)},
    "model, squash": {"fit": "model", "crop_mode": "squash", "resize": (72, 72)},
    "crop": {"fit": "crop"},
    "squash": {"fit": "squash"},
    "letterbox": {"fit": "letterbox"},
}


@pytest.mark.parametrize("fit", FITS)
@settings(max_examples=60)
@given(st.integers(30, 200), st.integers(30, 200), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_what_is_bright_in_the_picture_is_hot_in_the_heatmap(
    fit: str, height: int, width: int, down: float, across: float, deep: bool
) -> None:
    preprocessing: Preprocessing = networks.plain(64, **FITS[fit])
    values = np.zeros((height, width, 3), np.uint8)
    side = max(2, min(height, width) // 6)
    top, left = round(down * (height - side)), round(across * (width - side))
    values[top : top + side, left : left + side] = 255
    bits = 16 if deep else 8
    array, placement = prepare(networks.record(values, bits), preprocessing)
    dark, _ = prepare(networks.record(np.zeros_like(values), bits), preprocessing)
    grid = (array - dark).mean(axis=0).reshape(8, 8, 8, 8).mean(axis=(1, 3))  # what an 8 x 8 map would hold
    heat = placement.restore(grid)
    centre = (top + (side - 1) / 2, left + (side - 1) / 2)
    first_row, first_column, last_row, last_column = placement.seen()
    if not (first_row <= top and top + side <= last_row and first_column <= left and left + side <= last_column):
        return  # cut away, at least in part: nothing to compare
    peak = np.unravel_index(np.nanargmax(heat), heat.shape)
    for found, true, cell in zip(peak, centre, placement.cell_size((8, 8)), strict=True):
        assert abs(found - true) <= cell + side / 2


def test_maps_of_several_layers_meet_where_their_cells_look() -> None:
    generator = np.random.default_rng(0)
    fine, coarse = (generator.random((side, side), np.float32) for side in (16, 4))
    box = (0.0, 0.0, 64.0, 64.0)
    placements = [
        Placement((64, 64), (64, 64), box, Centres(offset, known))
        for offset, known in (((-1.5, 2.0), (1.0, None)), ((-7.0, 5.0), (3.0, 2.0)))
    ]
    (same, moved), common = on_common_grid([fine, coarse], placements)
    np.testing.assert_array_equal(same, fine)
    assert common.centres == Centres((-1.5, 2.0), (3.0, None))
    for row, column in ((5, 6), (9, 3), (12, 11)):
        y, x = 4 * row + 2 - 1.5, 4 * column + 2 + 2.0
        assert moved[row, column] == pytest.approx(value_at(coarse.tolist(), box, y, x, (-7.0, 5.0)), abs=1e-5)
