"""A reference -> LoadedModel: bundled models, timm, torchvision, checkpoint files, models in memory."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.preprocess import override_preprocessing
from gradcam_core.records import LoadedModel
from gradcam_core.sources.assemble import assemble
from gradcam_core.sources.bundled import list_bundled as list_bundled
from gradcam_core.sources.bundled import load_bundled
from gradcam_core.sources.file_models import load_file
from gradcam_core.sources.hub_files import list_cached as list_cached
from gradcam_core.sources.labels import given_labels
from gradcam_core.sources.loaded_network import Network, Progress
from gradcam_core.sources.memory import load_from_memory
from gradcam_core.sources.timm_models import load_timm
from gradcam_core.sources.torchvision_models import load_torchvision

SCHEMES = ("bundled", "timm", "torchvision", "file")
EXAMPLES = (
    "Write bundled:efficientnet_lite0, timm:mobilenetv2_100, torchvision:resnet50, "
    "or file:weights.pth with an architecture."
)


def load_model(
    reference: str | nn.Module,
    *,
    architecture: str | Callable[..., nn.Module] | None = None,
    labels: Sequence[str] | Mapping[Any, Any] | str | Path | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    pretrained: bool = True,
    num_classes: int | None = None,
    in_chans: int | None = None,
    device: str = "auto",
    on_progress: Callable[[float, str], None] | None = None,
) -> LoadedModel:
    """Load a model and make it ready for explanations.

    `reference` is `bundled:NAME`, `timm:NAME`, `torchvision:NAME`, `file:PATH` with an
    `architecture`, or a model in memory, which is copied and stays as it is. `labels` are names or
    a file of names; `preprocessing` replaces parts of the model's own. `on_progress` hears a
    fraction 0..1 and words. Raises ModelError, or another GradcamError, where anything cannot work.
    """
    if not isinstance(reference, str | nn.Module):
        raise ModelError(f"A {type(reference).__name__} is no reference to a model.", EXAMPLES)
    if preprocessing is not None and not isinstance(preprocessing, Mapping):
        raise ModelError(
            f"{preprocessing!r} is no preprocessing.", 'Give names and values: {"size": 160, "fit": "squash"}.'
        )
    report = on_progress or _silent
    _check_options(reference, architecture, pretrained, num_classes, in_chans)
    names = given_labels(labels) if labels is not None else None
    changes = dict(preprocessing or {})
    report(0.0, "Looking for the model")
    if isinstance(reference, nn.Module):
        network, reference = load_from_memory(reference), f"memory:{type(reference).__name__}"
    else:
        # The user's own size reaches networks that are built for one size.
        network = _load(
            reference,
            architecture,
            {"num_classes": num_classes, "in_chans": in_chans, "size": _size(changes)},
            pretrained,
            names is not None,
            lambda share, words: report(0.8 * share, words),
        )
    report(0.85, "Getting the model ready")
    loaded = assemble(
        network.module,
        reference=reference,
        architecture=network.architecture,
        labels=names if names is not None else network.labels,
        preprocessing=override_preprocessing(network.preprocessing, changes),
        device=device,
        notes=network.notes if changes or not network.assumption else (*network.notes, network.assumption),
    )
    report(1.0, "Ready")
    return loaded


def _load(
    reference: str,
    architecture: str | Callable[..., nn.Module] | None,
    options: Mapping[str, Any],
    pretrained: bool,
    named: bool,
    progress: Progress,
) -> Network:
    scheme, _, name = reference.partition(":")
    if scheme == "bundled":
        return load_bundled(name)
    if scheme == "timm":
        return load_timm(name, pretrained=pretrained, **options, progress=progress)
    if scheme == "torchvision":
        return load_torchvision(name, pretrained=pretrained, **options, progress=progress)
    return load_file(_path(name), architecture, **options, named=named, progress=progress)


def _path(name: str) -> Path:
    """A path as typed; the address form file:///home/... is understood too."""
    return Path(name.removeprefix("//") if name.startswith("///") else name).expanduser()


def _check_options(
    reference: str | nn.Module, architecture: Any, pretrained: bool, num_classes: int | None, in_chans: int | None
) -> None:
    """Refuse references and options that cannot work, before anything is loaded."""
    scheme = "memory" if isinstance(reference, nn.Module) else _scheme(reference)
    fewest = 0 if scheme == "timm" else 1
    for name, value, least, most in (("num_classes", num_classes, fewest, 100_000), ("in_chans", in_chans, 1, 64)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
            raise ModelError(f"{name} cannot be {value!r}.", f"Give a number from {least} to {most}, or leave it out.")
    if scheme != "file" and architecture is not None:
        raise ModelError("An architecture belongs to file: only; every other model brings its own.", "Leave it out.")
    if scheme in ("memory", "bundled") and (num_classes is not None or in_chans is not None):
        raise ModelError("This model is complete: num_classes and in_chans cannot change it.", "Leave them out.")
    if scheme not in ("timm", "torchvision") and not pretrained:
        raise ModelError("pretrained=False belongs to timm: and torchvision: only.", "Leave it out.")


def _scheme(reference: str) -> str:
    scheme, colon, name = reference.partition(":")
    if scheme in SCHEMES and name:
        return scheme
    if colon and scheme not in SCHEMES:
        close = get_close_matches(scheme, SCHEMES, n=1)
        hint = f"Did you mean {close[0]}:? " if close else ""
        raise ModelError(f"'{scheme[:40]}:' is no source of models.", f"{hint}{EXAMPLES}")
    raise ModelError("The model's reference is incomplete: it takes a source, a colon and a name.", EXAMPLES)


def _size(changes: Mapping[str, Any]) -> tuple[int, int] | None:
    """The wished input size, if it is one; what is none is refused with words later on."""
    size = changes.get("size")
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and 8 <= side <= 4096 for side in pair):
        return None
    return pair


def _silent(share: float, words: str) -> None:
    """Report to nobody."""
