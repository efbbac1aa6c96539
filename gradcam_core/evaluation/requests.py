"""What is computed for every picture, checked before anything is; and which earlier rows count for it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradcam_core.checks.thresholds import Thresholds, read_thresholds
from gradcam_core.errors import GradcamError, ModelError, TargetError
from gradcam_core.evaluation.matching import Load
from gradcam_core.evaluation.pictures import AnyRow, Kept
from gradcam_core.evaluation.records import TableRow
from gradcam_core.explanation import Method, check_request
from gradcam_core.layers import resolve_layer
from gradcam_core.methods import choose_method
from gradcam_core.picture import Area
from gradcam_core.readers import Decode, decode
from gradcam_core.readers.blanking import check_areas
from gradcam_core.records import ImageRecord, LoadedModel
from gradcam_core.similarity import similar
from gradcam_core.targets import SimilarTarget

Files = tuple[list[tuple[str, Load]], list[TableRow], dict[str, Load]]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is computed for every picture. `key` is the identity of model and settings, by content.

    `decode` decodes the pictures and masks, and may do so elsewhere.
    """

    model: LoadedModel
    method: Method
    layers: str | Sequence[str] | None
    limits: Thresholds
    key: str
    reference: SimilarTarget | None = None
    blanked: tuple[Area, ...] = ()
    decode: Decode = decode


def checked_request(
    model: LoadedModel,
    method: Method,
    layers: str | Sequence[str] | None,
    thresholds: Thresholds | None,
    reference: ImageRecord | None = None,
    blanked: Sequence[Area] = (),
) -> Request:
    """Settle what suits every picture or none. Raises a GradcamError for what cannot work."""
    if not isinstance(model, LoadedModel):
        raise ModelError("There is no loaded model to evaluate.", "Load it first: load_model(reference).")
    if not isinstance(thresholds, Thresholds | None):
        raise GradcamError("These are no thresholds.", "Give what read_thresholds returns, or leave them out.")
    if model.task == "embedding" and reference is None:
        raise TargetError(
            "This model gives features and no classes, so its pictures are compared with one of them.",
            "Give a reference picture, or use a model with classes.",
        )
    check_request(model, methods=[method], layers=layers)
    limits, areas = thresholds or read_thresholds(), check_areas(blanked)
    of_reference = () if reference is None else (reference.identity,)
    parts = (*parts_of(model, method, layers), sorted(limits.numbers.items()), areas, *of_reference)
    target = None if reference is None else similar(reference, model)
    return Request(model, method, layers, limits, digest(parts), target, areas)


def parts_of(model: LoadedModel, method: Method, layers: str | Sequence[str] | None) -> tuple[Any, ...]:
    """What decides about a model's heatmaps, as plain values."""
    name, options = (method, {}) if isinstance(method, str) else method
    choice = choose_method(name, options)
    names = [layers or model.default_layer] if isinstance(layers, str | None) else layers or [model.default_layer]
    return (
        model.fingerprint,
        model.architecture,
        model.labels,
        model.outputs,
        model.preprocessing,
        (choice.member.name, sorted(choice.options.items()), sorted(choice.shared.items())),
        [resolve_layer(model, name).name for name in names],
    )


def digest(parts: object) -> str:
    """The identity of plain values."""
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def known_rows(known: Iterable[AnyRow] | None, key: str, kind: type[AnyRow]) -> Kept[AnyRow]:
    """Rows of before by name, content, and label with mask. Raises GradcamError for those of another request."""
    rows = _listed(() if known is None else known, "known")
    if not all(isinstance(row, kind) for row in rows):
        raise GradcamError(
            "The known rows are not of this kind.", "Give the rows of the earlier result, or leave them out."
        )
    if any(row.request != key for row in rows):
        raise GradcamError(
            "The known rows were computed with another model, or with other settings.",
            "Use the same model, preprocessing, method, layers and thresholds as for them, or leave them out.",
        )
    return {(row.name, row.sha256, row.inputs): row for row in rows if row.sha256}


def checked_files(pictures: Any, table: Any, masks: Any) -> Files:
    """The pictures, the table's rows and the masks. Raises GradcamError where they are something else."""
    pairs = [tuple(pair) if isinstance(pair, list | tuple) else () for pair in _listed(pictures, "pictures")]
    if not all(len(pair) == 2 and isinstance(pair[0], str) and callable(pair[1]) for pair in pairs):
        raise GradcamError("These are no pictures to evaluate.", "Give pairs: a name, and a function returning bytes.")
    rows = _listed(table, "table")
    if not all(isinstance(row, TableRow) for row in rows):
        raise GradcamError("This is no table of labels.", "Give what read_table returns, or () without labels.")
    named = isinstance(masks, Mapping) and all(isinstance(name, str) for name in masks)
    if not named or not all(callable(load) for load in masks.values()):
        raise GradcamError("These are no masks.", "Give names with functions returning bytes, or {} without masks.")
    return pairs, rows, dict(masks)


def _listed(values: Any, name: str) -> list[Any]:
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
        return list(values)
    raise GradcamError(f"A list is needed for {name}, not {type(values).__name__}.", "Give a list; it may be empty.")
