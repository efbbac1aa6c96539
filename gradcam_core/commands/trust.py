"""`trust`: six checks of a picture's heatmap, in words; and the lines they draw, derived anew."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gradcam_core.checks.calibration import derive_thresholds
from gradcam_core.checks.panel import Trust, trust
from gradcam_core.checks.thresholds import read_thresholds, write_thresholds
from gradcam_core.commands.explain import called, reasons, refuse, to_method
from gradcam_core.commands.shared import (
    SOME_FAILED,
    WORKED,
    Flags,
    Given,
    files_in,
    load_chosen,
    model_flags,
    number,
    say,
    show_progress,
    warn,
    whole,
)
from gradcam_core.errors import GradcamError
from gradcam_core.explanation import explain
from gradcam_core.exporters.checks import trust_to_dict
from gradcam_core.exporters.folder import write_whole
from gradcam_core.exporters.manifest import to_json
from gradcam_core.exporters.names import one_line
from gradcam_core.readers import read_image
from gradcam_core.records import ImageRecord, LoadedModel

MARKS = {"passed": "passed", "attention": "ATTENTION", "not tested": "not tested"}


def trust_flags(flags: Flags) -> None:
    """Flags of `trust`."""
    flags.add_argument("images", metavar="IMAGE", nargs="*", type=Path, help="picture files")
    model_flags(flags)
    flags.add_argument("--layer", nargs="+", action="extend", metavar="NAME", help="default: the model's usual one")
    flags.add_argument("--method", default="grad_cam", metavar="NAME", help="a name, or name:option=value (grad_cam)")
    flags.add_argument("--target", metavar="INDEX_OR_LABEL", help="default: the most probable class")
    flags.add_argument("--frame", type=whole(0), default=0, metavar="N", help="page or frame, counted from 0")
    flags.add_argument("--window", nargs=2, type=number, metavar=("CENTRE", "WIDTH"), help="grey values to show")
    flags.add_argument("--thresholds", type=Path, metavar="FILE", help="default: the project's own set")
    flags.add_argument("--json", action="store_true", help="one JSON object a picture, instead of words")
    flags.add_argument("--names", choices=("keep", "hash"), help="hash: name pictures by their checksum alone")
    flags.add_argument("--quiet", action="store_true", help="no progress")
    flags.add_argument("--calibrate", type=Path, metavar="FOLDER", help="derive thresholds on this folder's pictures")
    flags.add_argument("--out", type=Path, metavar="FILE", help="where --calibrate writes them")


def trust_pictures(given: Given) -> int:
    """Check whether a picture's heatmap can be trusted; or, with --calibrate, derive the thresholds of the checks."""
    if (given.calibrate is None) == (not given.images) or (given.calibrate is None) != (given.out is None):
        raise GradcamError(
            "It is not clear what to do.", "Write trust IMAGE --model REF, or trust --calibrate FOLDER --out FILE."
        )
    method = to_method(given.method)
    limits = read_thresholds(given.thresholds) if given.thresholds else read_thresholds()
    model = load_chosen(given)
    refuse(model, [method], given.layer or (), [given.target] if given.target else ())
    if given.calibrate is not None:
        return _calibrate(given, model)
    failed = 0
    for place, path in enumerate(given.images, 1):
        try:
            image = read_image(path, frame=given.frame, window=tuple(given.window) if given.window else None)
            found = explain(image, model, top_k=1, targets=given.target, methods=[method], layers=given.layer)
            progress = None if given.quiet else show_progress
            checked = trust(found, found.heatmaps[-1], model, thresholds=limits, on_progress=progress)
        except (GradcamError, OSError, MemoryError) as error:
            failed += 1
            warn(f"failed: {called(path, place, given.names)}: {reasons(error)}")
            continue
        _report(image, called(path, place, given.names), model, checked, given.json)
    return SOME_FAILED if failed else WORKED


def _report(image: ImageRecord, name: str, model: LoadedModel, found: Trust, as_json: bool) -> None:
    if as_json:
        parts = {"image": {"sha256": image.sha256}, "model": {"fingerprint": model.fingerprint}}
        say(to_json(parts | trust_to_dict(found)).decode())
        return
    say(f"{name}: {one_line(found.heatmap.target.label)}. {found.outcome}")
    for check in found.checks:
        say(f"  {MARKS[check.outcome]:<10}  {check.question} {one_line(check.sentence, 1000)}")
    for words in (*found.always, f"Thresholds: version {found.thresholds.version}, {found.thresholds.set}."):
        say(f"  {one_line(words, 1000)}")


def _calibrate(given: Given, model: LoadedModel) -> int:
    paths = list(files_in(given.calibrate))
    failed: list[Path] = []
    derived = derive_thresholds(
        _read_each(paths, given, failed),
        model,
        name="",
        method=to_method(given.method),
        layers=given.layer,
        count=len(paths),
        on_progress=None if given.quiet else show_progress,
    )
    derived = replace(derived, set=f"{len(paths) - len(failed)} pictures, model {model.fingerprint[:8]}")
    try:
        write_whole(given.out, write_thresholds(derived).encode())
    except OSError as error:
        raise GradcamError("The thresholds cannot be written.", "Choose another place for --out.") from error
    say(write_thresholds(derived).rstrip())
    return SOME_FAILED if failed else WORKED


def _read_each(paths: Sequence[Path], given: Given, failed: list[Path]) -> Iterator[ImageRecord]:
    """Read one picture at a time; those that cannot be read are named and added to `failed`."""
    for place, path in enumerate(paths, 1):
        try:
            image = read_image(path)
        except (GradcamError, OSError, MemoryError) as error:
            failed.append(path)
            warn(f"failed: {called(path, place, given.names)}: {reasons(error)}")
            continue
        yield image
