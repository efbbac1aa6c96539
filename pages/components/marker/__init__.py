"""The marker: its user draws on a picture where the finding is, with boxes and brush strokes. Loads no torch.

The picture is shown without any heatmap: a heatmap would influence the drawing.
Shapes are in pixels of the original picture, whatever the size on the screen:

- {"kind": "box", "left", "top", "right", "bottom"}
- {"kind": "brush", "points": [[x, y], ...], "radius"}
- {"kind": "erase", "points": [[x, y], ...], "radius"}

Later shapes cover earlier ones; the core turns them into a mask by the same rules.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pages.components.component import Exchange, component, ignore

MOST_SHAPES = 500
MOST_POINTS = 5000
SCRIPTS = ("region.js", "strokes.js", "toolbar.js", "marker.js")

Shape = dict[str, Any]

_mount = component("marker", Path(__file__).parent, SCRIPTS)


def marker(
    picture: Mapping[str, Any],
    *,
    shapes: Sequence[Mapping[str, Any]],
    key: str,
    purpose: Literal["finding", "blanking"] = "finding",
) -> list[Shape]:
    """Show a picture to be marked; return the shapes that its user has drawn, oldest first.

    Areas to be blanked are boxes alone.

    Pass as `shapes` where it starts (none, for a new picture) and, from then on, those it returned last; others
    overrule its user. So they are kept over pages, too. Malformed shapes are dropped.
    """
    size = (picture["width"], picture["height"])
    name = hashlib.sha256(f"{size} {picture['src']}".encode()).hexdigest()[:16]

    def read(drawing: object, otherwise: list[Shape]) -> list[Shape]:
        """Take what the browser sent, unless it was drawn on the picture that was there before."""
        if not isinstance(drawing, Mapping) or drawing.get("picture") != name:
            return otherwise
        drawn = _checked(drawing.get("shapes"), size)
        return [shape for shape in drawn if shape["kind"] == "box"] if purpose == "blanking" else drawn

    exchange = Exchange.of(key, "drawing", _checked(shapes, size), name)
    data = {
        "picture": {**picture, "name": name},
        "shapes": exchange.given,
        "overruled": exchange.overruled,
        "most": MOST_SHAPES,
        "most_points": MOST_POINTS,
        "purpose": purpose,
    }
    drawing = _mount(key=key, data=data, on_drawing_change=ignore).get("drawing")
    return [dict(shape) for shape in exchange.result(drawing, read, name)]


def _checked(shapes: object, size: tuple[int, int]) -> list[Shape]:
    """Keep what is a shape on or near the picture, with nothing else in it."""
    if not isinstance(shapes, Sequence) or isinstance(shapes, str | bytes):
        return []
    checks: dict[object, Callable[..., Shape | None]] = {"box": _box, "brush": _stroke, "erase": _stroke}
    kept = []
    for shape in shapes[:MOST_SHAPES]:
        kind = shape.get("kind") if isinstance(shape, Mapping) else None
        checked = checks[kind](shape, *size) if isinstance(kind, str) and kind in checks else None
        kept += [checked] if checked else []
    return kept


def _box(shape: Mapping[str, Any], width: int, height: int) -> Shape | None:
    sides = ("left", "top", "right", "bottom")
    if not all(_is_within(shape.get(side), 0, most) for side, most in zip(sides, (width, height) * 2, strict=True)):
        return None
    if shape["left"] >= shape["right"] or shape["top"] >= shape["bottom"]:
        return None
    return {"kind": "box", **{side: float(shape[side]) for side in sides}}


def _stroke(shape: Mapping[str, Any], width: int, height: int) -> Shape | None:
    """A stroke may leave the picture, by as much as the picture is long."""
    points, radius = shape.get("points"), shape.get("radius")
    if not isinstance(points, list | tuple) or not 0 < len(points) <= MOST_POINTS:
        return None
    if not _is_within(radius, 0, max(width, height)) or radius == 0:
        return None
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != 2:
            return None
        if not _is_within(point[0], -width, 2 * width) or not _is_within(point[1], -height, 2 * height):
            return None
    return {"kind": shape["kind"], "points": [[float(x), float(y)] for x, y in points], "radius": float(radius)}


def _is_within(value: object, least: float, most: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and least <= value <= most
