"""The straight line of an evaluation: pictures, one at a time -> rows -> the numbers over all of them."""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gradcam_core.checks.amounts import amount_of_target
from gradcam_core.checks.edges import REGIONS, costliest, without_edges
from gradcam_core.checks.reruns import begin_rerun
from gradcam_core.checks.thresholds import Thresholds
from gradcam_core.errors import GradcamError, TargetError
from gradcam_core.evaluation.answers import answer, check_labels, class_answer, class_of
from gradcam_core.evaluation.matching import Load, PictureFile, match
from gradcam_core.evaluation.pictures import Kept, PictureWork, completed_rows, read_content
from gradcam_core.evaluation.records import Evaluation, Row, TableRow
from gradcam_core.evaluation.requests import Request, checked_files, checked_request, digest, known_rows
from gradcam_core.evaluation.summary import LOCALISATION, summarise
from gradcam_core.explanation import Method, explain
from gradcam_core.measures import measure
from gradcam_core.picture import Area
from gradcam_core.progress import SILENT, OnProgress, Progress
from gradcam_core.readers import Decode, decode, read_image
from gradcam_core.readers.blanking import blanked_words
from gradcam_core.readers.truth import read_truth
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.tasks import Target

# Computes the rows of an evaluation, in the order of the files.
RowsOf = Callable[[Sequence[PictureFile], Request, Progress], list[Row]]


def evaluate(
    pictures: Iterable[tuple[str, Load]],
    table: Sequence[TableRow],
    masks: Mapping[str, Load],
    model: LoadedModel,
    *,
    method: Method = "grad_cam",
    layers: str | Sequence[str] | None = None,
    thresholds: Thresholds | None = None,
    reference: ImageRecord | None = None,
    blanked: Sequence[Area] = (),
    known: Iterable[Row] | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress | None = None,
    rows_of: RowsOf | None = None,
    decode: Decode = decode,
) -> Evaluation:
    """Evaluate a model on many pictures, each a name and a function that returns its bytes.

    The explained class is the table's label (of findings, the first positive one), or the top prediction where there
    is none; hiding parts of the edge is always measured on the top prediction. Of a detector or segmenter it is the
    best object, or the region, of the label, for both. Of an embedding it is the similarity to the `reference`.
    `masks`, by name, mark the reference regions. `blanked` areas are deleted in every picture (see ImageRecord). One
    picture at a time is in memory; each takes one forward pass, its backward pass and fifteen forward passes more.
    What is wrong with one picture is kept in its row. Raises a GradcamError for what suits no picture: the method, the
    layers, labels of another model. Raise an exception in `on_progress` to cancel.

    `stop` is called before each picture: once it returns True, the pictures so far are summarised. To go on later,
    pass the rows of that evaluation as `known`: the same pictures with the same labels and masks are not computed
    again. Rows of another model or of other settings are refused. `rows_of` computes the rows elsewhere, all of them.
    `decode` is as that of `read_image`.
    """
    request = replace(checked_request(model, method, layers, thresholds, reference, blanked), decode=decode)
    kept = known_rows(known, request.key, Row)
    pairs, table_rows, loads = checked_files(pictures, table, masks)
    files = match(pairs, table_rows, loads)
    check_labels([file.row for file in files if file.row], model)
    rows = (rows_of or functools.partial(_rows_here, kept=kept, stop=stop))(files, request, Progress(on_progress))
    unmatched = len(table_rows) - len({file.row for file in files if file.row})
    return replace(summarise(rows, request.limits, unmatched, model.outputs), blanked=len(request.blanked))


def _rows_here(
    files: Sequence[PictureFile], request: Request, progress: Progress, kept: Kept[Row], stop: Callable[[], bool]
) -> list[Row]:
    return completed_rows([_work(file, request) for file in files], kept, stop, progress)


def evaluated_row(file: PictureFile, request: Request) -> Row:
    """Evaluate one picture. Raises MethodError and LayerError, which suit no picture."""
    (row,) = completed_rows([_work(file, request)], {}, lambda: False, SILENT)
    return row


def blank_row(file: PictureFile, key: str) -> Row:
    """What is known of a picture before its file is read. `key` is the request's."""
    return Row(file.name, "", label=file.row.label if file.row else "", request=key)


def _work(file: PictureFile, request: Request) -> PictureWork[Row]:
    row = blank_row(file, request.key)
    evaluated = functools.partial(_evaluated, file=file, request=request)
    return PictureWork(row, file.load, evaluated, functools.partial(_inputs, file))


def _inputs(file: PictureFile) -> str:
    """The identity of what a row depends on besides the picture: its label and its mask."""
    mask = b""
    if file.mask is not None:
        with suppress(GradcamError):  # what is wrong with it is said where it is measured
            mask = read_content(file.mask)
    return digest((file.row, file.shared, hashlib.sha256(mask).hexdigest()))


def _evaluated(row: Row, content: bytes, progress: Progress, *, file: PictureFile, request: Request) -> Row:
    if file.shared:
        raise TargetError(
            "Several pictures match the same row of the table.",
            "Give each picture a name of its own, in the table too.",
        )
    model = request.model
    image = read_image(content, name=file.name, blanked=request.blanked, decode=request.decode)
    one_class = model.task == "single_label"
    said = None if one_class else answer(image, file.row, model, request.reference)
    if said and said.wanted is None:
        return replace(row, **said.fields, note=said.note)
    explanation = explain(
        image,
        model,
        top_k=1,
        targets=said.wanted if said else class_of(file.row, model),
        methods=[request.method],
        layers=request.layers,
        on_progress=lambda share, words, drafts: progress(share),
    )
    heatmap = explanation.heatmaps[-1]
    said = said or class_answer(explanation.predictions[0], file.row, model)
    region, lost = _strongest_edge(explanation, heatmap, said.edge or heatmap.target, model)
    measured, note = _localised(heatmap, file, image, request.decode)
    row = replace(row, **said.fields)
    if request.reference is not None:
        row = replace(row, value=getattr(heatmap.target, "value", None))
    return replace(
        row,
        label_probability=None if row.label_index is None else heatmap.target.probability,
        region=region,
        lost=lost,
        edge_decides=lost > request.limits.numbers["most_lost_at_edge"],
        note=" ".join(filter(None, (blanked_words(image.blanked), *explanation.unsuited, note))),
        unsuited=bool(explanation.unsuited),
        **measured,
    )


def _strongest_edge(
    explanation: Explanation, heatmap: Heatmap, target: Target, model: LoadedModel
) -> tuple[str, float]:
    """Find the part of the edge whose hiding costs most of what the model gives a target, and which share of it."""
    rerun = begin_rerun(explanation, replace(heatmap, target=target), model)
    amount, (after, _) = amount_of_target(rerun), without_edges(rerun)
    lost = [amount.changed(value) for value in after]
    place = costliest(lost)
    return REGIONS[place], lost[place]


def _localised(heatmap: Heatmap, file: PictureFile, image: ImageRecord, decode: Decode) -> tuple[dict[str, Any], str]:
    """Compare the heatmap with the mask: the measurements by name, and in words what could not be measured."""
    if file.mask is None:
        missing = file.row is not None and file.row.mask
        return {}, "The mask that the table names is not among the files." if missing else ""
    try:
        truth = read_truth(read_content(file.mask), image, decode)
        measurements = measure(heatmap, truth=truth, names=LOCALISATION)
    except GradcamError as error:
        return {}, f"Its mask: {error}"
    reasons = dict.fromkeys(result.reason for result in measurements if result.reason)
    values = {result.name: result.value for result in measurements}
    chance = next(result.chance for result in measurements if result.name == "iou_fixed")
    return values | {"iou_by_chance": chance}, " ".join(reasons)
