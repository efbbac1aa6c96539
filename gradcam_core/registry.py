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
class Entry:
    """One member of a family: its name, words for people, and what it asks for."""

    name: str
    title: str
    summary: str
    paper: str
    url: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    options: Mapping[str, Any]


def member(title: str, *, paper: str, url: str, allowed: tuple[str, ...]) -> Callable[[Function], Function]:
    """Mark a function as a member of a family. A need that nobody serves fails at import, in words."""

    def mark(function: Function) -> Function:
        parameters = inspect.signature(function).parameters.values()
        needs = tuple(p.name for p in parameters if p.default is p.empty)
        unknown = sorted(set(needs) - set(allowed))
        if unknown:
            raise TypeError(f"{function.__name__} needs {unknown}; it may ask for {sorted(allowed)}")
        options = {p.name: p.default for p in parameters if p.default is not p.empty}
        summary = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        entry = Entry(function.__name__, title, summary, paper, url, function, needs, options)
        function.entry = entry  # type: ignore[attr-defined]
        return function

    return mark


def collect(*modules: ModuleType) -> Mapping[str, Entry]:
    """The marked functions of these modules, by name, in the order in which they are written."""
    found = (value.entry for module in modules for value in vars(module).values() if hasattr(value, "entry"))
    return {entry.name: entry for entry in found}


def nearest(wanted: str, names: Iterable[str]) -> str:
    """A hint for a name that is not there: the closest ones, or all."""
    names = list(names)
    near = difflib.get_close_matches(wanted, names, n=3)
    return f"Did you mean {' or '.join(near)}?" if near else f"Choose one of {', '.join(names)}."
