"""Mark a function as a command of the terminal."""

import inspect
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

Flags = ArgumentParser
Given = Namespace


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, what it does in words, the function that adds its flags, and the function that runs it.

    `run` returns the exit code.
    """

    name: str
    words: str
    add_flags: Callable[[Flags], None]
    run: Callable[[Given], int]


def command(add_flags: Callable[[Flags], None]) -> Callable[[Callable[[Given], int]], Command]:
    """Make a function a command; its name and its docstring become those of the command."""

    def mark(run: Callable[[Given], int]) -> Command:
        return Command(run.__name__, inspect.getdoc(run) or "", add_flags, run)

    return mark
