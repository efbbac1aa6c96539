"""The same functions from a terminal: python -m gradcam_core."""

import gc
import sys
from collections.abc import Sequence
from typing import NoReturn

import gradcam_core as core
from gradcam_core.commands import Flags, list_commands
from gradcam_core.commands.flags import keep_minus, settle_names
from gradcam_core.commands.terminal import STOPPED, WORKED, WRONG_USAGE, warn, words_of
from gradcam_core.errors import GradcamError

# New objects between two looks for garbage: the usual 700 make a fifth of the time that loading torch takes.
RARELY = 100_000


def main(arguments: Sequence[str] | None = None, *, as_program: bool = False) -> int:
    """Run a command; return 0 if all went well, 1 if some pictures failed, 2 for wrong usage.

    `as_program` changes how this process keeps its memory (see tune_allocator) and how rarely it looks for garbage.
    """
    try:
        given = build_parser().parse_args(keep_minus(sys.argv[1:] if arguments is None else arguments))
        settle_names(given)
        if as_program:
            gc.set_threshold(RARELY)
            core.tune_allocator()
        code: int = given.run(given)
        return code
    except GradcamError as error:
        warn(f"error: {words_of(error)}")
        return WRONG_USAGE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else WORKED
    except KeyboardInterrupt:
        warn("Stopped. What was written is complete; batch goes on where it was.")
        return STOPPED


def entry() -> NoReturn:
    """Run as a program."""
    sys.exit(main(as_program=True))


def build_parser() -> Flags:
    """Return the parser of all commands."""
    parser = Flags(prog="python -m gradcam_core", description="See where an image model's scores are sensitive.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in list_commands().values():
        summary = command.words.partition("\n")[0].rstrip(".")
        flags = commands.add_parser(command.name, help=summary, description=command.words, allow_abbrev=False)
        command.add_flags(flags)
        flags.set_defaults(run=command.run)
    return parser
