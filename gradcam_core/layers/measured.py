"""How well layers localise, measured on models with known truth; the numbers are in measured.toml."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcam_core.records import LoadedModel

MEASURED = Path(__file__).with_name("measured.toml")


@dataclass(frozen=True, slots=True)
class Localisation:
    """How well a layer localises on `pictures`, with Grad-CAM.

    `mass` is the share of all heat on the region of the explained class, `hits` that of the hottest points. `low` and
    `high` are the interval of this mass minus the usual layer's; 0 for the usual layer itself.
    """

    name: str
    pictures: str
    mass: float
    hits: float
    low: float = 0.0
    high: float = 0.0


def localisations(model: LoadedModel) -> Mapping[str, Localisation]:
    """What was measured of exactly these weights at this input size, by layer; empty where nothing was."""
    for row in _read()["models"].values():
        known = row["fingerprint"] == model.fingerprint and row["size"] == [*model.preprocessing.size]
        if known and row["usual"] == model.default_layer:
            return {layer["name"]: Localisation(pictures=row["pictures"], **layer) for layer in row["layers"]}
    return {}


@functools.cache
def _read() -> Mapping[str, Any]:
    return tomllib.loads(MEASURED.read_text("utf-8"))
