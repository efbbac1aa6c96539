"""`evaluate`: one model over a folder of pictures, compared with a table of labels; in words and as CSV."""

from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import (
    blank_flags,
    blanked_areas,
    checked_flags,
    labels_in,
    layer_flag,
    load_chosen,
    model_flags,
    model_options,
    names_flag,
    pictures_in,
    progress_of,
    thresholds_of,
    to_method,
    whole,
    write_out,
)
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, name_of_row, say, warn
from gradcam_core.text import one_line


def evaluate_flags(flags: Flags) -> None:
    """Add the flags of `evaluate`."""
    flags.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        help="pictures and masks called PICTURE_mask.png",
    )
    model_flags(flags)
    flags.add_argument(
        "--table", type=Path, metavar="CSV", help="labels: columns name, label, and mask where there are any"
    )
    flags.add_argument("--reference", type=Path, metavar="IMAGE", help="of features: how similar each picture is to it")
    layer_flag(flags)
    checked_flags(flags)
    blank_flags(flags)
    names_flag(flags)
    flags.add_argument("--out", type=Path, required=True, metavar="CSV", help="one row per picture, the worst first")
    flags.add_argument("--workers", type=whole(1), metavar="N", help="processes (default: as many as pay)")
    flags.add_argument("--quiet", action="store_true", help="no progress")


@command(evaluate_flags)
def evaluate(given: Given) -> int:
    """Evaluate a model on a folder of pictures, and write one row per picture, those to look at first on top."""
    method, limits, blanked = to_method(given.method), thresholds_of(given), blanked_areas(given)
    table = labels_in(given.table) if given.table else ()
    loads = pictures_in(given, given.table, given.out)
    masks = core.find_masks(loads, table)
    model = load_chosen(given)
    core.check_request(model, methods=[method], layers=given.layer)
    reference = core.read_image(given.reference, blanked=blanked) if given.reference else None
    task = core.EvaluationTask(
        *(given.model, model_options(given), method, given.layer, limits, reference, model.fingerprint, blanked)
    )
    evaluation = core.evaluate(
        [(name, load) for name, load in loads.items() if name not in masks],
        table,
        {name: loads[name] for name in masks},
        model,
        method=method,
        layers=given.layer,
        thresholds=limits,
        reference=reference,
        blanked=blanked,
        on_progress=progress_of(given),
        rows_of=core.rows_in_processes(task, len(loads) - len(masks), given.workers),
    )
    write_out(given.out, core.evaluation_to_csv(evaluation, given.names), "results")
    for words in core.evaluation_sentences(evaluation):
        say(one_line(words, 1000))
    for row in evaluation.failures:
        warn(f"failed: {name_of_row(row.name, row.sha256, given.names)}: {row.problem}")
    return SOME_FAILED if evaluation.failures else WORKED
