"""Networks that the caller's own code builds: a model in memory, or an architecture for a checkpoint's weights."""

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcam_core.capture import are_objects, change_outputs, remove_hooks
from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import first_line, guarded
from gradcam_core.sources.family import (
    ASSUMED,
    ASSUMED_AS_HUB,
    Architecture,
    Network,
    assumed_preprocessing,
    list_sources,
)
from gradcam_core.sources.labels import labels_from
from gradcam_core.sources.timm_models import NO_CLASSIFIER, timm_preprocessing
from gradcam_core.sources.torchvision_models import first_convolution

KNOWN_AS = {"num_classes": ("num_classes", "n_classes"), "in_chans": ("in_chans", "in_channels")}
READ = (
    "Let it take what the network returns, and return class scores [pictures, classes], or of a detector a list with "
    "a dict of boxes [D, 4], labels [D] and scores [D] for each picture."
)
HOOKS = (
    "{} hooks left on the model were taken off the copy that is explained. If they change what it computes, make them "
    "part of the network."
)


def load_from_memory(model: nn.Module) -> Network:
    """Copy a model out of its wrappers. Raises ModelError where it cannot be copied or computed."""
    model = unwrap(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("A TorchScript model cannot be looked into.", "Give the nn.Module that it was made from.")
    tensors = [*model.parameters(), *model.buffers()]
    if any(is_lazy(tensor) for tensor in tensors):
        raise ModelError("Some layers of the model have no weights yet (lazy layers).", "Run it once on a picture.")
    if any(tensor.is_quantized for tensor in tensors) or any(
        "quantized" in type(x).__module__ for x in model.modules()
    ):
        raise ModelError("This model is quantised: whole numbers have no gradients.", "Give it as it was before that.")
    if any(tensor.is_meta for tensor in tensors):
        raise ModelError("The model has shapes but no weights (meta device).", "Load its weights first.")
    # A model may hold anything: locks, files, results of its last pass. Any of it can refuse to be copied.
    with guarded("The model cannot be copied", "Build it again, load its state_dict() into it, and give that one."):
        module = copy.deepcopy(model, _results_kept(model))
    _take_apart(module)
    for parameter in module.parameters():
        if not parameter.is_leaf:  # so are those of parts in TorchScript, once copied
            parameter.detach_()
    removed = remove_hooks(module)
    notes: tuple[str, ...] = (HOOKS.format(removed),) if removed else ()
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in tensors):
        module.float()  # for its effect: some networks override it and return nothing
        notes = (*notes, "Its weights were converted to float32.")
    if getattr(module, "num_classes", None) == 0:
        notes = (*notes, NO_CLASSIFIER)
    channels, name, config = input_channels(module), type(module).__name__, timm_config(module)
    if not config:
        return Network(module, name, assumed_preprocessing(channels), None, notes, ASSUMED)
    # Some of timm's networks fold pixels into channels before their first convolution.
    preprocessing = timm_preprocessing(module, channels if channels <= 4 else config["input_size"][0])
    labels = labels_from(config.get("label_names"))
    fits = labels is not None and len(labels) == getattr(module, "num_classes", None)
    return Network(module, name, preprocessing, labels if fits else None, notes)


def read_with(network: nn.Module, read: Callable[[Any], Any]) -> None:
    """Let a network return what the caller's function makes of its outputs. It raises ModelError where that fails."""

    def guarded_read(returned: Any) -> Any:
        with guarded("The function that reads the network's outputs failed", READ):
            outputs = read(returned)
        check_read(outputs)
        return outputs

    if not callable(read):
        raise ModelError("What reads the network's outputs is no function.", READ)
    change_outputs(network, guarded_read)


def check_read(outputs: Any) -> None:
    """Raise ModelError where a caller's function returns nothing, or objects of another form than documented."""
    if outputs is None:
        raise ModelError("The function that reads the network's outputs returned nothing.", READ)
    if not are_objects(outputs):
        return
    for each in outputs:
        boxes, labels, scores = (each[name] for name in ("boxes", "labels", "scores"))
        tensors = all(isinstance(part, torch.Tensor) and not part.is_complex() for part in (boxes, labels, scores))
        if not tensors or boxes.shape != (len(scores), 4) or labels.shape != scores.shape or scores.dim() != 1:
            raise ModelError("The function that reads the network's outputs gives objects of another form.", READ)
        if not (scores.isfinite().all() and boxes.isfinite().all()):
            raise ModelError("The function that reads the network's outputs gives numbers that are not finite.", READ)
        if ((scores < 0) | (scores > 1)).any():
            raise ModelError("The function that reads the network's outputs gives scores outside 0 to 1.", READ)


def _results_kept(model: nn.Module) -> dict[int, Any]:
    """Tensors of an earlier pass that the network keeps, with a copy each: deepcopy refuses those with a graph."""
    kept = (value for part in model.modules() for value in vars(part).values() if isinstance(value, torch.Tensor))
    return {id(tensor): tensor.detach().clone() for tensor in kept if not tensor.is_leaf}


def unwrap(model: nn.Module) -> nn.Module:
    """The network inside DataParallel, DistributedDataParallel and torch.compile, in any order."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def _take_apart(module: nn.Module) -> None:
    """Let a copy run its own steps, where parts are wrapped or `forward` is compiled: compiled code takes no hooks."""
    for part in [part for part in module.modules() if not isinstance(part, torch.jit.ScriptModule)]:
        for name, child in part._modules.items():
            part._modules[name] = None if child is None else unwrap(child)
        compiled = getattr(vars(part).get("forward"), "_torchdynamo_orig_callable", None)
        if getattr(compiled, "__func__", None) is type(part).forward:
            del part.forward


def timm_config(module: nn.Module) -> Mapping[str, Any]:
    """The configuration that timm keeps on its networks; empty where none says how pictures are prepared."""
    config = getattr(module, "pretrained_cfg", None)
    return config if isinstance(config, Mapping) and config.get("input_size") else {}


def input_channels(module: nn.Module) -> int:
    """The channels of the first convolution; three where there is none, or one of many channels each by itself."""
    first = first_convolution(module)
    return first[1].in_channels if first and first[1].groups <= 3 else 3


def find_architecture(reference: str | Callable[..., nn.Module]) -> Architecture:
    """Look up timm:NAME, torchvision:NAME, python:module:factory, or a function. Raises ModelError."""
    if not isinstance(reference, str):
        return _from_function(reference, getattr(reference, "__name__", type(reference).__name__))
    scheme, _, name = reference.partition(":")
    chosen = list_sources().get(scheme)
    if chosen and chosen.architecture and name:
        return chosen.architecture(name)
    if scheme == "python" and name:
        return _from_function(_import(name), reference)
    raise ModelError(f"'{reference[:80]}' names no architecture.", accepted_forms())


def accepted_forms() -> str:
    """Say how an architecture is written."""
    hubs = "".join(f"{source.name}:NAME, " for source in list_sources().values() if source.architecture)
    return f"Write {hubs}python:package.module:factory, or give a function that builds it."


def _import(path: str) -> Any:
    """Import the caller's own factory, written package.module:factory."""
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise ModelError(f"'python:{path[:80]}' is incomplete.", "Write python:package.module:factory.")
    try:
        module = importlib.import_module(module_name)
    # Importing runs the caller's own code, which may raise anything.
    except Exception as error:
        raise ModelError(
            f"The Python module '{module_name[:80]}' cannot be imported: {first_line(error)}.",
            "Start from the folder that holds it, or install it.",
        ) from error
    if not hasattr(module, attribute):
        raise ModelError(f"The Python module has no '{attribute[:80]}'.", "Check the name of the factory.")
    return getattr(module, attribute)


def _from_function(function: Any, name: str) -> Architecture:
    """Take a function or class; the options are those of its parameters whose names are usual."""
    if isinstance(function, nn.Module) or not callable(function):
        raise ModelError("The architecture is no function that builds a network.", accepted_forms())
    words = _parameters(function)

    def make(**options: Any) -> Any:
        # A copy, since the function may hand out a network that it keeps.
        return copy.deepcopy(function(**{words[key]: value for key, value in options.items() if value is not None}))

    return Architecture(name, make, frozenset(words), _describe)


def _parameters(function: Callable[..., Any]) -> dict[str, str]:
    """How the function calls our options; one that takes any keyword is asked for num_classes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    words = {key: next((x for x in names if x in parameters), "") for key, names in KNOWN_AS.items()}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        words["num_classes"] = words["num_classes"] or "num_classes"
    return {key: word for key, word in words.items() if word}


def _describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...], str]:
    if timm_config(module):
        return timm_preprocessing(module, channels), (), ASSUMED_AS_HUB.format("timm")
    return assumed_preprocessing(channels), (), ASSUMED


def build_shapes(architecture: Architecture, **options: Any) -> Mapping[str, torch.Tensor]:
    """The state dict of a network, as a rule on the meta device: names, shapes and types, no memory."""
    try:
        with torch.device("meta"):
            module = build(architecture, **options)
    # Some constructors compute with real numbers, which the meta device cannot: build those in earnest.
    except ModelError:
        module = build(architecture, **options)
    return {name: tensor for name, tensor in module.state_dict().items() if isinstance(tensor, torch.Tensor)}


def build(architecture: Architecture, **options: Any) -> nn.Module:
    """Build a network of our own, leaving torch's random state as it was. Raises ModelError."""
    remedy = "Check that the function runs by itself, or give another architecture."
    with guarded("The architecture could not be built", remedy), torch.random.fork_rng(devices=[]):
        module = architecture.build(**options)
    if not isinstance(module, nn.Module):
        message = f"The architecture's function returned a {type(module).__name__}, not a network."
        raise ModelError(message, "It must return a torch.nn.Module.")
    return module
