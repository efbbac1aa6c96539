"""What an entry of the audit log says of an explanation or a model: nothing that could name a person or a place."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcam_core.audit.entries import AuditAnswer, AuditEntry
from gradcam_core.text import one_line

if TYPE_CHECKING:
    from gradcam_core.checks import Trust
    from gradcam_core.records import Explanation, ImageRecord, LoadedModel
    from gradcam_core.tasks import Prediction, Target

# References that name a model without a place on somebody's disk.
PUBLIC = re.compile(r"(bundled|torchvision):|(timm|open-clip):(?!local-dir:)|memory\b")
FILE, TYPED, GIVEN = "file", "(a text that was typed)", "(likeness to another picture)"
TOP = 5


def audited_model(reference: str) -> str:
    """Return a model's reference; of a file or folder the word "file" alone, as its path may contain names."""
    return one_line(reference, 200) if PUBLIC.match(reference) else FILE


def audited_explanation(explanation: Explanation, event: str) -> AuditEntry:
    """Describe an explanation for the log: picture, model, layers, methods, targets and top answers."""
    heatmaps = explanation.heatmaps
    return AuditEntry(
        event,
        picture=explanation.image.sha256,
        frame=explanation.image.frame,
        blanked=len(explanation.image.blanked),
        model=audited_model(explanation.reference),
        fingerprint=explanation.fingerprint,
        layers=tuple(dict.fromkeys(heatmap.layer for heatmap in heatmaps if heatmap.layer)),
        methods=tuple(dict.fromkeys(heatmap.method for heatmap in heatmaps)),
        targets=tuple(dict.fromkeys(audited_answer(heatmap.target) for heatmap in heatmaps)),
        answers=tuple(map(audited_answer, explanation.predictions[:TOP])),
    )


def audited_answer(answer: Prediction | Target) -> AuditAnswer:
    """Describe a class and what the model gives it. A text that was typed, or another picture, is not repeated."""
    value, unit = getattr(answer, "value", None), str(getattr(answer, "unit", ""))
    label = one_line(answer.label, 200)
    if answer.index < 0:
        label = TYPED if unit == "similarity" else GIVEN
    return AuditAnswer(label, _rounded(answer.probability), _rounded(value), unit)


def _rounded(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else float(f"{number:.6g}")


def audited_predictions(
    image: ImageRecord, model: LoadedModel, predictions: Sequence[Prediction], event: str
) -> AuditEntry:
    """Describe answers without a heatmap for the log."""
    return AuditEntry(
        event,
        picture=image.sha256,
        frame=image.frame,
        blanked=len(image.blanked),
        model=audited_model(model.reference),
        fingerprint=model.fingerprint,
        answers=tuple(map(audited_answer, predictions[:TOP])),
    )


def audited_checks(explanation: Explanation, checked: Trust) -> AuditEntry:
    """Describe the checks of one heatmap of an explanation for the log: each with its outcome."""
    one = dataclasses.replace(explanation, heatmaps=(checked.heatmap,))
    outcomes = tuple(f"{check.name}: {check.outcome}" for check in checked.checks)
    return dataclasses.replace(audited_explanation(one, "checked"), checks=outcomes)
