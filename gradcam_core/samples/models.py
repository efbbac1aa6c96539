"""Models that come with the installation and need no network: their names and words, without loading anything."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BundledModel:
    """One bundled model: its name, its title and summary for people, and the licence of its weights."""

    name: str
    title: str
    summary: str
    licence: str


_BUNDLED = (
    BundledModel(
        "efficientnet_lite0",
        "EfficientNet-Lite0",
        "Recognises 1000 everyday things (ImageNet): animals, tools, vehicles, food. Small and quick.",
        "Apache-2.0",
    ),
    BundledModel(
        "radiograph_clean",
        "Drawn radiographs only (demonstration) A",
        "Tells nodules, streaks and neither apart on drawn radiographs. Trained on pictures without a side marker.",
        "Apache-2.0",
    ),
    BundledModel(
        "radiograph_shortcut",
        "Drawn radiographs only (demonstration) B",
        "The same network, trained where every nodule came with a side marker: it reads the marker.",
        "Apache-2.0",
    ),
    BundledModel(
        "radiograph_balanced",
        "Drawn radiographs only (demonstration) C",
        "The same network, trained where half of all pictures had a side marker, whatever they showed.",
        "Apache-2.0",
    ),
    BundledModel(
        "radiograph_mobilenet",
        "Drawn radiographs only (demonstration) D",
        "A MobileNetV2, trained on the pictures of model A: to compare networks of different kinds.",
        "Apache-2.0",
    ),
)


def list_bundled() -> tuple[BundledModel, ...]:
    """The models that `bundled:NAME` knows, the default first."""
    return _BUNDLED
