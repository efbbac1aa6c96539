"""Compute an explanation again from its record, and compare: was it this picture, this model, these numbers?

A record comes from outside: every value is checked before it is used, and nothing in it is run.
"""

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcam_core.errors import GradcamError
from gradcam_core.explanation import explain
from gradcam_core.exporters.manifest import SEAL, checksum, means_of, pixels_checksum
from gradcam_core.picture import Area
from gradcam_core.preprocess import override_preprocessing
from gradcam_core.progress import OnProgress
from gradcam_core.readers import read_image
from gradcam_core.readers.blanking import check_areas
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.sources.heads import with_task
from gradcam_core.targets import Wanted, contrast
from gradcam_core.text import one_line, percent
from gradcam_core.version import versions

TOLERANCE = 1e-4
MOST_HEATMAPS, MOST_METHODS = 1_000, 40
ALTERED = "The record was altered after it was written: its checksum does not fit its contents."
UNSEALED = "The record has no checksum, as those of older versions: whether it was altered cannot be told."
OTHER_FILE = "This is not the picture that was explained: its file has another checksum."
OF_A_SERIES = "It was one slice or frame of several: give the whole file, or the folder or ZIP of the whole series."
OTHER_PIXELS = "The picture's pixels are not those of then: it was decoded in another way."
OTHER_WEIGHTS = "This is not the model that was explained: its weights have another checksum."
NO_RECORD = "This is not the record of an explanation."
GIVE_RECORD = "Give the explanation.json that `explain` or the app wrote."


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one heatmap was reproduced, in a sentence. `difference` is the largest one, as a share of its peak."""

    name: str
    reproduced: bool
    sentence: str
    difference: float = math.nan


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of it: `problems` are sentences about what was altered or is another one; `notes` are no problems."""

    problems: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reproduced(self) -> bool:
        """Whether nothing was altered, and every number came out again."""
        return not self.problems and bool(self.verdicts) and all(verdict.reproduced for verdict in self.verdicts)


def verify(
    record: Mapping[str, Any], content: bytes, model: LoadedModel, *, on_progress: OnProgress | None = None
) -> Verification:
    """Compute a record's explanation again from the picture's file, and compare numbers to 1e-4 of their peak.

    Where picture, weights or record are not those of then, nothing is computed. Raises GradcamError for a record that
    lacks what is needed, and for a picture that cannot be read.
    """
    heatmaps = _heatmaps(record)
    notes: tuple[str, ...] = () if SEAL in record else (UNSEALED,)
    problems = (ALTERED,) if SEAL in record and record[SEAL] != _checksum(record) else ()
    image = _part(record, "image")
    if hashlib.sha256(content).hexdigest() != image.get("sha256"):
        several = isinstance(frames := image.get("frames"), int) and frames > 1
        return Verification((*problems, OTHER_FILE, *[OF_A_SERIES] * several), (), notes)
    if model.fingerprint != _part(record, "model").get("fingerprint"):
        return Verification((*problems, OTHER_WEIGHTS), (), notes)
    picture = read_image(content, frame=_frame(image), window=_window(image), blanked=_blanked(image))
    if image.get("pixels_sha256") not in (None, pixels_checksum(picture)):
        return Verification((*problems, OTHER_PIXELS, *_other_versions(record)), (), notes)
    if problems:
        return Verification(problems, (), notes)
    again = _explained(record, picture, _as_then(record, model), heatmaps, on_progress)
    notes += _other_versions(record)
    return Verification(_other_answers(record, again), _compared(heatmaps, again), notes)


def _explained(
    record: Mapping[str, Any],
    picture: ImageRecord,
    model: LoadedModel,
    heatmaps: Sequence[Mapping[str, Any]],
    on_progress: OnProgress | None,
) -> Explanation:
    runs = [list(run) for _, run in itertools.groupby(heatmaps, key=_method)]
    # Methods are outermost, then targets, then layers; a method may be named twice in a row.
    of_first_layer = [[h for h in run if h.get("layer") == run[0].get("layer")] for run in runs]
    count = math.gcd(*map(len, of_first_layer))
    targets = [_target(_part(h, "target"), model) for h in of_first_layer[0][:count]]
    methods = [part[0] for part in of_first_layer for _ in range(len(part) // count)]
    if len(methods) > MOST_METHODS:
        raise GradcamError("The record has too many methods to compute again at once.", "Explain in smaller parts.")
    layers = list(dict.fromkeys(str(h["layer"]) for h in heatmaps if h.get("layer") and not h.get("fusion")))
    return explain(
        picture,
        model,
        top_k=max(len(_list(record, "predictions")), 1),
        targets=targets,
        methods=[(str(h.get("method")), dict(_part(h, "options"))) for h in methods],
        layers=layers or None,
        on_progress=on_progress,
    )


def _method(heatmap: Mapping[str, Any]) -> str:
    return repr((heatmap.get("method"), heatmap.get("options")))


def _as_then(record: Mapping[str, Any], model: LoadedModel) -> LoadedModel:
    """The model with the task and the preprocessing that the record names."""
    then = _part(record, "model")
    if then.get("task") not in (None, model.task):
        model = with_task(model, str(then["task"]), unit=str(then.get("unit") or ""))
    changes = {name: value for name, value in _part(record, "preprocessing").items() if value is not None}
    return dataclasses.replace(model, preprocessing=override_preprocessing(model.preprocessing, changes))


def _target(target: Mapping[str, Any], model: LoadedModel) -> Wanted:
    """What to ask for, so that the same target is explained. Raises GradcamError where the record does not say it."""
    index, label = target.get("index"), str(target.get("label", ""))
    if isinstance(index, bool) or not isinstance(index, int):
        raise GradcamError(NO_RECORD, GIVE_RECORD)
    if "box" in target:
        number = label.rpartition(" · box ")[2]
        return f"box:{number}:{target['edge']}" if target.get("edge") else f"box:{number}"
    if model.task == "segmentation":
        return index
    if "against" in target:
        return contrast(index, int(target["against"]), model.labels)
    if index >= 0:
        return f"-{index}" if target.get("lowers") else index
    if model.text is not None:
        return f"text:{label}"
    raise GradcamError(
        "The record is about likeness to a reference picture, which it does not hold.",
        "Explain both pictures again, and compare the records.",
    )


def _compared(heatmaps: Sequence[Mapping[str, Any]], again: Explanation) -> tuple[Verdict, ...]:
    if len(heatmaps) != len(again.heatmaps):
        words = f"{len(heatmaps)} heatmaps are recorded, and {len(again.heatmaps)} came out."
        return (Verdict("", False, words),)
    return tuple(_verdict(then, heatmap) for then, heatmap in zip(heatmaps, again.heatmaps, strict=True))


def _verdict(then: Mapping[str, Any], heatmap: Heatmap) -> Verdict:
    """Compare one heatmap: its method, layer, probability, peak and map."""
    target = heatmap.target
    name = one_line(f"{heatmap.method}, {target.label}, {heatmap.layer or 'input'}", 200)
    recorded_target = _part(then, "target")
    whose = [then.get(part) for part in ("method", "layer", "fusion", "state", "signed", "grid")]
    now = [heatmap.method, heatmap.layer, heatmap.fusion, heatmap.state, heatmap.signed, list(heatmap.raw.shape)]
    same = (recorded_target.get("index"), recorded_target.get("label")) == (target.index, target.label)
    if whose != now or not same:
        return Verdict(name, False, "What is recorded in its place is another heatmap, or says other things of it.")
    if not _close(_part(then, "target").get("probability"), target.probability):
        return Verdict(name, False, f"Its probability came out as {percent(target.probability, 2)}.")
    difference = _difference(then, heatmap)
    if not difference <= TOLERANCE:  # NaN is no agreement
        return Verdict(name, False, f"Its map differs by up to {percent(difference, 2)} of its peak.", difference)
    words = "Reproduced." if "raw_means" in then else "Its peak is reproduced; the record has no more of its map."
    return Verdict(name, True, words, difference)


def _difference(then: Mapping[str, Any], heatmap: Heatmap) -> float:
    """The largest difference of the peak and of the map's means, as a share of the map's size; NaN for no number."""
    differences = [abs(_number(then.get("raw_peak")) - heatmap.raw_peak)]
    if "raw_means" in then:
        means, recorded = means_of(heatmap.raw), _numbers(then["raw_means"])
        differences.append(float(np.abs(recorded - means).max()) if recorded.shape == means.shape else math.nan)
    return float(np.max(differences)) / (heatmap.raw_size or 1.0)


def _other_answers(record: Mapping[str, Any], again: Explanation) -> tuple[str, ...]:
    """A sentence where the model's answers are not those of then."""
    image = _part(record, "image")
    if (image.get("width"), image.get("height")) != (again.image.width, again.image.height):
        return ("The picture has another size than the record says.",)
    for then, now in zip(_list(record, "predictions"), again.predictions, strict=False):
        if then.get("index") != now.index or not _close(then.get("probability"), now.probability):
            return ("The model's answers are not those in the record.",)
    return ()


def _other_versions(record: Mapping[str, Any]) -> tuple[str, ...]:
    then, now = _part(record, "versions"), versions()
    changed = [
        f"{name} {version} (then {one_line(str(then[name]), 40)})"
        for name, version in now.items()
        if then.get(name, version) != version
    ]
    return (f"Other versions are installed: {', '.join(changed)}.",) if changed else ()


def _close(then: Any, now: float) -> bool:
    """Whether a recorded probability is this one; null stands for none."""
    if not math.isfinite(now):
        return then is None
    return abs(_number(then) - now) <= TOLERANCE


def _heatmaps(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    heatmaps = _list(record, "heatmaps")
    if not heatmaps or len(heatmaps) > MOST_HEATMAPS:
        raise GradcamError(NO_RECORD, GIVE_RECORD)
    return heatmaps


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    if not isinstance(part, Mapping):
        raise GradcamError(NO_RECORD, GIVE_RECORD)
    return part


def _list(record: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    values = record.get(name)
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise GradcamError(NO_RECORD, GIVE_RECORD)
    return values


def _frame(image: Mapping[str, Any]) -> int:
    frame = image.get("frame", 0)
    return frame if isinstance(frame, int) else -1


def _window(image: Mapping[str, Any]) -> tuple[float, float] | None:
    window = image.get("window")
    if window is None:
        return None
    if not isinstance(window, list) or len(window) != 2:
        raise GradcamError(NO_RECORD, GIVE_RECORD)
    return _number(window[0]), _number(window[1])


def _blanked(image: Mapping[str, Any]) -> tuple[Area, ...]:
    areas = image.get("blanked", [])
    if not isinstance(areas, list) or not all(isinstance(area, list) for area in areas):
        raise GradcamError(NO_RECORD, GIVE_RECORD)
    return check_areas([[_number(side) for side in area] for area in areas])


def _number(value: Any) -> float:
    """A finite number, NaN for anything else."""
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _numbers(values: Any) -> np.ndarray:
    """A recorded table of numbers. Raises GradcamError for anything else."""
    try:
        table = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        table = np.empty(0)
    if table.ndim != 2:
        raise GradcamError(NO_RECORD, GIVE_RECORD)
    return table


def _checksum(record: Mapping[str, Any]) -> str:
    try:
        return checksum(record)
    except (ValueError, TypeError, RecursionError):  # values that no record has
        raise GradcamError(NO_RECORD, GIVE_RECORD) from None
