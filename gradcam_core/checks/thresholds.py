"""Where the checks of a heatmap draw their lines: read from a versioned file, never written into code."""

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from gradcam_core.errors import GradcamError

OWN = Path(__file__).with_name("thresholds.toml")
LARGEST_FILE = 100_000
NUMBERS = (
    "least_probability",
    "most_like_redrawn",
    "least_lost",
    "least_stability",
    "most_lost_at_edge",
    "most_like_other_class",
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The numbers that tell "passed" from "needs attention", the version of that set, and what it was derived on."""

    version: int
    set: str
    least_probability: float
    most_like_redrawn: float
    least_lost: float
    least_stability: float
    most_lost_at_edge: float
    most_like_other_class: float


def read_thresholds(path: Path = OWN) -> Thresholds:
    """Read a set of thresholds; the project's own without a path. Raises GradcamError for anything that is none."""
    remedy = "Write one with: python -m gradcam_core trust --calibrate FOLDER --model REF --out FILE."
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise GradcamError("The file of thresholds is far too large to be one.", remedy)
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise GradcamError("The file of thresholds cannot be read.", remedy) from error
    wanted = [field.name for field in dataclasses.fields(Thresholds)]
    if sorted(found) != sorted(wanted):
        raise GradcamError("The file of thresholds does not hold what it should.", f"It takes {', '.join(wanted)}.")
    wrong = [name for name in NUMBERS if not _is_share(found[name])]
    if wrong or not isinstance(found["version"], int) or not isinstance(found["set"], str):
        raise GradcamError(f"In the file of thresholds, {', '.join(wrong) or 'version or set'} cannot be used.", remedy)
    return Thresholds(**found)


def write_thresholds(thresholds: Thresholds) -> str:
    """A set of thresholds as the text of its file."""
    words = "".join(sign if sign.isprintable() and sign not in '"\\' else " " for sign in thresholds.set)
    lines = [f"version = {thresholds.version}", f'set = "{words}"']
    return "\n".join([*lines, *(f"{name} = {getattr(thresholds, name):.4f}" for name in NUMBERS)]) + "\n"


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and -1 <= value <= 1
