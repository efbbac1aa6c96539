"""An evaluation of many pictures -> plain values for JSON."""

from typing import Any

from gradcam_core.evaluation import Evaluation, evaluation_sentences
from gradcam_core.evaluation.records import Bin, Edges, FindingSummary, Row, Share
from gradcam_core.evaluation.table import RESULTS, row_values, values_by_task
from gradcam_core.exporters.names import Names, shown_reference
from gradcam_core.records import LoadedModel
from gradcam_core.text import DISCLAIMER


def evaluation_to_dict(
    evaluation: Evaluation, *, names: Names = "hash", model: LoadedModel | None = None
) -> dict[str, Any]:
    """Return the sentences, the numbers over all pictures and every row, in values that strict JSON allows.

    With names "hash", neither a picture nor a model file is named.
    """
    return {
        "model": None if model is None else _model(model, names),
        **evaluation.outputs.to_dict(),
        "sentences": list(evaluation_sentences(evaluation)),
        "pictures": evaluation.count,
        "blanked_areas": evaluation.blanked,
        "not_evaluated": len(evaluation.failures),
        "rows_of_the_table_without_a_picture": evaluation.unmatched,
        "accuracy": _share(evaluation.accuracy),
        "classes": [{"label": label} | _share(share) for label, share in evaluation.classes],
        "findings": [_finding(finding) for finding in evaluation.findings],
        "mean_absolute_error": {"mean": evaluation.error.value, "pictures": evaluation.error.count},
        "calibration_error": evaluation.calibration_error,
        "bins": [_bin(group) for group in evaluation.bins],
        "localisation": {
            name: {"mean": mean.value, "pictures": mean.count} for name, mean in evaluation.localisation.items()
        },
        "edges": _edges(evaluation.edges),
        "edges_by_answer": [_edges(edges) for edges in evaluation.edges_by_answer],
        "edges_by_label": [_edges(edges) for edges in evaluation.edges_by_label],
        "thresholds": evaluation.thresholds.to_dict(),
        "rows": [_row(row, evaluation, names) for row in evaluation.rows],
        "disclaimer": DISCLAIMER,
    }


def _row(row: Row, evaluation: Evaluation, names: Names) -> dict[str, Any]:
    columns, values = ("sha256", *(("name",) if names == "keep" else ()), *RESULTS), row_values(row)
    own = {name: value for name, value in values_by_task(row, evaluation).items() if not name.startswith("task")}
    return {column: values[column] for column in columns} | own


def _finding(finding: FindingSummary) -> dict[str, Any]:
    return {
        "label": finding.label,
        "threshold": finding.threshold,
        "sensitivity": _share(finding.sensitivity),
        "specificity": _share(finding.specificity),
    }


def _model(model: LoadedModel, names: Names) -> dict[str, Any]:
    return {
        "reference": shown_reference(model.reference, model.fingerprint, names),
        "architecture": model.architecture,
        "fingerprint": model.fingerprint,
        "preprocessing": model.preprocessing.to_dict(),
    }


def _share(share: Share) -> dict[str, Any]:
    """`interval` is Wilson's, 95 %."""
    interval = share.interval
    return {"part": share.part, "whole": share.whole, "share": share.value, "interval": interval and list(interval)}


def _bin(group: Bin) -> dict[str, Any]:
    return {
        "above": group.lower,
        "up_to": group.upper,
        "pictures": group.count,
        "mean_probability": group.probability,
        "as_labelled": group.right,
    }


def _edges(edges: Edges) -> dict[str, Any]:
    regions = {name: {"pictures": mean.count, "mean_lost": mean.value} for name, mean in edges.regions.items()}
    return {"label": edges.label} | _share(edges.share) | {"regions": regions}
