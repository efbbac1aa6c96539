"""The sources of models: each is one function in a file of this folder, marked with `@source`.

Its first parameter is what follows the colon of a reference. It asks for what else it needs by naming
keyword parameters; a caller's option that it does not name is refused.
"""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from gradcam_core.sources.loaded_network import Architecture, Network

Load = TypeVar("Load", bound=Callable[..., Network])
# What load_model's caller may set. `pretrained` is given where it is False, the others where they are not None.
SETTINGS = ("architecture", "pretrained", "num_classes", "in_chans")
# Besides, a source may ask for the input's (height, width) if the caller chose one, whether the caller names the
# classes, and a Progress to report to.
SERVED = (*SETTINGS, "size", "labels_given", "progress")


@dataclass(frozen=True, slots=True)
class Source:
    """One source: `takes` are the keywords that its function names; some also know architectures without weights."""

    name: str
    example: str
    load: Callable[..., Network]
    takes: frozenset[str]
    architecture: Callable[[str], Architecture] | None


def source(
    name: str, *, example: str, architecture: Callable[[str], Architecture] | None = None
) -> Callable[[Load], Load]:
    """Mark a function as the source behind `name:`. Raises TypeError at import where it asks for an unknown keyword.

    `example` is a reference for error messages; `architecture` looks up a recipe for weights of one's own.
    """

    def mark(function: Load) -> Load:
        takes = frozenset(list(inspect.signature(function).parameters)[1:])
        if takes - set(SERVED):
            raise TypeError(f"{function.__name__} asks for {sorted(takes - set(SERVED))}; it may ask for {SERVED}")
        function.source = Source(name, example, function, takes, architecture)  # type: ignore[attr-defined]
        return function

    return mark


@cache
def list_sources() -> Mapping[str, Source]:
    """Every marked function of this folder by the name of its source, in the order of the files' names."""
    package = __name__.rpartition(".")[0]
    paths = import_module(package).__path__
    modules = [import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(paths)]
    functions: list[Any] = [value for module in modules for value in vars(module).values() if callable(value)]
    marked = [function.source for function in functions if isinstance(getattr(function, "source", None), Source)]
    return {source.name: source for source in marked}
