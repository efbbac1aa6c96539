"""The family of commands: what the terminal offers. Each file of this folder holds commands with their flags.

Commands use the package's public names, as pages do. Those are imported when they are first used, so that `--help`
does not wait for torch.
"""

import importlib
import inspect
import pkgutil
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Flags = ArgumentParser
Given = Namespace


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, its words for `--help`, and two functions: one adds its flags, one returns the exit code."""

    name: str
    words: str
    add_flags: Callable[[Flags], None]
    run: Callable[[Given], int]


def command(add_flags: Callable[[Flags], None]) -> Callable[[Callable[[Given], int]], Command]:
    """Make a function a command; its name and its docstring become those of the command."""
    return lambda run: Command(run.__name__, inspect.getdoc(run) or "", add_flags, run)


def list_commands() -> Mapping[str, Command]:
    """Return every command by its name: the functions of this folder that are marked with @command."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    values = [value for module in modules for value in vars(module).values()]
    return {value.name: value for value in values if isinstance(value, Command)}
