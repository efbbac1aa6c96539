"""`verify`: compute recorded explanations again, and compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import files_in, load_chosen, model_flags, progress_of
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, say, warn
from gradcam_core.errors import GradcamError
from gradcam_core.files import FileTooLargeError, read_bounded
from gradcam_core.text import one_line

LARGEST_RECORD, LARGEST_STACK = 100_000_000, 512 << 20


def verify_flags(flags: Flags) -> None:
    """Add the flags of `verify`."""
    flags.add_argument("record", metavar="RECORD.json", type=Path, help="an explanation.json")
    words = "the picture that was explained; of a series its folder or ZIP"
    flags.add_argument("--image", required=True, metavar="FILE", type=Path, help=words)
    model_flags(flags, required=False)
    flags.add_argument("--quiet", action="store_true", help="print only what is not as it was")


@command(verify_flags)
def verify(given: Given) -> int:
    """Compute a recorded explanation again, and compare; 1 where picture, weights, record or numbers differ.

    The record's checksum shows damage and changes by hand. It is no signature: it does not prove who wrote the record.
    """
    record = read_record(given.record)
    if given.model is None:
        given.model = reference_of(record)
    content = picture_in(given.image, record)
    result = core.verify(record, content, load_chosen(given), on_progress=progress_of(given))
    for note in result.notes:
        warn(f"note: {note}")
    for problem in result.problems:
        warn(f"not reproduced: {problem}")
    for verdict in result.verdicts:
        if not verdict.reproduced:
            warn(f"not reproduced: {verdict.name}: {verdict.sentence}")
        elif not given.quiet:
            say(f"{verdict.name}\t{verdict.sentence}")
    if not given.quiet and result.verdicts:
        reproduced = sum(verdict.reproduced for verdict in result.verdicts)
        say(f"{reproduced} of {len(result.verdicts)} heatmaps reproduced to {core.TOLERANCE:g} of their peak")
    return WORKED if result.reproduced else SOME_FAILED


def read_record(path: Path) -> Mapping[str, Any]:
    """Read a record. Raises GradcamError for another file."""
    try:
        record = json.loads(read_bounded(path, LARGEST_RECORD), parse_constant=_refused)
    except FileTooLargeError:
        raise GradcamError("The record is too large.", "Give an explanation.json.") from None
    except OSError as error:
        raise GradcamError(f"The record cannot be read: {error.strerror}.", "Check its path.") from None
    except (RecursionError, ValueError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("heatmaps"), list):
        raise GradcamError("This is not the record of an explanation.", "Give an explanation.json.")
    return record


def picture_in(place: Path, record: Mapping[str, Any]) -> bytes:
    """The record's picture: a file, or a stack of the files in a folder or ZIP. Raises GradcamError.

    Where none has the record's checksum, the first one is returned, and the comparison says so.
    """
    image = record.get("image")
    wanted = image.get("sha256") if isinstance(image, Mapping) else None
    room, files = LARGEST_STACK, list[tuple[str, bytes]]()
    try:
        for path in files_in(place) if place.is_dir() else [place]:
            files.append(("", read_bounded(path, room)))
            room -= len(files[-1][1])
    except (OSError, FileTooLargeError):
        raise GradcamError("The picture's file cannot be read.", "Check --image.") from None
    pictures = [content for _, content in (*files, *core.stacks_of(files))]
    if not pictures:
        raise GradcamError("There is no picture in this folder.", "Check --image.")
    same = (content for content in pictures if hashlib.sha256(content).hexdigest() == wanted)
    return next(same, pictures[0])


def _refused(constant: str) -> None:
    """Refuse NaN and infinities, which strict JSON does not have."""
    raise ValueError(constant)


def reference_of(record: Mapping[str, Any]) -> str:
    """The model that a record names. Raises GradcamError where that is a file: a record does not say where it is."""
    model = record.get("model")
    reference = str(model.get("reference", "")) if isinstance(model, Mapping) else ""
    if not reference or reference.startswith(("file:", "timm:local-dir:", "open-clip:local-dir:", "memory")):
        named = one_line(reference, 100) or "no model"
        raise GradcamError(f"The record names {named}: where that is, it does not say.", "Name it with --model.")
    return reference
