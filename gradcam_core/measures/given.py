"""Heatmap, reference region and model -> what measures ask for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from gradcam_core.capture import scorer
from gradcam_core.errors import GradcamError, ModelError, TargetError
from gradcam_core.measures.needs import NotMeasurable, Probability, Shown, Truth, Visible
from gradcam_core.placement import Placement
from gradcam_core.records import Explanation, Heatmap, LoadedModel, Target
from gradcam_core.shapes import Heat
from gradcam_core.targets import Followed, followed

# Interpolation makes equal cells differ in the seventh decimal; rounding makes them ties again.
DECIMALS = 5


def serve(
    heatmap: Heatmap, truth: Any, explanation: Explanation | None, model: LoadedModel | None
) -> Mapping[str, Any]:
    """Compute what measures may ask for, by the names in needs.py.

    Raises a GradcamError for a reference region that does not fit the picture, and for an explanation
    that does not belong to this heatmap or this model.
    """
    served: dict[str, Any] = {"heat": heat_of(heatmap)}
    if truth is not None:
        served["truth"] = check_truth(truth, heatmap.placement)
    if explanation is not None and model is not None:
        check_same(heatmap, explanation, model)
        visible = visible_in(heatmap.placement)
        served["visible"], served["shown"] = visible, shown_in(heatmap, visible)
        # A copy, since tensors share their memory with the arrays they come from.
        served["inputs"] = torch.tensor(explanation.model_input)[None].to(model.device)
        served["probability"] = probability_of(heatmap.target, model)
    return served


def heat_of(heatmap: Heatmap) -> Heat:
    """The heatmap on the picture's pixels, with equal cells equal."""
    heat: Heat = heatmap.values.round(DECIMALS)
    return heat


def visible_in(placement: Placement) -> Visible:
    """Which pixels of the model's input show the picture: their middles lie on it. The others are padding."""
    top, left, bottom, right = placement.shown()
    visible: Visible = np.zeros(placement.input_size, bool)
    visible[top:bottom, left:right] = True
    return visible


def shown_in(heatmap: Heatmap, visible: Visible) -> Shown:
    """The map's positive part on the model input's own pixels: 0 in padding, its peak on the picture 1."""
    large = heatmap.placement.on_input(np.maximum(heatmap.raw, 0))
    shown: Shown = np.where(visible, large, np.float32(0))
    peak = shown.max()
    return (shown / peak).round(DECIMALS) if peak > 0 else shown


def check_truth(truth: Any, placement: Placement) -> Truth:
    """A reference region as booleans on the picture's own pixels. Raises GradcamError for anything else."""
    if not isinstance(truth, np.ndarray) or truth.dtype != bool:
        kind = str(truth.dtype) if isinstance(truth, np.ndarray) else type(truth).__name__
        raise GradcamError(
            f"The reference region is {kind}, not true or false.", "Give an array of booleans: mask > 0."
        )
    if truth.shape != placement.image_size:
        size, (height, width) = " x ".join(map(str, truth.shape)), placement.image_size
        raise GradcamError(
            f"The reference region is {size}, the picture is {height} x {width}.",
            "Give one that is as high and as wide as the picture.",
        )
    if not truth.any():
        raise GradcamError("The reference region is empty.", "Mark at least one pixel.")
    return truth


def check_same(heatmap: Heatmap, explanation: Explanation, model: LoadedModel) -> None:
    """Raise a GradcamError where heatmap, explanation and model do not belong together."""
    if explanation.fingerprint != model.fingerprint or explanation.preprocessing != model.preprocessing:
        raise ModelError(
            "This heatmap was made with another model or another preprocessing.", "Give the model that made it."
        )
    if heatmap.origin != explanation.origin:
        raise GradcamError(
            "This heatmap does not belong to this explanation: its picture, model or preprocessing is another.",
            "Give the explanation that it came from.",
        )


def probability_of(target: Target, model: LoadedModel) -> Probability:
    """What the model gives a target in inputs [B Cin Hin Win], as a share.

    A probability, an object's score, or the part of a region that stays as it is. It raises
    NotMeasurable where the target has no such share.
    """
    scores = scorer(model)

    def probability(inputs: torch.Tensor) -> np.ndarray:
        number = _share_of(target, model)
        values: np.ndarray = number.values(scores(inputs)).float().cpu().numpy()
        if not np.isfinite(values).all():
            raise NotMeasurable("The model's scores are not finite numbers for the changed picture.")
        return values

    return probability


def _share_of(target: Target, model: LoadedModel) -> Followed:
    try:
        number = followed(target, model.outputs, model.labels)
    except TargetError as error:
        raise NotMeasurable(error.message) from error
    if not number.is_share:
        raise NotMeasurable(f"This measurement follows a share that can fall to 0, and {number.name} is not one.")
    return number
