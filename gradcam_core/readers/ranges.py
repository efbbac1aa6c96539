"""The stored values that become black and white where the file does not say, and words for them."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Shaped

from gradcam_core.text import number

# Rows are converted a few at a time, so that no second copy of the picture is needed.
_BAND = 64
_SAMPLED = 1_000_000
# With fewer grey levels than this between the percentiles, the rest of the picture counts as content, not as outliers.
_FEW_LEVELS = 32

Samples = Shaped[np.ndarray, "H W C"]
Mask = Bool[np.ndarray, "H W"]
Range = tuple[float, float]


def bands(samples: Samples) -> Iterator[slice]:
    """Slices of a few rows each."""
    return (slice(top, top + _BAND) for top in range(0, len(samples), _BAND))


def range_of(samples: Samples, seen: Mask | None, grey: bool, inverted: bool) -> tuple[float, float, tuple[str, ...]]:
    """The stored values that become 0 and 1, and words where they are the picture's own."""
    kind = samples.dtype
    whole = kind.kind in "iu"
    least, most = (float(np.iinfo(kind).min), float(np.iinfo(kind).max)) if whole else (0.0, 1.0)
    if kind == np.uint8:
        return least, most, ()
    scale = "stretched over the whole scale from " + ("white to black." if inverted else "black to white.")
    stored = extremes(samples, seen, -math.inf, math.inf)
    low, high = _without_outliers(samples, seen, *stored)
    if not grey and whole:
        bits = int(high).bit_length()
        if high / 2 - low / 2 > (most / 2 - least / 2) / 4 or high <= low:
            return least, most, ()
        if low >= 0:
            full = float(2**bits - 1)
            note = f"Of its {kind.itemsize * 8} bits the picture uses {bits}: the stored values 0 to {full:,.0f} are "
            return 0.0, full, (note + scale,)
    if not high / 2 - low / 2 > 0:
        return least, most, (f"All pixels have the value {low:,g}, so there is no range to stretch.",)
    if (low, high) == (least, most):
        return low, high, ()
    if (low, high) == stored:
        return low, high, (f"The stored values {_number(low, whole)} to {_number(high, whole)} are {scale}",)
    inside = sum(int(((part >= low) & (part <= high)).sum()) for part in _values(samples, seen))
    outside = 1 - inside / sum(part.size for part in _values(samples, seen))
    return low, high, (_outlier_note((low, high), stored, outside, whole),)


def _outlier_note(used: Range, stored: Range, outside: float, whole: bool) -> str:
    first, last, lowest, highest = (_number(value, whole) for value in (*used, *stored))
    share = f"{outside:.1%}".replace("%", " %") if outside >= 0.001 else "less than 0.1 %"
    return (
        f"Display and model input use {first} to {last} of the stored {lowest} to {highest}; "
        f"{share} of the pixels lie outside and are shown black or white."
    )


def _number(value: float, whole: bool) -> str:
    return number(value, ",.0f" if whole else "g")


def _values(samples: Samples, seen: Mask | None) -> Iterator[Shaped[np.ndarray, "pixels C"]]:
    """The pixels that count, a band at a time."""
    for rows in bands(samples):
        part = samples[rows].reshape(-1, samples.shape[2]) if seen is None else samples[rows][seen[rows]]
        if part.size:
            yield part


def extremes(samples: Samples, seen: Mask | None, floor: float, ceiling: float) -> Range:
    """The least and the greatest value from `floor` to `ceiling`."""
    low, high = math.inf, -math.inf
    for part in _values(samples, seen):
        inside = part if floor == -math.inf and ceiling == math.inf else part[(part >= floor) & (part <= ceiling)]
        if inside.size:
            low, high = min(low, float(inside.min())), max(high, float(inside.max()))
    return low, high


def _without_outliers(samples: Samples, seen: Mask | None, low: float, high: float) -> Range:
    """Leave out values that lie far from the rest, such as a burnt-in marker.

    Far means: beyond the 1st or 99th percentile by more than the distance between the two. So pictures
    without outliers keep their extremes, and so do constant ones, masks, and faint ones with a small object.
    """
    total = sum(part.shape[0] for part in _values(samples, seen))
    step = max(1, total // _SAMPLED)
    while math.gcd(step, samples.shape[1]) > 1:  # else the same columns would be taken from every row
        step += 1
    chosen = np.concatenate([part[::step].ravel() for part in _values(samples, seen)])
    first, last = (float(value) for value in np.percentile(chosen, [1, 99], method="nearest"))
    span = last - first
    few = span < _FEW_LEVELS if samples.dtype.kind in "iu" else span == 0
    # At the end that has outliers, half that distance is kept: letters fade in through all greys.
    floor = first - span / 2 if low < first - span else -math.inf
    ceiling = last + span / 2 if high > last + span else math.inf
    return (low, high) if few else extremes(samples, seen, floor, ceiling)
