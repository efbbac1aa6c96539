"""The form of the catalogue: what is remembered of a model, checked before it is used or written."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gradcam_core.errors import CatalogueError
from gradcam_core.text import is_plain

MOST_LABELS, MOST_NUMBERS = 100_000, 64
LONGEST_TEXT, LONGEST_REFERENCE = 300, 4096
REFERENCE = re.compile(r"(?!python:|bundled:|memory:)[a-z][a-z0-9_-]*:.+")
# Never python:, which would import a module.
ARCHITECTURE = re.compile(r"(?!python:)[a-z][a-z0-9_-]*:[A-Za-z0-9_.\-]{1,100}")
REMEDY = "Correct or delete the file that `python -m gradcam_core models` names, and add the models again."


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file or folder was: its size, when it was changed (nanoseconds), and the sha256 of its content."""

    bytes: int
    modified: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RememberedModel:
    """A model of the catalogue: how to load it, and what it was when it was added.

    `reference` and `architecture` are those of `load_model`, and tell one model from another. Of plain and
    `averaged` weights in one file, the plain ones are the usual. `fingerprint` is that of
    the weights, `file` the state of the file or folder, None where the model has no path. `task`, `unit` and
    `threshold` are empty where the model itself says what its outputs mean.
    """

    title: str
    reference: str
    architecture: str = ""
    averaged: bool = False
    labels: tuple[str, ...] = ()
    preprocessing: tuple[tuple[str, Any], ...] = ()
    task: str = ""
    unit: str = ""
    threshold: float | None = None
    fingerprint: str = ""
    file: FileState | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.reference, self.architecture


def to_dict(model: RememberedModel) -> dict[str, Any]:
    """A model as JSON; what is empty is left out."""
    values = {**asdict(model), "preprocessing": dict(model.preprocessing)}
    return {
        name: value
        for name, value in values.items()
        if value not in ("", (), None, {}, False) or (value == 0.0 and name == "threshold")
    }


def checked_model(value: Any, place: int) -> RememberedModel:
    """Check a model of the file, whose place is counted from 1; 0 is one to be added. Raises CatalogueError."""
    known = {field.name for field in fields(RememberedModel)}
    if not isinstance(value, Mapping) or not set(value) <= known:
        raise _wrong("form", place)
    for name, fits in FITS.items():
        if name in value and not fits(value[name]):
            raise _wrong(name, place)
    if not value.get("title") or not value.get("reference"):
        raise _wrong("title or reference", place)
    own = {name: value[name] for name in known & set(value)}
    own["labels"] = tuple(value.get("labels", ()))
    own["preprocessing"] = tuple(sorted((k, _frozen(v)) for k, v in value.get("preprocessing", {}).items()))
    own["file"] = FileState(**value["file"]) if value.get("file") else None
    return RememberedModel(**own)


def _wrong(what: str, place: int) -> CatalogueError:
    if place:
        return CatalogueError(f"Model {place} of the catalogue cannot be used: its {what} is wrong.", REMEDY)
    remedy = "It takes models from files, folders and hubs, with an architecture of timm or torchvision."
    return CatalogueError(f"This model cannot be remembered: its {what} is not one for the catalogue.", remedy)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_text(value: Any, longest: int = LONGEST_TEXT) -> bool:
    return isinstance(value, str) and len(value) <= longest and is_plain(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _is_setting(value: Any) -> bool:
    several = isinstance(value, list | tuple) and len(value) <= MOST_NUMBERS
    return _is_text(value) or _is_number(value) or (several and all(_is_text(x) or _is_number(x) for x in value))


def _are_labels(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) <= MOST_LABELS and all(map(_is_text, value))


def _are_settings(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(key) and _is_setting(x) for key, x in value.items())


def _is_file_state(value: Any) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"bytes", "modified", "sha256"}:
        return False
    whole = all(isinstance(value[name], int) and not isinstance(value[name], bool) for name in ("bytes", "modified"))
    return whole and isinstance(value["sha256"], str) and re.fullmatch(r"[0-9a-f]{64}", value["sha256"]) is not None


# What each part of a model may be.
FITS: Mapping[str, Callable[[Any], bool]] = {
    "title": lambda value: _is_text(value) and bool(value.strip()),
    "reference": lambda value: _is_text(value, LONGEST_REFERENCE) and REFERENCE.fullmatch(value) is not None,
    "architecture": lambda value: value == "" or (_is_text(value) and ARCHITECTURE.fullmatch(value) is not None),
    "averaged": lambda value: isinstance(value, bool),
    "labels": _are_labels,
    "preprocessing": _are_settings,
    "task": _is_text,
    "unit": _is_text,
    "threshold": lambda value: value is None or _is_number(value),
    "fingerprint": _is_text,
    "file": _is_file_state,
}
