"""What a model knows, as its own features show it: how far a picture lies from those that it was made for.

The distance is Mahalanobis' to the nearest class (Lee et al. 2018, equation 2). Their covariance is kept as its
leading axes and one variance for all others (Tipping & Bishop 1999), so that a few hundred pictures determine it.
"""

import functools
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import load_file

from gradcam_core.layers import resolve_layer
from gradcam_core.records import Evidence, LayerInfo, LoadedModel

NUMBERS = Path(__file__).with_name("known.toml")
ARRAYS = Path(__file__).with_name("known.safetensors")
AXES = 8

Features = Float[np.ndarray, " C"]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The features of the pictures that a model knows: each class's mean, and how they spread around the means.

    `variances` belong to the `axes`, which are unit vectors; `rest` is the variance along every other direction.
    """

    kind: str
    threshold: float
    means: Float[np.ndarray, "classes C"]
    axes: Float[np.ndarray, "axes C"]
    variances: Float[np.ndarray, " axes"]
    rest: float

    def distance(self, features: Features) -> float:
        """How far features lie from the nearest class's mean, in standard deviations."""
        away = features.astype(np.float64) - self.means
        along = away @ self.axes.T
        across = (away**2).sum(axis=1) - (along**2).sum(axis=1)
        squares = (along**2 / self.variances).sum(axis=1) + np.maximum(across, 0) / self.rest
        return float(np.sqrt(squares.min()))


def learn(
    kind: str, threshold: float, features: Float[np.ndarray, "N C"], classes: Int[np.ndarray, " N"], axes: int = AXES
) -> Known:
    """Learn from pictures of every class: their means, and the covariance around them that the classes share."""
    features = features.astype(np.float64)
    means = np.stack([features[classes == number].mean(axis=0) for number in range(classes.max() + 1)])
    away = features - means[classes]
    variances, vectors = np.linalg.eigh(away.T @ away / len(away))
    order = np.argsort(variances)[::-1]
    leading, others = order[:axes], order[axes:]
    return Known(kind, threshold, means, vectors[:, leading].T, variances[leading], float(variances[others].mean()))


def known_to(model: LoadedModel) -> Known | None:
    """What is calibrated for exactly these weights and this input; None where nothing is."""
    spec = model.preprocessing
    given = {"size": [*spec.size], "mean": [*spec.mean], "std": [*spec.std]}
    for name, row in read_known()["models"].items():
        if row["fingerprint"] == model.fingerprint and all(row[key] == value for key, value in given.items()):
            return _known(name)
    return None


@functools.cache
def read_known() -> Mapping[str, Any]:
    """The calibration's numbers, from its file."""
    return tomllib.loads(NUMBERS.read_text("utf-8"))


@functools.cache
def _known(name: str) -> Known:
    row, arrays = read_known()["models"][name], load_file(ARRAYS)
    means, axes, variances = (arrays[f"{name}.{part}"].astype(np.float64) for part in ("means", "axes", "variances"))
    return Known(row["kind"], row["threshold"], means, axes, variances, row["rest"])


def with_usual_layer(
    model: LoadedModel, layers: tuple[LayerInfo, ...], needs: Collection[str]
) -> tuple[LayerInfo, ...]:
    """The layers to tap: those to explain, and a calibrated model's usual one, where that costs no further pass."""
    if "tail" in needs or known_to(model) is None:
        return layers
    return tuple(dict.fromkeys((*layers, resolve_layer(model, model.default_layer))))


def mean_features(evidence: Evidence) -> Features:
    """The averages of a layer's channels [C], for one picture."""
    averages: Features = evidence.activations[0].mean((1, 2)).float().cpu().numpy()
    return averages
