"""The files of remembered models: what they were, and whether they were moved or changed since."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from gradcam_core.catalogue.form import FileState, RememberedModel
from gradcam_core.errors import CatalogueError

PLACES = ("timm:local-dir:", "file:")
READ_IN_FOLDER = (".json", ".safetensors", ".bin", ".pth", ".pt")
MOST_IN_FOLDER = 2000


def place_of(reference: str) -> Path | None:
    """The absolute path in a reference to a file or a folder; None for a name."""
    prefix = next((prefix for prefix in PLACES if reference.startswith(prefix)), None)
    path = Path(reference.removeprefix(prefix)) if prefix else None
    return path if path is not None and path.is_absolute() else None


def observe_file(reference: str) -> FileState | None:
    """Read what a reference's file or folder is now; None where it has no path. Raises CatalogueError."""
    path = place_of(reference)
    if path is None:
        return None
    try:
        files = _files(path)
        digest = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
            # A file stands for its content alone, a folder for its names as well.
            digest.update(content if files == [path] else file.name.encode("utf-8", "replace") + b"\0" + content)
        return FileState(*_size_and_time(files), digest.hexdigest())
    except OSError as error:
        raise CatalogueError("The file cannot be read.", "Check its place and the permission to read it.") from error


def what_changed(model: RememberedModel) -> str:
    """Say in a sentence how a remembered file differs from what it was; "" where it is the same or has no path.

    The content is read again only where its time has changed and its size has not.
    """
    path = place_of(model.reference)
    if path is None or model.file is None:
        return ""
    noun = "file"
    try:
        noun = "folder" if path.is_dir() else noun
        if not path.exists():
            return "It is no longer at its place: it was moved or deleted."
        if path.resolve() != path:
            return f"The {noun}’s place now leads to another one."
        size, modified = _size_and_time(_files(path))
        if (size, modified) == (model.file.bytes, model.file.modified):
            return ""
        now = observe_file(model.reference) if size == model.file.bytes else None
    except (OSError, ValueError, CatalogueError):
        return f"The {noun} can no longer be read."
    return "" if now is not None and now.sha256 == model.file.sha256 else f"The {noun} was changed since it was added."


def _files(path: Path) -> list[Path]:
    """The file itself, or what a model's folder is read from. Raises OSError."""
    if not path.is_dir():
        if not path.is_file():  # a pipe or a device may never end
            raise FileNotFoundError
        return [path]
    with os.scandir(path) as content:
        files = [Path(file.path) for file in content if file.name.endswith(READ_IN_FOLDER) and file.is_file()]
    if len(files) > MOST_IN_FOLDER:
        raise OSError("too many files for a model's folder")
    return sorted(files)


def _size_and_time(files: Sequence[Path]) -> tuple[int, int]:
    states = [file.stat() for file in files]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)
