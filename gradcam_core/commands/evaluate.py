"""`evaluate`: one model over a folder of pictures, against a table of labels, in words and as CSV."""

from pathlib import Path

from gradcam_core.checks.thresholds import read_thresholds
from gradcam_core.commands.explain import refuse, to_method
from gradcam_core.commands.shared import (
    SOME_FAILED,
    WORKED,
    Flags,
    Given,
    files_in,
    load_chosen,
    model_flags,
    say,
    show_progress,
    warn,
)
from gradcam_core.errors import GradcamError
from gradcam_core.evaluation import evaluate, evaluation_sentences, evaluation_to_csv, find_masks, read_table
from gradcam_core.exporters.folder import write_whole
from gradcam_core.exporters.names import one_line


def evaluate_flags(flags: Flags) -> None:
    """Flags of `evaluate`."""
    flags.add_argument("folder", metavar="FOLDER", type=Path, help="pictures, and masks called PICTURE_mask.png")
    model_flags(flags)
    flags.add_argument(
        "--table", type=Path, metavar="CSV", help="labels: columns name, label, and mask where there are any"
    )
    flags.add_argument("--layer", nargs="+", action="extend", metavar="NAME", help="default: the model's usual one")
    flags.add_argument("--method", default="grad_cam", metavar="NAME", help="a name, or name:option=value (grad_cam)")
    flags.add_argument("--thresholds", type=Path, metavar="FILE", help="default: the project's own set")
    flags.add_argument("--names", choices=("keep", "hash"), default="keep", help="hash: no file name in the results")
    flags.add_argument("--out", type=Path, required=True, metavar="CSV", help="one row a picture, the worst first")
    flags.add_argument("--quiet", action="store_true", help="no progress")


def evaluate_folder(given: Given) -> int:
    """Hold a model against a folder of pictures, and write one row a picture, those to look at first on top."""
    method = to_method(given.method)
    limits = read_thresholds(given.thresholds) if given.thresholds else read_thresholds()
    table = read_table(_content(given.table)) if given.table else ()
    files = {path.name: path for path in files_in(given.folder) if path.absolute() not in _ours(given)}
    masks = find_masks(files, table)
    model = load_chosen(given)
    refuse(model, [method], given.layer or (), ())
    found = evaluate(
        [(name, path.read_bytes) for name, path in files.items() if name not in masks],
        table,
        {name: files[name].read_bytes for name in masks},
        model,
        method=method,
        layers=given.layer,
        thresholds=limits,
        on_progress=None if given.quiet else show_progress,
    )
    try:
        write_whole(given.out, evaluation_to_csv(found, given.names))
    except OSError as error:
        raise GradcamError("The results cannot be written.", "Choose another place for --out.") from error
    for words in evaluation_sentences(found):
        say(one_line(words, 1000))
    for row in found.failures:
        name = row.sha256[:16] if given.names == "hash" else one_line(row.name)
        warn(f"failed: {name}: {row.problem}")
    return SOME_FAILED if found.failures else WORKED


def _ours(given: Given) -> set[Path]:
    """Files that may lie among the pictures and are none."""
    return {path.absolute() for path in (given.table, given.out) if path}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GradcamError("The table of labels cannot be read.", "Give a CSV file that you may open.") from error
