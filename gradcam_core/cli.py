"""The same functions from a terminal: python -m gradcam_core."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from gradcam_core.commands import COMMANDS
from gradcam_core.commands.shared import STOPPED, WORKED, WRONG_USAGE, Flags, warn
from gradcam_core.devices import tune_allocator
from gradcam_core.errors import GradcamError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all went well, 1 if some pictures failed, 2 for wrong usage."""
    try:
        given = _parser().parse_args(arguments)
        code: int = given.run(given)
        return code
    except GradcamError as error:
        warn(f"error: {error}")
        return WRONG_USAGE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else WORKED
    except KeyboardInterrupt:
        warn("Stopped. Every folder with an explanation.json is complete.")
        return STOPPED


def entry() -> NoReturn:
    """Run as a program."""
    tune_allocator()
    sys.exit(main())


def _parser() -> Flags:
    parser = Flags(prog="python -m gradcam_core", description="See where an image model's scores are sensitive.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, words, add_flags, run in COMMANDS:
        flags = commands.add_parser(name, help=words, description=run.__doc__, allow_abbrev=False)
        add_flags(flags)
        flags.set_defaults(run=run)
    return parser
