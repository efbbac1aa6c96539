"""An architecture by reference: timm:NAME, torchvision:NAME, python:module:factory, or a function."""

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import first_line
from gradcam_core.sources.family import list_sources
from gradcam_core.sources.loaded_network import Architecture, assumed_preprocessing
from gradcam_core.sources.memory import ASSUMED
from gradcam_core.sources.timm_models import timm_preprocessing
from gradcam_core.sources.torchvision_models import first_convolution

KNOWN_AS = {"num_classes": ("num_classes", "n_classes"), "in_chans": ("in_chans", "in_channels")}


def find_architecture(reference: str | Callable[..., nn.Module]) -> Architecture:
    """Look an architecture up. Raises ModelError where there is none of that name."""
    if not isinstance(reference, str):
        return _from_function(reference, getattr(reference, "__name__", type(reference).__name__))
    scheme, _, name = reference.partition(":")
    chosen = list_sources().get(scheme)
    if chosen and chosen.architecture and name:
        return replace(chosen.architecture(name), name=reference)
    if scheme == "python" and name:
        return _from_function(_import(name), reference)
    raise ModelError(f"'{reference[:80]}' names no architecture.", accepted_forms())


def accepted_forms() -> str:
    """Say how an architecture is written."""
    hubs = "".join(f"{source.name}:NAME, " for source in list_sources().values() if source.architecture)
    return f"Write {hubs}python:package.module:factory, or give a function that builds it."


def build_shapes(architecture: Architecture, **options: Any) -> Mapping[str, torch.Tensor]:
    """The state dict of a network, as a rule on the meta device: names, shapes and types, no memory."""
    try:
        with torch.device("meta"):
            module = _checked(architecture.build(**options))
    # Some constructors compute with real numbers, which the meta device cannot: build those in earnest.
    except Exception:
        module = build(architecture, **options)
    return {name: tensor for name, tensor in module.state_dict().items() if isinstance(tensor, torch.Tensor)}


def build(architecture: Architecture, **options: Any) -> nn.Module:
    """Build a network of our own in earnest, leaving torch's random state as it was."""
    try:
        with torch.random.fork_rng(devices=[]):
            return _checked(architecture.build(**options))
    except ModelError:
        raise
    # The builder is the caller's own code, or a hub's: any exception can come from it.
    except Exception as error:
        raise ModelError(
            f"The architecture could not be built: {type(error).__name__}: {first_line(error)}.",
            "Check that the function runs by itself, or give another architecture.",
        ) from error


def _checked(module: Any) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"The architecture's function returned a {type(module).__name__}, not a network.",
            "It must return a torch.nn.Module.",
        )
    return module


def _from_function(function: Any, name: str) -> Architecture:
    """Take a function or class; the options are those of its parameters whose names are usual."""
    if isinstance(function, nn.Module) or not callable(function):
        raise ModelError("The architecture is no function that builds a network.", accepted_forms())
    words = _parameters(function)

    def make(**options: Any) -> Any:
        # A copy, since the function may hand out a network that it keeps.
        return copy.deepcopy(function(**{words[key]: value for key, value in options.items() if value is not None}))

    return Architecture(name, make, frozenset(words), _describe, ASSUMED)


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


def _describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...]]:
    if isinstance(getattr(module, "pretrained_cfg", None), Mapping):
        return timm_preprocessing(module, channels), ()
    return assumed_preprocessing(channels), ()


def input_channels(module: nn.Module) -> int:
    """The channels of the first convolution; three where there is none."""
    first = first_convolution(module)
    return first[1].in_channels if first else 3


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
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise ModelError(f"The Python module has no '{attribute[:80]}'.", "Check the name of the factory.") from error
