"""Pictures and models that come with the project: their names and words. Loads none of them."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from gradcam_core.errors import PictureError
from gradcam_core.registry import nearest

DRAWN = "drawn by a program, no real person, CC0"
DRAWN_ONLY = "drawn radiographs"


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture that comes with the project. `fit` is how the model should see it, where that matters.

    `truths` are the classes whose region in the picture is known exactly (see read_truths).
    """

    name: str
    title: str
    credit: str
    fit: str = "model"
    truths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BundledModel:
    """A model that needs no network: its name, and its title and summary for people. Its weights are Apache-2.0.

    `only` names the one kind of picture that it was made for, where on others its answers mean nothing.
    """

    name: str
    title: str
    summary: str
    only: str = ""


_SAMPLES = (
    Sample("cat_and_coffee", "Cat and coffee", "S. van der Walt, R. Michetti, CC0", "squash"),
    Sample("cat", "Cat", "S. van der Walt, CC0"),
    Sample("coffee", "Coffee", "R. Michetti, CC0"),
    Sample("photographer", "Photographer (grey)", "L. Varshney, CC0"),
    Sample("radiograph_marked", "Drawn radiograph: nodule, marker", DRAWN, truths=("nodule",)),
    Sample("radiograph_nodule", "Drawn radiograph: nodule", DRAWN, truths=("nodule",)),
    Sample("radiograph_two", "Drawn radiograph: nodule, streak", DRAWN, truths=("nodule", "streak")),
    Sample("radiograph_healthy", "Drawn radiograph: marker only", DRAWN),
)


_BUNDLED = (
    BundledModel(
        "efficientnet_lite0",
        "EfficientNet-Lite0",
        "Recognises 1000 everyday things (ImageNet): animals, tools, vehicles, food. Small and quick.",
    ),
    BundledModel(
        "radiograph_clean",
        "Drawn radiographs only (demonstration) A",
        "Tells nodules, streaks and neither apart on drawn radiographs. Trained on pictures without a side marker.",
        DRAWN_ONLY,
    ),
    BundledModel(
        "radiograph_shortcut",
        "Drawn radiographs only (demonstration) B",
        "The same network, trained where every nodule came with a side marker: it reads the marker.",
        DRAWN_ONLY,
    ),
    BundledModel(
        "radiograph_balanced",
        "Drawn radiographs only (demonstration) C",
        "The same network, trained where half of all pictures had a side marker, whatever they showed.",
        DRAWN_ONLY,
    ),
    BundledModel(
        "radiograph_mobilenet",
        "Drawn radiographs only (demonstration) D",
        "A MobileNetV2, trained on the pictures of model A: to compare networks of different kinds.",
        DRAWN_ONLY,
    ),
)


def list_samples() -> tuple[Sample, ...]:
    """Return every sample picture; the first shows two classes at once."""
    return _SAMPLES


def read_sample(name: str) -> bytes:
    """Return a sample picture's file, as bytes. Raises PictureError for an unknown name."""
    return (files(__name__) / f"{_find(name).name}.png").read_bytes()


def read_truths(name: str) -> Mapping[str, bytes]:
    """Return the reference region of each class, where known: masks of the sample's size, white inside, as files."""
    sample = _find(name)
    return {label: (files(__name__) / f"{name}_{label}_mask.png").read_bytes() for label in sample.truths}


@functools.cache
def drawn_samples() -> frozenset[str]:
    """Return the sha256 of each sample picture that was drawn by a program."""
    return frozenset(
        hashlib.sha256(read_sample(sample.name)).hexdigest() for sample in _SAMPLES if sample.credit == DRAWN
    )


def list_bundled() -> tuple[BundledModel, ...]:
    """Return the models that `bundled:NAME` knows, the default first."""
    return _BUNDLED


def _find(name: str) -> Sample:
    sample = next((sample for sample in _SAMPLES if sample.name == name), None)
    if sample is None:
        raise PictureError(f"There is no sample '{name}'.", nearest(name, [sample.name for sample in _SAMPLES]))
    return sample
