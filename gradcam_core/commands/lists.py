"""`methods`, `measurements` and `layers`: what there is to choose from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import load_chosen, model_flags
from gradcam_core.commands.terminal import WORKED, say
from gradcam_core.text import one_line

FIELDS = ("name", "title", "summary", "paper", "url", "needs")


def family_flags(flags: Flags) -> None:
    """Add the flags of `methods` and `measurements`."""
    form = flags.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--markdown", action="store_true", help="as the table in README.md")


def layers_flags(flags: Flags) -> None:
    """Add the flags of `layers`."""
    model_flags(flags)
    flags.add_argument("--json", action="store_true", help="as JSON")


@command(family_flags)
def methods(given: Given) -> int:
    """List the methods, their papers and what they need."""
    return _show_family(core.list_methods(), given)


@command(family_flags)
def measurements(given: Given) -> int:
    """List the measurements, their papers and what they need."""
    return _show_family(core.list_measurements(), given)


@command(layers_flags)
def layers(given: Given) -> int:
    """List the layers of a model that can be explained, in the order of computation."""
    model = load_chosen(given)
    rows: list[Mapping[str, Any]] = []
    for layer in core.list_layers(model):
        height, width = layer.grid
        grid = list(layer.grid) if given.json else f"{width} x {height}"
        values = {"name": layer.name, "kind": layer.kind, "channels": layer.channels, "grid": grid}
        rows.append(values | {"default": layer.name == model.default_layer, "advice": list(core.advise(model, layer))})
    _show(rows, ("name", "kind", "channels", "grid", "default", "advice"), given.json)
    return WORKED


def _show_family(members: Sequence[Any], given: Given) -> int:
    if given.markdown:
        for member in members:
            say(f"| [{member.title}]({member.url}) | `{member.name}` | {member.paper} | {', '.join(member.needs)} |")
        return WORKED
    rows = [
        {field: getattr(member, field) for field in FIELDS} | {"options": dict(member.options)} for member in members
    ]
    _show(rows, ("name", "title", "paper", "needs", "options"), given.json)
    return WORKED


def _show(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], as_json: bool) -> None:
    """Print rows as JSON with everything in them, or as a table of these fields."""
    if as_json:
        say(json.dumps(rows, indent=2, default=str))
        return
    lines = [fields, *([_cell(row[field]) for field in fields] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "default" if value else ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={default}" for name, default in value.items())
    if isinstance(value, list):
        return one_line(" ".join(value), 400)
    return ", ".join(value) if isinstance(value, tuple) else one_line(str(value))
