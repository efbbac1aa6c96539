"""The same functions from a terminal: python -m gradcam_core.

A command is one function with its flags beside it, and a row in COMMANDS.
"""

import argparse
import hashlib
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gradcam_core.errors import GradcamError, MethodError
from gradcam_core.explain import DEFAULT_METHODS, explain
from gradcam_core.exporters.folder import Folders
from gradcam_core.exporters.names import Names, one_line
from gradcam_core.layers import list_layers, resolve_layer
from gradcam_core.methods import find_method, list_methods, why_not
from gradcam_core.readers import read_image
from gradcam_core.records import Explanation, LoadedModel
from gradcam_core.sources import load_model
from gradcam_core.targets import find_class

Flags = argparse.ArgumentParser
Given = argparse.Namespace
Method = tuple[str, Mapping[str, Any]]

WORKED, SOME_FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all went well, 1 if some pictures failed, 2 for wrong usage."""
    try:
        given = _parser().parse_args(arguments)
        code: int = given.run(given)
        return code
    except GradcamError as error:
        _warn(f"error: {error}")
        return WRONG_USAGE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else WORKED
    except KeyboardInterrupt:
        _warn("Stopped. Every folder with an explanation.json is complete.")
        return STOPPED


def entry() -> NoReturn:
    """Run as a program."""
    sys.exit(main())


# explain


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
    which.add_argument("--top-k", type=_whole(1), default=5, metavar="K", help="the K most probable classes (5)")
    which.add_argument(
        "--target", nargs="+", action="extend", metavar="INDEX_OR_LABEL", help="these classes; labels go before indices"
    )
    flags.add_argument("--frame", type=_whole(0), default=0, metavar="N", help="page or frame, counted from 0")
    flags.add_argument("--window", nargs=2, type=_number, metavar=("CENTRE", "WIDTH"), help="grey values to show")
    flags.add_argument(
        "--names",
        choices=("keep", "hash"),
        help="hash: name pictures and model files by their checksum alone (default: keep; hash for DICOM)",
    )
    flags.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    flags.add_argument("--quiet", action="store_true", help="tell only what failed")


def explain_pictures(given: Given) -> int:
    """Write DIR/<picture>/ with explanation.json and one overlay per heatmap, for each picture."""
    methods = [_method(text) for text in given.method or ()]
    if given.window and given.window[1] <= 0:
        raise GradcamError("A window's width must be above 0.", "Write --window CENTRE WIDTH, e.g. --window 40 400.")
    model = _load(given)
    _check(model, methods, given.layer or (), given.target or ())
    folders = Folders(given.out)
    failed, told = 0, set[str]()
    for number, path in enumerate(given.images, 1):
        try:
            image = read_image(path, frame=given.frame, window=tuple(given.window) if given.window else None)
            found = explain(
                image,
                model,
                top_k=given.top_k,
                targets=given.target,
                methods=methods or DEFAULT_METHODS,
                layers=given.layer,
            )
            names: Names = given.names or ("hash" if image.format == "DICOM" else "keep")
            record = folders.write(found, names)
        except (GradcamError, OSError, MemoryError) as error:
            failed += 1
            _warn(f"failed: {_called(path, number, given.names)}: {_words(error)}")
            continue
        if not given.quiet:
            _report(record, found, told)
    return SOME_FAILED if failed else WORKED


def _check(model: LoadedModel, methods: Iterable[Method], layers: Iterable[str], targets: Iterable[str]) -> None:
    """Refuse what cannot work with any picture, before the first one is read."""
    wanted = [resolve_layer(model, name) for name in layers] or [resolve_layer(model, model.default_layer)]
    for target in targets:
        find_class(target, model.labels)
    for (name, options), layer in itertools.product(methods, wanted):
        reason = why_not(find_method(name, options), layer)
        if reason:
            raise MethodError(reason, "Choose another method or layer.")


def _report(record: Path, found: Explanation, told: set[str]) -> None:
    """Tell what was written, and on the other stream what its reader should know, each sentence once."""
    best = found.predictions[0]
    _say(f"{record}\t{one_line(best.label)} {best.probability:.1%}")
    plain = sum(heatmap.state != "ok" for heatmap in found.heatmaps)
    if plain:
        without = f"no positive evidence in {plain} of {len(found.heatmaps)} heatmaps"
        _warn(f"note: {record.parent.name}: {without}.")
    for note in found.notes:
        if note not in told:
            told.add(note)
            _warn(f"note: {note}")


def _called(path: Path, number: int, names: str | None) -> str:
    """How a failed picture is named: by its path, or by place and checksum where names are hashed."""
    if names != "hash":
        return one_line(str(path), 1000)
    if not path.is_file():
        return f"picture {number}"
    try:
        with path.open("rb") as file:
            return f"picture {number} (sha256 {hashlib.file_digest(file, 'sha256').hexdigest()})"
    except OSError:
        return f"picture {number}"


def _words(error: Exception) -> str:
    """An error's words without the path that an OSError brings along."""
    if isinstance(error, GradcamError):
        return str(error)
    return str(getattr(error, "strerror", None) or "The memory is too small for this picture.")


def _method(text: str) -> Method:
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
        return _number(text) if isinstance(default, float) else text
    except (ValueError, LookupError, argparse.ArgumentTypeError) as error:
        kind = {bool: "true or false", int: "a whole number"}.get(type(default), "a number")
        raise MethodError(f"The option {option} cannot be '{text}'.", f"Give {kind}, such as {default}.") from error


# methods, layers


def list_flags(flags: Flags) -> None:
    """Flags of `methods`."""
    flags.add_argument("--json", action="store_true", help="as JSON")


def show_methods(given: Given) -> int:
    """List the methods with their papers and what they need."""
    fields = ("name", "title", "summary", "paper", "url", "needs")
    found = [{field: getattr(x, field) for field in fields} | {"options": dict(x.options)} for x in list_methods()]
    _show(found, ("name", "title", "paper", "needs", "options"), given.json)
    return WORKED


def layers_flags(flags: Flags) -> None:
    """Flags of `layers`."""
    model_flags(flags)
    list_flags(flags)


def show_layers(given: Given) -> int:
    """List the layers of a model that can be explained, in the order of computation."""
    model = _load(given)
    fields = ("name", "kind", "channels", "grid")
    usual = model.default_layer
    found = [{field: getattr(x, field) for field in fields} | {"default": x.name == usual} for x in list_layers(model)]
    _show(found, (*fields, "default"), given.json)
    return WORKED


def _show(found: Sequence[Mapping[str, Any]], fields: Sequence[str], as_json: bool) -> None:
    """Show rows as JSON with all they hold, or as a table of these fields."""
    if as_json:
        _say(json.dumps(found, indent=2, default=str))
        return
    rows = [fields, *([_cell(row[field]) for field in fields] for row in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "default" if value else ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={default}" for name, default in value.items())
    if isinstance(value, tuple):
        return (" x " if all(isinstance(part, int) for part in value) else ", ").join(map(str, value))
    return one_line(str(value))


# What the commands share


def model_flags(flags: Flags) -> None:
    """Flags that say which model to load, and how."""
    flags.add_argument("--model", required=True, metavar="REF", help="bundled:, timm:, torchvision:NAME or file:PATH")
    flags.add_argument("--architecture", metavar="REF", help="of a file: timm:, torchvision: or python:module:factory")
    flags.add_argument("--labels", metavar="FILE", help="names of the classes: text, one a line, or JSON")
    flags.add_argument("--pretrained", action=argparse.BooleanOptionalAction, default=True, help="weights of the hub")
    flags.add_argument("--size", nargs="+", type=_whole(1), metavar="PIXELS", help="model input: side, or height width")
    flags.add_argument("--mean", nargs="+", type=_number, help="subtracted from 0..1: one number, or one a channel")
    flags.add_argument("--std", nargs="+", type=_number, help="then divided by: one number, or one a channel")
    flags.add_argument("--fit", choices=("model", "crop", "squash", "letterbox"), help="how a picture fills the input")
    flags.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def _load(given: Given) -> LoadedModel:
    changes = {name: getattr(given, name) for name in ("size", "mean", "std") if getattr(given, name) is not None}
    preprocessing = {name: values[0] if len(values) == 1 else values for name, values in changes.items()}
    return load_model(
        given.model,
        architecture=given.architecture,
        labels=given.labels,
        preprocessing=preprocessing | ({"fit": given.fit} if given.fit else {}),
        pretrained=given.pretrained,
        device=given.device,
    )


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number from {least} on")
        return int(text)

    return read


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"'{text}' is no number")
    return number


def _say(text: str) -> None:
    print(_writable(text, sys.stdout.encoding), flush=True)


def _warn(text: str) -> None:
    print(_writable(one_line(text, 2000), sys.stderr.encoding), file=sys.stderr, flush=True)


def _writable(text: str, encoding: str | None) -> str:
    """Write letters that the terminal does not know as escapes."""
    known = encoding or "utf-8"
    return text.encode(known, "backslashreplace").decode(known)


COMMANDS: Sequence[tuple[str, str, Callable[[Flags], None], Callable[[Given], int]]] = (
    ("explain", "write heatmaps of pictures", explain_flags, explain_pictures),
    ("methods", "list the methods, their papers and what they need", list_flags, show_methods),
    ("layers", "list the layers of a model that can be explained", layers_flags, show_layers),
)


def _parser() -> Flags:
    parser = Flags(prog="python -m gradcam_core", description="See where an image model's scores are sensitive.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, words, add_flags, run in COMMANDS:
        flags = commands.add_parser(name, help=words, description=run.__doc__, allow_abbrev=False)
        add_flags(flags)
        flags.set_defaults(run=run)
    return parser
