"""The family of commands: what the terminal offers. Each file of this folder holds commands with their flags.

Commands use the package's public names, as pages do. Those are imported when they are first used, so that `--help`
does not wait for torch.
"""

import importlib
import pkgutil
from collections.abc import Mapping

from gradcam_core.commands.family import Command


def list_commands() -> Mapping[str, Command]:
    """Return every command by its name: the functions of this folder that are marked with @command."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    values = [value for module in modules for value in vars(module).values()]
    return {value.name: value for value in values if isinstance(value, Command)}
