"""The straight line of an evaluation: pictures, one after the other -> rows -> the numbers over all of them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradcam_core.checks.edges import REGIONS, costliest, without_edges
from gradcam_core.checks.reruns import begin_rerun
from gradcam_core.checks.thresholds import Thresholds, read_thresholds
from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import GradcamError, LayerError, MethodError, PictureError, TargetError
from gradcam_core.evaluation.matching import Case, Load, match
from gradcam_core.evaluation.records import Evaluation, Row, TableRow
from gradcam_core.evaluation.summary import LOCALISATION, summarise
from gradcam_core.explanation import Method, explain
from gradcam_core.measures import measure
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.readers import read_image
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel, Prediction
from gradcam_core.targets import ClassTarget, find_class
from gradcam_core.truth import read_truth

SHOWN_LABELS = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What is asked of every picture."""

    model: LoadedModel
    method: Method
    layers: str | Sequence[str] | None
    limits: Thresholds


def evaluate(
    pictures: Iterable[tuple[str, Load]],
    table: Sequence[TableRow],
    masks: Mapping[str, Load],
    model: LoadedModel,
    *,
    method: Method = "grad_cam",
    layers: str | Sequence[str] | None = None,
    thresholds: Thresholds | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Hold a model against many pictures, each a name and a function that gives its bytes.

    The explained class is the table's label, without one the top answer; what is hidden at the edge is compared with
    the top answer. `masks`, by their names, mark the reference regions. One picture at a time is in memory; each takes
    one pass, its backward pass and fifteen more. A picture that fails is kept as a row with the reason. Raises a
    GradcamError for what suits no picture: the method, the layers, labels of another model.
    """
    asked = _Asked(model, method, layers, thresholds or read_thresholds())
    cases = match(pictures, table, masks)
    _check_labels(cases, model.labels)
    progress, count = Progress(on_progress), len(cases)
    # File names never appear in progress messages.
    parts = [progress.part(place, count, f"Picture {place + 1} of {count}") for place in range(count)]
    rows = [_row(case, asked, part) for case, part in zip(cases, parts, strict=True)]
    progress(1.0, words="Done")
    return summarise(rows, asked.limits, len(table) - len({case.entry for case in cases if case.entry}))


def _check_labels(cases: Sequence[Case], labels: Sequence[str]) -> None:
    """Raise TargetError where not one of the pictures' labels is a class that this model could answer."""
    wanted = list(dict.fromkeys(case.entry.label for case in cases if case.entry and case.entry.label))
    if wanted and len(labels) == 1:
        raise TargetError(
            "This model has one class only, so none of its answers can be held against a label.",
            "Leave the labels out, or take a model with a class for each of them.",
        )
    if wanted and not any(_is_class(label, labels) for label in wanted):
        shown, known = (", ".join(some[:SHOWN_LABELS]) for some in (wanted, labels))
        raise TargetError(
            f"This model has none of the table’s classes: {shown}{' …' if len(wanted) > SHOWN_LABELS else ''}",
            f"Choose the model that they belong to; this one’s are {known}{' …' if len(labels) > SHOWN_LABELS else ''}",
        )


def _is_class(label: str, labels: Sequence[str]) -> bool:
    try:
        return find_class(label, labels) >= 0
    except TargetError:
        return False


def _row(case: Case, asked: _Asked, progress: Progress) -> Row:
    """Evaluate one picture; what is wrong with it becomes its row, what is wrong with the question is raised."""
    progress(0.0)
    row = Row(case.name, "", label=case.entry.label if case.entry else "")
    try:
        content = _content(case.load)
        row = replace(row, sha256=hashlib.sha256(content).hexdigest())
        return _evaluated(row, content, case, asked, progress)
    except (MethodError, LayerError):
        raise
    except GradcamError as error:
        return replace(row, problem=str(error))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return replace(row, problem="The memory is too small for this picture and model. Use a smaller input.")


def _content(give: Load) -> bytes:
    """A file's bytes. What the system says would hold its name."""
    try:
        return give()
    except OSError:
        raise PictureError(
            "The file cannot be opened.", "Check that you may read it, and that the drive is connected."
        ) from None


def _evaluated(row: Row, content: bytes, case: Case, asked: _Asked, progress: Progress) -> Row:
    if case.shared:
        raise TargetError(
            "Several pictures claim the same row of the table.", "Give each a name of its own, in the table too."
        )
    model, image = asked.model, read_image(content, name=case.name)
    wanted = find_class(row.label, model.labels) if row.label else None
    found = explain(
        image,
        model,
        top_k=1,
        targets=wanted,
        methods=[asked.method],
        layers=asked.layers,
        on_progress=lambda share, words, drafts: progress(share),
    )
    heatmap, answer = found.heatmaps[-1], found.predictions[0]
    region, lost = _costliest_edge(found, heatmap, answer, model)
    measured, note = _localised(heatmap, case, image)
    return replace(
        row,
        label="" if wanted is None else model.labels[wanted],
        label_index=wanted,
        label_probability=None if wanted is None else heatmap.target.probability,
        answer=answer.label,
        answer_index=answer.index,
        probability=answer.probability,
        region=region,
        lost=lost,
        edge_decides=lost > asked.limits.numbers["most_lost_at_edge"],
        note=note,
        **measured,
    )


def _costliest_edge(found: Explanation, heatmap: Heatmap, answer: Prediction, model: LoadedModel) -> tuple[str, float]:
    """The part of the edge whose hiding costs the first answer most, and the share of its probability that is lost."""
    target = ClassTarget(answer.index, answer.label, answer.probability)
    rerun = begin_rerun(found, replace(heatmap, target=target), model)
    after, _ = without_edges(rerun)
    place = costliest(rerun.probability, after)
    return REGIONS[place], (rerun.probability - after[place]) / rerun.probability


def _localised(heatmap: Heatmap, case: Case, image: ImageRecord) -> tuple[dict[str, Any], str]:
    """The heatmap held against the marked region, by measurement; and in words what could not be measured."""
    if case.mask is None:
        missing = case.entry is not None and case.entry.mask
        return {}, "The mask that the table names is not among the files." if missing else ""
    try:
        truth = read_truth(_content(case.mask), image)
        measured = measure(heatmap, truth=truth, names=LOCALISATION)
    except GradcamError as error:
        return {}, f"Its mask: {error}"
    reasons = dict.fromkeys(one.reason for one in measured if one.reason)
    return {one.name: one.value for one in measured}, " ".join(reasons)
