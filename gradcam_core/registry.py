"""Families of functions found by name: methods, measures and checks.

A function asks for what it needs by naming a parameter; every parameter with a default is an option.
Widgets, flags and tables are read off the signature, so nothing else has to be edited for a new member.
"""

import difflib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from gradcam_core.errors import GradcamError
from gradcam_core.progress import Progress

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Range:
    """The values that an option may have, and what it does: `Annotated[int, Range(1, 64, "...")]`."""

    least: float
    most: float
    words: str


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a family: its name, words for people, what it needs and its options.

    `ranges` bounds the options that are numbers. `reports` is true for a member that takes long and
    reports its progress. `signed` belongs to methods: the map has evidence of both signs. `better`
    belongs to measures: "higher", "lower", or "" where neither is good.
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
    reports: bool
    signed: bool = False
    better: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A member with a value for every option: those of its own function, and those that its family shares."""

    member: Member
    options: Mapping[str, Any]
    shared: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Family:
    """Members by name, in the order in which they are written.

    `noun` is what a member is called in errors, `error` the error for a wrong name or option.
    `shared` are options that every member takes besides those of its own function.
    """

    noun: str
    members: Mapping[str, Member]
    error: type[GradcamError] = GradcamError
    shared: Mapping[str, Any] = field(default_factory=dict)

    def find(self, name: str, options: Mapping[str, Any] = MappingProxyType({})) -> Member:
        """Look a member up. Raises `error` for an unknown name or option, or an impossible value."""
        if name not in self.members:
            raise self.error(f"There is no {self.noun} '{name}'.", nearest(str(name), self.members))
        member = self.members[name]
        unknown = sorted(set(options) - set(member.options))
        if unknown:
            known = f"It takes {', '.join(member.options) or 'none'}."
            raise self.error(f"{member.title} has no option {', '.join(map(repr, unknown))}.", known)
        for option, value in options.items():
            remedy = wrong_value(member, option, value)
            if remedy:
                raise self.error(f"The option {option} of {member.title} cannot be {value!r}.", remedy)
        return member

    def choose(self, name: str, options: Mapping[str, Any] = MappingProxyType({})) -> Choice:
        """Look a member up and complete its options with the defaults."""
        member = self.find(name, options)
        complete = {**member.options, **options}
        own = {option: value for option, value in complete.items() if option not in self.shared}
        return Choice(member, own, {option: complete[option] for option in self.shared})


def run(choice: Choice, served: Mapping[str, Any], progress: Progress) -> Any:
    """Call a member with what it needs out of `served`, with its own options, and with `progress` if it reports."""
    member = choice.member
    given = {need: served[need] for need in member.needs}
    reporting = {"progress": progress} if member.reports else {}
    return member.function(**given, **reporting, **choice.options)


def member(
    title: str,
    *,
    allowed: Iterable[str],
    paper: str = "",
    url: str = "",
    signed: bool = False,
    better: str = "",
) -> Callable[[Function], Function]:
    """Mark a function as a member of a family. A need that is not in `allowed` raises TypeError at import.

    A parameter `progress` is given to every member that asks for it, and is not a need.
    """

    def mark(function: Function) -> Function:
        parameters = inspect.signature(function).parameters
        required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
        needs = tuple(name for name in required if name != "progress")
        unknown = sorted(set(needs) - set(allowed))
        if unknown:
            raise TypeError(f"{function.__name__} needs {unknown}; it may ask for {sorted(allowed)}")
        options, ranges = options_of(function)
        summary = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        name, reports = function.__name__, "progress" in required
        function.member = Member(  # type: ignore[attr-defined]
            name, title, summary, paper, url, function, needs, options, ranges, reports, signed, better
        )
        return function

    return mark


def family(
    noun: str,
    package: str,
    *,
    first: Sequence[str] = (),
    error: type[GradcamError] = GradcamError,
    shared: Callable[..., Any] | None = None,
) -> Family:
    """Collect the marked functions of every module of a package.

    The modules named `first` come first, the others by name. The parameters of `shared` are options of every
    member.
    """
    names = [module.name for module in pkgutil.iter_modules(sys.modules[package].__path__)]
    modules = [importlib.import_module(f"{package}.{name}") for name in (*first, *sorted(set(names) - set(first)))]
    options, ranges = options_of(shared) if shared else ({}, {})
    members = {
        marked.name: replace(marked, options={**marked.options, **options}, ranges={**marked.ranges, **ranges})
        for module in modules
        for marked in _members_of(module)
    }
    return Family(noun, MappingProxyType(members), error, options)


def _members_of(module: ModuleType) -> list[Member]:
    """The members that were written in this module, not imported into it."""
    marked = (getattr(value, "member", None) for value in vars(module).values())
    return [one for one in marked if isinstance(one, Member) and one.function.__module__ == module.__name__]


def options_of(function: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Range]]:
    """The options of a function with their defaults, and the ranges of those that are numbers."""
    parameters = inspect.signature(function).parameters
    options = {name: value.default for name, value in parameters.items() if value.default is not value.empty}
    ranges = {
        name: limits
        for name, value in parameters.items()
        for limits in getattr(value.annotation, "__metadata__", ())
        if isinstance(limits, Range)
    }
    return options, ranges


def wrong_value(member: Member, option: str, value: Any) -> str:
    """Say what an option must be where `value` does not fit the default's type and the range; "" where it does."""
    default, limits = member.options[option], member.ranges.get(option)
    kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "text")
    fits = isinstance(value, int | float if isinstance(default, float) else type(default))
    fits = fits and isinstance(value, bool) == isinstance(default, bool)
    if fits and (limits is None or limits.least <= value <= limits.most):
        return ""
    bounds = f" from {limits.least:g} to {limits.most:g}" if limits else ""
    return f"Give {kind}{bounds}, such as {default}."


def nearest(wanted: str, names: Iterable[str]) -> str:
    """A hint for an unknown name: the closest names, or all of them."""
    names = list(names)
    near = difflib.get_close_matches(wanted, names, n=3)
    return f"Did you mean {' or '.join(near)}?" if near else f"Choose one of {', '.join(names)}."
