"""`explain`: heatmaps of picture files, as files."""

import argparse
import hashlib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradcam_core.commands.shared import (
    SOME_FAILED,
    WORKED,
    Flags,
    Given,
    load_chosen,
    model_flags,
    number,
    say,
    show_progress,
    warn,
    whole,
)
from gradcam_core.errors import GradcamError, MethodError
from gradcam_core.explanation import explain
from gradcam_core.exporters.folder import Folders
from gradcam_core.exporters.names import Names, one_line
from gradcam_core.layers import resolve_layer
from gradcam_core.methods import find_method, why_not
from gradcam_core.readers import read_image
from gradcam_core.records import Explanation, LoadedModel
from gradcam_core.targets import contrast, find_class

Method = tuple[str, Mapping[str, Any]]


def explain_flags(flags: Flags) -> None:
    """Flags of `explain`."""
    flags.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="picture files")
    model_flags(flags)
    flags.add_argument("--layer", nargs="+", action="extend", metavar="NAME", help="default: the model's usual one")
    flags.add_argument(
        "--method",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="a name, or name:option=value,option=value (default: cam grad_cam grad_cam_plus_plus)",
    )
    which = flags.add_mutually_exclusive_group()
    which.add_argument("--top-k", type=whole(1), default=5, metavar="K", help="the K most probable classes (5)")
    which.add_argument(
        "--target", nargs="+", action="extend", metavar="INDEX_OR_LABEL", help="these classes; labels go before indices"
    )
    flags.add_argument(
        "--against", metavar="INDEX_OR_LABEL", help="what speaks for each --target rather than for this class"
    )
    flags.add_argument("--frame", type=whole(0), default=0, metavar="N", help="page or frame, counted from 0")
    flags.add_argument("--window", nargs=2, type=number, metavar=("CENTRE", "WIDTH"), help="grey values to show")
    flags.add_argument(
        "--names",
        choices=("keep", "hash"),
        help="hash: name pictures and model files by their checksum alone (default: keep; hash for DICOM)",
    )
    flags.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    flags.add_argument("--quiet", action="store_true", help="tell only what failed")


def explain_pictures(given: Given) -> int:
    """Write DIR/<picture>/ with explanation.json and one overlay per heatmap, for each picture."""
    methods = [to_method(text) for text in given.method or ()]
    if given.window and given.window[1] <= 0:
        raise GradcamError("A window's width must be above 0.", "Write --window CENTRE WIDTH, e.g. --window 40 400.")
    if given.against is not None and not given.target:
        raise GradcamError("A contrast needs two classes.", "Name the first with --target, before --against.")
    model = load_chosen(given)
    refuse(model, methods, given.layer or (), given.target or ())
    targets = given.target
    if given.against is not None:
        targets = [contrast(target, given.against, model.labels) for target in given.target]
    folders = Folders(given.out)
    failed, told = 0, set[str]()
    for place, path in enumerate(given.images, 1):
        try:
            image = read_image(path, frame=given.frame, window=tuple(given.window) if given.window else None)
            found = explain(
                image,
                model,
                top_k=given.top_k,
                targets=targets,
                methods=methods or None,
                layers=given.layer,
                on_progress=None if given.quiet else show_progress,
            )
            names: Names = given.names or ("hash" if image.format == "DICOM" else "keep")
            record = folders.write(found, names)
        except (GradcamError, OSError, MemoryError) as error:
            failed += 1
            warn(f"failed: {called(path, place, given.names)}: {reasons(error)}")
            continue
        if not given.quiet:
            _report(record, found, told)
    return SOME_FAILED if failed else WORKED


def refuse(model: LoadedModel, methods: Iterable[Method], layers: Iterable[str], targets: Iterable[str]) -> None:
    """Refuse what cannot work with any picture, before the first one is read."""
    wanted = [resolve_layer(model, name) for name in layers] or [resolve_layer(model, model.default_layer)]
    for target in targets:
        find_class(target, model.labels)
    for (name, options), layer in itertools.product(methods, wanted):
        reason = why_not(find_method(name, options), layer, model)
        if reason:
            raise MethodError(reason, "Choose another method or layer.")


def _report(record: Path, found: Explanation, told: set[str]) -> None:
    """Tell what was written, and on the other stream what its reader should know, each sentence once."""
    best = found.predictions[0]
    say(f"{record}\t{one_line(best.label)} {best.probability:.1%}")
    plain = sum(heatmap.state != "ok" for heatmap in found.heatmaps)
    if plain:
        without = f"no positive evidence in {plain} of {len(found.heatmaps)} heatmaps"
        warn(f"note: {record.parent.name}: {without}.")
    for note in found.notes:
        if note not in told:
            told.add(note)
            warn(f"note: {note}")


def called(path: Path, place: int, names: str | None) -> str:
    """How a failed picture is named: by its path, or by place and checksum where names are hashed."""
    if names != "hash":
        return one_line(str(path), 1000)
    if not path.is_file():
        return f"picture {place}"
    try:
        with path.open("rb") as file:
            return f"picture {place} (sha256 {hashlib.file_digest(file, 'sha256').hexdigest()})"
    except OSError:
        return f"picture {place}"


def reasons(error: Exception) -> str:
    """An error's words without the path that an OSError brings along."""
    if isinstance(error, GradcamError):
        return str(error)
    return str(getattr(error, "strerror", None) or "The memory is too small for this picture.")


def to_method(text: str) -> Method:
    """Read `name` or `name:option=value,option=value`; values take the type of the option's default."""
    name, _, listed = text.partition(":")
    given = {}
    for pair in filter(None, listed.split(",")):
        option, equals, value = pair.partition("=")
        if not equals:
            raise MethodError(f"'{pair}' is no option of a method.", "Write name:option=value,option=value.")
        given[option.strip()] = value.strip()
    entry = find_method(name, given)
    return name, {option: _value(option, value, entry.options[option]) for option, value in given.items()}


def _value(option: str, text: str, default: Any) -> Any:
    yes_or_no = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        if isinstance(default, bool):
            return yes_or_no[text.lower()]
        if isinstance(default, int):
            return int(text)
        return number(text) if isinstance(default, float) else text
    except (ValueError, LookupError, argparse.ArgumentTypeError) as error:
        kind = {bool: "true or false", int: "a whole number"}.get(type(default), "a number")
        raise MethodError(f"The option {option} cannot be '{text}'.", f"Give {kind}, such as {default}.") from error
