"""Classification models of torchvision."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.progress import Progress
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import first_line
from gradcam_core.sources.family import source
from gradcam_core.sources.hub_files import read_downloaded, url_file
from gradcam_core.sources.loaded_network import (
    NEW_HEAD,
    RANDOM_WEIGHTS,
    Architecture,
    Network,
    assumed_preprocessing,
    channel_notes,
    for_channels,
)

SIZED = {"vit": "image_size", "maxvit": "input_size"}
RESCALING = ("googlenet", "inception_v3")
LIKE_TORCHVISION = (
    "The file does not say how its pictures were prepared; as torchvision does for this architecture was assumed. "
    "Give size, mean and std as in training if they differ."
)
SIDE_HEADS = ("AuxLogits.", "aux1.", "aux2.")


def list_torchvision() -> tuple[str, ...]:
    """Names of torchvision's classification models."""
    from torchvision import models

    return tuple(models.list_models(module=models))


def torchvision_architecture(name: str) -> Architecture:
    """The recipe behind a name, for weights of one's own."""
    name, weights = _choose_weights(name)

    def build(**options: Any) -> nn.Module:
        return _build(name, **options)

    def describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...]]:
        return _preprocessing(weights, channels), (RESCALED,) if name in RESCALING and channels == 3 else ()

    sized = {"size"} if name.split("_")[0] in SIZED else set()
    return Architecture(
        name, build, frozenset({"num_classes", "in_chans"} | sized), describe, LIKE_TORCHVISION, SIDE_HEADS
    )


@source("torchvision", example="torchvision:resnet50", architecture=torchvision_architecture)
def load_torchvision(
    reference: str,
    *,
    pretrained: bool,
    num_classes: int | None,
    in_chans: int | None,
    size: tuple[int, int] | None,
    progress: Progress,
) -> Network:
    """Load `NAME` or `NAME.WEIGHTS` (resnet50.IMAGENET1K_V1) as torchvision defines it."""
    name, weights = _choose_weights(reference)
    if num_classes == 0:
        raise ModelError("num_classes cannot be 0 here.", "Give at least 1, or leave it out.")
    channels = in_chans or 3
    if not pretrained:
        architecture = torchvision_architecture(name)
        options = {"num_classes": num_classes, "in_chans": in_chans, "size": size}
        module = architecture.build(**{key: value for key, value in options.items() if key in architecture.options})
        notes = (RANDOM_WEIGHTS, *channel_notes(channels))
        return Network(module, name, _preprocessing(weights, channels), None, notes, multi_label=False)
    own = _preprocessing(weights, channels).size
    if size not in (None, own) and "size" in torchvision_architecture(name).options:
        raise ModelError(
            f"The published weights of {name} take pictures of {own[0]} x {own[1]} only.",
            "Leave the size out, or choose a timm: network, which adapts to other sizes.",
        )
    stored = read_downloaded(url_file(weights.url, progress)).content
    module = _build(name, num_classes=num_classes, in_chans=channels)
    new_head = _load_published(module, stored, channels)
    labels = None if new_head else tuple(weights.meta.get("categories") or ()) or None
    notes = (*((NEW_HEAD,) if new_head else ()), *channel_notes(channels))
    return Network(module, name, _preprocessing(weights, channels), labels, notes, multi_label=False)


def _load_published(module: nn.Module, stored: Mapping[str, torch.Tensor], channels: int) -> bool:
    """Load torchvision's own weights, and return whether the classifier had to stay random.

    The first convolution is adapted to the number of channels as timm does it.
    """
    from timm.models import adapt_input_conv

    # torchvision's oldest weights (densenet) write norm.1 where the network has norm1.
    state = OrderedDict((re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", name), x) for name, x in stored.items())
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
        raise ModelError(
            f"These weights do not fit: {first_line(error)}", "Delete the cached file to fetch it again."
        ) from error
    if set(result.missing_keys) - set(new) or result.unexpected_keys:
        raise ModelError("The downloaded weights are of another model.", "Delete the cached file to fetch it again.")
    return bool(new)


RESCALED = (
    "Started from ImageNet weights, this network rescales its input itself; that was assumed. "
    "If yours was trained from scratch, give the architecture as a function that builds it."
)


def _choose_weights(reference: str) -> tuple[str, Any]:
    """A model's name and the weights wanted: those named after a dot, or torchvision's default."""
    from torchvision import models

    name, _, tag = reference.partition(".")
    if name not in list_torchvision():
        close = get_close_matches(name, list_torchvision(), n=3)
        raise ModelError(
            f"torchvision has no classification model '{name[:80]}'.",
            f"Did you mean {' or '.join(f'torchvision:{x}' for x in close)}?" if close else "Try torchvision:resnet50.",
        )
    available = models.get_model_weights(name)
    if tag and tag not in available.__members__:
        raise ModelError(
            f"torchvision has no weights '{tag[:80]}' for {name}.", f"There are {', '.join(available.__members__)}."
        )
    return name, available[tag] if tag else available.DEFAULT


def _build(
    name: str,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    size: tuple[int, int] | None = None,
) -> nn.Module:
    """Build with random weights, and without the side heads that some networks train with."""
    from torchvision import models

    options: dict[str, Any] = {"num_classes": num_classes} if num_classes is not None else {}
    if name in RESCALING:
        grey = in_chans not in (None, 3)
        options |= {"init_weights": False, "aux_logits": False, "transform_input": not grey}
    if size and name.split("_")[0] in SIZED:
        options[SIZED[name.split("_")[0]]] = size[0] if name.startswith("vit") else size
    module: nn.Module = models.get_model(name, weights=None, **options)
    if in_chans not in (None, 3):
        _replace_first_convolution(module, in_chans)
    return module


def first_convolution(module: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """The first convolution in the order of definition, with its name."""
    return next(((name, step) for name, step in module.named_modules() if isinstance(step, nn.Conv2d)), None)


def _replace_first_convolution(module: nn.Module, channels: int) -> None:
    first = first_convolution(module)
    if first is None:
        raise ModelError("This architecture has no convolution to change the channels of.", "Leave in_chans out.")
    name, old = first
    device, dtype = old.weight.device, old.weight.dtype
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        old.dilation,  # type: ignore[arg-type]
        bias=old.bias is not None,
        device=device,
        dtype=dtype,
    )
    module.set_submodule(name, new)


def _preprocessing(weights: Any, channels: int) -> Preprocessing:
    """What the weights' own evaluation transform does."""
    transform = weights.transforms() if weights else None
    if transform is None:
        return assumed_preprocessing(channels)
    cut, short = transform.crop_size[0], transform.resize_size[0]
    own = Preprocessing(
        size=(cut, cut),
        resize=(short, short),
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        interpolation=transform.interpolation.value,
    )
    return for_channels(own, channels)
