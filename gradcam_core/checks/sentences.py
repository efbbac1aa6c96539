"""The six checks of a heatmap: numbers -> a sentence that tells them, and whether it needs attention.

No check judges the diagnosis, none is a score, and none stands alone: each lets some bad map pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gradcam_core.checks.edges import REGIONS
from gradcam_core.checks.thresholds import Thresholds
from gradcam_core.shapes import InputArray
from gradcam_core.text import percent

Outcome = Literal["passed", "attention", "not tested"]
QUESTIONS: Mapping[str, str] = {
    "support": "Is there enough behind it?",
    "learned": "Does it follow what the model learned?",
    "matters": "Does the hot area matter to the model?",
    "stable": "Does it stay when nothing visible changes?",
    "edges": "Is a corner or border being read?",
    "class": "Is it about this class?",
}


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One check's outcome: a sentence with its numbers in it, and the numbers by themselves.

    `shown` is the model's input with a part hidden, where that is what was tried.
    """

    name: str
    outcome: Outcome
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    shown: InputArray | None = None

    @property
    def question(self) -> str:
        """What it asks, for people."""
        return QUESTIONS[self.name]


def untested(name: str, reason: str) -> Check:
    """A check that could not be made: neither passed nor failed."""
    return Check(name, "not tested", reason)


def support(label: str, probability: float, peak: float, first: str, limits: Thresholds) -> Check:
    """Whether the model gives the class enough for its map to mean something. `first` is the model's first answer."""
    numbers = {"probability": probability, "raw_peak": peak}
    if probability >= limits.least_probability:
        words = f"The model gives {label} {percent(probability)}, and the map’s raw peak is {peak:.3g}."
        return Check("support", "passed", words, numbers)
    rank = "It is its first answer all the same" if first == label else f"Its first answer is {first}"
    words = (
        f"The model gives {label} only {percent(probability)}. {rank}. Evidence this weak (raw peak {peak:.3g}) is "
        "drawn at full strength like any other: do not read it as a finding."
    )
    return Check("support", "attention", words, numbers)


def nothing_there(label: str, probability: float) -> Check:
    """A map without any evidence for its class."""
    words = f"Nothing in this map speaks for {label} ({percent(probability)}). There is nothing to read in it."
    return Check("support", "attention", words, {"probability": probability, "raw_peak": 0.0})


def learned(similarities: Sequence[float], limits: Thresholds) -> Check:
    """Whether the map changes once the classifier's weights are drawn at random."""
    mean = float(np.mean(similarities))
    shown = f"similarity {mean:.2f} over {len(similarities)} draws, where 1 is the same map"
    if mean <= limits.most_like_redrawn:
        words = f"With the classifier’s weights replaced by random numbers the map changes ({shown})."
        return Check("learned", "passed", words, {"similarity": mean})
    words = (
        f"With the classifier’s weights replaced by random numbers the map stays much the same ({shown}). "
        "It shows the picture, not what the model learned about this class."
    )
    return Check("learned", "attention", words, {"similarity": mean})


def matters(share: float, before: float, hot: float, others: Sequence[float], limits: Thresholds) -> Check:
    """Whether hiding the hottest `share` of the picture costs more probability than hiding as much elsewhere."""
    elsewhere = float(np.mean(others))
    lost = (elsewhere - hot) / before
    words = (
        f"Hiding the hottest {percent(share, 0)} of the picture takes the probability from {percent(before)} to "
        f"{percent(hot)}; hiding as much elsewhere, to {percent(elsewhere)} on average."
    )
    numbers = {"hidden": share, "before": before, "after": hot, "after_elsewhere": elsewhere, "lost_more": lost}
    if lost >= limits.least_lost:
        return Check("matters", "passed", words, numbers)
    without = "nearly as" if hot < before else "as"
    return Check("matters", "attention", f"{words} The model is {without} sure without the hot area.", numbers)


def stable(similarities: Sequence[float], limits: Thresholds) -> Check:
    """Whether the map stays where it is when noise is added that nobody sees."""
    mean = float(np.mean(similarities))
    shown = f"similarity {mean:.2f} over {len(similarities)} noisy copies, where 1 is the same map"
    if mean >= limits.least_stability:
        return Check(
            "stable", "passed", f"Noise too faint to see leaves the map as it is ({shown}).", {"similarity": mean}
        )
    words = (
        f"Noise too faint to see changes the map ({shown}). Another scan of the same thing may give another heatmap."
    )
    return Check("stable", "attention", words, {"similarity": mean})


def edges(before: float, after: Sequence[float], limits: Thresholds) -> Check:
    """Whether hiding one of the REGIONS at the picture's edge takes the probability away."""
    place = int(np.argmin(after))
    lost, region = (before - after[place]) / before, REGIONS[place]
    change = f"takes the probability from {percent(before)} to {percent(after[place])}"
    numbers = {"lost": lost, "before": before, **dict(zip(REGIONS, after, strict=True))}
    if lost <= limits.most_lost_at_edge:
        words = f"Of the four corners and four borders, hiding the {region} changes most: it {change}."
        return Check("edges", "passed", words, numbers)
    words = (
        f"Hiding the {region} {change}. Check what is there: a marker, a label or a device may be read "
        "instead of the rest of the picture. It can also be the thing itself, where that lies at the edge."
    )
    return Check("edges", "attention", words, numbers)


def class_specific(other: str, share: float, alike: float, same: bool, limits: Thresholds) -> Check:
    """Whether the next class `other`, of probability `share`, gets another map; `same`: the two are one map."""
    next_one = f"the next class, {other} ({percent(share)})"
    if alike <= limits.most_like_other_class:
        words = f"The map for {next_one}, differs (similarity {alike:.2f}, where 1 is the same map)."
        return Check("class", "passed", words, {"similarity": alike})
    words = f"The map for {next_one}, looks the same (similarity {alike:.2f}): it does not tell the two apart."
    if same:
        words = f"The map for {next_one}, is this very map: the method knows no class, by construction."
    return Check("class", "attention", words, {"similarity": alike})
