"""Measure how well each layer localises on pictures whose truth is known: python -m demonstration.layers [FILE].

Writes measured.toml, into the project where no file is given. The demonstration models are shown drawn radiographs with
one lesion, except the one that was taught to read the side marker. The model of everyday things is shown four
photographs in one picture (Böhle et al. 2021), whose classes lie in one corner each.
"""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import scipy.stats

from demonstration.suitability import photographs
from demonstration.train import record_of
from gradcam_core import Heatmap, ImageRecord, LoadedModel, explain, load_model, measure, predict
from gradcam_core.layers import layers_by_depth
from gradcam_core.layers.measured import MEASURED
from gradcam_core.samples.radiographs import EVALUATION, radiograph

FIRST, PICTURES = EVALUATION + 700_000, 80
MOST_LAYERS = 8
CONFIDENCE = 0.95
SIDE, LEAST_PROBABILITY = 300, 0.3
HEAD = """# How well layers localise where the truth is known, with Grad-CAM. Written by: python -m demonstration.layers
# mass: share of all heat that lies on the region of the explained class; hits: share of the hottest points that do.
# low, high: interval of this mass minus the usual layer's, which holds for all layers of a model together (95 %).
version = 1
"""


class Scene(NamedTuple):
    """A picture, and for each class to explain: its region, and the group of results that depend on each other."""

    image: ImageRecord
    regions: dict[int | str, tuple[np.ndarray, int]]


def radiographs(count: int = PICTURES) -> Iterator[Scene]:
    """Drawn radiographs without a marker, nodules and streaks in turn."""
    for number in range(count):
        picture = radiograph(FIRST + number, [("nodule", "streak")[number % 2]])
        yield Scene(record_of(picture), {picture.label: (picture.lesions[0].mask, number)})


def fours(model: LoadedModel) -> Iterator[Scene]:
    """Four photographs in one picture, of those that the model recognises; each is explained in its own corner."""
    images = [_square(image) for image in photographs([])]
    answers = [predict(image, model, top_k=1)[0] for image in images]
    known = {x.index: image for x, image in zip(answers, images, strict=True) if x.probability >= LEAST_PROBABILITY}
    for turn, chosen in enumerate(itertools.combinations(known, 4)):
        corners = np.roll(chosen, turn).tolist()
        pixels = np.block([[[known[x].pixels] for x in row] for row in (corners[:2], corners[2:])])
        image = ImageRecord(np.ascontiguousarray(pixels), "0" * 64, "", "PNG")
        yield Scene(image, {index: (_corner(place), index) for place, index in enumerate(corners)})


def _square(image: ImageRecord) -> ImageRecord:
    side = min(image.height, image.width)
    top, left = (image.height - side) // 2, (image.width - side) // 2
    cut = cv2.resize(image.pixels[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return ImageRecord(np.rint(255 * cut).astype(np.float32) / np.float32(255), "0" * 64, "", "PNG")


def _corner(place: int) -> np.ndarray:
    region = np.zeros((2 * SIDE, 2 * SIDE), bool)
    region[place // 2 * SIDE :, place % 2 * SIDE :][:SIDE, :SIDE] = True
    return region


def localise(model: LoadedModel, scenes: Iterable[Scene]) -> tuple[list[str], np.ndarray]:
    """Names of layers, the usual one last, and the mass and hits [layers groups 2] of each."""
    names = [layer.name for layer in layers_by_depth(model, MOST_LAYERS)]
    groups: dict[int, list[list[tuple[float, float]]]] = {}
    for scene in scenes:
        explained = explain(scene.image, model, targets=list(scene.regions), layers=names, methods="grad_cam").heatmaps
        heatmaps = [heatmap for heatmap in explained if not heatmap.fusion]
        for place, (region, group) in enumerate(scene.regions.values()):
            of_class = heatmaps[place * len(names) : (place + 1) * len(names)]
            groups.setdefault(group, []).append([_measured(heatmap, region) for heatmap in of_class])
    return names, np.stack([np.mean(results, axis=0) for results in groups.values()], axis=1)


def _measured(heatmap: Heatmap, region: np.ndarray) -> tuple[float, float]:
    """The share of the heat in the region, and whether the hottest point lies there; 0 for a map without evidence."""
    mass, hit = measure(heatmap, truth=region, names=("relevance_mass", "pointing_game"))
    return mass.value or 0.0, hit.value or 0.0


def rows_of(names: Sequence[str], results: np.ndarray) -> list[dict[str, Any]]:
    """A row for each layer: its means, and the interval of its mass minus the usual layer's, group by group."""
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(names) - 1)
    rows = []
    for name, values in zip(names, results, strict=True):
        differences = values[:, 0] - results[-1, :, 0]
        row = {"name": name, "mass": float(values[:, 0].mean()), "hits": float(values[:, 1].mean())}
        if name != names[-1]:
            spread = scipy.stats.sem(differences)
            low, high = scipy.stats.t.interval(confidence, len(differences) - 1, differences.mean(), spread)
            row |= {"low": float(low), "high": float(high)}
        rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def table_of(name: str, model: LoadedModel, pictures: str, groups: int, rows: Sequence[dict[str, Any]]) -> str:
    """One model's part of the file."""
    values = {
        "fingerprint": model.fingerprint,
        "size": list(model.preprocessing.size),
        "pictures": pictures,
        "groups": groups,
        "usual": model.default_layer,
    }
    lines = [f"\n[models.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), "layers = ["]
    for row in rows:
        lines.append(f"  {{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in row.items())} }},")
    return "\n".join([*lines, "]", ""])


def write(file: Path) -> None:
    """Measure the models and write the file."""
    text = HEAD
    for name in ("radiograph_clean", "radiograph_balanced", "radiograph_mobilenet", "efficientnet_lite0"):
        model = load_model(f"bundled:{name}", device="cpu")
        drawn = name.startswith("radiograph")
        scenes = list(radiographs() if drawn else fours(model))
        names, results = localise(model, scenes)
        kind = "drawn radiographs" if drawn else "pictures of four photographs each"
        text += table_of(name, model, f"{len(scenes)} {kind}", results.shape[1], rows_of(names, results))
    file.write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else MEASURED)
