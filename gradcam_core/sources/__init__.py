"""A reference -> LoadedModel: bundled models, timm, torchvision, checkpoint files, models in memory."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.preprocess import override_preprocessing, requested_size
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import LoadedModel
from gradcam_core.sources.assemble import assemble_model
from gradcam_core.sources.bundled import list_bundled as list_bundled
from gradcam_core.sources.family import LIMITS, SETTINGS, WEIGHTS, Network, Size, Source, list_sources
from gradcam_core.sources.heads import check_task
from gradcam_core.sources.heads import list_tasks as list_tasks
from gradcam_core.sources.heads import with_task as with_task
from gradcam_core.sources.hub_files import list_cached as list_cached
from gradcam_core.sources.labels import given_labels
from gradcam_core.sources.own_networks import load_from_memory, read_with


def load_model(
    reference: str | nn.Module,
    *,
    architecture: str | Callable[..., nn.Module] | None = None,
    labels: Sequence[str] | Mapping[Any, Any] | str | Path | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    pretrained: bool = True,
    num_classes: int | None = None,
    in_chans: int | None = None,
    weights: str | None = None,
    read: Callable[[Any], Any] | None = None,
    task: str = "auto",
    unit: str = "",
    thresholds: float | Sequence[float] | Mapping[str, float] | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> LoadedModel:
    """Load a model and prepare it for explanations. Raises a GradcamError where anything cannot work.

    `reference` is `bundled:NAME`, `timm:NAME`, `torchvision:NAME`, `file:PATH` with an `architecture` ("auto": the
    suggested one; a folder states its own), or a model in memory, which is copied. `labels` are names or a file of
    names; `preprocessing` replaces parts of the model's own; `weights` chooses "plain" or "averaged" ones. `read`
    turns what the network returns into class scores, or of a detector into a dict of `boxes`, `labels` and `scores` for
    each picture (docs/detectors.md). `task` says what the outputs mean (tasks.py), with the `unit` of a regression or
    the `thresholds` of findings.
    """
    check_task(task)
    changes = _changes(preprocessing)
    names = None if labels is None else given_labels(labels)
    progress = Progress(on_progress, "Looking for the model")
    settings = dict(zip(SETTINGS, (architecture, pretrained, num_classes, in_chans, weights), strict=True))
    network = _network(reference, settings, requested_size(changes), names is not None, progress)
    if read is not None:
        read_with(network.module, read)
    progress(0.85, words="Preparing the model")
    model = _assembled(network, reference, network.labels if names is None else names, changes, device)
    progress(1.0, words="Ready")
    return with_task(model, task, unit=unit, thresholds=thresholds)


def _assembled(
    network: Network,
    reference: str | nn.Module,
    labels: tuple[str, ...] | None,
    changes: Mapping[str, Any],
    device: str,
) -> LoadedModel:
    return assemble_model(
        network,
        reference=reference if isinstance(reference, str) else f"memory:{type(reference).__name__}",
        labels=labels,
        preprocessing=override_preprocessing(network.preprocessing, changes),
        device=device,
        notes=_notes(network, bool(changes)),
    )


def _changes(preprocessing: Any) -> dict[str, Any]:
    """What the caller changes of the preprocessing. Raises ModelError for anything but names and values."""
    if preprocessing is not None and not isinstance(preprocessing, Mapping):
        remedy = 'Give names and values: {"size": 160, "fit": "squash"}.'
        raise ModelError(f"{preprocessing!r} is no preprocessing.", remedy)
    return dict(preprocessing or {})


def _network(
    reference: str | nn.Module, settings: Mapping[str, Any], size: Size | None, labels_given: bool, progress: Progress
) -> Network:
    """Copy a network in memory, or let a reference's source load it. Raises ModelError."""
    if isinstance(reference, nn.Module):
        _check_settings(settings, None)
        progress(0.0)
        return load_from_memory(reference)
    source, name = _find_source(reference)
    _check_settings(settings, source)
    progress(0.0)
    loading = Progress(progress.callback, progress.words, length=0.8)
    served = {**settings, "size": size, "labels_given": labels_given, "progress": loading}
    return source.load(name, **{key: served[key] for key in source.takes})


def _notes(network: Network, preprocessing_given: bool) -> tuple[str, ...]:
    """What the source says of the network, and what it assumed unless the caller gave it."""
    notes, channels = list(network.notes), network.preprocessing.channels
    if channels not in (1, 3):
        notes.append(
            f"This network takes {channels} channels; most pictures have one (grey) or three (colour). "
            "Give TIFFs with as many."
        )
    if network.assumption and not preprocessing_given:
        notes.append(network.assumption)
    return tuple(notes)


def _find_source(reference: Any) -> tuple[Source, str]:
    """The source that a reference names, and what follows its colon. Raises ModelError."""
    known = list_sources()
    examples = f"Write {', '.join(source.example for source in known.values())}."
    if not isinstance(reference, str):
        raise ModelError(f"A {type(reference).__name__} is no reference to a model.", examples)
    scheme, colon, name = reference.partition(":")
    if scheme in known and name:
        return known[scheme], name
    if colon and scheme not in known:
        close = get_close_matches(scheme, known, n=1)
        hint = f"Did you mean {close[0]}:? " if close else ""
        raise ModelError(f"'{scheme[:40]}:' is no source of models.", f"{hint}{examples}")
    raise ModelError("The model's reference is incomplete: it takes a source, a colon and a name.", examples)


def _check_settings(settings: Mapping[str, Any], source: Source | None) -> None:
    """Refuse settings that cannot work, before anything is loaded; without a source the model is in memory."""
    for name, (least, most) in LIMITS.items():
        value = settings[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
            raise ModelError(f"{name} cannot be {value!r}.", f"Give a number from {least} to {most}, or leave it out.")
    if settings["weights"] not in (None, *WEIGHTS):
        raise ModelError(
            f"weights cannot be {settings['weights']!r}.", f"Give {' or '.join(WEIGHTS)}, or leave it out."
        )
    for name, value in settings.items():
        given = not value if name == "pretrained" else value is not None
        if given and (source is None or name not in source.takes):
            where = f"{source.name}: models" if source else "a model in memory"
            takers = [f"{other.name}:" for other in list_sources().values() if name in other.takes]
            remedy = f"It belongs to {', '.join(takers)}. Leave it out."
            raise ModelError(f"This option cannot be set for {where}.", remedy, name)
