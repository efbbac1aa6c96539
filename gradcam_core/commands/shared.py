"""What the commands share: the flags that choose a model, numbers in flags, words for the terminal."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.names import one_line
from gradcam_core.records import Heatmap, LoadedModel
from gradcam_core.sources import load_model

Flags = argparse.ArgumentParser
Given = argparse.Namespace

WORKED, SOME_FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 130


def model_flags(flags: Flags) -> None:
    """Flags that say which model to load, and how."""
    flags.add_argument("--model", required=True, metavar="REF", help="bundled:, timm:, torchvision:NAME or file:PATH")
    flags.add_argument("--architecture", metavar="REF", help="of a file: timm:, torchvision: or python:module:factory")
    flags.add_argument("--labels", metavar="FILE", help="names of the classes: text, one a line, or JSON")
    flags.add_argument("--pretrained", action=argparse.BooleanOptionalAction, default=True, help="weights of the hub")
    flags.add_argument("--size", nargs="+", type=whole(1), metavar="PIXELS", help="model input: side, or height width")
    flags.add_argument("--mean", nargs="+", type=number, help="subtracted from 0..1: one number, or one a channel")
    flags.add_argument("--std", nargs="+", type=number, help="then divided by: one number, or one a channel")
    flags.add_argument("--fit", choices=("model", "crop", "squash", "letterbox"), help="how a picture fills the input")
    flags.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def load_chosen(given: Given) -> LoadedModel:
    """Load the model that the flags ask for."""
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


def files_in(folder: Path) -> list[Path]:
    """The files of a folder by name, hidden ones left out. Raises GradcamError where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise GradcamError("The folder of pictures cannot be read.", "Give a folder that you may open.") from error


def whole(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least` on."""

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


def say(text: str) -> None:
    """Print a line of the result."""
    print(_writable(text, sys.stdout.encoding), flush=True)


def warn(text: str) -> None:
    """Print one line beside the result."""
    print(_writable(one_line(text, 2000), sys.stderr.encoding), file=sys.stderr, flush=True)


def show_progress(share: float, words: str, drafts: tuple[Heatmap, ...]) -> None:
    """Keep one line on a terminal up to date; where errors go to a file, nothing is written."""
    if sys.stderr.isatty():
        line = f"{words} {share:4.0%}" if share < 1 else ""
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def _writable(text: str, encoding: str | None) -> str:
    """Write letters that the terminal does not know as escapes."""
    known = encoding or "utf-8"
    return text.encode(known, "backslashreplace").decode(known)
