"""The family of methods: evidence -> maps. Each is one function that asks for what it needs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from gradcam_core.errors import MethodError
from gradcam_core.methods import activation, backpropagation, baseline, gradient, perturbation, principal
from gradcam_core.methods.needs import OF_A_LAYER, Report
from gradcam_core.methods.smoothing import OPTIONS, RANGES, Smoothing
from gradcam_core.records import Evidence, LayerInfo, LoadedModel
from gradcam_core.registry import Member, collect, nearest, wrong_value

_MEMBERS = collect(activation, gradient, principal, perturbation, backpropagation, baseline)
_FAMILY = {
    name: dataclasses.replace(entry, options={**entry.options, **OPTIONS}, ranges={**entry.ranges, **RANGES})
    for name, entry in _MEMBERS.items()
}
CAM_FAMILY = frozenset({"cam", "grad_cam", "xgrad_cam", "hires_cam"})
# The nonlinear steps that guided methods change.
GUIDED = frozenset({"relu", "bounded relu"})
INSTEAD = "Use Grad-CAM or HiResCAM instead: they need neither."


def list_methods() -> tuple[Member, ...]:
    """Every method, with its paper, what it needs and its options."""
    return tuple(_FAMILY.values())


def find_method(name: str, options: Mapping[str, Any]) -> Member:
    """Look a method up by name. Raises MethodError for an unknown name or option, or an impossible value."""
    if name not in _FAMILY:
        raise MethodError(f"There is no method '{name}'.", nearest(str(name), _FAMILY))
    entry = _FAMILY[name]
    unknown = sorted(set(options) - set(entry.options))
    if unknown:
        known = f"It takes {', '.join(entry.options)}."
        raise MethodError(f"{entry.title} has no option {', '.join(map(repr, unknown))}.", known)
    for option, value in options.items():
        remedy = wrong_value(entry, option, value)
        if remedy:
            raise MethodError(f"The option {option} of {entry.title} cannot be {value!r}.", remedy)
    return entry


def reads_layer(entry: Member) -> bool:
    """Whether a method's map is one of a layer; otherwise it lies on the model's input."""
    return bool(OF_A_LAYER & set(entry.needs))


def smoothing_of(entry: Member, options: Mapping[str, Any]) -> Smoothing:
    """How the map is to be smoothed."""
    return Smoothing(**{name: options.get(name, entry.options[name]) for name in OPTIONS})


def own_options(entry: Member, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options that the method's own function takes, with the values they have here."""
    return {name: options.get(name, default) for name, default in entry.options.items() if name not in OPTIONS}


def why_not(entry: Member, layer: LayerInfo, model: LoadedModel) -> str:
    """Why a method cannot serve a layer, in words; "" where it can."""
    if "head" in entry.needs and not layer.pooling:
        return (
            f"{entry.title} needs a classifier that reads the average of the layer's map and nothing else; "
            f"at '{layer.name}' this network has other steps between."
        )
    if "guided" in entry.needs and not GUIDED.intersection(model.activations):
        kinds = f" (it has {', '.join(model.activations)})" if model.activations else ""
        return f"{entry.title} changes how ReLUs pass gradients back, and this network has none{kinds}."
    return ""


def caveat(entry: Member, layer: LayerInfo, model: LoadedModel) -> str:
    """What a reader should know of a method at this layer; "" where there is nothing to say."""
    if "head" in entry.needs and layer.pooling == "convolution, relu":
        return f"{entry.title} is not exact here: a ReLU stands between the classifier's weights and its average."
    others = [kind for kind in model.activations if kind not in GUIDED]
    if "guided" in entry.needs and others:
        return f"{entry.title} is partial here: through {', '.join(others)} this network passes ordinary gradients."
    return ""


def equal_by_algebra(layer: LayerInfo) -> frozenset[str]:
    """Methods whose maps at this layer are one and the same up to scale, whatever the picture.

    Behind a plain average and a linear step, every gradient is the same constant w/(h w) a channel.
    """
    return CAM_FAMILY if layer.pooling in ("mean", "convolution") else frozenset()


def _in_full(values: Any) -> Any:
    """In single precision at least: a network may compute in half by itself."""
    half = isinstance(values, torch.Tensor) and values.dtype in (torch.float16, torch.bfloat16)
    return values.float() if half else values


def _silent(share: float, maps: torch.Tensor | None) -> None:
    """Report to nobody."""


def make_maps(entry: Member, evidence: Evidence, options: Mapping[str, Any], report: Report = _silent) -> torch.Tensor:
    """Run a method: maps [K N h w], signed. Raises MethodError where the evidence lacks what it needs."""
    needs = {need: _in_full(getattr(evidence, need)) for need in entry.needs}
    missing = [need for need, found in needs.items() if found is None]
    if missing:
        raise MethodError(f"{entry.title} needs {' and '.join(missing)}, which '{evidence.layer.name}' lacks.", INSTEAD)
    if "head" in needs and evidence.layer.pooling == "mean of relu":
        needs["activations"] = needs["activations"].relu()
    served = {"report": report} if entry.reports else {}
    # Whoever calls may be in mixed precision, as in a training loop; heatmaps are made in full.
    with torch.no_grad(), torch.autocast(evidence.activations.device.type, enabled=False):
        maps: torch.Tensor = entry.function(**needs, **served, **own_options(entry, options))
    return maps
