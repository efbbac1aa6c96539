"""The result of a measurement: a number, perhaps a curve, or the reason why there is none."""

from dataclasses import dataclass


class NotMeasurable(Exception):
    """Say in a sentence why there is no honest number; raised by measurements, shown as their reason."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The target's probability (`values`) as more and more of the picture is changed (`shares`, 0..1)."""

    shares: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A measurement's number, and the curve that it was read off, if there is one."""

    value: float
    curve: Curve | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number about one heatmap, with its words.

    `value` is None where it could not be measured, and `reason` says why; otherwise `reason` is "".
    `better` is "higher" or "lower", or "" where neither is good or bad by itself.
    """

    name: str
    title: str
    value: float | None
    reason: str
    curve: Curve | None
    better: str
