"""A checkpoint file and an architecture -> a network with just those weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.kinds import SAVE_WEIGHTS
from gradcam_core.progress import Progress
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import Checkpoint, guarded, require_weights
from gradcam_core.sources.family import Architecture, Network, Size, list_sources, source
from gradcam_core.sources.folders import CONFIG, PREPROCESSING, beside, read_weights, stated_preprocessing
from gradcam_core.sources.headless import without_classifier
from gradcam_core.sources.heads import stated_task
from gradcam_core.sources.labels import find_labels
from gradcam_core.sources.names import NameMatch
from gradcam_core.sources.onnx_files import ONNX, is_onnx
from gradcam_core.sources.onnx_networks import load_onnx
from gradcam_core.sources.own_networks import build, find_architecture, input_channels
from gradcam_core.sources.pickle_names import QUANTISED, SPARSE
from gradcam_core.sources.settings import take_settings
from gradcam_core.sources.state_dicts import WHAT, explain_misfit, shapes_of
from gradcam_core.sources.suggestions import advise, known_network, lookalike, suggest
from gradcam_core.sources.timm_models import configured_preprocessing, hub_folder
from gradcam_core.sources.torchxrayvision import PREPROCESSING as XRAY_PREPROCESSING
from gradcam_core.sources.torchxrayvision import as_plain, is_torchxrayvision
from gradcam_core.sources.transformers_models import transformers_architecture
from gradcam_core.sources.translations import FittedTensors, fit_in_order, fit_to
from gradcam_core.text import listed, one_line

AUTO, HUB, OPEN_CLIP = "auto", "hf-hub:", "open_clip_config.json"
NO_NETWORK = "A checkpoint holds weights but no network: its architecture is missing."
FORMS = "Give the architecture as timm:NAME, torchvision:NAME or a function that builds the network"


@source("file", example="file:weights.pth with an architecture")
def load_file(
    name: str,
    *,
    architecture: str | Callable[..., nn.Module] | None,
    num_classes: int | None,
    in_chans: int | None,
    weights: str | None,
    size: Size | None,
    labels_given: bool,
    progress: Progress,
) -> Network:
    """Load weights of one's own: a file, a folder of timm or transformers, or `hf-hub:ORGANISATION/NAME`.

    Raises ModelError where file and architecture do not fit completely. A folder's configuration names its own.
    With the architecture "auto", the first suggestion is taken if all tensors fit it. Where the caller gives the
    names of the classes, none are looked for.
    """
    # The address form file:///home/... is understood too.
    path = Path(name.removeprefix("//") if name.startswith("///") else name).expanduser()
    if whole := _whole(path, (architecture, num_classes, in_chans, weights), size, labels_given, progress):
        return whole
    if name.startswith(HUB):
        path = hub_folder(name.removeprefix(HUB), progress, also=(CONFIG, PREPROCESSING))
    recipe = None if architecture in (None, AUTO) else find_architecture(architecture)
    progress(0.05, words="Reading the file")
    checkpoint, stated = _opened(path, in_chans)
    require_weights(checkpoint)
    notes: tuple[str, ...] = ()
    if recipe is None and (known := _described(checkpoint.metadata, stated)):
        recipe = known
        checkpoint = replace(checkpoint, tensors=_turned(recipe, checkpoint.tensors))
    if recipe is None:
        recipe, notes = _suggested(checkpoint, automatic=architecture == AUTO)
    progress(0.4, words="Fitting the weights to the architecture")
    wanted = {"num_classes": num_classes, "in_chans": in_chans, "size": size, "weights": weights}
    with guarded("The file's content cannot be used", f"Save the weights alone: {SAVE_WEIGHTS}."):
        network = network_of(recipe, None if labels_given else path, checkpoint, wanted)
    if stated and stated.channels == network.preprocessing.channels:
        network = replace(network, preprocessing=stated, assumption="")
    return replace(network, notes=(*checkpoint.notes, *notes, *network.notes))


def _whole(path: Path, settings: Any, size: Size | None, labels_given: bool, progress: Progress) -> Network | None:
    """The network of an ONNX model or of a folder of open_clip, which describe it completely; else None."""
    if (path / OPEN_CLIP).is_file():
        return list_sources()["open-clip"].load(f"local-dir:{path}", pretrained=True, progress=progress)
    if not is_onnx(path):
        return None
    if any(setting not in (None, AUTO, ONNX) for setting in settings):
        message = "This is an ONNX model, which holds its own network: architecture and sizes are fixed."
        raise ModelError(message, "Leave the architecture, the number of classes and channels and the weights out.")
    return load_onnx(path, size, labels_given)


def _opened(path: Path, in_chans: int | None) -> tuple[Checkpoint, Preprocessing | None]:
    """Read the weights, and what the configurations of a model's folder say of it and of its pictures."""
    checkpoint, config = read_weights(path), beside(path, CONFIG)
    checkpoint = replace(checkpoint, metadata={**checkpoint.metadata, **config})
    stated = stated_preprocessing(beside(path, PREPROCESSING), in_chans or config.get("num_channels", 3))
    if is_torchxrayvision(checkpoint):
        return as_plain(checkpoint), XRAY_PREPROCESSING
    if stated is None and isinstance(config.get("architecture"), str):
        own = config.get("pretrained_cfg", config)
        stated = configured_preprocessing(own, in_chans) if isinstance(own, Mapping) and "mean" in own else None
    return checkpoint, stated


def _described(config: Mapping[str, Any], stated: Preprocessing | None) -> Architecture | None:
    """The recipe that a folder's configuration describes, if there is one. Raises ModelError."""
    if isinstance(config.get("architecture"), str) and "num_classes" in config:
        return find_architecture(f"timm:{config['architecture']}")
    if "model_type" not in config or "architectures" not in config:
        return None
    return transformers_architecture(config, stated)


def _turned(recipe: Architecture, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """The tensors of a folder under the names of the network that is built for it."""
    own = recipe.name.startswith("transformers:") and recipe.translate
    return own(dict(tensors), nn.Identity()) if own else tensors


def _suggested(checkpoint: Checkpoint, *, automatic: bool) -> tuple[Architecture, tuple[str, ...]]:
    """The architecture that all tensors fit, with a note that says so. Raises ModelError where none is to be taken."""
    with guarded("The file's content cannot be used", f"Save the weights alone: {SAVE_WEIGHTS}."):
        suggestions = suggest(checkpoint)
        complete = bool(suggestions) and suggestions[0].complete
        if not (automatic and complete):
            message = "No known architecture fits all tensors of the file." if automatic else NO_NETWORK
            itself = f", or '{AUTO}' for the one that all tensors fit" if complete else ""
            raise ModelError(message, f"{advise(checkpoint, suggestions)} {FORMS}{itself}.".strip(), "architecture")
    best, *others = suggestions
    note = f"The architecture was read off the file's tensors: {best.reference}."
    if others:
        note += f" {listed([other.reference for other in others])} would fit as well: give it if you trained with it."
    return find_architecture(best.reference), (note,)


def network_of(recipe: Architecture, path: Path | None, checkpoint: Checkpoint, wanted: Mapping[str, Any]) -> Network:
    """Fit the tensors to the architecture, and add what the file says about classes and pictures.

    Names of classes are looked for in the file and beside its `path`, if there is one.
    """
    module, sizes, notes = _fit(recipe, checkpoint, wanted)
    channels = sizes["in_chans"] or input_channels(module)
    preprocessing, remarks, assumption = recipe.describe(module, channels)
    if recipe.split:
        module, text = recipe.split(module)
        return Network(module, recipe.name, preprocessing, None, (*notes, *remarks), assumption, "embedding", text)
    if sizes.get("num_classes") == 0:
        return Network(module, recipe.name, preprocessing, None, (*notes, *remarks), assumption, "embedding")
    classes = sizes["num_classes"] or class_count(module)
    sayings = (checkpoint.metadata, checkpoint.content)
    labels, label_notes = find_labels(path, sayings, classes) if path else (None, ())
    notes = (*notes, *remarks, *label_notes)
    return Network(module, recipe.name, preprocessing, labels, notes, assumption, stated_task(*sayings))


def _fit(
    recipe: Architecture, checkpoint: Checkpoint, wanted: Mapping[str, Any]
) -> tuple[nn.Module, Mapping[str, int | None], tuple[str, ...]]:
    """Build a network of the size that the tensors ask for, and load them into it.

    Returns the network, its classes (0 without a classifier) and channels where the architecture takes them as
    options, and notes.
    """
    recipe, (fit, tensors, notes) = _read(recipe, checkpoint, wanted)
    _check_wish(wanted, fit.sizes)
    chosen = {own: tensors[name] for own, name in fit.match.names.items()}
    notes = (*notes, *_notes(fit.match), *check_tensors(chosen, fit.expected))
    module = build(recipe, **fit.options)
    # Into the network's own state dict, which keeps what it says about versions.
    state = module.state_dict()
    state.update({name: tensor.to(state[name].dtype) for name, tensor in chosen.items()})
    module.load_state_dict(state)
    settings = take_settings(module, fit.match.names, fit.match.prefix, checkpoint.content)
    return module, fit.sizes, (*notes, settings) if settings else notes


def _read(
    recipe: Architecture, checkpoint: Checkpoint, wanted: Mapping[str, Any]
) -> tuple[Architecture, FittedTensors]:
    """Fit the tensors by their names, without a classifier if there is none, or by their order. Raises ModelError."""
    fitted = fit_to(recipe, checkpoint.tensors, wanted)
    fits = {recipe: fitted}
    if not wanted.get("num_classes") and (body := without_classifier(recipe, fitted.fit, shapes_of(fitted.tensors))):
        fits = {body: fit_to(body, checkpoint.tensors, wanted), **fits}
    for each, by_name in fits.items():
        if by_name.fit.complete:
            return each, by_name
    known = known_network(fitted.tensors)
    if not known:  # by order only what no network fits by name
        for each, by_name in fits.items():
            if ordered := fit_in_order(each, by_name, wanted):
                return each, ordered
    raise explain_misfit(fitted.fit, lookalike(fitted.tensors, known), known)


def _check_wish(wanted: Mapping[str, Any], sizes: Mapping[str, int | None]) -> None:
    for key, what in WHAT.items():
        wish, own = wanted.get(key), sizes[key]
        if wish is not None and own is None:
            raise ModelError(f"This architecture's function takes no {key}.", "Leave it out.")
        if wish is not None and wish != own:
            raise ModelError(f"The file has {own} {what}, not {wish}.", f"Leave {key} out: it is read off the file.")


def _notes(match: NameMatch) -> tuple[str, ...]:
    if match.rivals:
        used, others = _place(match.prefix), ", ".join(_place(rival) for rival in match.rivals[:3])
        return (f"The file holds several sets of weights; {used} were used, not {others}.",)
    if match.elsewhere:
        examples = ", ".join(one_line(name) for name in match.elsewhere[:2])
        return (f"{len(match.elsewhere)} other tensors in the file were left out ({examples}).",)
    return ()


def _place(prefix: str) -> str:
    return f"those under '{one_line(prefix.rstrip('.'))}'" if prefix else "those at the top"


def check_tensors(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Refuse tensors that cannot be weights; return notes about types that will be converted.

    Raises ModelError for sparse, quantised, complex, empty-handed (meta), stretched and
    non-finite tensors. Shapes are checked before, so nothing large is made here.
    """
    narrow: set[str] = set()
    for name, tensor in tensors.items():
        kind = _unusable(tensor, expected[name])
        if kind:
            raise ModelError(f"The tensor {one_line(name)} is {kind}.", "Save the model's ordinary 32-bit weights.")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(
                f"The tensor {one_line(name)} holds NaN or infinity: training had failed when it was saved.",
                "Load a checkpoint from before that.",
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            narrow.add(str(tensor.dtype).removeprefix("torch."))
    return (f"The file's weights are {', '.join(sorted(narrow))}; they compute as float32 here.",) if narrow else ()


def _unusable(tensor: torch.Tensor, model: torch.Tensor) -> str:
    if tensor.is_quantized:
        return QUANTISED
    if tensor.layout is not torch.strided or tensor.is_nested:
        return SPARSE
    if tensor.device.type != "cpu":
        return "empty: it has a shape but no values (saved from the 'meta' device)"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "stretched: it repeats a few values over a shape that is far larger than what is stored"
    if model.is_floating_point() and not (tensor.is_floating_point() and tensor.element_size() > 1):
        return f"of type {str(tensor.dtype).removeprefix('torch.')}, as quantised or packed weights are"
    return ""


def class_count(module: nn.Module) -> int | None:
    """Outputs of the last linear layer or 1x1 convolution, as far as that can be seen without running it."""
    for step in reversed(list(module.modules())):
        if isinstance(step, nn.Linear):
            return step.out_features
        if isinstance(step, nn.Conv2d) and step.kernel_size == (1, 1):
            return step.out_channels
    return None
