"""A model in memory: copied, so that the caller's own stays as it is."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcam_core.errors import ModelError
from gradcam_core.sources.checkpoints import first_line
from gradcam_core.sources.labels import labels_from
from gradcam_core.sources.loaded_network import Network, assumed_preprocessing
from gradcam_core.sources.timm_models import timm_preprocessing
from gradcam_core.sources.torchvision_models import first_convolution

ASSUMED = (
    "How its pictures are prepared was assumed: 224 x 224, ImageNet's mean and std. "
    "Give size, mean and std as in training if they differ."
)


def load_from_memory(model: nn.Module) -> Network:
    """Copy a model out of its wrappers. Raises ModelError where it cannot be copied or computed."""
    model = unwrap(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("A TorchScript model cannot be looked into.", "Give the nn.Module that it was made from.")
    tensors = [*model.parameters(), *model.buffers()]
    if any(is_lazy(tensor) for tensor in tensors):
        raise ModelError("Some layers of the model have no weights yet (lazy layers).", "Run it once on a picture.")
    if any(tensor.is_meta for tensor in tensors):
        raise ModelError("The model has shapes but no weights (meta device).", "Load its weights first.")
    try:
        module = copy.deepcopy(model)
    # A model may hold anything: locks, files, results of its last pass. Any of it can refuse to be copied.
    except Exception as error:
        raise ModelError(
            f"The model cannot be copied: {first_line(error)}.",
            "Build it again, load its state_dict() into it, and give that one.",
        ) from error
    notes: tuple[str, ...] = ()
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in tensors):
        module.float()  # for its effect: some networks override it and return nothing
        notes = ("Its weights were converted to float32.",)
    return _describe(module, notes)


def unwrap(model: nn.Module) -> nn.Module:
    """The network inside DataParallel, DistributedDataParallel and torch.compile, in any order."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def _describe(module: nn.Module, notes: tuple[str, ...]) -> Network:
    first = first_convolution(module)
    channels = first[1].in_channels if first else 3
    name = type(module).__name__
    config: Any = getattr(module, "pretrained_cfg", None)
    if isinstance(config, Mapping) and config.get("input_size"):
        # Some of timm's networks fold pixels into channels before their first convolution.
        channels = channels if channels <= 4 else config["input_size"][0]
        labels = labels_from(config.get("label_names"))
        fits = labels is not None and len(labels) == getattr(module, "num_classes", None)
        preprocessing = timm_preprocessing(module, channels)
        return Network(module, name, preprocessing, labels if fits else None, notes, multi_label=False)
    return Network(module, name, assumed_preprocessing(channels), None, notes, ASSUMED)
