"""What a check may ask for, what it returns, and the mark that makes a function a check.

heatmap      the heatmap under test
rerun        what is needed to compute it again, for reruns.py; rerun.labels are the model's classes
probability  the probability of the heatmap's class; NaN where the model gives none. Checks that hide a part follow
             the target's own number instead: see amounts.py

and every threshold, by its name in thresholds.toml. A check returns a Finding, or raises NotTestable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from gradcam_core.checks.thresholds import read_thresholds
from gradcam_core.records import Heatmap
from gradcam_core.registry import Function, member
from gradcam_core.shapes import InputArray

NEEDS = ("heatmap", "rerun", "probability", *read_thresholds().numbers)
Outcome = Literal["passed", "attention", "not tested"]

check: Callable[..., Callable[[Function], Function]] = partial(member, allowed=NEEDS)


class NotTestable(Exception):
    """Say in a sentence why a check cannot be made; raised by checks, shown as their sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What a check found: whether it needs attention, a sentence with its numbers, and the numbers.

    `shown` is the model's input with a part hidden, where that was tried; `shown_words` says which part.
    """

    outcome: Outcome
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    shown: InputArray | None = None
    shown_words: str = ""


def check_evidence(heatmap: Heatmap) -> None:
    """Raise NotTestable for a heatmap without evidence on the picture."""
    if heatmap.state != "ok":
        raise NotTestable(f"The map has {heatmap.state}: there is nothing to test.")
