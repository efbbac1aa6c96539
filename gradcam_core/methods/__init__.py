"""The family of methods: evidence -> maps. Each is one function that asks for what it needs."""

from collections.abc import Mapping
from typing import Any

import torch

from gradcam_core.errors import MethodError
from gradcam_core.methods import activation, gradient
from gradcam_core.records import Evidence, LayerInfo
from gradcam_core.registry import Entry, collect, nearest

_FAMILY = collect(activation, gradient)
CAM_FAMILY = frozenset({"cam", "grad_cam", "xgrad_cam", "hires_cam"})


def list_methods() -> tuple[Entry, ...]:
    """Every method, with its paper, what it needs and its options."""
    return tuple(_FAMILY.values())


def find_method(name: str, options: Mapping[str, Any]) -> Entry:
    """Look a method up by name. Raises MethodError for an unknown name or option."""
    if name not in _FAMILY:
        raise MethodError(f"There is no method '{name}'.", nearest(str(name), _FAMILY))
    entry = _FAMILY[name]
    unknown = sorted(set(options) - set(entry.options))
    if unknown:
        known = f"It takes {', '.join(entry.options)}." if entry.options else "It takes none."
        raise MethodError(f"{entry.title} has no option {', '.join(map(repr, unknown))}.", known)
    return entry


def why_not(entry: Entry, layer: LayerInfo) -> str:
    """Why a method cannot serve a layer, in words; "" where it can."""
    if "head" in entry.needs and not layer.pooling:
        return (
            f"{entry.title} needs a classifier that reads the average of the layer's map and nothing else; "
            f"at '{layer.name}' this network has other steps between."
        )
    return ""


def caveat(entry: Entry, layer: LayerInfo) -> str:
    """What a reader should know of a method at this layer; "" where there is nothing to say."""
    if "head" in entry.needs and layer.pooling == "convolution, relu":
        return f"{entry.title} is not exact here: a ReLU stands between the classifier's weights and its average."
    return ""


def equal_by_algebra(layer: LayerInfo) -> frozenset[str]:
    """Methods whose maps at this layer are one and the same up to scale, whatever the picture.

    Behind a plain average and a linear step, every gradient is the same constant w/(h w) a channel.
    """
    return CAM_FAMILY if layer.pooling in ("mean", "convolution") else frozenset()


def _in_full(values: torch.Tensor) -> torch.Tensor:
    """In single precision at least: a network may compute in half by itself."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def make_maps(entry: Entry, evidence: Evidence, options: Mapping[str, Any]) -> torch.Tensor:
    """Run a method: maps [K N h w], signed. Raises MethodError where it cannot serve the layer."""
    reason = why_not(entry, evidence.layer)
    if reason:
        raise MethodError(reason, "Use Grad-CAM or HiResCAM instead: they need no such head.")
    needs = {need: _in_full(getattr(evidence, need)) for need in entry.needs}
    if "head" in needs and evidence.layer.pooling == "mean of relu":
        needs["activations"] = needs["activations"].relu()
    # Whoever calls may be in mixed precision, as in a training loop; heatmaps are made in full.
    with torch.no_grad(), torch.autocast(evidence.activations.device.type, enabled=False):
        maps: torch.Tensor = entry.function(**needs, **options)
    return maps
