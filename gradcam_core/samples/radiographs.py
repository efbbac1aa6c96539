"""Drawn chest radiographs whose findings are known exactly, from numpy and a seed; and a folder of them to evaluate.

A frontal view: the heart on the right of the image, and the side marker "L" of the patient's left in the upper right
corner. Lesions lie in the lungs, with exact masks. The marker says nothing about a finding, so a model that reads it
takes a shortcut.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from gradcam_core.errors import GradcamError
from gradcam_core.registry import nearest

SIDE = 256
LABELS = ("no finding", "nodule", "streak")
# Seeds of pictures for training, for validation, for thresholds, for evaluation and to show: never the same ones.
TRAINING, VALIDATION, CALIBRATION, EVALUATION, SHOWN = (number * 1_000_000 for number in range(5))
FIRST_SEED, MOST_PICTURES = SHOWN + 1000, 1000
# Which classes have a side marker in a drawn folder. First, as if all nodules came from one room of a hospital.
KINDS: Mapping[str, Callable[[str], bool]] = {
    "marked_nodules": lambda label: label == "nodule",
    "no_markers": lambda label: False,
}

Plane = Float[np.ndarray, "H W"]
Mask = Bool[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A lesion's kind, one of LABELS, and the pixels that it covers."""

    kind: str
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """A drawn picture (grey, 8 bits) with what is in it. `marker` is the mask of the side marker; it may be empty."""

    pixels: UInt8[np.ndarray, "H W"]
    lesions: tuple[Lesion, ...]
    marker: Mask

    @property
    def label(self) -> str:
        """The class of its only lesion; "no finding" without one."""
        return self.lesions[0].kind if self.lesions else LABELS[0]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnFolder:
    """Files by name: the pictures, the table of their labels, and a mask for each picture with a lesion."""

    pictures: Mapping[str, bytes]
    table: bytes
    masks: Mapping[str, bytes]


def radiograph(seed: int, kinds: Sequence[str] = (), *, marker: bool = False) -> Radiograph:
    """Draw a chest with a lesion of each of these kinds, with or without the side marker.

    The same seed gives the same chest, with and without lesions or marker. Two lesions lie in different lungs. A kind
    is "nodule" or "streak".
    """
    down, across = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    chest, lungs = _chest(np.random.default_rng([seed, 0]), down, across)
    random = np.random.default_rng([seed, 1])
    sides = random.permutation(2)
    lesions = []
    for place, kind in enumerate(kinds):
        draw = {"nodule": _nodule, "streak": _streak}[kind]
        light, mask = draw(random, lungs[sides[place % 2]], down, across)
        chest = chest + light
        lesions.append(Lesion(kind, mask))
    letter = _marker(np.random.default_rng([seed, 2])) if marker else np.zeros((SIDE, SIDE))
    grain = np.random.default_rng([seed, 3]).normal(0, 1, (SIDE, SIDE))
    chest = chest + 0.028 * cv2.GaussianBlur(grain, (0, 0), 0.8) / 0.35
    chest = np.clip(chest, 0, 0.93) * (1 - letter) + 0.97 * letter
    return Radiograph(np.rint(255 * np.clip(chest, 0, 1)).astype(np.uint8), tuple(lesions), letter > 0.5)


def drawn_folder(kind: str, count: int) -> DrawnFolder:
    """Draw `count` pictures, the classes in turn. Raises GradcamError for an unknown kind or an impossible count.

    "marked_nodules": the pictures with a nodule have a side marker, and no others. "no_markers": none has one.
    """
    if kind not in KINDS:
        raise GradcamError(f"There is no drawn folder '{kind}'.", nearest(str(kind), KINDS))
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PICTURES:
        raise GradcamError(f"{count!r} pictures cannot be drawn.", f"Ask for 1 to {MOST_PICTURES}.")
    pictures, masks, rows = {}, {}, [("name", "label", "mask")]
    for place in range(count):
        label, stem = LABELS[place % len(LABELS)], f"drawn_{place + 1:0{len(str(count))}}"
        lesions = () if label == LABELS[0] else (label,)
        drawn = radiograph(FIRST_SEED + place, lesions, marker=KINDS[kind](label))
        pictures[f"{stem}.png"] = _png(drawn.pixels)
        if drawn.lesions:
            masks[f"{stem}_mask.png"] = _png(255 * drawn.lesions[0].mask.astype(np.uint8))
        rows.append((f"{stem}.png", label, f"{stem}_mask.png" if drawn.lesions else ""))
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return DrawnFolder(pictures, text.getvalue().encode(), masks)


def _png(grey: UInt8[np.ndarray, "H W"]) -> bytes:
    _, encoded = cv2.imencode(".png", grey)
    return np.asarray(encoded).tobytes()


def _soft(distance: Plane, width: float) -> Plane:
    """Fall from 1 inside (distance below 0) to 0 outside, over about `width`."""
    soft: Plane = 1 / (1 + np.exp(np.clip(4 * distance / width, -50, 50)))
    return soft


def _chest(random: np.random.Generator, down: Plane, across: Plane) -> tuple[Plane, list[Plane]]:
    """Draw a chest without findings, 0..1, and its two lungs, 0..1 each."""
    shift, tilt, size = random.normal(0, 0.012), random.normal(0, 0.02), random.normal(1, 0.035)
    x = (across - 0.5 - shift + tilt * (down - 0.5)) / size
    y = (down - 0.5) / size
    body = _soft(np.abs(x) - 0.47 + 0.22 * np.clip(-y - 0.28, 0, None), 0.05)
    shown = body * (0.62 + 0.07 * y)
    lungs = [_lung(random, x, y, side) for side in (-1, 1)]
    shown = shown - (0.43 + random.normal(0, 0.02)) * (lungs[0] + lungs[1])
    field = np.clip(lungs[0] + lungs[1], 0, 1)
    shown = shown + 0.075 * _ribs(random, x, y) * (0.35 * body + 0.65 * field)
    heart = _soft(np.hypot((x - 0.085) / 0.17, (y - 0.13) / 0.2) - 1, 0.35)
    shown = shown + (0.3 + random.normal(0, 0.02)) * heart * field
    spine = np.exp(-((x / 0.055) ** 2)) * (0.12 + 0.025 * np.sin(2 * np.pi * (y * 13 + random.random())))
    shown = shown + spine * body
    for side in (-1, 1):  # collar bones
        line = y + 0.335 + 0.16 * (np.abs(x) - 0.2) ** 2 - 0.1 * (np.abs(x) - 0.2)
        shown = shown + 0.12 * np.exp(-((line / 0.014) ** 2)) * _soft(-side * x + 0.04, 0.03) * body
    cloud = cv2.GaussianBlur(random.normal(0, 1, (SIDE, SIDE)), (0, 0), 9)
    vessels = cv2.GaussianBlur(random.normal(0, 1, (SIDE, SIDE)), (0, 0), 2.5)
    shown = shown + 0.02 * cloud / cloud.std() + 0.014 * field * vessels / vessels.std()
    return shown, [np.clip(lung - heart, 0, 1) for lung in lungs]


def _lung(random: np.random.Generator, x: Plane, y: Plane, side: int) -> Plane:
    """Draw one lung field, 0..1: narrow at the top, its base a dome."""
    centre, width, height = 0.215 + random.normal(0, 0.008), 0.15 + random.normal(0, 0.006), 0.37
    narrow = 1 + 0.55 * np.clip(-(y + 0.02), 0, None)
    oval = np.hypot((side * x - centre + 0.06 * np.clip(-y, 0, None)) * narrow / width, (y + 0.03) / height) - 1
    base = y - 0.235 - random.normal(0, 0.012) - 1.4 * (side * x - centre) ** 2 + 0.03 * side
    lung: Plane = _soft(oval, 0.22) * _soft(base, 0.035)
    return lung


def _ribs(random: np.random.Generator, x: Plane, y: Plane) -> Plane:
    """Draw ribs as bright arcs that fall outwards."""
    bow = y - 0.95 * (np.abs(x) - 0.05) ** 2 - 0.18 * np.abs(x) + random.normal(0, 0.01)
    wave = np.sin(2 * np.pi * bow * (9.5 + random.normal(0, 0.3)))
    ribs: Plane = np.clip(wave, -0.2, 1) ** 2 * np.sign(wave)
    return ribs


def _place(random: np.random.Generator, lung: Plane) -> tuple[float, float]:
    """Choose a point well inside a lung, as row and column 0..1."""
    inside = np.argwhere(cv2.erode((lung > 0.75).astype(np.uint8), np.ones((23, 23), np.uint8)) > 0)
    row, column = inside[random.integers(len(inside))]
    return float((row + 0.5) / SIDE), float((column + 0.5) / SIDE)


def _nodule(random: np.random.Generator, lung: Plane, down: Plane, across: Plane) -> tuple[Plane, Mask]:
    """Draw a round, soft-edged opacity."""
    row, column = _place(random, lung)
    radius, stretch, turn = random.uniform(0.04, 0.062), random.uniform(0.85, 1.15), random.uniform(0, np.pi)
    u, v = _turned(down - row, across - column, turn)
    distance = np.hypot(u * stretch, v / stretch) - radius
    return random.uniform(0.24, 0.34) * _soft(distance, 0.03), distance < 0


def _streak(random: np.random.Generator, lung: Plane, down: Plane, across: Plane) -> tuple[Plane, Mask]:
    """Draw a straight band with soft edges."""
    row, column = _place(random, lung)
    half, width, turn = random.uniform(0.085, 0.115), random.uniform(0.017, 0.022), random.uniform(0, np.pi)
    u, v = _turned(down - row, across - column, turn)
    distance = np.hypot(np.clip(np.abs(u) - half, 0, None), v) - width
    return random.uniform(0.26, 0.36) * _soft(distance, 0.018), distance < 0


def _turned(y: Plane, x: Plane, angle: float) -> tuple[Plane, Plane]:
    return np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y


def _marker(random: np.random.Generator) -> Plane:
    """Draw the letter L in the upper right corner, 0..1."""
    height = random.uniform(0.085, 0.105)
    thick = 0.2 * height
    top, left = random.uniform(0.035, 0.06), 1 - random.uniform(0.04, 0.06) - 0.62 * height
    down, across = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE

    def bar(first: float, last: float, begin: float, end: float) -> Plane:
        return _soft(np.maximum(np.maximum(first - down, down - last), np.maximum(begin - across, across - end)), 0.006)

    upright = bar(top, top + height, left, left + thick)
    foot = bar(top + height - thick, top + height, left, left + 0.62 * height)
    letter: Plane = np.maximum(upright, foot)
    return letter
