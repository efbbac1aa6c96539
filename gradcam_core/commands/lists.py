"""`methods` and `layers`: what there is to choose from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gradcam_core.commands.shared import WORKED, Flags, Given, load_chosen, model_flags, say
from gradcam_core.exporters.names import one_line
from gradcam_core.layers import list_layers
from gradcam_core.methods import list_methods


def list_flags(flags: Flags) -> None:
    """Flags of `methods`."""
    flags.add_argument("--json", action="store_true", help="as JSON")


def show_methods(given: Given) -> int:
    """List the methods with their papers and what they need."""
    fields = ("name", "title", "summary", "paper", "url", "needs")
    found = [{field: getattr(x, field) for field in fields} | {"options": dict(x.options)} for x in list_methods()]
    _show(found, ("name", "title", "paper", "needs", "options"), given.json)
    return WORKED


def layers_flags(flags: Flags) -> None:
    """Flags of `layers`."""
    model_flags(flags)
    list_flags(flags)


def show_layers(given: Given) -> int:
    """List the layers of a model that can be explained, in the order of computation."""
    model = load_chosen(given)
    fields = ("name", "kind", "channels", "grid")
    usual = model.default_layer
    found = [{field: getattr(x, field) for field in fields} | {"default": x.name == usual} for x in list_layers(model)]
    _show(found, (*fields, "default"), given.json)
    return WORKED


def _show(found: Sequence[Mapping[str, Any]], fields: Sequence[str], as_json: bool) -> None:
    """Show rows as JSON with all they hold, or as a table of these fields."""
    if as_json:
        say(json.dumps(found, indent=2, default=str))
        return
    rows = [fields, *([_cell(row[field]) for field in fields] for row in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "default" if value else ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={default}" for name, default in value.items())
    if isinstance(value, tuple):
        return (" x " if all(isinstance(part, int) for part in value) else ", ").join(map(str, value))
    return one_line(str(value))
