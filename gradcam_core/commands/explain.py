"""`explain`: heatmaps of picture files, as files."""

from __future__ import annotations

from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import (
    layer_flag,
    load_chosen,
    model_flags,
    names_flag,
    picture_flags,
    progress_of,
    read_chosen,
    target_flag,
    to_method,
    whole,
)
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, results_of, say, warn
from gradcam_core.errors import GradcamError
from gradcam_core.files import write_whole
from gradcam_core.text import one_line

SIMILAR = "similar:"


def explain_flags(flags: Flags) -> None:
    """Add the flags of `explain`."""
    flags.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="picture files")
    model_flags(flags)
    layer_flag(flags)
    flags.add_argument(
        "--method",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="a name, or name:option=value,option=value (default: cam grad_cam grad_cam_plus_plus)",
    )
    classes = flags.add_mutually_exclusive_group()
    classes.add_argument("--top-k", type=whole(1), default=5, metavar="K", help="the K most probable classes (5)")
    target_flag(
        classes,
        "these classes; box:0 and segment:cat of detectors and segmenters; similar:FILE; 'text:a pacemaker'",
        nargs="+",
        action="extend",
    )
    flags.add_argument("--against", metavar="INDEX_OR_LABEL", help="compare each --target with this class")
    picture_flags(flags)
    names_flag(flags)
    flags.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    words = "write DICOM objects too, into the study of a DICOM picture: they name its patient"
    flags.add_argument("--dicom", action="store_true", help=words)
    flags.add_argument("--report", action="store_true", help="also write report.pdf and report.html for each picture")
    flags.add_argument("--quiet", action="store_true", help="print only what failed")


@command(explain_flags)
def explain(given: Given) -> int:
    """Write heatmaps of pictures: DIR/<picture>/ with explanation.json and one overlay per heatmap."""
    methods = [to_method(text) for text in given.method or ()] or None
    if given.window and given.window[1] <= 0:
        raise GradcamError("A window's width must be above 0.", "Write --window CENTRE WIDTH, e.g. --window 40 400.")
    if given.against is not None and not given.target:
        raise GradcamError("A contrast needs two classes.", "Name the first with --target, before --against.")
    model = load_chosen(given)
    targets = [chosen_target(text, model, given) for text in given.target or ()] or None
    request = {"targets": targets, "layers": given.layer} | ({"methods": methods} if methods else {})
    core.check_request(model, **request)
    folders = core.ResultFolders(given.out)

    def write(place: int, path: Path) -> tuple[Path, core.Explanation]:
        image, progress = read_chosen(path, given), progress_of(given)
        explanation = core.explain(image, model, top_k=given.top_k, on_progress=progress, **request)
        record = folders.write(explanation, given.names, report=given.report)
        if given.dicom:
            write_dicom(record.parent, path, explanation, given.report)
        return record, explanation

    failed, printed = list[Path](), set[str]()
    for record, explanation in results_of(given.images, given.names, write, failed):
        if not given.quiet:
            report(record, explanation, printed)
    return SOME_FAILED if failed else WORKED


def write_dicom(folder: Path, path: Path, explanation: core.Explanation, report: bool = False) -> None:
    """Write an explanation's DICOM objects, into the study of a picture that is DICOM. Raises GradcamError, OSError."""
    source = path.read_bytes() if explanation.image.format == "DICOM" else None
    printed = (folder / "report.pdf").read_bytes() if report else None
    for name, content in core.dicom_objects(explanation, source=source, report=printed):
        write_whole(folder / name, content)


def chosen_target(text: str, model: core.LoadedModel, given: Given) -> str | core.Target:
    """A target as it is written, or what speaks for it `--against` another class; similar:FILE is likeness to that."""
    if getattr(given, "against", None) is not None:
        return core.contrast(text, given.against, model.labels)
    if not text.startswith(SIMILAR) or text in model.labels:
        return text
    return core.similar(read_chosen(Path(text.removeprefix(SIMILAR)), given), model)


def answer_words(explanation: core.Explanation) -> str:
    """Return the top class, the findings that are present, the numbers, or the likeness to texts and pictures."""
    predictions = explanation.predictions
    if not predictions:
        alike = {each.target.label: each.target for each in explanation.heatmaps if each.target.index < 0}
        return ", ".join(f"{one_line(label)} {plain_amount(target)}" for label, target in alike.items())
    if not explanation.outputs.has_findings:
        shown = predictions if explanation.outputs.task == "regression" else predictions[:1]
    else:
        shown = tuple(prediction for prediction in predictions if prediction.present) or predictions[:1]
    return ", ".join(f"{one_line(each.label)} {plain_amount(each)}" for each in shown)


def plain_amount(prediction: core.Prediction | core.Target) -> str:
    """Return the probability or number of a prediction or target in signs that every terminal has."""
    if getattr(prediction, "value", None) is None:
        return f"{prediction.probability:.1%}"
    return core.amount_of(prediction).replace("\u202f", " ").replace("\u2212", "-")


def report(record: Path, explanation: core.Explanation, printed: set[str]) -> None:
    """Print what was written, and each note once on the error stream."""
    say("\t".join(filter(None, (str(record), answer_words(explanation)))))
    empty = sum(heatmap.state != "ok" for heatmap in explanation.heatmaps)
    if empty:
        words = f"no positive evidence in {empty} of {len(explanation.heatmaps)} heatmaps"
        warn(f"note: {record.parent.name}: {words}.")
    for note in explanation.notes:
        if note not in printed:
            printed.add(note)
            warn(f"note: {note}")
