"""The reference region that a person marked on a picture: an uploaded mask, or drawn shapes -> a mask.

Coordinates are pixels of the picture as it is shown, from its upper left corner: the first pixel's centre
is at (0.5, 0.5). A pixel is inside a shape when its centre is, edges included.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from gradcam_core.errors import GradcamError
from gradcam_core.readers import Decode, decode, read_image
from gradcam_core.records import ImageRecord

__all__ = ["draw_truth", "read_truth"]

MOST_SHAPES = 500
MOST_POINTS = 5000
# Far more pixels than any picture has on a side, and few enough for exact squares.
FARTHEST = 1_000_000

Truth = Bool[np.ndarray, "H W"]
Points = Float64[np.ndarray, "points 2"]


def read_truth(content: bytes, image: ImageRecord, decode: Decode = decode) -> Truth:
    """Read a mask picture of the same size as `image`: True inside the reference region.

    A pixel is inside where the mean of its channels is above half. In a mask of only two brightnesses the
    higher one is inside, however dark: many tools write 0 and 1, or a dark red on black. Raises GradcamError
    for a mask that cannot be read, has another size or see-through parts, or marks nothing or everything. `decode` is
    as that of `read_image`.
    """
    mask = read_image(content, decode=decode)
    if (mask.height, mask.width) != (image.height, image.width):
        raise GradcamError(
            f"The mask has {mask.width} × {mask.height} pixels, and the picture {image.width} × {image.height}.",
            "Give a mask of the picture's own size, pixel for pixel.",
        )
    if mask.laid_on_white:
        # On white, a coloured mark would be the darker part, and inside and outside would be exchanged.
        raise GradcamError(
            "The mask has see-through parts, so marked and unmarked parts cannot be told apart.",
            "Save it without transparency: white where the finding is, black elsewhere.",
        )
    brightness = mask.pixels.mean(axis=2)
    lowest, highest = brightness.min(), brightness.max()
    two = lowest < highest and bool(((brightness == lowest) | (brightness == highest)).all())
    inside: Truth = brightness == highest if two else brightness > 0.5
    if inside.all() or not inside.any():
        raise GradcamError(
            "The mask marks the whole picture." if inside.all() else "The mask marks nothing in the picture.",
            "Make it white where the finding is, and black elsewhere.",
        )
    return inside


def draw_truth(shapes: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> Truth:
    """Draw shapes, in order, on a picture of `size` (height, width); no shapes give an empty region.

    {"kind": "box", "left", "top", "right", "bottom"} adds a rectangle. {"kind": "brush", "points", "radius"}
    adds everything within the radius of the line through the points [[x, y], ...]; "erase" removes it.
    Raises GradcamError for any other shape, more than 500 shapes, or more than 5,000 points in one.
    """
    if not isinstance(shapes, Sequence) or isinstance(shapes, str | bytes):
        raise _malformed("The marks are not a list of shapes")
    if len(shapes) > MOST_SHAPES:
        raise GradcamError(
            f"There are {len(shapes)} marks, and at most {MOST_SHAPES} are allowed.", "Clear them, and draw fewer."
        )
    inside = np.zeros(size, bool)
    for shape in shapes:
        kind = shape.get("kind") if isinstance(shape, Mapping) else None
        if kind == "box":
            _fill_box(inside, *(_number(shape.get(side)) for side in ("left", "top", "right", "bottom")))
        elif kind in ("brush", "erase"):
            _stroke(inside, _points(shape.get("points")), _radius(shape.get("radius")), kind == "brush")
        else:
            raise _malformed("A mark is neither a box nor a stroke")
    return inside


def _fill_box(inside: Truth, left: float, top: float, right: float, bottom: float) -> None:
    if left > right or top > bottom:
        raise _malformed("A box ends before it begins")
    height, width = inside.shape
    rows, columns = _between(top, bottom, height), _between(left, right, width)
    inside[rows, columns] = True


def _between(start: float, stop: float, length: int) -> slice:
    """The pixels whose centres lie in [start, stop]."""
    return slice(min(max(math.ceil(start - 0.5), 0), length), min(max(math.floor(stop - 0.5) + 1, 0), length))


def _stroke(inside: Truth, points: Points, radius: float, value: bool) -> None:
    """Set the pixels within the radius of the line through the points, row by row."""
    height, width = inside.shape
    starts, stops = (points[:-1], points[1:]) if len(points) > 1 else (points, points)
    rows = _between(points[:, 1].min() - radius, points[:, 1].max() + radius, height)
    for row in range(rows.start, rows.stop):
        left, right = _reach(row + 0.5, starts, stops, radius)
        covered = ~np.isnan(left)
        first = np.clip(np.ceil(left[covered] - 0.5), 0, width).astype(int)
        end = np.clip(np.floor(right[covered] - 0.5) + 1, 0, width).astype(int)
        # A pixel is covered where more pieces have begun than ended, counted from the left.
        begun = np.bincount(first, minlength=width + 1) - np.bincount(end, minlength=width + 1)
        inside[row, np.cumsum(begun[:width]) > 0] = value


def _reach(
    y: float, starts: Points, stops: Points, radius: float
) -> tuple[Float[np.ndarray, " pieces"], Float[np.ndarray, " pieces"]]:
    """How far left and right each straight piece of a stroke reaches at the height y; NaN where it does not.

    A piece is convex, so its ends in a row are those of the two discs or of the two sides along it.
    """
    along = stops - starts
    with np.errstate(invalid="ignore", divide="ignore"):
        sideways = radius * np.stack([-along[:, 1], along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
        ends = []
        for centre in (starts, stops):
            half = np.sqrt(radius**2 - (y - centre[:, 1]) ** 2)
            ends += [centre[:, 0] - half, centre[:, 0] + half]
        for side in (starts + sideways, starts - sideways):
            share = (y - side[:, 1]) / along[:, 1]
            ends.append(np.where((share >= 0) & (share <= 1), side[:, 0] + share * along[:, 0], np.nan))
    return np.fmin.reduce(ends), np.fmax.reduce(ends)


def _points(points: object) -> Points:
    if not isinstance(points, list | tuple) or not points:
        raise _malformed("A stroke has no points")
    if len(points) > MOST_POINTS:
        raise GradcamError(
            f"A stroke has {len(points)} points, and at most {MOST_POINTS} are allowed.", "Draw it in several strokes."
        )
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise _malformed("A point of a stroke is not a pair of numbers")
    return np.array([(_number(x), _number(y)) for x, y in points], np.float64)


def _radius(radius: object) -> float:
    if _number(radius) <= 0:
        raise _malformed("A stroke has no width")
    return _number(radius)


def _number(value: object) -> float:
    # True and False count as numbers in Python, but not here. NaN is within no limits.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -FARTHEST <= value <= FARTHEST:
        raise _malformed("A mark's coordinates are not all numbers near the picture")
    return float(value)


def _malformed(what: str) -> GradcamError:
    return GradcamError(f"{what}.", "Clear the marks, and draw them again.")
