"""Where the model input lies on the picture, and back: map cells -> original pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcam_core.shapes import Heat, Map


@dataclass(frozen=True, slots=True)
class Centres:
    """How far (down, right) a layer's cells look beside where they tile the input evenly, in input pixels.

    `known_to` is the uncertainty in input pixels: None where it could not be measured, 0 where there is nothing to
    measure (patches, and maps of the input itself). What could not be measured is not moved.
    """

    offset: tuple[float, float] = (0.0, 0.0)
    known_to: tuple[float | None, float | None] = (0.0, 0.0)


EVEN, UNMEASURED = Centres(), Centres(known_to=(None, None))


@dataclass(frozen=True, slots=True)
class Placement:
    """The part of the picture that fills the model input.

    `box` is (top, left, bottom, right) in picture pixels, as floats. A crop lies inside the
    picture; a letterbox reaches beyond it, and what lies beyond is padding. `centres` are those of the map's cells.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    box: tuple[float, float, float, float]
    centres: Centres = EVEN

    def restore(self, grid: Map) -> Heat:
        """Lay a map [h w] on the picture's pixels [H W] by bilinear interpolation.

        A cell's value holds at the cell's centre; beyond the outermost centres it stays constant.
        Pixels whose centre the model never saw are NaN.
        """
        top, left, bottom, right = self.box
        down, across = self.cell_offset
        rows = _weights(self.image_size[0], grid.shape[0], top, bottom, down)
        columns = _weights(self.image_size[1], grid.shape[1], left, right, across)
        heat: Heat = rows @ grid.astype(np.float32) @ columns.T
        return heat

    def on_input(self, grid: Map) -> Heat:
        """Lay a map [h w] on the input's pixels [Hin Win], as `restore` lays it on the picture's."""
        box = (0.0, 0.0, float(self.input_size[0]), float(self.input_size[1]))
        return Placement(self.input_size, self.input_size, box, self.centres).restore(grid)

    @property
    def cell_offset(self) -> tuple[float, float]:
        """How far (down, right) the cells' centres lie beside those of an even tiling, in picture pixels."""
        down, across = self._scale
        return self.centres.offset[0] * down, self.centres.offset[1] * across

    @property
    def cell_known_to(self) -> tuple[float | None, float | None]:
        """How closely (down, right) the cells' places are known, in picture pixels; None where not measured."""
        down, across = (
            None if pixels is None else pixels * scale
            for pixels, scale in zip(self.centres.known_to, self._scale, strict=True)
        )
        return down, across

    @property
    def _scale(self) -> tuple[float, float]:
        """Height and width, in picture pixels, of one pixel of the input."""
        top, left, bottom, right = self.box
        return (bottom - top) / self.input_size[0], (right - left) / self.input_size[1]

    def cell_size(self, grid: tuple[int, int]) -> tuple[float, float]:
        """Height and width, in picture pixels, of one cell of a map of this size (h, w)."""
        top, left, bottom, right = self.box
        return (bottom - top) / grid[0], (right - left) / grid[1]

    @property
    def padded(self) -> bool:
        """Whether the model's input reaches beyond the picture."""
        top, left, bottom, right = self.box
        return top < 0 or left < 0 or bottom > self.image_size[0] or right > self.image_size[1]

    def largest_on_picture(self, grid: Map) -> float:
        """The largest value of a map [h w] on the input's pixels that show the picture."""
        top, left, bottom, right = self.shown()
        return float(self.on_input(grid)[top:bottom, left:right].max(initial=0.0))

    def seen(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of the whole pixels that the model saw; bottom and right excluded."""
        top, left, bottom, right = self.box
        first_row, last_row = _covered(self.image_size[0], top, bottom)
        first_column, last_column = _covered(self.image_size[1], left, right)
        return first_row, first_column, last_row, last_column

    @property
    def seen_share(self) -> float:
        """The share of the picture's pixels that the model saw."""
        top, left, bottom, right = self.seen()
        return (bottom - top) * (right - left) / (self.image_size[0] * self.image_size[1])

    def shown(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of the input's pixels that show the picture; those around them are padding."""
        top, left, bottom, right = self.box
        (height, width), (rows, columns) = self.image_size, self.input_size
        first_row, last_row = _covered(rows, -top / (bottom - top) * rows, (height - top) / (bottom - top) * rows)
        first_column, last_column = _covered(
            columns, -left / (right - left) * columns, (width - left) / (right - left) * columns
        )
        return first_row, first_column, last_row, last_column


def resample(grid: Map, size: tuple[int, int]) -> Heat:
    """Bring a map [h w] to another grid `size` [H W] over the same input, bilinearly, centres kept."""
    return Placement(size, size, (0.0, 0.0, float(size[0]), float(size[1]))).restore(grid)


def on_finest_grid(maps: Sequence[np.ndarray]) -> list[Map]:
    """Bring maps over the same input to the finest of their grids."""
    finest = max((grid.shape for grid in maps), key=math.prod)
    return [grid if grid.shape == finest else resample(grid, (finest[0], finest[1])) for grid in maps]


def on_common_grid(maps: Sequence[np.ndarray], placements: Sequence[Placement]) -> tuple[list[Map], Placement]:
    """Bring maps over one input to the finest of their grids, each from where its cells lie; and that grid's placement.

    What is known least closely decides how closely the common place is known.
    """
    finest = max(range(len(maps)), key=lambda place: maps[place].size)
    (rows, columns), own = maps[finest].shape, placements[finest]
    offsets = np.array([placement.centres.offset for placement in placements]) - own.centres.offset
    box = (0.0, 0.0, float(rows), float(columns))
    parts = [
        grid
        if grid.shape == (rows, columns) and not offset.any()
        else Placement((rows, columns), own.input_size, box, Centres((offset[0], offset[1]))).restore(grid)
        for grid, offset in zip(maps, offsets, strict=True)
    ]
    down, across = (
        None if None in known else max(known)
        for known in zip(*(placement.centres.known_to for placement in placements), strict=True)
    )
    return parts, replace(own, centres=Centres(own.centres.offset, (down, across)))


def place_words(placement: Placement, *, brief: bool = False) -> str:
    """Say how closely the place of a map's cells is known; "" where there is nothing to measure."""
    down, across = placement.cell_known_to
    if down == 0 and across == 0:
        return ""
    begin, between = ("place ±", ", ") if brief else ("its place is known to about", " and ")
    if down is None and across is None:
        return "place not measured" if brief else "its place is not measured"
    if down is not None and across is not None and _pixels(down) == _pixels(across):
        return f"{begin} {_pixels(down)} px"
    sides = {"across": across, "up and down": down}
    known = [f"{_pixels(length)} px {side}" for side, length in sides.items() if length is not None]
    unknown = [f"not measured {side}" for side, length in sides.items() if length is None]
    if brief and unknown:
        return f"{begin} {known[0]} only"
    return f"{begin} {between.join((*known, *unknown))}"


def _pixels(length: float) -> int:
    return max(1, round(length))


def _covered(length: int, start: float, stop: float) -> tuple[int, int]:
    """First and one past the last pixel whose centre lies in [start, stop].

    Where the model saw so little of the picture that no centre lies in it, the pixel in its middle counts.
    """
    start, stop = max(start, 0.0), min(stop, float(length))
    if start >= stop:
        return 0, 0
    first, last = int(np.ceil(start - 0.5)), int(np.floor(stop - 0.5)) + 1
    if first < last:
        return first, min(last, length)
    middle = int((start + stop) / 2)
    return middle, middle + 1


def _weights(length: int, cells: int, start: float, stop: float, offset: float) -> Heat:
    """Interpolation matrix [length cells]: row p mixes the cells beside pixel p; NaN rows are unseen.

    The cells' centres lie `offset` pixels beside the middles of equal parts from start to stop.

    Two such matrices give a whole heatmap by matrix products: exact, and faster than gathering.
    """
    centres = np.arange(length) + 0.5
    position = np.clip((centres - start - offset) / (stop - start) * cells - 0.5, 0, cells - 1)
    lower = np.minimum(position.astype(int), max(cells - 2, 0))
    upper = np.minimum(lower + 1, cells - 1)
    share = position - lower
    matrix = np.zeros((length, cells), np.float32)
    pixels = np.arange(length)
    matrix[pixels, lower] = 1 - share
    matrix[pixels, upper] += share
    first, last = _covered(length, start, stop)
    matrix[:first] = np.nan
    matrix[last:] = np.nan
    return matrix
