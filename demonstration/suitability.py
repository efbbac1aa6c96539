"""How often the notices on model and picture are shown, and how well scores tell: python -m demonstration.suitability.

Folders with more photographs may follow on the command line. The figures in docs/trust.md include 27 from three
packages of PyPI: foolbox (20 of ImageNet), gradio (6) and imgaug (1).
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import skimage
import sklearn
from sklearn.metrics import roc_auc_score

from demonstration.known import outputs_and_features, pictures
from demonstration.train import record_of
from gradcam_core import ImageRecord, LoadedModel, explain, list_bundled, load_model, read_image
from gradcam_core.samples.radiographs import EVALUATION
from gradcam_core.suitability.known import known_to

SKIMAGE, SKLEARN = (Path(package.__file__).parent for package in (skimage, sklearn))
NAMES = ("coffee", "camera", "clock_motion", "astronaut", "motorcycle_left", "rocket", "chelsea", "coins")
OTHER = ("gravel", "brick", "grass", "moon", "page", "text", "cell", "retina", "ihc", "hubble_deep_field", "horse")
DRAWN = 240
Sets = dict[str, list[ImageRecord]]


def record(values: np.ndarray) -> ImageRecord:
    """A picture of grey values 0..255 [H W]."""
    grey = np.clip(np.rint(values), 0, 255).astype(np.float32) / np.float32(255)
    return ImageRecord(np.repeat(grey[..., None], 3, axis=2), "0" * 64, "", "PNG")


def grey(image: ImageRecord) -> ImageRecord:
    """The same picture without its colours."""
    return replace(record(255 * image.pixels @ np.array([0.299, 0.587, 0.114])), name=image.name)


def photographs(folders: Sequence[Path]) -> list[ImageRecord]:
    """The photographs of scikit-image and scikit-learn, and those in these folders."""
    files = [next((SKIMAGE / "data").glob(f"{name}.*")) for name in NAMES]
    files += sorted((SKLEARN / "datasets" / "images").glob("*.jpg"))
    files += [file for folder in folders for file in sorted(folder.glob("*.jp*g"))]
    return [read_image(file) for file in files]


def patterns() -> Sets:
    """Noise, blurred noise, one grey value, and ramps."""
    random, (down, across) = np.random.default_rng(5), np.mgrid[:256, :256]
    clouds = [cv2.GaussianBlur(random.normal(0, 1, (256, 256)), (0, 0), width) for width in (2, 5, 10, 20, 40) * 4]
    ring = np.hypot(down - 128, across - 128) * 1.4
    return {
        "noise": [record(random.normal(128, spread, (256, 256))) for spread in (10, 30, 60, 90) * 5],
        "clouds": [record(255 * (cloud - cloud.min()) / np.ptp(cloud)) for cloud in clouds],
        "blank": [record(np.full((256, 256), value)) for value in (0, 20, 64, 100, 128, 160, 200, 240, 255)],
        "ramps": [record(ramp) for ramp in (across, down, 255 - across, (across + down) / 2, ring, 255 - ring)],
    }


def altered(drawn: Sequence[np.ndarray]) -> Sets:
    """Drawn radiographs that were changed until they are none: the nearest to another chest that is at hand."""
    steps: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
        "inverted": lambda grey: 255.0 - grey,
        "half the contrast": lambda grey: 64 + grey / 2,
        "darker (gamma 2)": lambda grey: 255 * (grey / 255) ** 2,
        "the middle, twice as large": lambda grey: cv2.resize(grey[64:192, 64:192], (256, 256)),
        "framed in black": lambda grey: np.pad(grey, 40),
    }
    return {name: [record(step(grey)) for grey in drawn] for name, step in steps.items()}


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """How well a score that is larger outside tells both apart."""
    return float(roc_auc_score([0] * len(inside) + [1] * len(outside), np.concatenate([inside, outside])))


def scores(model: LoadedModel, images: Sequence[ImageRecord]) -> tuple[np.ndarray, ...]:
    """Largest score (Hendrycks et al. 2022), energy (Liu et al. 2020), distance in thresholds: larger is stranger."""
    outputs, features = outputs_and_features(model, images)
    known = known_to(model)
    assert known is not None
    distances = np.array([known.distance(row) for row in features]) / known.threshold
    return -outputs.max(1), -np.logaddexp.reduce(outputs, axis=1), distances


def show_made_for_one_kind(sets: Sets, drawn: Sequence[ImageRecord]) -> None:
    """Print, for each model of drawn radiographs, AUROC by three scores and what lies beyond the threshold."""
    for name in (record.name for record in list_bundled() if record.only):
        model = load_model(f"bundled:{name}", device="cpu")
        inside = scores(model, drawn)
        print(f"\n| {name} | pictures | largest score | energy | distance | beyond the threshold | least, median |")
        print("|---|---|---|---|---|---|---|")
        print(f"| drawn, new | {len(drawn)} | | | | {(inside[2] > 1).mean():.1%} | largest {inside[2].max():.2f} |")
        for title, images in sets.items():
            outside = scores(model, images)
            values = " | ".join(f"{auroc(*pair):.2f}" for pair in zip(inside, outside, strict=True))
            ratios = f"{outside[2].min():.1f}, {np.median(outside[2]):.1f}"
            print(f"| {title} | {len(images)} | {values} | {(outside[2] > 1).mean():.0%} | {ratios} |", flush=True)


def show_everyday(sets: Sets) -> None:
    """Print how often the bundled model of everyday things gets the notice, and how well its largest score tells.

    AUROC is against the first set, with the standard crop.
    """
    print("\n| everyday things | pictures | standard crop | whole, stretched | largest score |\n|---|---|---|---|---|")
    models = [load_model("bundled:efficientnet_lite0", preprocessing={"fit": fit}) for fit in ("model", "squash")]
    inside = -outputs_and_features(models[0], next(iter(sets.values())))[0].max(1)
    for title, images in sets.items():
        shown = [sum(bool(explain(image, model, methods="cam").unsuited) for image in images) for model in models]
        score = auroc(inside, -outputs_and_features(models[0], images)[0].max(1))
        print(f"| {title} | {len(images)} | {shown[0]} | {shown[1]} | {score:.2f} |", flush=True)


def main(folders: Sequence[Path]) -> None:
    """Print both tables."""
    radiographs = pictures(EVALUATION + 500_000, DRAWN)
    colour, drawn = photographs(folders), [record_of(picture) for picture in radiographs]
    sets = {"photographs": colour, "photographs in grey": [grey(image) for image in colour]}
    sets["textures, text, microscopy"] = [read_image(next((SKIMAGE / "data").glob(f"{name}.*"))) for name in OTHER]
    sets |= patterns()
    changed = altered([picture.pixels for picture in radiographs[::8]])
    show_made_for_one_kind(sets | changed, drawn)
    show_everyday(sets | {"drawn radiographs": drawn[::4]} | changed)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
