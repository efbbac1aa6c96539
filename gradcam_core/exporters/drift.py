"""A drift of two models over many pictures -> plain values for JSON."""

import dataclasses
import math
from typing import Any

from gradcam_core.comparison.records import CHANCE, FEW, SAME_PLACE
from gradcam_core.evaluation import Drift, DriftRow, drift_sentences
from gradcam_core.evaluation.drift_records import DriftModel
from gradcam_core.evaluation.records import Share
from gradcam_core.exporters.names import Names, file_name, shown_reference


def drift_to_dict(drift: Drift, *, names: Names = "keep") -> dict[str, Any]:
    """Return everything about a drift, in values that strict JSON allows; with "hash", no file is named."""
    return {
        "models": [_model(model, names) for model in drift.models],
        "method": {"name": drift.method, "options": dict(drift.options)},
        "pictures": drift.count,
        "failed": len(drift.failures),
        "agreement": _share(drift.agreement),
        "moved": _share(drift.moved),
        "sentences": list(drift_sentences(drift)),
        "thresholds": {"same_place": SAME_PLACE, "few": FEW, "times_chance": CHANCE},
        "rows": [_row(row, names) for row in drift.rows],
        "versions": dict(drift.versions),
        "created": drift.created,
    }


def _model(model: DriftModel, names: Names) -> dict[str, Any]:
    return dataclasses.asdict(model) | {"reference": shown_reference(model.reference, model.fingerprint, names)}


def _share(share: Share) -> dict[str, Any]:
    """`interval` is Wilson's of 95 %; null, as `share` is, where there are no pictures."""
    return {"part": share.part, "whole": share.whole, "share": share.value, "interval": share.interval}


def _row(row: DriftRow, names: Names) -> dict[str, Any]:
    named = {"name": file_name(row.name)} if names == "keep" else {}
    answers = [
        {"label": label, "probability": None if math.isnan(probability) else probability}
        for label, probability in zip(row.answers, row.probabilities, strict=True)
    ]
    return named | {
        "sha256": row.sha256,
        "answers": None if row.problem else answers,
        "same_answer": row.same_answer,
        "compared_class": row.label,
        "evidence": row.evidence,
        "movement": row.movement,
        "overlap": row.overlap,
        "overlap_by_chance": row.chance,
        "rank_correlation": row.correlation,
        "look_at": row.standing,
        "problem": row.problem,
        "note": row.note,
    }
