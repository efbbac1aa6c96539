"""What the checks say of the demonstration models, on test pictures: python -m demonstration.figures [PICTURES]."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from demonstration.train import record_of
from gradcam_core import Explanation, Heatmap, LoadedModel, explain, list_checks, load_model, trust
from gradcam_core.checks.edges import REGIONS, without_edges
from gradcam_core.checks.reruns import begin_rerun, randomised_maps
from gradcam_core.measures.similar import similarities
from gradcam_core.samples.radiographs import EVALUATION, Radiograph, radiograph
from gradcam_core.sources.bundled import RADIOGRAPHS, radiograph_network

NAMES = tuple(check.name for check in list_checks())
LESIONS = ("nodule", "streak")
MODELS = ("clean", "shortcut", "balanced", "mobilenet")
# In pixels of the drawn picture, whose maps have cells of 16.
TOLERANCE, NEAR_MARKER = 16, 32


@dataclass(frozen=True)
class Setting:
    """A model, the pictures it is shown, and the method under test."""

    title: str
    model: str
    method: str
    kinds: tuple[str, ...]
    marked: tuple[bool, ...]


SETTINGS = (
    Setting("clean", "clean", "grad_cam", LESIONS, (False,)),
    Setting("balanced, half of them marked", "balanced", "grad_cam", LESIONS, (True, False)),
    Setting("shortcut, marked nodules", "shortcut", "grad_cam", ("nodule",), (True,)),
    Setting("shortcut, nodules without a marker", "shortcut", "grad_cam", ("nodule",), (False,)),
    Setting("untrained", "untrained", "grad_cam", LESIONS, (False,)),
    Setting("clean, Eigen-CAM", "clean", "eigen_cam", LESIONS, (False,)),
    Setting("clean, Grad-CAM++", "clean", "grad_cam_plus_plus", LESIONS, (False,)),
    Setting("clean, random map", "clean", "random", LESIONS, (False,)),
    Setting("mobilenet", "mobilenet", "grad_cam", LESIONS, (False,)),
)


def demonstration_model(name: str) -> LoadedModel:
    """One of the models, or the ResNet untrained."""
    if name != "untrained":
        return load_model(f"bundled:radiograph_{name}", device="cpu")
    torch.manual_seed(7)
    labels = load_model("bundled:radiograph_clean", device="cpu").labels
    return load_model(radiograph_network(), labels=labels, preprocessing=RADIOGRAPHS.to_dict(), device="cpu")


def pictures(setting: Setting, count: int, first: int = EVALUATION) -> Iterator[Radiograph]:
    """As many pictures of this setting, from this seed on: kinds and markers in turn."""
    for number in range(count):
        kind = setting.kinds[number % len(setting.kinds)]
        marked = setting.marked[number // len(setting.kinds) % len(setting.marked)]
        yield radiograph(first + number, [kind], marker=marked)


def passed(model: LoadedModel, setting: Setting, count: int, first: int = EVALUATION) -> dict[str, float]:
    """The share of pictures on which each check, and all six together, passed."""
    rows = []
    for picture in pictures(setting, count, first):
        explanation = explained(model, picture, [picture.label], setting.method)
        checked = trust(explanation, explanation.heatmaps[0], model)
        rows.append([check.outcome == "passed" for check in checked.checks])
    shares = np.array(rows)
    return {**dict(zip(NAMES, shares.mean(0).tolist(), strict=True)), "all": float(shares.all(1).mean())}


def peak_of(heatmap: Heatmap) -> tuple[int, int]:
    """Row and column of a heatmap's hottest pixel."""
    row, column = np.unravel_index(np.nanargmax(heatmap.values), heatmap.values.shape)
    return int(row), int(column)


def distance(mask: np.ndarray, point: tuple[int, int]) -> float:
    """Pixels from a point to the nearest one of a mask; infinite where the mask is empty."""
    rows, columns = np.nonzero(mask)
    return float(np.hypot(rows - point[0], columns - point[1]).min()) if len(rows) else math.inf


def explained(model: LoadedModel, picture: Radiograph, targets: Sequence[str], method: str = "grad_cam") -> Explanation:
    """Explain a drawn picture for these classes."""
    return explain(record_of(picture), model, targets=list(targets), methods=method)


def right(model: LoadedModel, radiographs: Iterable[Radiograph]) -> float:
    """The share of pictures that are answered correctly."""
    return float(
        np.mean([explained(model, picture, [0]).predictions[0].label == picture.label for picture in radiographs])
    )


def peaks(model: LoadedModel, radiographs: Iterable[Radiograph]) -> tuple[float, float]:
    """How often the hottest pixel lies on the lesion, and how often by the marker."""
    on_lesion, on_marker = [], []
    for picture in radiographs:
        peak = peak_of(explained(model, picture, [picture.label]).heatmaps[0])
        on_lesion.append(distance(picture.lesions[0].mask, peak) <= TOLERANCE)
        on_marker.append(distance(picture.marker, peak) <= NEAR_MARKER)
    return float(np.mean(on_lesion)), float(np.mean(on_marker))


def lost_with_corner(model: LoadedModel, radiographs: Iterable[Radiograph]) -> float:
    """How much of the class's probability is lost on average when the marker's corner is hidden, in points 0..1."""
    lost = []
    for picture in radiographs:
        explanation = explained(model, picture, [picture.label])
        rerun = begin_rerun(explanation, explanation.heatmaps[0], model)
        lost.append(rerun.probability - without_edges(rerun)[0][REGIONS.index("upper right corner")])
    return float(np.mean(lost))


def two_lesions(model: LoadedModel, count: int, method: str) -> tuple[float, float]:
    """On pictures with a nodule and a streak: how often a class's peak lies on its own lesion, and on the other."""
    own, other = [], []
    for number in range(count):
        picture = radiograph(EVALUATION + number, LESIONS)
        heatmaps = explained(model, picture, LESIONS, method).heatmaps
        for heatmap, lesion, other_lesion in zip(heatmaps, picture.lesions, picture.lesions[::-1], strict=True):
            own.append(distance(lesion.mask, peak_of(heatmap)) <= TOLERANCE)
            other.append(distance(other_lesion.mask, peak_of(heatmap)) <= TOLERANCE)
    return float(np.mean(own)), float(np.mean(other))


def alike_without_learning(model: LoadedModel, radiographs: Iterable[Radiograph], method: str) -> float:
    """How similar maps are on average to those of random classifiers."""
    alike = []
    for picture in radiographs:
        explanation = explained(model, picture, [picture.label], method)
        rerun = begin_rerun(explanation, explanation.heatmaps[0], model)
        alike.append(float(similarities(rerun.heatmap.raw, randomised_maps(rerun)).mean()))
    return float(np.mean(alike))


def show_checks(count: int) -> None:
    """Print a table: one setting per row, one check per column."""
    print("| | " + " | ".join(NAMES) + " | all six |", flush=True)
    print("|---|" + "---|" * (len(NAMES) + 1), flush=True)
    for setting in SETTINGS:
        shares = passed(demonstration_model(setting.model), setting, count)
        print(
            f"| {setting.title} | " + " | ".join(f"{100 * share:.0f} %" for share in shares.values()) + " |", flush=True
        )


def show_models(count: int) -> None:
    """Print a table: one question per row, one model per column."""
    models = [demonstration_model(name) for name in MODELS]
    plain, marked = (Setting("", "", "", ("nodule",), (one,)) for one in (False, True))
    healthy = [radiograph(EVALUATION + number, marker=True) for number in range(count)]
    rows = {
        "nodule, no marker: answered correctly": [right(one, pictures(plain, count)) for one in models],
        "nodule, marker: answered correctly": [right(one, pictures(marked, count)) for one in models],
        "no finding, marker: answered correctly": [right(one, healthy) for one in models],
        "nodule, marker: peak on the nodule": [peaks(one, pictures(marked, count))[0] for one in models],
        "nodule, marker: peak by the marker": [peaks(one, pictures(marked, count))[1] for one in models],
        "nodule, marker: probability lost with the corner": [
            lost_with_corner(one, pictures(marked, count)) for one in models
        ],
        "two lesions, Grad-CAM: peak on the own one": [two_lesions(one, count, "grad_cam")[0] for one in models],
        "two lesions, Grad-CAM: peak on the other": [two_lesions(one, count, "grad_cam")[1] for one in models],
        "two lesions, Eigen-CAM: peak on the own one": [two_lesions(one, count, "eigen_cam")[0] for one in models],
    }
    print(f"| | {' | '.join(MODELS)} |\n|{'---|' * (len(MODELS) + 1)}", flush=True)
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{100 * value:.0f} %" for value in values) + " |", flush=True)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    show_models(wanted)
    show_checks(wanted)
