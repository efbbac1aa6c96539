"""Flags that several commands have, and what they give: a model, a picture, a method, thresholds."""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradcam_core as core
from gradcam_core.commands import Flags, Given
from gradcam_core.commands.terminal import show_progress, warn
from gradcam_core.errors import GradcamError, MethodError
from gradcam_core.files import read_bounded, write_whole

MINUS = "\u2212"
LARGEST_TABLE = 20_000_000
OLD_TEXT = "The table is not UTF-8: it was read as Windows-1252. Check its accented letters in the results."
YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def model_flags(flags: Flags, *, several: bool = False, required: bool = True) -> None:
    """Add the flags that say which model to load, and how; or `several`, whose own flags are given again for each."""
    own: dict[str, Any] = {"action": "append"} if several else {}
    each = "; once for all models, or for each, - for none" if several else ""
    kinds = "bundled:, timm:, torchvision:, open-clip:NAME or file:PATH (a file or folder)"
    flags.add_argument("--model", required=required, metavar="REF", help=f"{kinds}{'; once for each' * several}", **own)
    places = "of a file: timm:, torchvision:, open-clip:, python:module:factory or auto"
    flags.add_argument("--architecture", metavar="REF", help=f"{places}{each}", **own)
    flags.add_argument(
        "--labels", metavar="FILE", help=f"names of the classes: text, one per line, or JSON{each}", **own
    )
    flags.add_argument("--pretrained", action=argparse.BooleanOptionalAction, default=True, help="weights of the hub")
    flags.add_argument("--weights", choices=("plain", "averaged"), help="of a file that holds both (plain)")
    flags.add_argument("--size", nargs="+", type=whole(1), metavar="PIXELS", help="model input: side, or height width")
    flags.add_argument("--mean", nargs="+", type=number, help="subtracted from 0..1: one number, or one per channel")
    flags.add_argument("--std", nargs="+", type=number, help="then divided by: one number, or one per channel")
    flags.add_argument("--fit", choices=("model", "crop", "squash", "letterbox"), help="how a picture fills the input")
    flags.add_argument("--task", metavar="TASK", help=f"what its outputs mean, such as multi_label (auto){each}", **own)
    flags.add_argument("--unit", default="", metavar="TEXT", help="of the number that a regression gives")
    flags.add_argument(
        "--present-from",
        nargs="+",
        metavar="P",
        help="a finding is present from this probability on: one number, or LABEL=NUMBER for some (0.5)",
    )
    flags.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def target_flag(flags: argparse._ActionsContainer, words: str, **more: Any) -> None:
    """Add the flag for the classes to explain; a minus before a class asks what lowers it."""
    # A real minus sign stands for a hyphen here: see keep_minus.
    flags.add_argument(
        "--target", type=_hyphen, metavar="INDEX_OR_LABEL", help=f"{words}; -CLASS: what lowers it", **more
    )


def _hyphen(text: str) -> str:
    return f"-{text[1:]}" if text.startswith(MINUS) else text


def keep_minus(arguments: Sequence[str]) -> list[str]:
    """Write a minus sign for the hyphen of `--target -cat`, which argparse would take for a flag of its own."""
    kept, follows = list[str](), False
    for text in arguments:
        follows = text == "--target" or (follows and not text.startswith("--"))
        lowered = follows and text.startswith("-") and text not in ("--target", "-", "-h")
        kept.append(f"{MINUS}{text[1:]}" if lowered else text)
    return kept


def layer_flag(flags: Flags) -> None:
    """Add the flag for the layers to explain."""
    flags.add_argument("--layer", nargs="+", action="extend", metavar="NAME", help="default: the model's usual one")


def checked_flags(flags: Flags) -> None:
    """Add the flags that say which heatmap to check: one method; and by which thresholds."""
    flags.add_argument("--method", default="grad_cam", metavar="NAME", help="a name, or name:option=value (grad_cam)")
    flags.add_argument("--thresholds", type=Path, metavar="FILE", help="default: the project's own set")


def names_flag(flags: Flags) -> None:
    """Add the flag that says how pictures are named in what is written."""
    words = "hash: name pictures and model files by their checksum alone (keep; hash where one of them is DICOM)"
    flags.add_argument("--names", choices=("keep", "hash"), help=words)


def settle_names(given: Given) -> None:
    """Name pictures as usual where the flag is not given; by checksum where one is DICOM: its name may be a patient's.

    For a folder, the command does it with `settle_names_in`.
    """
    if getattr(given, "names", "") is None and not hasattr(given, "folder"):
        paths = [*getattr(given, "images", ()), *filter(None, [getattr(given, "image", None)])]
        paths += files_in(given.calibrate) if getattr(given, "calibrate", None) else []
        given.names = "hash" if any(map(_is_dicom, paths)) else "keep"


def settle_names_in(given: Given, jobs: Sequence[core.Job]) -> None:
    """Name a folder's pictures as `settle_names` does; the names of its folders may be patients' as well."""
    if given.names is None:
        given.names = "hash" if core.has_dicom(jobs) else "keep"


def _is_dicom(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe may never end
            return False
        with path.open("rb") as file:
            return core.is_dicom(file.read(4096))
    except (OSError, ValueError):  # reading it says what is wrong
        return False


def picture_flags(flags: Flags) -> None:
    """Add the flags that say how a picture is read."""
    flags.add_argument("--frame", type=whole(0), default=0, metavar="N", help="page or frame, counted from 0")
    flags.add_argument("--window", nargs=2, type=number, metavar=("CENTRE", "WIDTH"), help="grey values to show")
    blank_flags(flags)


def blank_flags(flags: Flags) -> None:
    """Add the flags that say which areas of every picture are blanked before anything is computed."""
    flags.add_argument(
        "--blank",
        nargs=4,
        type=number,
        action="append",
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="delete an area, such as text that names a patient, before anything is computed: its sides as shares of "
        "width and height; may be repeated",
    )
    flags.add_argument(
        "--blank-corners",
        nargs="?",
        type=number,
        const=0.2,
        metavar="SHARE",
        help="delete the four corners, each so large a share of width and height (0.2)",
    )


def blanked_areas(given: Given) -> tuple[core.Area, ...]:
    """The areas that the flags name. Raises GradcamError where they are none."""
    areas = [tuple(area) for area in given.blank or ()]
    return core.check_areas([*areas, *(() if given.blank_corners is None else core.corner_areas(given.blank_corners))])


def load_chosen(given: Given) -> core.LoadedModel:
    """Load the model that the flags name."""
    return core.load_model(given.model, **model_options(given), on_progress=progress_of(given))


def model_options(given: Given) -> dict[str, Any]:
    """The arguments of `load_model` that the flags give, besides the model's name."""
    changes = {name: getattr(given, name) for name in ("size", "mean", "std") if getattr(given, name) is not None}
    preprocessing = {name: values[0] if len(values) == 1 else values for name, values in changes.items()}
    return {
        "architecture": given.architecture,
        "labels": given.labels,
        "preprocessing": preprocessing | ({"fit": given.fit} if given.fit else {}),
        "pretrained": given.pretrained,
        "task": given.task or "auto",
        "unit": given.unit,
        "thresholds": _thresholds(given.present_from),
        "weights": given.weights,
        "device": given.device,
    }


def _thresholds(texts: Sequence[str] | None) -> Any:
    """Read --present-from: one number for all findings, or {label: number}. Raises GradcamError."""
    pairs = [text.rpartition("=") for text in texts or ()]
    try:
        if len(pairs) == 1 and not pairs[0][1]:
            return float(pairs[0][2])
        if not all(equals for _, equals, _ in pairs):
            raise ValueError
        return {label: float(value) for label, _, value in pairs} or None
    except ValueError:
        remedy = "Write --present-from 0.4, or --present-from LABEL=0.4 for each of some labels."
        raise GradcamError("It is not clear from which probability on findings are present.", remedy) from None


def progress_of(given: Given) -> core.OnProgress | None:
    """Return what reports progress; None where --quiet is given."""
    return None if getattr(given, "quiet", False) else show_progress


def read_chosen(path: Path, given: Given) -> core.ImageRecord:
    """Read a picture as the flags say."""
    window = tuple(given.window) if given.window else None
    return core.read_image(path, frame=given.frame, window=window, blanked=blanked_areas(given))


def thresholds_of(given: Given) -> core.Thresholds:
    """Read the thresholds that the flags name, or the project's own."""
    return core.read_thresholds(given.thresholds) if given.thresholds else core.read_thresholds()


def write_out(path: Path, content: bytes, what: str) -> None:
    """Write the file that --out names, whole or not at all. Raises GradcamError."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise GradcamError(f"The {what} cannot be written.", "Choose another place for --out.") from error


def labels_in(path: Path) -> tuple[core.TableRow, ...]:
    """Read a table of labels, and say where its text is an old one. Raises GradcamError where that is not possible."""
    try:
        content = read_bounded(path, LARGEST_TABLE)
    except OSError as error:
        raise GradcamError(
            "The table of labels cannot be read.", "Give a CSV file of at most 20 MB that you may open."
        ) from error
    if core.is_old_text(content):
        warn(OLD_TEXT)
    return core.read_table(content)


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder by name, without hidden ones. Raises GradcamError where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise GradcamError("The folder of pictures cannot be read.", "Give a folder that you may open.") from error


def pictures_in(given: Given, *without: Path | None) -> dict[str, Callable[[], bytes]]:
    """Files of the given folder and of those below that can be pictures or masks: by name, a function that reads each.

    Settles how they are named.
    """
    left_out = {path.absolute() for path in without if path}
    jobs = core.find_pictures(given.folder)
    settle_names_in(given, jobs)
    return {
        job.name: functools.partial(core.read_picture, job) for job in jobs if Path(job.path).absolute() not in left_out
    }


def to_method(text: str) -> tuple[str, Mapping[str, Any]]:
    """Read `name` or `name:option=value,option=value`; a value has the type of the option's default."""
    name, _, pairs = text.partition(":")
    texts = {}
    for pair in filter(None, pairs.split(",")):
        option, equals, value = pair.partition("=")
        if not equals:
            raise MethodError(f"'{pair}' is no option of a method.", "Write name:option=value,option=value.")
        texts[option.strip()] = value.strip()
    defaults = {method.name: method.options for method in core.list_methods()}.get(name, {})
    options = {option: to_option(value, defaults.get(option)) for option, value in texts.items()}
    core.find_method(name, options)
    return name, options


def to_option(text: str, default: object) -> object:
    """Read an option's value in the type of its default. Other text stays as it is: the method refuses it in words."""
    try:
        if isinstance(default, bool):
            return YES_OR_NO[text.lower()]
        if isinstance(default, int):
            return int(text)
        return number(text) if isinstance(default, float) else text
    except (ValueError, LookupError, argparse.ArgumentTypeError):
        return text


def whole(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` on."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number from {least} on")
        return int(text)

    return read


def number(text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}' is no number")
    return value
