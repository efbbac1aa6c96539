"""How things are timed: interleaved in one process, in random order, medians of each round's ratio."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: `figure` against `goal`, and whether it is reached (None where there is no goal)."""

    work: str
    figure: str
    goal: str = ""
    reached: bool | float | None = None


def ratios(works: Mapping[str, Work], unit: str, rounds: int) -> dict[str, float]:
    """Median over the rounds of each work's processor time over that of `unit` in the same round, at one thread."""
    shares: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        order = list(works)
        random.shuffle(order)
        seconds = {name: once(works[name]) for name in order}
        if turn:  # the first round warms up
            for name, taken in seconds.items():
                shares[name].append(taken / seconds[unit])
    return {name: statistics.median(values) for name, values in shares.items()}


def once(work: Work) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def at_most(work: str, figure: float, goal: float | None, words: str = "x") -> Row:
    """A row whose figure should be small."""
    return Row(work, f"{figure:.2f} {words}", f"<= {goal:g} {words}" if goal else "", goal and figure <= goal)


def at_least(work: str, figure: float, goal: float | None, words: str = "x faster") -> Row:
    """A row whose figure should be large."""
    shown = f"{figure:.2f}" if figure < 10 else f"{figure:.0f}"
    return Row(work, f"{shown} {words}", f">= {goal:g} {words}" if goal else "", goal and figure >= goal)
