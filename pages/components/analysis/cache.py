"""What sessions share: decoded pictures, loaded models, explanations, checks. Keyed by content, bounded.

No picture's name is kept here: two people may have one file under different names, and must not learn each
other's. Explanations are kept without pixels. What is not used is dropped after some minutes.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from threading import Semaphore
from typing import Any

from gradcam_core import (
    Area,
    Comparison,
    Explanation,
    Heatmap,
    ImageRecord,
    LoadedModel,
    Measurement,
    OnProgress,
    Prediction,
    Trust,
    explain,
    list_methods,
    load_model,
    lowers,
    override_preprocessing,
    predict,
    release_memory,
    similar,
    similar_to_text,
    trust,
    tune_allocator,
    with_task,
)
from pages.components.analysis import files
from pages.components.analysis.decoding import DECODER, read_image
from pages.components.analysis.requests import Analysis, ModelChoice
from pages.components.analysis.shelf import Shelf
from pages.components.pixels.values import GreyValues, read_values

Window = tuple[float, float]
Measured = dict[str, dict[str, Measurement]]
IDLE_S = 600
CHANGED = "The file was changed since it was added: the model’s weights are not those of then."
MOST_OBJECTS = 100
SLOW = frozenset(method.name for method in list_methods() if method.reports)
# As many quick analyses at a time as there are cores: more would only slow each other down.
TURNS = Semaphore(os.cpu_count() or 1)


def _bytes_of_explanation(explanation: Explanation) -> int:
    return explanation.model_input.nbytes + sum(heatmap.raw.nbytes for heatmap in explanation.heatmaps)


def _bytes_of_checks(checked: Trust) -> int:
    return sum(check.shown.nbytes for check in checked.checks if check.shown is not None)


def _bytes_of_comparison(comparison: Comparison) -> int:
    return sum(map(_bytes_of_explanation, comparison.explanations))


PICTURES: Shelf[ImageRecord] = Shelf(32, most_bytes=1.2e9, idle_s=IDLE_S, size=lambda image: image.pixels.nbytes)
VALUES: Shelf[GreyValues] = Shelf(8, most_bytes=3e8, idle_s=IDLE_S, size=lambda values: values.levels.nbytes)
MODELS: Shelf[LoadedModel] = Shelf(4, release=release_memory)  # as many as can be compared
EXPLANATIONS: Shelf[Explanation] = Shelf(64, most_bytes=3e8, idle_s=IDLE_S, size=_bytes_of_explanation)
PREDICTED: Shelf[tuple[Prediction, ...]] = Shelf(64, idle_s=IDLE_S)
CHECKS: Shelf[Trust] = Shelf(64, most_bytes=1e8, idle_s=IDLE_S, size=_bytes_of_checks)
MEASURED: Shelf[Measured] = Shelf(64, idle_s=IDLE_S)
COMPARISONS: Shelf[Comparison] = Shelf(16, most_bytes=1e8, idle_s=IDLE_S, size=_bytes_of_comparison)

tune_allocator()  # once a process: passes of many pictures are then two to three times as fast


def picture_key(sha256: str, frame: int = 0, window: Window | None = None, blanked: Sequence[Area] = ()) -> str:
    """The identity of a decoded picture."""
    return f"{sha256} {frame} {window or ''} {blanked or ''}"


def picture(
    sha256: str, content: bytes, frame: int = 0, window: Window | None = None, blanked: Sequence[Area] = ()
) -> ImageRecord:
    """Decode a picture once for all sessions that have these bytes."""
    key = picture_key(sha256, frame, window, blanked)
    return PICTURES.get(key, lambda: read_image(content, frame=frame, window=window, blanked=blanked, sha256=sha256))


def values(image: ImageRecord, content: bytes) -> GreyValues:
    """Read a grey picture's stored values once for all sessions that have these bytes."""
    return VALUES.get(
        picture_key(image.sha256, image.frame, blanked=image.blanked), lambda: read_values(image, content)
    )


def forget_picture(sha256: str) -> None:
    """Drop a picture and all that was computed of it."""
    for shelf in (PICTURES, VALUES, EXPLANATIONS, PREDICTED, CHECKS, MEASURED, COMPARISONS):
        shelf.drop(sha256)


def sweep() -> None:
    """Drop what was not used for some minutes."""
    for shelf in (PICTURES, VALUES, EXPLANATIONS, PREDICTED, CHECKS, MEASURED, COMPARISONS):
        shelf.sweep()
    DECODER.renew(IDLE_S)


def choice_key(choice: ModelChoice, device: str) -> str:
    """The identity of a model that is to be loaded. Its title, which may be a file's name, is no part of it.

    Neither is its task: a model is not loaded again for it.
    """
    return f"{device} {dataclasses.replace(choice, title='', task='', unit='', threshold=None, fingerprint='')}"


def model(choice: ModelChoice, device: str, on_progress: OnProgress | None = None) -> LoadedModel:
    """Load a model once for all sessions; four stay in memory."""
    files.touch(choice.reference)
    loaded = MODELS.get(
        choice_key(choice, device),
        lambda: load_model(
            choice.reference,
            architecture=choice.architecture or None,
            labels=choice.labels or None,
            preprocessing=dict(choice.preprocessing) or None,
            weights="averaged" if choice.averaged else None,
            device=device,
            on_progress=on_progress,
        ),
    )
    return _as_chosen(loaded, choice)


def _as_chosen(loaded: LoadedModel, choice: ModelChoice) -> LoadedModel:
    """The model with the task, unit and threshold that its user chose, and a note where its weights are other ones."""
    if choice.fingerprint not in ("", loaded.fingerprint):
        loaded = dataclasses.replace(loaded, notes=(CHANGED, *loaded.notes))
    if not choice.task and choice.threshold is None:
        return loaded
    model = with_task(loaded, choice.task or None, unit=choice.unit)
    return with_task(model, thresholds=choice.threshold) if model.outputs.has_findings else model


def fitted(model: LoadedModel, changes: Mapping[str, Any]) -> LoadedModel:
    """The model with its pictures prepared as the user wants it; the fit "model" is the one that it has itself."""
    changes = {name: value for name, value in changes.items() if (name, value) != ("fit", "model")}
    return dataclasses.replace(model, preprocessing=override_preprocessing(model.preprocessing, changes))


def explanation(analysis: Analysis, on_progress: OnProgress | None = None) -> Explanation:
    """Explain a picture, or find the explanation that was made of the same content before."""

    def compute() -> Explanation:
        computed = _explain(analysis, on_progress)
        return dataclasses.replace(computed, image=_without_pixels(computed.image))

    return dataclasses.replace(EXPLANATIONS.get(analysis.key, compute), image=analysis.image)


def _without_pixels(image: ImageRecord) -> ImageRecord:
    return dataclasses.replace(image, pixels=image.pixels[:1, :1].copy(), channels=None)


def _explain(analysis: Analysis, on_progress: OnProgress | None) -> Explanation:
    request = analysis.request
    takes_long = any(name in SLOW for name, _ in request.methods)
    with nullcontext() if takes_long else TURNS:
        return explain(
            analysis.image,
            analysis.model,
            top_k=request.top_k,
            targets=_targets(analysis) or None,
            against=None if request.lowers else request.against,
            methods=[(name, dict(options)) for name, options in request.methods],
            layers=list(request.layers) or None,
            on_progress=on_progress,
        )


def _targets(analysis: Analysis) -> list[Any]:
    """The reference, texts or classes that are named, or what lowers classes; none for the most probable classes."""
    request = analysis.request
    if analysis.reference is not None:
        return [similar(analysis.reference, analysis.model)]
    if request.texts:
        return [similar_to_text(text, analysis.model) for text in request.texts]
    return _lowered(analysis) if request.lowers else list(request.targets)


def predicted(image: ImageRecord, model: LoadedModel, name: str) -> tuple[Prediction, ...]:
    """All objects or regions that a model finds in a picture; `name` identifies both by content."""

    def compute() -> tuple[Prediction, ...]:
        with TURNS:
            return predict(image, model, MOST_OBJECTS)

    return PREDICTED.get(f"{image.sha256} {name}", compute)


def _lowered(analysis: Analysis) -> list[Any]:
    """What lowers the chosen classes, or the most probable ones."""
    request, model = analysis.request, analysis.model
    top = [prediction.index for prediction in predict(analysis.image, model, request.top_k)]
    return [lowers(index, model.labels) for index in request.targets or top]


def checked(analysis: Analysis, explanation: Explanation, place: int, on_progress: OnProgress | None) -> Trust:
    """Check a heatmap, or find the checks that were made of the same content before."""
    heatmap: Heatmap = explanation.heatmaps[place]
    return CHECKS.get(
        f"{analysis.key} {place}", lambda: trust(explanation, heatmap, analysis.model, on_progress=on_progress)
    )


def measured(key: str, compute: Callable[[], Measured]) -> Measured:
    """Measure heatmaps, or find what was measured of the same content before; `key` begins like the analysis's."""
    return MEASURED.get(key, compute)


def comparison(key: str, image: ImageRecord, compute: Callable[[], Comparison]) -> Comparison:
    """Compare models, or find what was compared of the same content before; `key` begins with the picture's sha256."""

    def without_pixels() -> Comparison:
        computed = compute()
        return _on_image(computed, _without_pixels(computed.image))

    return _on_image(COMPARISONS.get(key, without_pixels), image)


def _on_image(comparison: Comparison, image: ImageRecord) -> Comparison:
    explanations = tuple(dataclasses.replace(explanation, image=image) for explanation in comparison.explanations)
    return dataclasses.replace(comparison, explanations=explanations)
