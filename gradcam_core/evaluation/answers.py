"""What the table and the model say about a picture, by the model's task: a class, findings, or a number."""

import math
import re
from collections.abc import Mapping, Sequence

from gradcam_core.errors import TargetError
from gradcam_core.evaluation.places import MOST_OBJECTS, NO_FINDING, Answer, places_answer
from gradcam_core.evaluation.records import FindingResult, TableRow
from gradcam_core.explanation import predict
from gradcam_core.records import ImageRecord, LoadedModel
from gradcam_core.targets import ClassTarget, LoweredTarget, SimilarTarget, Wanted, find_class, lowers
from gradcam_core.tasks import Prediction

YES = frozenset(("1", "1.0", "yes", "y", "true", "positive", "present"))
NO = frozenset(("0", "0.0", "no", "n", "false", "negative", "absent"))
NONE = frozenset(("none", "no finding", "no findings", "normal"))
# What is everywhere in a picture without any object.
BACKGROUND = frozenset(("background", "__background__"))
SEPARATORS = (";", "|")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+", re.ASCII)
SHOWN_LABELS = 3


def class_answer(top: Prediction, row: TableRow | None, model: LoadedModel) -> Answer:
    """What table and model say where one class of several is right."""
    index = class_of(row, model)
    fields = {
        "label": "" if index is None else model.labels[index],
        "label_index": index,
        "answer": top.label,
        "answer_index": top.index,
        "probability": top.probability,
    }
    return Answer(top.index if index is None else index, ClassTarget(top.index, top.label, top.probability), fields)


def class_of(row: TableRow | None, model: LoadedModel) -> int | None:
    """The class that the table gives; None without one. Raises TargetError where the model does not have it."""
    return find_class(row.label, model.labels) if row and row.label else None


def answer(image: ImageRecord, row: TableRow | None, model: LoadedModel, reference: SimilarTarget | None) -> Answer:
    """What table and model say of findings, objects, regions, or a number: one forward pass.

    Features are compared with those of the `reference`. Raises TargetError as above.
    """
    if reference is not None:
        return Answer(reference, None, {"answer": reference.label, "probability": math.nan})
    if model.outputs.has_places:
        return places_answer(predict(image, model, MOST_OBJECTS), truths_of(row, model, positive_only=True), model)
    predictions = predict(image, model, len(model.labels))
    if model.outputs.has_findings:
        return _findings(predictions, truths_of(row, model), model)
    return _number(predictions, numbers_of(row, model), model)


def _findings(predictions: Sequence[Prediction], truths: Mapping[int, bool], model: LoadedModel) -> Answer:
    """The first positive finding of the table is explained, else the most probable one, or what speaks against it."""
    top = predictions[0]
    results = tuple(
        FindingResult(p.index, p.label, p.probability, bool(p.present), truths.get(p.index))
        for p in sorted(predictions, key=lambda p: p.index)
    )
    positive = [result for result in results if result.truth]
    absent = model.task == "binary" and not top.present
    edge = (LoweredTarget if absent else ClassTarget)(top.index, top.label, top.probability)
    wanted: Wanted = lowers(top.index, model.labels) if absent else top.index
    fields = {
        "label": "; ".join(result.label for result in positive) or (NO_FINDING if truths else ""),
        "label_index": None,
        "answer": "; ".join(result.label for result in results if result.present) or NO_FINDING,
        "answer_index": top.index,
        "probability": top.probability,
        "edge_class": f"not {top.label}" if absent else top.label,
        "findings": results,
    }
    return Answer(positive[0].index if positive else wanted, edge, fields)


def _number(predictions: Sequence[Prediction], given: Mapping[int, float], model: LoadedModel) -> Answer:
    index = next(iter(given), 0)
    value = next(prediction.value for prediction in predictions if prediction.index == index)
    fields = {
        "label": f"{given[index]:g}" if given else "",
        "answer": model.labels[index],
        "answer_index": index,
        "probability": math.nan,
        "value": value,
        "given": given.get(index),
    }
    return Answer(index, None, fields)


def truths_of(row: TableRow | None, model: LoadedModel, *, positive_only: bool = False) -> Mapping[int, bool]:
    """Which findings a picture has and has not, as far as the table says so.

    A column named like a finding says yes or no; anything else in it counts as unknown. A label names the positive
    findings, separated by semicolons; all others are negative then, or unknown with `positive_only`, which leaves the
    background out. Raises TargetError for a label that is no finding of the model.
    """
    truths: dict[int, bool] = {}
    for index, cell in _columns(row, model):
        if cell.casefold() in YES | NO:
            truths[index] = cell.casefold() in YES
    if row is None or not row.label or truths:
        return truths
    positive = _positive(row.label, model)
    if positive and positive_only:
        return dict.fromkeys(sorted(positive), True)
    if positive_only:
        return {i: False for i, label in enumerate(model.labels) if label.casefold() not in BACKGROUND}
    return {index: index in positive for index in range(len(model.labels))}


def _positive(label: str, model: LoadedModel) -> frozenset[int]:
    """The findings that a label names. A model with one finding also takes yes and no."""
    for separator in SEPARATORS:
        if separator in label and label not in model.labels:
            parts = [part.strip() for part in label.split(separator)]
            return frozenset(find_class(part, model.labels) for part in parts if part)
    word, one = label.casefold(), len(model.labels) == 1
    if one and word in YES:
        return frozenset((0,))
    if not is_class(label, model.labels) and word in NONE | (NO | _opposites(model) if one else frozenset()):
        return frozenset()
    if one and word in NO:
        return frozenset()
    return frozenset((find_class(label, model.labels),))


def _opposites(model: LoadedModel) -> frozenset[str]:
    label = model.labels[0].casefold()
    return frozenset((f"no {label}", f"not {label}", f"non-{label}", f"no_{label}"))


def numbers_of(row: TableRow | None, model: LoadedModel) -> Mapping[int, float]:
    """The numbers that the table gives for a regression: in a column of the output's name, else as the label.

    Raises TargetError for what is no number, or can be read as two.
    """
    numbers = {index: _number_in(cell) for index, cell in _columns(row, model)}
    return numbers or ({0: _number_in(row.label)} if row and row.label else {})


def _columns(row: TableRow | None, model: LoadedModel) -> list[tuple[int, str]]:
    """The cells of the columns that are named like one of the model's classes."""
    places = {label.casefold(): index for index, label in enumerate(model.labels)}
    cells = row.cells if row else ()
    return [(places[name.casefold()], cell) for name, cell in cells if name.casefold() in places]


def _number_in(text: str) -> float:
    """Read a number with a decimal point or comma. Raises TargetError."""
    if THOUSANDS.fullmatch(text):
        raise TargetError("A number of the table can be read in two ways: 1,234.", "Write 1234, or 1.234.")
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TargetError("The table’s label is no number, and this model gives one.", "Give a number, or none.")
    return value


def check_labels(rows: Sequence[TableRow], model: LoadedModel) -> None:
    """Raise TargetError where no picture's row says anything about this model's classes. Features have none."""
    wanted = list(dict.fromkeys(row.label for row in rows if row.label))
    if not wanted or model.task == "embedding" or any(_says_something(row, model) for row in rows):
        return
    if model.task == "regression":
        raise TargetError(
            "No label of the table is a number, and this model gives one.", "Give numbers, or leave the labels out."
        )
    raise TargetError(
        f"This model has none of the table’s classes: {_first_few(wanted)}",
        f"Choose the model that the labels belong to. The classes of this one are {_first_few(model.labels)}",
    )


def _says_something(row: TableRow, model: LoadedModel) -> bool:
    if model.task == "single_label":
        return is_class(row.label, model.labels)
    try:
        return bool(numbers_of(row, model) if model.task == "regression" else truths_of(row, model))
    except TargetError:
        return False


def is_class(label: str, labels: Sequence[str]) -> bool:
    """Whether a label is one of these classes."""
    try:
        return find_class(label, labels) >= 0
    except TargetError:
        return False


def _first_few(labels: Sequence[str]) -> str:
    return ", ".join(labels[:SHOWN_LABELS]) + (" …" if len(labels) > SHOWN_LABELS else "")
