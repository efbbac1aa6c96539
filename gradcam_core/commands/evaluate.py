"""`evaluate`: one model over a folder of pictures, compared with a table of labels; in words and as CSV."""

import functools
from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import (
    checked_flags,
    files_in,
    layer_flag,
    load_chosen,
    model_flags,
    names_flag,
    progress_of,
    table_in,
    thresholds_of,
    to_method,
    write_out,
)
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, say, warn
from gradcam_core.files import read_bounded
from gradcam_core.text import one_line

LARGEST_PICTURE = 256 * 2**20


def evaluate_flags(flags: Flags) -> None:
    """Add the flags of `evaluate`."""
    flags.add_argument("folder", metavar="FOLDER", type=Path, help="pictures, and masks called PICTURE_mask.png")
    model_flags(flags)
    flags.add_argument(
        "--table", type=Path, metavar="CSV", help="labels: columns name, label, and mask where there are any"
    )
    flags.add_argument("--reference", type=Path, metavar="IMAGE", help="of features: how similar each picture is to it")
    layer_flag(flags)
    checked_flags(flags)
    names_flag(flags)
    flags.add_argument("--out", type=Path, required=True, metavar="CSV", help="one row per picture, the worst first")
    flags.add_argument("--quiet", action="store_true", help="no progress")


@command(evaluate_flags)
def evaluate(given: Given) -> int:
    """Evaluate a model on a folder of pictures, and write one row per picture, those to look at first on top."""
    method, limits = to_method(given.method), thresholds_of(given)
    table = core.read_table(table_in(given.table)) if given.table else ()
    skipped = {path.absolute() for path in (given.table, given.out) if path}
    files = {path.name: path for path in files_in(given.folder) if path.absolute() not in skipped}
    loads = {name: functools.partial(read_bounded, path, LARGEST_PICTURE) for name, path in files.items()}
    masks = core.find_masks(files, table)
    model = load_chosen(given)
    core.check_request(model, methods=[method], layers=given.layer)
    evaluation = core.evaluate(
        [(name, load) for name, load in loads.items() if name not in masks],
        table,
        {name: loads[name] for name in masks},
        model,
        method=method,
        layers=given.layer,
        thresholds=limits,
        reference=core.read_image(given.reference) if given.reference else None,
        on_progress=progress_of(given),
    )
    write_out(given.out, core.evaluation_to_csv(evaluation, given.names), "results")
    for words in core.evaluation_sentences(evaluation):
        say(one_line(words, 1000))
    for row in evaluation.failures:
        name = row.sha256[:16] if given.names == "hash" else one_line(row.name)
        warn(f"failed: {name}: {row.problem}")
    return SOME_FAILED if evaluation.failures else WORKED
