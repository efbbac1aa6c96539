"""What a network's outputs mean: read off the network, its file and its labels; else assumed, and said so."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import LoadedModel
from gradcam_core.sources.labels import places_of
from gradcam_core.sources.structure import Calls
from gradcam_core.targets import find_class
from gradcam_core.tasks import PLACED, TASK_WORDS, TASKS, Outputs, Task
from gradcam_core.text import counted

AUTO = "auto"
KEYS = ("problem_type", "task", "task_type", "loss", "criterion", "loss_fn", "loss_function")
# What a file may say of its task, or of the loss that it was trained with.
SAYINGS: Mapping[str, Task] = {
    r"multi[-_ ]?label": "multi_label",
    r"(single[-_ ]?label|multi[-_ ]?class|cross[-_ ]?entropy)": "single_label",
    r"binary(?![-_ ]?cross)": "binary",
    r"(regression|mse([-_ ]?loss)?$|l1[-_ ]?loss|smooth[-_ ]?l1|huber)": "regression",
    r"(embedding|feature[-_ ]?extraction|metric[-_ ]?learning)": "embedding",
    r"bce[-_ ]?with[-_ ]?logits": "multi_label",
}
# Findings that the usual collections of chest radiographs label independently of each other.
CHEST_FINDINGS = re.compile(
    "atelectasis|cardiomegaly|effusion|pleuraleffusion|infiltration|mass|nodule|pneumonia|pneumothorax|consolidation|"
    "edema|oedema|emphysema|fibrosis|pleuralthickening|pleuralother|hernia|lungopacity|lunglesion|fracture|"
    "enlargedcardiomediastinum|supportdevices|nofinding"
)
FEWEST_FINDINGS = 5
NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def stated_task(*contents: Mapping[str, Any]) -> Task | None:
    """The task that a checkpoint or configuration states; None where it says nothing."""
    for place in places_of(contents):
        for key in ("multi_label", "multilabel"):
            if isinstance(place.get(key), bool):
                return "multi_label" if place[key] else "single_label"
        for key in KEYS:
            value = place.get(key)
            words = value.strip()[:80].lower() if isinstance(value, str) else ""
            task = next((task for pattern, task in SAYINGS.items() if re.match(pattern, words)), None)
            if task is not None:
                return task
    return None


def read_outputs(
    outputs: torch.Tensor, last_step: str, *, has_head: bool, headless: bool, stated: Task | None, labels: Any
) -> Outputs:
    """What a network's outputs [N classes] mean: by its file, by its last step, else by assumption.

    By their numbers alone, outputs count as probabilities where they cannot be the scores of a linear step.
    """
    classes = outputs.shape[1]
    within = bool((outputs >= -1e-6).all() and (outputs <= 1 + 1e-6).all())
    shares = within and classes > 1 and bool(((outputs.sum(dim=1) - 1).abs() < 1e-3).all())
    varied = not has_head and classes > 2 and bool(outputs.std() > 0)
    features = headless and labels is None and not last_step
    squashed = shares or (within and (last_step == "sigmoid" or (varied and not features)))
    if stated in ("binary", "multi_label"):
        stated = "multi_label" if classes > 1 and stated == "multi_label" else "binary"
        stated = "single_label" if classes > 1 and stated == "binary" else stated
    if stated is not None and not (stated == "single_label" and classes == 1):
        return Outputs(stated, "read", squashed)
    if squashed:
        return Outputs("single_label" if shares else "binary" if classes == 1 else "multi_label", "read", True)
    if features:
        return Outputs("embedding", "read")
    if classes == 1:
        return Outputs("binary", "assumed")
    return Outputs("multi_label" if _are_chest_findings(labels) else "single_label", "assumed")


def _are_chest_findings(labels: Any) -> bool:
    names = ["".join(sign for sign in str(label).lower() if sign.isalpha()) for label in labels or ()]
    known = sum(CHEST_FINDINGS.fullmatch(name) is not None for name in names)
    return known >= FEWEST_FINDINGS and known > len(names) / 2


def is_headless(module: nn.Module, calls: Calls, head: str) -> bool:
    """Whether a network ends without a classifier: with a normalisation, or with an Identity in the head's place."""
    if getattr(module, "num_classes", None) == 0:
        return True
    if head:
        return False
    ended = sorted((call for call in calls.values() if call.calls), key=lambda call: call.ended)
    if not ended:
        return False
    if type(ended[-1].module) is nn.Identity:
        return True
    with_weights = [call.module for call in ended if call.module._parameters]
    own = any(parameter is not None for parameter in module._parameters.values())
    return bool(with_weights) and not own and isinstance(with_weights[-1], NORMALISATIONS)


def note_about(outputs: Outputs, classes: int) -> str:
    """A sentence on what was read off or assumed, "" where the user gave it or it is as usual."""
    if outputs.origin == "given":
        return ""
    if outputs.origin == "assumed":
        return _assumption(outputs, classes)
    if outputs.are_probabilities:
        if outputs.task == "single_label":
            return "The network's outputs add up to 1: they are shown as they are, as probabilities."
        if outputs.has_findings:
            return "The network's outputs lie between 0 and 1: each is shown as it is, as a probability of its own."
    return {
        "multi_label": "The file says that a picture can have several classes: each has a probability of its own.",
        "regression": "The file says that the model gives a number: it has no probability.",
        "embedding": "This model has no classifier: its outputs are features, not classes.",
    }.get(outputs.task, "")


def _assumption(outputs: Outputs, classes: int) -> str:
    if outputs.task == "binary":
        return (
            "That the model's one output is a yes or no was assumed, as nothing says otherwise. "
            "Set the task to regression if it is a number."
        )
    if outputs.task == "multi_label":
        return (
            "That a picture can have several of the classes was assumed, as their names are findings that occur "
            "together: each has a probability of its own. Set the task to single_label if only one can be right."
        )
    if classes <= 2:
        return ""
    return (
        "That a picture has one class only was assumed, as nothing says otherwise: its classes' probabilities add up "
        "to 1. Set the task to multi_label if it can have several."
    )


def check_task(task: Any) -> Task | None:
    """A task; None for "auto". Raises ModelError."""
    if task is None or task == AUTO:
        return None
    if task in TASKS:
        return cast(Task, task)
    near = get_close_matches(str(task)[:40], TASKS, 1, 0.5)
    meant = f"Did you mean {near[0]}? " if near else ""
    raise ModelError(f"There is no task {str(task)[:40]!r}.", f"{meant}Give auto, {', '.join(TASKS)}.")


def list_tasks(model: LoadedModel) -> tuple[Task, ...]:
    """The tasks that a model's outputs can have: one output is no class of several, several are no yes or no.

    Objects and regions are nothing else, and nothing else is objects or regions.
    """
    if model.outputs.has_places:
        return (model.task,)
    impossible = "single_label" if len(model.labels) == 1 else "binary"
    return tuple(task for task in TASKS if task not in (impossible, *PLACED))


def with_task(model: LoadedModel, task: str | None = None, *, unit: str = "", thresholds: Any = None) -> LoadedModel:
    """The same model with its outputs read as a task: "auto" keeps what was read off or assumed.

    `unit` is that of a regression's numbers. `thresholds` are the probabilities from which on findings are present:
    one number, one per class, or {label: number}. Raises ModelError for what does not fit the model.
    """
    wanted, outputs, classes = check_task(task), model.outputs, len(model.labels)
    if wanted not in (None, model.task) and (outputs.has_places or wanted in PLACED):
        raise ModelError(
            f"This model gives {TASK_WORDS[model.task]}: it cannot be explained here as {wanted}.",
            f"Leave the task out, or give {' or '.join(list_tasks(model))}.",
        )
    if wanted == "single_label" and classes == 1:
        raise ModelError("One output cannot be one class of several.", "Give the task binary or regression.")
    if wanted == "binary" and classes != 1:
        raise ModelError(
            f"A yes or no has one output, and this model has {classes}.", "Give the task single_label or multi_label."
        )
    if wanted is not None:
        outputs = replace(outputs, task=wanted, origin="given", thresholds=())
    if unit and outputs.task != "regression":
        raise ModelError("A unit belongs to a number, and this model gives none.", "Give the task regression as well.")
    outputs = replace(outputs, unit=unit or outputs.unit)
    if thresholds is not None:
        outputs = replace(outputs, thresholds=_thresholds(thresholds, outputs, model.labels))
    old = note_about(model.outputs, classes)
    notes = tuple(note for note in model.notes if note != old)
    notes = tuple(filter(None, (*notes, note_about(outputs, classes))))
    numbered = model.labels == numbered_labels(model.task, classes)
    labels = numbered_labels(outputs.task, classes) if numbered else model.labels
    return replace(model, outputs=outputs, labels=labels, notes=notes)


def numbered_labels(task: Task, count: int) -> tuple[str, ...]:
    """Names for outputs that have none: "class 3", of an embedding "feature 3", of a regression "value"."""
    if task == "regression" and count == 1:
        return ("value",)
    noun = {"regression": "value", "embedding": "feature"}.get(task, "class")
    return tuple(f"{noun} {index}" for index in range(count))


def _thresholds(given: Any, outputs: Outputs, labels: Sequence[str]) -> tuple[float, ...]:
    """One threshold per class. Raises ModelError for what cannot be one, and where the task has no findings."""
    if not outputs.has_findings:
        words = TASK_WORDS[outputs.task]
        raise ModelError(f"Thresholds belong to findings, and this model gives {words}.", "Leave the thresholds out.")
    values = [outputs.threshold(index) for index in range(len(labels))]
    if isinstance(given, Mapping):
        for label, value in given.items():
            values[find_class(label, labels)] = value
    elif isinstance(given, Sequence) and not isinstance(given, str):
        values = list(given)
    else:
        values = [given] * len(labels)
    if len(values) != len(labels) or not all(_is_share(value) for value in values):
        raise ModelError(
            "The thresholds cannot be used.",
            f"Give a number from 0 to 1, or {counted(len(labels), 'number')}: one per class, or by label.",
        )
    return tuple(float(value) for value in values)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1
