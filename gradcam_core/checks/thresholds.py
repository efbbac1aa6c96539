"""Thresholds of the checks, read from a versioned file and never written into code."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gradcam_core.errors import GradcamError

OWN = Path(__file__).with_name("thresholds.toml")
LARGEST_FILE = 100_000
REMEDY = "Write one with: python -m gradcam_core trust --calibrate FOLDER --model REF --out FILE."


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The numbers that separate "passed" from "needs attention", by name; the set's version and origin."""

    version: int
    set: str
    numbers: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        return {"version": self.version, "set": self.set, **self.numbers}

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process, which a read-only mapping cannot be sent to."""
        return Thresholds, (self.version, self.set, dict(self.numbers))


def read_thresholds(path: Path = OWN) -> Thresholds:
    """Read a set of thresholds; the project's own without a path. Raises GradcamError for any other file."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise GradcamError("The thresholds file is far too large.", REMEDY)
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise GradcamError("The thresholds file cannot be read.", REMEDY) from error
    return _checked(content, content if path == OWN else read_thresholds().to_dict())


def _checked(content: Mapping[str, Any], wanted: Mapping[str, Any]) -> Thresholds:
    if sorted(content) != sorted(wanted):
        raise GradcamError("The thresholds file has other entries than it should.", f"It takes {', '.join(wanted)}.")
    numbers = {name: content[name] for name in wanted if name not in ("version", "set")}
    wrong = [name for name, value in numbers.items() if not _is_share(value)]
    if wrong or not isinstance(content["version"], int) or not isinstance(content["set"], str):
        raise GradcamError(f"In the thresholds file, {', '.join(wrong) or 'version or set'} cannot be used.", REMEDY)
    return Thresholds(content["version"], content["set"], MappingProxyType(numbers))


def write_thresholds(thresholds: Thresholds) -> str:
    """A set of thresholds as the text of its file."""
    words = "".join(sign if sign.isprintable() and sign not in '"\\' else " " for sign in thresholds.set)
    lines = [f"version = {thresholds.version}", f'set = "{words}"']
    return "\n".join([*lines, *(f"{name} = {value:.4f}" for name, value in thresholds.numbers.items())]) + "\n"


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and -1 <= value <= 1
