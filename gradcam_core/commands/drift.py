"""`drift`: two models over a folder of pictures: do the answers agree, did the evidence move; in words and as files."""

from __future__ import annotations

from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.compare import each_given, load_each
from gradcam_core.commands.flags import (
    blank_flags,
    blanked_areas,
    model_flags,
    names_flag,
    pictures_in,
    progress_of,
    to_method,
    write_out,
)
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, name_of_row, say, warn
from gradcam_core.errors import GradcamError
from gradcam_core.text import one_line

RECORD, TABLE = "drift.json", "drift.csv"


def drift_flags(flags: Flags) -> None:
    """Add the flags of `drift`."""
    flags.add_argument(
        "folder", metavar="FOLDER", type=Path, help="pictures; masks called PICTURE_mask.png are left out"
    )
    model_flags(flags, several=True)
    flags.add_argument("--layer", action="append", metavar="NAME", help="one for each model, or - for its usual one")
    flags.add_argument("--method", default="grad_cam", metavar="NAME", help="a name, or name:option=value (grad_cam)")
    flags.add_argument("--match", choices=("label", "index"), default="label", help="how classes are matched (label)")
    blank_flags(flags)
    names_flag(flags)
    flags.add_argument("--out", type=Path, metavar="DIR", help=f"folder for {RECORD} and {TABLE}, the worst first")
    flags.add_argument("--json", action="store_true", help="the record as JSON, instead of words")
    flags.add_argument("--quiet", action="store_true", help="no progress")


@command(drift_flags)
def drift(given: Given) -> int:
    """Compare two models on a folder of pictures, and list those whose evidence moved most on top."""
    method = to_method(given.method)
    if len(given.model) != 2:
        raise GradcamError(f"{len(given.model)} models cannot be compared here.", "Give --model twice.")
    loads = pictures_in(given)
    masks = core.find_masks(loads, ())
    first, second = load_each(given)
    result = core.drift(
        [(name, load) for name, load in loads.items() if name not in masks],
        first,
        second,
        match=given.match,
        method=method,
        layers=None if given.layer is None else each_given(given.layer, 2, "--layer"),
        blanked=blanked_areas(given),
        on_progress=progress_of(given),
    )
    _report(result, given)
    return SOME_FAILED if result.failures else WORKED


def _report(result: core.Drift, given: Given) -> None:
    record = core.to_json(core.drift_to_dict(result, names=given.names))
    if given.out:
        _write(given.out, record, core.drift_to_csv(result, given.names))
    if given.json:
        say(record.decode())
    else:
        for words in core.drift_sentences(result):
            say(one_line(words, 1000))
    for row in result.failures:
        warn(f"failed: {name_of_row(row.name, row.sha256, given.names)}: {row.problem}")


def _write(out: Path, record: bytes, table: bytes) -> None:
    """Write both files; the record last, so that a folder that has one is complete."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GradcamError("The folder for results cannot be made.", "Choose another place for --out.") from error
    write_out(out / TABLE, table, "results")
    write_out(out / RECORD, record, "results")
