"""`models`: the catalogue of models that the app offers on every page."""

import json
from dataclasses import asdict
from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.flags import progress_of
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, say
from gradcam_core.errors import CatalogueError
from gradcam_core.text import one_line

ACTIONS = ("list", "add", "remove")


def models_flags(flags: Flags) -> None:
    """Add the flags of `models`."""
    flags.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (list)")
    flags.add_argument("reference", nargs="?", metavar="REF", help="file:PATH (a file or folder), timm:NAME, ...")
    flags.add_argument("--architecture", metavar="REF", help="of a file: timm:, torchvision: or auto (auto)")
    flags.add_argument("--weights", choices=("plain", "averaged"), help="of a file that holds both (plain)")
    flags.add_argument("--labels", metavar="FILE", help="names of the classes: text, one per line, or JSON")
    flags.add_argument("--title", metavar="TEXT", help="what the pages call it (the name of the file)")
    flags.add_argument("--task", metavar="TASK", help="what its outputs mean, such as multi_label (auto)")
    flags.add_argument("--unit", default="", metavar="TEXT", help="of the number that a regression gives")
    flags.add_argument("--json", action="store_true", help="list as JSON")


@command(models_flags)
def models(given: Given) -> int:
    """List the models that the app remembers, add one, or remove one. Weights are never copied.

    The app offers them on every page of a server that only this machine reaches. The first line of the list names the
    catalogue's file.
    """
    if given.action == "list":
        return _list(given)
    if not given.reference:
        raise CatalogueError("It is not clear which model is meant.", f"Write models {given.action} REF.")
    reference = _absolute(given.reference)
    if given.action == "remove":
        return _remove(reference, given.architecture)
    return _add(reference, given)


def _list(given: Given) -> int:
    if given.json:
        rows = [{**asdict(model), "changed": core.what_changed(model)} for model in core.read_catalogue()]
        say(json.dumps(rows, indent=2))
        return WORKED
    say(str(core.catalogue_path()))  # before it is read, which a broken one does not survive
    for model in core.read_catalogue():
        changed = core.what_changed(model)
        words = [model.title, model.reference, model.architecture, f"{len(model.labels)} labels" * bool(model.labels)]
        say("  ".join(one_line(word, 400) for word in [*words, model.task, changed] if word))
    return WORKED


def _add(reference: str, given: Given) -> int:
    """Load the model once, so that only what works is remembered."""
    architecture = given.architecture or ("auto" if _needs_architecture(reference) else None)
    labels = core.read_labels(Path(given.labels)) if given.labels else ()
    model = core.load_model(
        reference,
        architecture=architecture,
        labels=labels or None,
        weights=given.weights,
        task=given.task or "auto",
        unit=given.unit,
        on_progress=progress_of(given),
    )
    core.remember_model(
        core.RememberedModel(
            title=given.title or Path(reference.partition(":")[2]).name,
            reference=reference,
            architecture=model.architecture if architecture == "auto" else given.architecture or "",
            averaged=given.weights == "averaged",
            labels=labels,
            task=given.task or "",
            unit=given.unit,
            fingerprint=model.fingerprint,
            file=core.observe_file(reference),
        )
    )
    classes = f"{len(model.labels):,} class{'' if len(model.labels) == 1 else 'es'}"
    say(f"Added: {one_line(model.architecture)}, {classes}")
    return WORKED


def _remove(reference: str, architecture: str | None) -> int:
    """Remove every model of this reference, or the one with this architecture."""
    matching = [model for model in core.read_catalogue() if model.reference == reference]
    matching = [model for model in matching if architecture in (None, model.architecture)]
    removed = [core.forget_model(*model.identity) for model in matching]
    say(f"Removed: {core.counted(sum(removed), 'model')}. Files stay where they are.")
    return WORKED if any(removed) else SOME_FAILED


def _needs_architecture(reference: str) -> bool:
    """Whether a file's tensors have to say what network they are of."""
    place = core.place_of(reference)
    return place is not None and not core.look_inside(place).configured


def _absolute(reference: str) -> str:
    """A path made independent of the current folder; what is no reference is taken for a path."""
    if ":" not in reference or Path(reference).exists():
        reference = f"file:{reference}"
    scheme = next((scheme for scheme in ("timm:local-dir:", "file:") if reference.startswith(scheme)), "")
    if not scheme or reference.startswith("file:hf-hub:"):
        return reference
    return f"{scheme}{Path(reference.removeprefix(scheme)).expanduser().resolve()}"
