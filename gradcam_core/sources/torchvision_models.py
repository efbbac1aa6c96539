"""Classifiers, detectors and segmenters of torchvision."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.progress import Progress
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import first_line
from gradcam_core.sources.family import (
    ASSUMED_AS_HUB,
    Architecture,
    Network,
    Size,
    did_you_mean,
    for_channels,
    source,
    weight_notes,
)
from gradcam_core.sources.hub_files import read_downloaded, url_file

SIZED = {"vit": "image_size", "maxvit": "input_size"}
RESCALING = ("googlenet", "inception_v3")
RESCALED = (
    "Started from ImageNet weights, this network rescales its input itself; that was assumed. "
    "If yours was trained from scratch, give the architecture as a function that builds it."
)
SIDE_HEADS = ("AuxLogits.", "aux1.", "aux2.", "aux_classifier.")
# The side of the square in which a detector gets the whole picture, by a part of its name; the usual one otherwise.
DETECTOR_SIDES = {"320": 320, "ssd300": 300}
DETECTOR_SIDE = 800
FETCH_AGAIN = "Delete the cached file to fetch it again."


def torchvision_architecture(name: str) -> Architecture:
    """The recipe behind a name, for weights of one's own."""
    stem, weights = _choose_weights(name)

    def build(**options: Any) -> nn.Module:
        return _build(stem, **options)

    def describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...], str]:
        notes = (RESCALED,) if stem in RESCALING and channels == 3 else ()
        return _preprocessing(weights, channels, stem), notes, ASSUMED_AS_HUB.format("torchvision")

    options = {"num_classes", "in_chans"} | ({"size"} if _family(stem) in SIZED else set())
    return Architecture(f"torchvision:{name}", build, frozenset(options), describe, SIDE_HEADS, todays_names)


@source("torchvision", example="torchvision:resnet50", architecture=torchvision_architecture)
def load_torchvision(
    name: str, *, pretrained: bool, num_classes: int | None, in_chans: int | None, size: Size | None, progress: Progress
) -> Network:
    """Load `NAME` or `NAME.WEIGHTS` (resnet50.IMAGENET1K_V1) as torchvision defines it."""
    name, weights = _choose_weights(name)
    if num_classes == 0:
        raise ModelError("num_classes cannot be 0 here.", "Give at least 1, or leave it out.")
    if in_chans not in (None, 3) and task_of(name):
        raise ModelError(f"{name} takes pictures with three channels only.", "Leave the number of channels out.")
    preprocessing = _preprocessing(weights, in_chans or 3, name)
    if not pretrained:
        module = _build(name, num_classes=num_classes, in_chans=in_chans, size=size)
        return Network(module, name, preprocessing, None, weight_notes(False, False))
    height, width = preprocessing.size
    if size not in (None, (height, width)) and _family(name) in SIZED:
        raise ModelError(
            f"The published weights of {name} take pictures of {height} x {width} only.",
            "Leave the size out, or choose a timm: network, which adapts to other sizes.",
        )
    stored = read_downloaded(url_file(weights.url, progress)).content
    module = _build(name, num_classes=num_classes, in_chans=in_chans)
    new_head = _load_published(module, stored, in_chans or 3)
    labels = None if new_head else tuple(weights.meta.get("categories") or ()) or None
    return Network(
        module,
        name,
        preprocessing,
        labels,
        weight_notes(True, new_head),
        task=None if new_head or task_of(name) else "single_label",
    )


def todays_names(tensors: Mapping[str, torch.Tensor], network: nn.Module) -> OrderedDict[str, torch.Tensor]:
    """Turn the names of torchvision's oldest weights (densenet) into today's: norm.1 is norm1."""
    return OrderedDict((re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", name), x) for name, x in tensors.items())


def _load_published(module: nn.Module, stored: Mapping[str, torch.Tensor], channels: int) -> bool:
    """Load torchvision's own weights, and return whether the classifier had to stay random.

    The first convolution is adapted to the number of channels as timm does it.
    """
    from timm.models import adapt_input_conv

    state = todays_names(stored, module)
    state._metadata = getattr(stored, "_metadata", None)  # type: ignore[attr-defined]
    first = first_convolution(module)
    if channels != 3 and first:
        state[f"{first[0]}.weight"] = adapt_input_conv(channels, state[f"{first[0]}.weight"])
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    new = [name for name, tensor in state.items() if name in shapes and shapes[name] != tensor.shape]
    for name in [*new, *(name for name in state if name.startswith(SIDE_HEADS))]:
        del state[name]
    try:
        result = module.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"These weights do not fit: {first_line(error)}.", FETCH_AGAIN) from error
    if set(result.missing_keys) - set(new) or result.unexpected_keys:
        raise ModelError("The downloaded weights are of another model.", FETCH_AGAIN)
    return bool(new)


def _choose_weights(reference: str) -> tuple[str, Any]:
    """A model's name and the weights wanted: those named after a dot, or torchvision's default."""
    from torchvision import models

    name, _, tag = reference.partition(".")
    known = list_names()
    if name not in known:
        meant = did_you_mean(name, known, "torchvision", "Try torchvision:resnet50.")
        raise ModelError(f"torchvision has no model '{name[:80]}'.", meant)
    available = models.get_model_weights(name)
    if tag and tag not in available.__members__:
        names = ", ".join(available.__members__)
        raise ModelError(f"torchvision has no weights '{tag[:80]}' for {name}.", f"There are {names}.")
    return name, available[tag] if tag else available.DEFAULT


def list_names() -> list[str]:
    """Every classifier, detector and segmenter of torchvision."""
    from torchvision import models

    return [name for kind in (models, models.detection, models.segmentation) for name in models.list_models(kind)]


def task_of(name: str) -> str:
    """ "detection" or "segmentation"; "" for a classifier."""
    from torchvision import models

    kinds = {"detection": models.detection, "segmentation": models.segmentation}
    return next((task for task, kind in kinds.items() if name in models.list_models(kind)), "")


def _family(name: str) -> str:
    return name.split("_")[0]


def _build(
    name: str, *, num_classes: int | None = None, in_chans: int | None = None, size: Size | None = None
) -> nn.Module:
    """Build with random weights, and without the side heads that some networks train with."""
    from torchvision import models

    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    if task_of(name):
        options["weights_backbone"] = None
    channels = in_chans or 3
    if name in RESCALING:
        options |= {"init_weights": False, "aux_logits": False, "transform_input": channels == 3}
    if size and _family(name) in SIZED:
        options[SIZED[_family(name)]] = size[0] if name.startswith("vit") else size
    module: nn.Module = models.get_model(name, weights=None, **options)
    first = first_convolution(module)
    if first and channels != 3:
        step = first[1]
        step.in_channels = channels
        step.weight = nn.Parameter(step.weight.new_empty(step.out_channels, channels, *step.kernel_size))
        step.reset_parameters()
    return module


def first_convolution(module: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """The first convolution in the order of definition, with its name."""
    return next(((name, step) for name, step in module.named_modules() if isinstance(step, nn.Conv2d)), None)


def _preprocessing(weights: Any, channels: int, name: str) -> Preprocessing:
    """What the weights' own evaluation transform does; of detectors and segmenters, in a square of the usual side."""
    transform, task = weights.transforms(), task_of(name)
    if task == "detection":
        side = next((side for part, side in DETECTOR_SIDES.items() if part in name), DETECTOR_SIDE)
        size, nothing, one = (side, side), (0.0,) * 3, (1.0,) * 3
        return Preprocessing(size, size, nothing, one, interpolation="bilinear", fit="letterbox")
    cut = transform.resize_size[0] if task else transform.crop_size[0]
    own = Preprocessing(
        size=(cut, cut),
        resize=(transform.resize_size[0],) * 2,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        interpolation=transform.interpolation.value,
        fit="letterbox" if task else "model",
    )
    return for_channels(own, channels)
