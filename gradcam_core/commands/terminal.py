"""What the commands print: results, progress, and what failed, in the terminal's own spelling."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gradcam_core.errors import GradcamError
from gradcam_core.text import one_line

WORKED, SOME_FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 130
# The keywords in Python whose flag has another name.
FLAG_NAMES = {"pretrained": "no-pretrained", "top_k": "top-k"}
CLEAR_LINE = "\r\033[K"

Result = TypeVar("Result")


def say(text: str) -> None:
    """Print a line of the result."""
    print(_writable(text, sys.stdout.encoding), flush=True)


def warn(text: str) -> None:
    """Print a line on the error stream, in the place of unfinished progress."""
    clear = CLEAR_LINE if sys.stderr.isatty() else ""
    print(f"{clear}{_writable(one_line(text, 2000), sys.stderr.encoding)}", file=sys.stderr, flush=True)


def show_progress(share: float, words: str, drafts: tuple[Any, ...] = ()) -> None:
    """Keep one line of a terminal up to date; write nothing where errors go to a file."""
    if sys.stderr.isatty():
        line = f"{words} {share:4.0%}" if share < 1 else ""
        print(f"{CLEAR_LINE}{_writable(line, sys.stderr.encoding)}", end="", file=sys.stderr, flush=True)


def results_of(
    paths: Sequence[Path], names: str, compute: Callable[[int, Path], Result], failed: list[Path]
) -> Iterator[Result]:
    """Compute one picture's result at a time, from its place in the list (from 1) and its path.

    Each picture that fails is named on the error stream with the reason, and added to `failed`.
    """
    for place, path in enumerate(paths, 1):
        try:
            result = compute(place, path)
        except (GradcamError, OSError, MemoryError) as error:
            failed.append(path)
            warn(f"failed: {name_of(path, place, names)}: {words_of(error)}")
        else:
            yield result


def name_of(path: Path, place: int, names: str) -> str:
    """Name a picture by its path; where names are hashed, by its place in the list and its sha256."""
    if names != "hash":
        return one_line(str(path), 1000)
    if not path.is_file():  # a pipe or a device may never end
        return f"picture {place}"
    try:
        with path.open("rb") as file:
            return f"picture {place} (sha256 {hashlib.file_digest(file, 'sha256').hexdigest()})"
    except OSError:
        return f"picture {place}"


def name_of_row(name: str, sha256: str, names: str) -> str:
    """Name a row's picture by its file; where names are hashed, by its sha256."""
    return one_line(name) if names != "hash" else sha256[:16] or "a file that cannot be opened"


def words_of(error: Exception) -> str:
    """Return an error's words, with its option as a flag, and without the path that an OSError contains."""
    if isinstance(error, GradcamError):
        return error.words(f"--{FLAG_NAMES.get(error.option, error.option)}")
    return str(getattr(error, "strerror", None) or "The memory is too small for this picture.")


def _writable(text: str, encoding: str | None) -> str:
    """Write characters that the terminal cannot show as escapes."""
    known = encoding or "utf-8"
    return text.encode(known, "backslashreplace").decode(known)
