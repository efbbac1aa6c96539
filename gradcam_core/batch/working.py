"""A worker: it holds a model, and turns jobs into results. What is wrong with one picture stays in its result."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from gradcam_core.batch.pictures import read_picture
from gradcam_core.batch.records import ANSWER, TRUE, Job, Recipe, Result, StoredMap, failed
from gradcam_core.errors import GradcamError, ModelError, TargetError
from gradcam_core.evaluation.requests import digest, parts_of
from gradcam_core.exporters.names import safe
from gradcam_core.files import is_disk_full, write_whole
from gradcam_core.many import explain_many
from gradcam_core.preprocess import shown_input
from gradcam_core.readers import Decode, decode, read_image
from gradcam_core.readers.blanking import blanked_words
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.render import overlay
from gradcam_core.sources import load_model
from gradcam_core.targets.classes import find_class
from gradcam_core.version import __version__

TILE, TILE_QUALITY, OVERLAY_QUALITY = 128, 80, 90
# The border is the outer tenth of a picture; its share of the heat is measured on a grid of so many cells.
FINE, BORDER = 100, 10


def loaded_model(recipe: Recipe) -> LoadedModel:
    """Load the model of a recipe. Raises ModelError where its weights are not those with which the batch began."""
    return model_of(recipe.reference, recipe.options, recipe.fingerprint)


def model_of(reference: str, options: Mapping[str, Any], fingerprint: str) -> LoadedModel:
    """Load a model again. Raises ModelError where its weights have another fingerprint than before, if one is known."""
    model = load_model(reference, **options)
    if fingerprint and model.fingerprint != fingerprint:
        raise ModelError(
            "The model's weights have changed since this batch began.",
            "Start again in another folder for the results, or restore the weights. Nothing was lost.",
        )
    return model


@dataclasses.dataclass(frozen=True, slots=True)
class Heatmaps:
    """The task of a process that follows a recipe."""

    recipe: Recipe

    def begin(self) -> Callable[[Sequence[Job]], list[Result]]:
        """Load the model; jobs -> results."""
        return functools.partial(work, model=loaded_model(self.recipe), recipe=self.recipe)

    def lost(self, job: Job, problem: str) -> Result:
        """The result of a picture that ended its process."""
        return failed(job, problem)


def identity_of(recipe: Recipe, model: LoadedModel) -> str:
    """What decides about every map besides the picture: model, task, layers, method, options, target, version."""
    return digest((*parts_of(model, recipe.method, recipe.layers), recipe.target, recipe.blanked, __version__))


def work(jobs: Sequence[Job], model: LoadedModel, recipe: Recipe, decode: Decode = decode) -> list[Result]:
    """Explain pictures, a few at a time. Raises OSError where the disk is full, and what suits no picture.

    `decode` is as that of `read_image`.
    """
    results: list[Result] = []
    for start in range(0, len(jobs), recipe.together):
        results += _together(jobs[start : start + recipe.together], model, recipe, decode)
    return results


def _together(jobs: Sequence[Job], model: LoadedModel, recipe: Recipe, decode: Decode) -> list[Result]:
    results: dict[str, Result] = {}
    images: dict[str, ImageRecord] = {}
    for job in jobs:
        sha256 = ""
        try:
            content = read_picture(job)
            sha256 = hashlib.sha256(content).hexdigest()
            images[job.id] = read_image(content, blanked=recipe.blanked, decode=decode)
        except GradcamError as error:
            results[job.id] = failed(job, f"{error.message} {error.remedy}", sha256)
        except MemoryError:
            results[job.id] = failed(job, "The memory is too small for this picture.", sha256)
    explained = [job for job in jobs if job.id in images]
    own = _explained(explained, images, model, recipe, [recipe.target or None] * len(explained))
    for job in explained:
        results[job.id] = _result(job, images[job.id], own[job.id], model, recipe)
    wrong = [job for job in explained if results[job.id].correct is False]
    true = _explained(wrong, images, model, recipe, [job.label for job in wrong])
    for job in wrong:
        results[job.id] = _with_true(results[job.id], true[job.id])
    return [results[job.id] for job in jobs]


def _explained(
    jobs: Sequence[Job],
    images: dict[str, ImageRecord],
    model: LoadedModel,
    recipe: Recipe,
    targets: Sequence[str | None],
) -> dict[str, Explanation | GradcamError]:
    pictures = [images[job.id] for job in jobs]
    layers = recipe.layers or None
    explanations = explain_many(pictures, model, targets=targets, method=recipe.method, layers=layers) if jobs else ()
    return dict(zip([job.id for job in jobs], explanations, strict=True))


def _result(
    job: Job, image: ImageRecord, explanation: Explanation | GradcamError, model: LoadedModel, recipe: Recipe
) -> Result:
    if isinstance(explanation, GradcamError):
        return failed(job, f"{explanation.message} {explanation.remedy}", image.sha256)
    heatmap, top = explanation.heatmaps[-1], next(iter(explanation.predictions), None)
    true, note = _true_class(job, model)
    correct = None if true is None or top is None else top.index == true
    notes = dict.fromkeys(filter(None, (blanked_words(image.blanked), *explanation.notes, note)))
    return Result(
        *(job.id, job.name, job.size, job.modified_ns),
        sha256=image.sha256,
        key=hashlib.sha256(f"{image.sha256} {recipe.identity}".encode()).hexdigest(),
        label=heatmap.target.label if top is None else top.label,
        label_index=heatmap.target.index if top is None else top.index,
        probability=_number(heatmap.target.probability if top is None else top.probability),
        true_label=job.label,
        correct=correct,
        true_probability=_number(top.probability) if correct and top else None,
        value=_number(getattr(heatmap.target, "value", None)) if model.task == "regression" else None,
        border=border_share(heatmap),
        state=heatmap.state,
        note=" ".join(notes),
        overlay=_overlay(job, image, heatmap, recipe),
        maps=(_stored(heatmap, ANSWER),),
        tile=_tile(explanation) if recipe.tiles else b"",
    )


def _true_class(job: Job, model: LoadedModel) -> tuple[int | None, str]:
    """The index of the true label, where one class of several is right; and a sentence where the model has it not."""
    if not job.label or model.task != "single_label":
        return None, ""
    try:
        return find_class(job.label, model.labels), ""
    except TargetError:
        return None, "The true label is no class of this model."


def _with_true(result: Result, explanation: Explanation | GradcamError) -> Result:
    if isinstance(explanation, GradcamError):
        return dataclasses.replace(
            result, note=f"{result.note} No map of the true label: {explanation.message}".strip()
        )
    heatmap = explanation.heatmaps[-1]
    return dataclasses.replace(
        result,
        true_probability=_number(heatmap.target.probability),
        maps=(*result.maps, _stored(heatmap, TRUE)),
    )


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _stored(heatmap: Heatmap, role: str) -> StoredMap:
    rows, columns = heatmap.raw.shape
    (down, across), size = heatmap.placement.centres.offset, heatmap.placement.input_size
    return StoredMap(
        role,
        heatmap.target.index,
        heatmap.target.label,
        heatmap.layer,
        heatmap.raw,
        _number(heatmap.target.probability),
        (down * rows / size[0], across * columns / size[1]),
        heatmap.signed,
    )


def border_share(heatmap: Heatmap) -> float | None:
    """The share of the heat on the outer tenth of what the model saw of the picture; None where there is none.

    Heat of the same strength everywhere gives 0.36.
    """
    if heatmap.state != "ok":
        return None
    placement = dataclasses.replace(
        heatmap.placement, image_size=(FINE, FINE), box=(0.0, 0.0, float(FINE), float(FINE))
    )
    heat = dataclasses.replace(heatmap, placement=placement).values
    inner = float(heat[BORDER:-BORDER, BORDER:-BORDER].sum())
    return 1 - inner / float(heat.sum())


def _tile(explanation: Explanation) -> bytes:
    """What the model saw, small, as JPEG."""
    seen = shown_input(explanation.model_input, explanation.preprocessing)
    colours = np.repeat(seen[:, :, None], 3, axis=2) if seen.ndim == 2 else seen
    share = TILE / max(colours.shape[:2])
    size = (max(1, round(colours.shape[1] * share)), max(1, round(colours.shape[0] * share)))
    small = cv2.resize(np.ascontiguousarray(colours), size, interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(small, quality=TILE_QUALITY))


def _overlay(job: Job, image: ImageRecord, heatmap: Heatmap, recipe: Recipe) -> str:
    """Write the overlay, as large as the picture, and return its file's name. Raises OSError where the disk is full."""
    if not recipe.overlays:
        return ""
    name = f"{safe(Path(job.name).stem, 100)}-{job.id[:8]}.jpg" if recipe.named else f"{job.id}.jpg"
    drawn = np.ascontiguousarray(overlay(image, heatmap))
    try:
        write_whole(Path(recipe.overlays) / name, simplejpeg.encode_jpeg(drawn, quality=OVERLAY_QUALITY))
    except OSError as error:
        if is_disk_full(error):
            raise
        raise GradcamError("The overlays cannot be written.", "Check that you may write to the folder.") from error
    return name
