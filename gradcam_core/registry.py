"""A family of functions found by name; needs and options are read off the signature.

A function asks for what it needs by naming a parameter; every parameter with a default is an option.
So the page draws an option's widget, and the command line its flag, without further wiring.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Range:
    """What an option may be, and in a few words what it does: `Annotated[int, Range(1, 64, "...")]`."""

    least: float
    most: float
    words: str


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a family: its name, words for people, and what it asks for.

    `ranges` bounds the options that are numbers. A `signed` member's result speaks in both
    directions. One that `reports` takes long and tells how far it is.
    """

    name: str
    title: str
    summary: str
    paper: str
    url: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    options: Mapping[str, Any]
    ranges: Mapping[str, Range]
    signed: bool
    reports: bool


def member(
    title: str, *, paper: str, url: str, signed: bool = False, allowed: tuple[str, ...]
) -> Callable[[Function], Function]:
    """Mark a function as a member of a family. A need that nobody serves fails at import, in words.

    A parameter `report` is served to every member and counts as no need.
    """

    def mark(function: Function) -> Function:
        parameters = inspect.signature(function).parameters.values()
        required = [p.name for p in parameters if p.default is p.empty]
        needs = tuple(name for name in required if name != "report")
        unknown = sorted(set(needs) - set(allowed))
        if unknown:
            raise TypeError(f"{function.__name__} needs {unknown}; it may ask for {sorted(allowed)}")
        options = {p.name: p.default for p in parameters if p.default is not p.empty}
        ranges = {p.name: found for p in parameters for found in _ranges(p.annotation)}
        summary = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        reports = "report" in required
        entry = Member(function.__name__, title, summary, paper, url, function, needs, options, ranges, signed, reports)
        function.entry = entry  # type: ignore[attr-defined]
        return function

    return mark


def _ranges(annotation: Any) -> list[Range]:
    return [extra for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, Range)]


def wrong_value(entry: Member, option: str, value: Any) -> str:
    """Say what an option must be where `value` does not fit its default's kind and its range; "" where it does."""
    default, limits = entry.options[option], entry.ranges.get(option)
    kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "text")
    fits = isinstance(value, int | float if isinstance(default, float) else type(default))
    fits = fits and isinstance(value, bool) == isinstance(default, bool)
    if fits and (limits is None or limits.least <= value <= limits.most):
        return ""
    bounds = f" from {limits.least:g} to {limits.most:g}" if limits else ""
    return f"Give {kind}{bounds}, such as {default}."


def collect(*modules: ModuleType) -> Mapping[str, Member]:
    """The marked functions of these modules, by name, in the order in which they are written."""
    found = (value.entry for module in modules for value in vars(module).values() if hasattr(value, "entry"))
    return {entry.name: entry for entry in found}


def nearest(wanted: str, names: Iterable[str]) -> str:
    """A hint for a name that is not there: the closest ones, or all."""
    names = list(names)
    near = difflib.get_close_matches(wanted, names, n=3)
    return f"Did you mean {' or '.join(near)}?" if near else f"Choose one of {', '.join(names)}."
