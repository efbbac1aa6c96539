"""Mean and standard deviation in the values of the training pictures -> in shares from 0 (black) to 1 (white)."""

import math

from gradcam_core import GradcamError

# What black and white were in training.
RANGES = {
    "0 to 1": (0.0, 1.0),
    "0 to 255": (0.0, 255.0),
    "−1 to 1": (-1.0, 1.0),
    "−1024 to 1024": (-1024.0, 1024.0),
}
Numbers = tuple[float, ...]


def in_shares(span: tuple[float, float], mean: Numbers, std: Numbers) -> tuple[tuple[str, Numbers], ...]:
    """What to change of the preprocessing; nothing where nothing is said.

    A range without mean and standard deviation says that the values went into the network as they were.
    """
    low, high = span
    if span == RANGES["0 to 1"]:
        return tuple((name, values) for name, values in (("mean", mean), ("std", std)) if values)
    width = high - low
    return (
        ("mean", tuple((value - low) / width for value in mean or (0.0,))),
        ("std", tuple(value / width for value in std or (1.0,))),
    )


def read_numbers(text: str, what: str) -> Numbers:
    """Read numbers with commas between them; () for nothing. Raises GradcamError."""
    try:
        values = tuple(float(part.strip().replace("−", "-")) for part in text.split(",") if part.strip())
        if not all(map(math.isfinite, values)):
            raise ValueError
    except ValueError:
        raise GradcamError(f"{what} is not a number.", "Write 0.5, or 0.485, 0.456, 0.406.") from None
    return values
