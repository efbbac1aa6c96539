"""What a person marked: drawn shapes against a pixel-by-pixel twin, and mask files of many kinds."""

import io
import math
import time
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from gradcam_core.errors import GradcamError
from gradcam_core.readers.truth import draw_truth, read_truth
from gradcam_core.records import ImageRecord

SIZE = (30, 40)
PICTURE = ImageRecord(np.zeros((*SIZE, 3), np.float32), sha256="", name="", format="PNG")
TRUTH = np.zeros(SIZE, bool)
TRUTH[5:15, 20:34] = True
BOX = {"kind": "box", "left": 3, "top": 4, "right": 9, "bottom": 8}
BRUSH = {"kind": "brush", "points": [[5, 5], [9, 9]], "radius": 2}


def encode(samples: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(samples) if isinstance(samples, np.ndarray) else samples
    picture.save(stream, kind, **options)
    return stream.getvalue()


def eight(inside: int, outside: int = 0) -> np.ndarray:
    return np.where(TRUTH, inside, outside).astype(np.uint8)


def paletted(*colours: int) -> bytes:
    picture = Image.fromarray(TRUTH.astype(np.uint8), mode="P")
    picture.putpalette(colours)
    return encode(picture)


def distance(x: float, y: float, start: list[float], stop: list[float]) -> float:
    """From a point to a straight piece of a line: to its nearest point, held between the two ends."""
    across, down = stop[0] - start[0], stop[1] - start[1]
    length = across**2 + down**2
    share = 0 if length == 0 else ((x - start[0]) * across + (y - start[1]) * down) / length
    share = min(max(share, 0), 1)
    return math.hypot(x - start[0] - share * across, y - start[1] - share * down)


def twin(shapes: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Every shape asked at every pixel's centre."""
    inside = np.zeros(size, bool)
    for shape in shapes:
        for row, column in np.ndindex(size):
            x, y = column + 0.5, row + 0.5
            if shape["kind"] == "box":
                met = shape["left"] <= x <= shape["right"] and shape["top"] <= y <= shape["bottom"]
            else:
                points = shape["points"]
                pieces = zip(points, points[1:] or points, strict=False)
                met = any(distance(x, y, *piece) <= shape["radius"] for piece in pieces)
            if met:
                inside[row, column] = shape["kind"] != "erase"
    return inside


def drawing(seed: int, step: float) -> list[dict[str, Any]]:
    """Shapes in and around the picture, on a grid of `step` pixels; 0 for anywhere."""
    random = np.random.default_rng(seed)

    def places(count: int) -> list[list[float]]:
        found = random.uniform((-8, -8), (48, 38), (count, 2))
        return (np.round(found / step) * step if step else found).tolist()

    shapes: list[dict[str, Any]] = []
    for kind in random.permutation(["box", "brush", "brush", "erase", "box", "erase", "brush"]):
        if kind == "box":
            (left, right), (top, bottom) = np.sort(np.transpose(places(2)), axis=1).tolist()
            shapes.append({"kind": "box", "left": left, "top": top, "right": right, "bottom": bottom})
        else:
            radius = float(random.choice([0.3, 1, 2.5, 5, 7.77]))
            shapes.append({"kind": str(kind), "points": places(int(random.integers(1, 6))), "radius": radius})
    return shapes


@pytest.mark.parametrize("seed", range(10))
def test_drawn_shapes_equal_their_literal_twin(seed: int) -> None:
    shapes = drawing(seed, step=0)
    np.testing.assert_array_equal(draw_truth(shapes, SIZE), twin(shapes, SIZE))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("radius", [1, 2, 2.5, 5])
def test_edges_belong_to_a_shape(seed: int, radius: float) -> None:
    """On a grid of half pixels, discs and straight strokes along the axes pass through pixel centres."""
    random = np.random.default_rng(seed)
    x, y, x2, y2 = (random.integers(0, 60, 4) / 2).tolist()
    left, right, top, bottom = min(x, x2), max(x, x2), min(y, y2), max(y, y2)
    shapes = [
        {"kind": "brush", "points": [[x, y], [x2, y], [x2, y2], [x2, y2]], "radius": radius},
        {"kind": "box", "left": left, "top": top, "right": right, "bottom": bottom},
        {"kind": "erase", "points": [[x, y]], "radius": radius},
    ]
    for count in (1, 2, 3):
        np.testing.assert_array_equal(draw_truth(shapes[:count], SIZE), twin(shapes[:count], SIZE))


def test_nothing_drawn_or_drawn_outside_marks_nothing() -> None:
    far = [BOX | {"left": 50, "right": 60}, BRUSH | {"points": [[-9, -9], [-9, 90]]}, BOX | {"top": -9, "bottom": -5}]
    assert not draw_truth([], SIZE).any()
    assert not draw_truth(far, SIZE).any()
    everything = BOX | {"left": -1e6, "top": -1e6, "right": 1e6, "bottom": 1e6}
    assert draw_truth((everything,), SIZE).all()


def test_long_strokes_on_a_large_picture_are_quick() -> None:
    turn = np.linspace(0, 40, 2000)
    points = np.stack([750 + 15 * turn * np.cos(turn), 600 + 12 * turn * np.sin(turn)], axis=1).tolist()
    start = time.perf_counter()
    inside = draw_truth([{"kind": "brush", "points": points, "radius": 8.0}], (1200, 1500))
    assert time.perf_counter() - start < 10
    assert 0.05 < inside.mean() < 0.5


MALFORMED = {
    "no list": {"kind": "box"},
    "text": "box",
    "nothing": None,
    "no shape": [7],
    "no kind": [{}],
    "unknown kind": [BOX | {"kind": "circle"}],
    "kind of another type": [BOX | {"kind": ["box"]}],
    "side missing": [{"kind": "box", "left": 1, "top": 1, "right": 2}],
    "side in words": [BOX | {"left": "3"}],
    "truth as a number": [BOX | {"left": True}],
    "not a number": [BOX | {"top": math.nan}],
    "without end": [BOX | {"right": math.inf}],
    "far away": [BOX | {"right": 10**400}],
    "inside out": [BOX | {"left": 10}],
    "upside down": [BOX | {"top": 10}],
    "no points": [BRUSH | {"points": []}],
    "points of another type": [BRUSH | {"points": {"0": [1, 2]}}],
    "a point alone": [BRUSH | {"points": [3, 4]}],
    "three numbers": [BRUSH | {"points": [[1, 2, 3]]}],
    "point without a number": [BRUSH | {"points": [[1, None]]}],
    "point without end": [BRUSH | {"points": [[1, -math.inf]]}],
    "no width": [BRUSH | {"radius": 0}],
    "width below zero": [BRUSH | {"radius": -2}],
    "width missing": [{"kind": "erase", "points": [[1, 2]]}],
    "too many points": [BRUSH | {"points": [[1, 2]] * 5001}],
    "too many shapes": [BOX] * 501,
    "good before bad": [BOX, BRUSH | {"radius": "2"}],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_shapes_are_refused_with_words(name: str) -> None:
    with pytest.raises(GradcamError) as caught:
        draw_truth(MALFORMED[name], SIZE)
    assert caught.value.message.endswith(".")
    assert caught.value.remedy.endswith(".")


def test_as_many_as_allowed_are_taken() -> None:
    assert draw_truth([BOX] * 500, SIZE).sum() == 24
    assert draw_truth([BRUSH | {"points": [[5, 5]] * 5000}], SIZE).any()


MASKS = {
    "grey": encode(eight(255)),
    "one bit": encode(Image.fromarray(TRUTH)),
    "0 and 1 in 8 bits": encode(eight(1)),
    "two greys, both bright": encode(eight(250, 180)),
    "colours": encode(np.repeat(eight(255)[..., None], 3, axis=2)),
    "colours, opaque": encode(np.dstack([eight(255)] * 3 + [np.full(SIZE, 255, np.uint8)])),
    "palette of 0 and 1": paletted(0, 0, 0, 1, 1, 1),
    "dark red on black": paletted(0, 0, 0, 128, 0, 0),
    "16 bits": encode((TRUTH * 65535).astype(np.uint16)),
    "0 and 1 in 16 bits": encode(TRUTH.astype(np.uint16)),
    "soft edges": encode(cv2.GaussianBlur(eight(255), (3, 3), 0.5)),
    "bitmap": encode(eight(255), "BMP"),
    "TIFF": encode(eight(255), "TIFF"),
    "WebP": encode(eight(255), "WebP", lossless=True),
    "JPEG": encode(eight(255), "JPEG", quality=95),
}


def _float_tiff() -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, TRUTH.astype(np.float32), metadata=None)
    return stream.getvalue()


@pytest.mark.parametrize("name", [*MASKS, "floats"])
def test_masks_of_many_kinds_mark_the_same(name: str) -> None:
    found = read_truth(MASKS[name] if name in MASKS else _float_tiff(), PICTURE)
    # Blurring rounds off the four corners.
    off = 4 if name == "soft edges" else 0
    assert (found != TRUTH).sum() <= off


def test_of_three_brightnesses_those_above_half_are_inside() -> None:
    samples = eight(255)
    samples[0], samples[1] = 127, 128
    expected = TRUTH.copy()
    expected[1] = True
    np.testing.assert_array_equal(read_truth(encode(samples), PICTURE), expected)


SEE_THROUGH = np.dstack([eight(255), eight(0), eight(0), eight(255)])
REFUSED = {
    "another size": (encode(eight(255)[:, :-1]), "39 × 30 pixels, and the picture 40 × 30"),
    "on its side": (encode(eight(255).T), "30 × 40"),
    "black": (encode(eight(0)), "marks nothing"),
    "white": (encode(np.full(SIZE, 255, np.uint8)), "the whole picture"),
    "three dark labels": (encode((np.arange(40) % 3).astype(np.uint8) * np.ones(SIZE, np.uint8)), "marks nothing"),
    "see-through": (encode(SEE_THROUGH), "see-through"),
    "no picture": (b"[[1, 0], [0, 1]]", "picture"),
    "cut short": (encode(eight(255))[:-30], "cut short|damaged|end"),
    "empty": (b"", "empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_masks_are_refused_with_words(name: str) -> None:
    content, words = REFUSED[name]
    with pytest.raises(GradcamError, match=words) as caught:
        read_truth(content, PICTURE)
    assert caught.value.remedy.endswith(".")
