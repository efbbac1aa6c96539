"""Two pictures and a network without a classifier -> a target: what makes them alike."""

import torch

from gradcam_core.capture import scorer
from gradcam_core.devices import with_enough_memory
from gradcam_core.errors import TargetError
from gradcam_core.preprocess import prepare
from gradcam_core.records import ImageRecord, LoadedModel
from gradcam_core.targets import SimilarTarget
from gradcam_core.tasks import TASK_WORDS


def similar(reference: ImageRecord, model: LoadedModel, label: str = "") -> SimilarTarget:
    """Ask what makes a picture like a reference picture to a model without a classifier.

    Pass the result to `explain(..., targets=)` with the same model; explain the reference with the picture as its
    reference to see the other side. Raises TargetError for a model with another task, or without finite features.
    """
    if model.task != "embedding":
        raise TargetError(
            f"Similarity is asked of features, and this model gives {TASK_WORDS[model.task]}.",
            "Use a model without a classifier, or load this one with the task embedding.",
        )
    inputs = torch.tensor(prepare(reference, model.preprocessing)[0])[None]
    outputs, _ = with_enough_memory(model, lambda usable: scorer(usable)(inputs))
    if not outputs.isfinite().all() or not outputs.any():
        raise TargetError("The model gives the reference picture no features.", "Check its weights and preprocessing.")
    return SimilarTarget(label or "the reference picture", outputs[0].detach())
