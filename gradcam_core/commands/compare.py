"""`compare`: several models on one picture, in words and as files."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import (
    checked_flags,
    load_chosen,
    model_flags,
    names_flag,
    picture_flags,
    progress_of,
    read_chosen,
    target_flag,
    thresholds_of,
    to_method,
    whole,
)
from gradcam_core.commands.terminal import WORKED, say, warn
from gradcam_core.errors import GradcamError
from gradcam_core.text import one_line

NONE = "-"


def compare_flags(flags: Flags) -> None:
    """Add the flags of `compare`."""
    flags.add_argument("image", metavar="IMAGE", type=Path, help="a picture file")
    model_flags(flags, several=True)
    flags.add_argument("--layer", action="append", metavar="NAME", help="one for each model, or - for its usual one")
    classes = flags.add_mutually_exclusive_group()
    classes.add_argument("--top-k", type=whole(1), default=5, metavar="K", help="K top classes of the first model (5)")
    target_flag(classes, "its classes by name", nargs="+", action="extend")
    flags.add_argument("--match", choices=("label", "index"), default="label", help="how classes are matched (label)")
    flags.add_argument(
        "--pair",
        nargs=2,
        action="append",
        metavar=("FIRST", "OTHER"),
        help="a class of the first model and that of the others; the other classes are matched by label",
    )
    flags.add_argument("--scale", choices=("own", "same"), default="own", help="of the differences (own)")
    flags.add_argument("--checks", action="store_true", help="run the six checks on each model's first heatmap")
    checked_flags(flags)
    picture_flags(flags)
    flags.add_argument("--json", action="store_true", help="the record as JSON, instead of words")
    names_flag(flags)
    flags.add_argument("--out", type=Path, metavar="DIR", help="folder for comparison.json, overlays and differences")
    flags.add_argument("--quiet", action="store_true", help="no progress")


@command(compare_flags)
def compare(given: Given) -> int:
    """Compare two to four models on a picture: their answers, and their heatmaps of the same classes."""
    if given.pair and given.match == "index":
        raise GradcamError("Classes are matched by index or one by one, not both.", "Leave --match or --pair out.")
    method = to_method(given.method)
    models = load_each(given)
    layers = None if given.layer is None else each_given(given.layer, len(models), "--layer")
    comparison = core.compare(
        read_chosen(given.image, given),
        models,
        top_k=given.top_k,
        targets=given.target,
        match=_partners(given.pair) if given.pair else given.match,
        method=method,
        layers=layers,
        scale=given.scale,
        checks=given.checks,
        thresholds=thresholds_of(given),
        on_progress=progress_of(given),
    )
    record = core.write_comparison(comparison, given.out, given.names) if given.out else None
    _report(comparison, given, record)
    return WORKED


def _partners(pairs: Sequence[Sequence[str]]) -> Mapping[int | str, int | str | None]:
    """The partner of each class of the first model. Raises GradcamError where a class is named twice."""
    partners: dict[int | str, int | str | None] = {}
    for first, other in pairs:
        if partners.setdefault(first, other) != other:
            raise GradcamError(
                f"--pair is given twice for the class {one_line(first)!r}.", "Name one partner for each class."
            )
    return partners


def load_each(given: Given) -> list[core.LoadedModel]:
    """Load every model with its own architecture and labels; one of these serves all models."""
    count = len(given.model)
    flags = {"architecture": "--architecture", "labels": "--labels", "task": "--task"}
    own = [each_given(getattr(given, name) or [NONE], count, flag) for name, flag in flags.items()]
    return [
        load_chosen(Namespace(**{**vars(given), "model": model, **dict(zip(flags, values, strict=True))}))
        for model, *values in zip(given.model, *own, strict=True)
    ]


def each_given(values: Sequence[str], count: int, flag: str) -> list[str | None]:
    """Return a value for each model out of one for all or one for each; a dash stands for none."""
    if len(values) not in (1, count):
        raise GradcamError(
            f"{flag} is given {len(values)} times for {count} models.",
            "Give it once for all models, or once for each; a dash, -, leaves one out.",
        )
    several = values if len(values) == count else [values[0]] * count
    return [None if value == NONE else value for value in several]


def _report(comparison: core.Comparison, given: Given, record: Path | None) -> None:
    if given.json:
        say(core.to_json(core.comparison_to_dict(comparison, names=given.names)).decode())
        return
    for sentence in core.comparison_sentences(comparison):
        say(one_line(sentence, 1000))
    for place, (explanation, seconds) in enumerate(zip(comparison.explanations, comparison.seconds, strict=True), 1):
        answers = ", ".join(f"{one_line(p.label)} {core.amount_of(p)}" for p in explanation.predictions[:3])
        say(f"  model {place}  {answers}  ({seconds:.2f} s)")
    for compared in comparison.classes:
        for pair in compared.pairs:
            say(f"  {one_line(core.pair_sentence(pair), 1000)}")
    for place, checked in enumerate(comparison.checks, 1):
        say(f"  model {place}  {checked.outcome if checked else 'not checked: it has no such class.'}")
    for note in comparison.notes:
        warn(f"note: {note}")
    if record:
        say(str(record))
