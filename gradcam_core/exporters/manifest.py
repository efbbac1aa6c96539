"""An explanation, or the checks of a heatmap -> plain values for JSON."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from gradcam_core.checks.panel import Trust
from gradcam_core.exporters.names import Names, file_name, shown_reference
from gradcam_core.placement import Placement
from gradcam_core.records import Explanation, Heatmap, ImageRecord
from gradcam_core.shapes import Map
from gradcam_core.targets import Box, BoxTarget, ContrastTarget, LoweredTarget, box_on_picture
from gradcam_core.tasks import Prediction, Target
from gradcam_core.text import DISCLAIMER, percent

Files = Mapping[int, Mapping[str, str]]
# Less than this is a pixel or two at an edge, lost to rounding.
LEAST = 0.01
SEAL = "record_sha256"
MOST_PARTS = 16


def to_dict(
    explanation: Explanation,
    *,
    names: Names = "keep",
    files: Files | None = None,
    checks: Mapping[int, Trust] | None = None,
) -> dict[str, Any]:
    """Return everything about an explanation but its pixels, in values that strict JSON allows.

    `files` adds entries such as {"file": "01_grad_cam_285_bn2.png"} to the heatmap at that position, and `checks` are
    by position, too. With names "hash", neither the picture nor a model file is named. A number that is not finite
    becomes null.
    """
    files = files or {}
    checked = [{"heatmap": place} | trust_to_dict(trust) for place, trust in (checks or {}).items()]
    record: dict[str, Any] = {
        "image": _image(explanation.image, names),
        "model": {
            "reference": shown_reference(explanation.reference, explanation.fingerprint, names),
            "architecture": explanation.architecture,
            "fingerprint": explanation.fingerprint,
            "device": explanation.device,
            **explanation.outputs.to_dict(),
        },
        "preprocessing": explanation.preprocessing.to_dict(),
        "placement": _placement(explanation.placement),
        "predictions": [
            _amounts(prediction) | _present(prediction) | _box(prediction.box) for prediction in explanation.predictions
        ],
        "heatmaps": [_heatmap(h) | {"file": None} | dict(files.get(i, {})) for i, h in enumerate(explanation.heatmaps)],
        **({"checks": checked} if checked else {}),
        "notes": [*cropped_words(explanation.placement), *explanation.notes],
        "disclaimer": DISCLAIMER,
        "seconds": explanation.seconds,
        "versions": explanation.versions,
        "created": explanation.created,
    }
    return {key: _strict(value) for key, value in record.items()}


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add the checksum of everything else in a record, so that a later change of it is noticed."""
    return {**record, SEAL: checksum(record)}


def checksum(record: Mapping[str, Any]) -> str:
    """The sha256 of a record's values as JSON, in the order of their names; its own checksum does not count."""
    values = {key: value for key, value in record.items() if key != SEAL}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def pixels_checksum(image: ImageRecord) -> str:
    """The sha256 of a picture's pixels as the model got them: float32, little endian, row by row."""
    return hashlib.sha256(np.ascontiguousarray(image.pixels, "<f4").data).hexdigest()


def means_of(raw: Map) -> Float64[np.ndarray, "rows columns"]:
    """A map's means over at most 16 x 16 parts of it: each value of a small map itself."""
    rows, columns = (np.linspace(0, length, min(length, MOST_PARTS) + 1).astype(int) for length in raw.shape)
    sums = np.add.reduceat(np.add.reduceat(raw.astype(np.float64), rows[:-1], axis=0), columns[:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns)))


def cropped_words(placement: Placement) -> tuple[str, ...]:
    """Say how much of the picture was cropped away; nothing where the model saw all of it."""
    share = 1 - placement.seen_share
    return (
        (f"{percent(share, 0)} of this picture was cropped away: the model did not see it.",) if share >= LEAST else ()
    )


def _placement(placement: Placement) -> dict[str, Any]:
    """Where the model's input lies on the picture; what lies beyond the picture is padding."""
    return {
        "box": placement.box,
        "box_means": "top, left, bottom and right of the model's input, in pixels of the picture",
        "input_size": placement.input_size,
        "input_size_means": "height and width, in pixels",
        "seen_share": placement.seen_share,
    }


def trust_to_dict(trust: Trust) -> dict[str, Any]:
    """Return the checks with their numbers and thresholds, in values that strict JSON allows."""
    heatmap = trust.heatmap
    return {
        "method": heatmap.method,
        "layer": heatmap.layer,
        "target": {"index": heatmap.target.index, "label": heatmap.target.label},
        "outcome": trust.outcome,
        "checks": [
            {"name": check.name, "question": check.question, "outcome": check.outcome, "sentence": check.sentence}
            | {"numbers": {name: round(value, 6) for name, value in check.numbers.items()}}
            for check in trust.checks
        ],
        "always": list(trust.always),
        "thresholds": trust.thresholds.to_dict(),
        "disclaimer": DISCLAIMER,
    }


def _image(image: ImageRecord, names: Names) -> dict[str, Any]:
    """`frame`, `window` and `blanked` are what `read_image` needs to read the same pixels again.

    `stored_range` are the stored values that the model got as black and white, `usual_range` those without a window.
    """
    name = {"name": file_name(image.name)} if names == "keep" else {}
    return name | {
        "sha256": image.sha256,
        "pixels_sha256": pixels_checksum(image),
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "bits": image.bits,
        "stored_range": image.stored_range,
        "usual_range": image.usual_range or (None if image.window else image.stored_range),
        "frame": image.frame,
        "frames": image.frames,
        "window": image.window,
        "blanked": image.blanked,
        "unit": image.greys.unit,
        "spacing_mm": image.spacing,
    }


def _heatmap(heatmap: Heatmap) -> dict[str, Any]:
    """`cell_size` is height and width of a map cell in picture pixels; `grid` is rows and columns.

    `raw_means` are the map's means over at most 16 x 16 parts: what `verify` compares.
    `cell_offset` is how far (down, right) the cells' centres lie beside those of an even tiling of the placement's box,
    and `cell_known_to` how closely that is known, both in picture pixels; null where it was not measured.
    """
    target, grid = heatmap.target, heatmap.raw.shape
    against = {"against": target.against} if isinstance(target, ContrastTarget) else {}
    lowers = {"lowers": True} if isinstance(target, LoweredTarget) else {}
    return {
        "method": heatmap.method,
        "options": heatmap.options,
        "target": _amounts(target) | against | lowers | _place(target, heatmap.placement),
        "layer": heatmap.layer,
        "fusion": heatmap.fusion,
        "state": heatmap.state,
        "raw_peak": heatmap.raw_peak,
        "raw_means": [[float(f"{value:.7g}") for value in row] for row in means_of(heatmap.raw)],
        "signed": heatmap.signed,
        "grid": grid,
        "cell_size": heatmap.placement.cell_size((grid[0], grid[1])),
        "cell_offset": heatmap.placement.cell_offset,
        "cell_known_to": heatmap.placement.cell_known_to,
    }


def _amounts(thing: Prediction | Target) -> dict[str, Any]:
    """What the model gives a class: its probability, null where there is none; of a regression, the number."""
    value = getattr(thing, "value", None)
    number = {} if value is None else {"value": value, "unit": getattr(thing, "unit", "")}
    return {"index": thing.index, "label": thing.label, "probability": thing.probability} | number


def _place(target: Target, placement: Placement) -> dict[str, Any]:
    """An object's box, in pixels of the picture; with `edge`, the map is about that edge of it."""
    if not isinstance(target, BoxTarget):
        return {}
    edge = {"edge": target.edge} if target.edge else {}
    return _box(box_on_picture(target.box, placement)) | edge


def _box(box: Box | None) -> dict[str, Any]:
    """(left, top, right, bottom)"""
    return {} if box is None else {"box": [round(value, 2) for value in box]}


def _present(prediction: Prediction) -> dict[str, Any]:
    return {} if prediction.present is None else {"present": prediction.present}


def _strict(value: Any) -> Any:
    """Convert to JSON's own types; what is no number, text, list or mapping becomes text."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)
