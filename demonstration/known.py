"""Calibrate what the demonstration models know, on drawn radiographs: python -m demonstration.known [FOLDER].

Writes known.toml and known.safetensors, into the project where no folder is given.
"""

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

from demonstration.train import record_of
from gradcam_core import ImageRecord, LoadedModel, list_bundled, load_model
from gradcam_core.capture import capture
from gradcam_core.layers import resolve_layer
from gradcam_core.preprocess import prepare
from gradcam_core.samples.radiographs import CALIBRATION, Radiograph, radiograph
from gradcam_core.suitability.known import ARRAYS, NUMBERS, Known, learn
from gradcam_core.targets import choose_targets

# What is drawn, in turn. Pictures of each kind have a mean of their own.
KINDS: tuple[tuple[str, ...], ...] = ((), ("nodule",), ("streak",), ("nodule", "streak"))
# Pictures to learn from, and others to set the threshold on.
FIRST, LEARNED, HELD_OUT = CALIBRATION + 500_000, 200, 120
MARGIN = 1.25
EVERYDAY_PROBABILITY = 0.3
HEAD = f"""# What models know, to notice pictures of another kind. Written by: python -m demonstration.known
version = 1
# A grey picture and a model of everyday things: below this largest probability the notice on radiographs is shown.
everyday_probability = {EVERYDAY_PROBABILITY}
"""


def pictures(first: int = FIRST, count: int = LEARNED + HELD_OUT) -> list[Radiograph]:
    """Draw radiographs of all kinds in turn, half of each with a side marker."""
    return [
        radiograph(first + number, KINDS[number % len(KINDS)], marker=number // len(KINDS) % 2 == 0)
        for number in range(count)
    ]


def outputs_and_features(model: LoadedModel, images: Iterable[ImageRecord]) -> tuple[np.ndarray, np.ndarray]:
    """The class scores [N classes] of pictures, and the averages of the channels at the usual layer [N C]."""
    layer, top = resolve_layer(model, model.default_layer), choose_targets(None, model.labels, 1, model.outputs)
    scores, features = [], []
    for image in images:
        inputs = torch.tensor(prepare(image, model.preprocessing)[0])[None]
        outputs, _, (evidence,) = capture(model, inputs, top, [layer], needs=())
        scores.append(outputs[0].numpy())
        features.append(evidence.activations[0].mean((1, 2)).numpy())
    return np.stack(scores), np.stack(features)


def calibrate(model: LoadedModel, kind: str, radiographs: list[Radiograph]) -> tuple[Known, int, float]:
    """Learn from the first pictures; the threshold is the largest distance of the others, with a margin.

    Also give the number of the picture that lies farthest, and its distance.
    """
    _, features = outputs_and_features(model, map(record_of, radiographs))
    known = learn(kind, 1.0, features[:LEARNED], np.arange(LEARNED) % len(KINDS))
    distances = [known.distance(row) for row in features[LEARNED:]]
    farthest = int(np.argmax(distances))
    return dataclasses.replace(known, threshold=MARGIN * distances[farthest]), farthest, distances[farthest]


def row_of(name: str, model: LoadedModel, known: Known, farthest: int, largest: float) -> str:
    """One model's numbers as a table of the file."""
    spec = model.preprocessing
    values = {
        "kind": known.kind,
        "fingerprint": model.fingerprint,
        "size": spec.size,
        "mean": spec.mean,
        "std": spec.std,
        "learned_from": LEARNED,
        "held_out": HELD_OUT,
        "farthest": farthest,
        "largest_distance": round(largest, 3),
        "threshold": round(known.threshold, 3),
        "rest": float(f"{known.rest:.6g}"),
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(["", f"[models.{name}]", *lines, ""])


def write(folder: Path) -> None:
    """Calibrate every bundled model that knows drawn radiographs only, and write both files."""
    radiographs, text, arrays = pictures(), HEAD, {}
    for record in list_bundled():
        if not record.only:
            continue
        model = load_model(f"bundled:{record.name}", device="cpu")
        known, farthest, largest = calibrate(model, record.only, radiographs)
        text += row_of(record.name, model, known, farthest, largest)
        for part in ("means", "axes", "variances"):
            arrays[f"{record.name}.{part}"] = np.ascontiguousarray(getattr(known, part), np.float32)
    (folder / NUMBERS.name).write_text(text, "utf-8")
    safetensors.numpy.save_file(arrays, folder / ARRAYS.name)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else NUMBERS.parent)
