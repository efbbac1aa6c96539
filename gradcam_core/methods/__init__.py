"""The family of methods: evidence -> maps. Each is one function that asks for what it needs."""

from collections.abc import Collection, Mapping
from typing import Any

import torch

from gradcam_core.errors import MethodError
from gradcam_core.layers import INPUT
from gradcam_core.methods.needs import OF_A_LAYER, OF_NO_CLASS, OWN_PASSES
from gradcam_core.methods.smoothing import Smoothing
from gradcam_core.progress import SILENT, Progress
from gradcam_core.records import Evidence, LayerInfo, LoadedModel
from gradcam_core.registry import Choice, Member, family, run

_FAMILY = family(
    "method",
    __name__,
    first=("weighting", "comparing", "principal", "attention", "perturbation", "backpropagation", "baseline"),
    error=MethodError,
    shared=Smoothing,
)
CAM_FAMILY = frozenset({"cam", "grad_cam", "xgrad_cam", "hires_cam"})
# The nonlinear steps that guided methods change.
GUIDED = frozenset({"relu", "bounded relu"})
# What a network or a layer may be unable to give.
ATTENTION = frozenset({"attention", "attention_gradients"})
# What a model gives that runs forward only.
FORWARD_ONLY = frozenset({"inputs", "scores", "forward"})
WITH_GRADIENTS = frozenset({"guided", "similar", "levels", "attention_gradients"})
UNCERTAIN = ATTENTION | {"head", "guided", "gradients"}


def list_methods() -> tuple[Member, ...]:
    """Every method, with its paper, what it needs and its options."""
    return tuple(_FAMILY.members.values())


def find_method(name: str, options: Mapping[str, Any]) -> Member:
    """Look a method up by name. Raises MethodError for an unknown name or option, or an impossible value."""
    return _FAMILY.find(name, options)


def choose_method(name: str, options: Mapping[str, Any]) -> Choice:
    """Look a method up, with a value for every option: its own, and those of Smoothing."""
    return _FAMILY.choose(name, options)


def smoothing_of(choice: Choice) -> Smoothing:
    """How the map is smoothed."""
    return Smoothing(**choice.shared)


def reads_layer(member: Member) -> bool:
    """Whether a method's map is one of a layer; otherwise it lies on the model's input."""
    return bool(OF_A_LAYER & set(member.needs))


def what_it_reads(method: str) -> str:
    """What a method that reads no layer works on, in words."""
    member = _FAMILY.members.get(method)
    return "the attention of the blocks" if member and ATTENTION & set(member.needs) else "the model's input"


def knows_class(member: Member) -> bool:
    """Whether a method's maps differ from class to class."""
    return not set(member.needs) <= OF_NO_CLASS


def why_not(member: Member, layer: LayerInfo, model: LoadedModel) -> str:
    """Why a method cannot be used at a layer, in words; "" where it can."""
    if layer.kind == INPUT and not set(member.needs) <= FORWARD_ONLY:
        return f"{member.title} reads layers, attention or gradients of the network, and {layer.blocked}."
    if "head" in member.needs and not layer.pooling:
        return (
            f"{member.title} needs a classifier that reads the average of the layer's map and nothing else; "
            f"at '{layer.name}' this network has other steps between."
        )
    if "gradients" in member.needs and layer.blocked:
        return f"{member.title} needs gradients, and at '{layer.name}' it has none: {layer.blocked}."
    if "guided" in member.needs and not GUIDED.intersection(model.activations):
        kinds = f" (it has {', '.join(model.activations)})" if model.activations else ""
        return f"{member.title} changes how ReLUs pass gradients back, and this network has none{kinds}."
    if ATTENTION & set(member.needs) and not model.attention:
        return (
            f"{member.title} reads the attention of a plain vision transformer: like blocks, in each of which every "
            "part of the picture attends to every other, and no attention outside of them. This network is not built "
            "like that: convolutional ones have no attention, others attend within windows or pool by attention."
        )
    return ""


def instead_of(member: Member, missing: Collection[str] = ()) -> str:
    """Name two methods that need nothing of what is missing; by default, of what networks may lack."""
    lacking = set(missing) or UNCERTAIN & set(member.needs)
    lacking |= WITH_GRADIENTS if "gradients" in lacking else set()
    suited = [
        one.title
        for one in list_methods()
        if not (lacking | ATTENTION | {"head", "guided"}) & set(one.needs) and one.name != member.name
    ]
    return f"Use {' or '.join(suited[:2])} instead."


def caveat(member: Member, layer: LayerInfo, model: LoadedModel) -> str:
    """What a reader should know of a method at this layer; "" where there is nothing to say."""
    if "head" in member.needs and layer.pooling == "convolution, relu":
        return f"{member.title} is not exact here: a ReLU stands between the classifier's weights and its average."
    others = [kind for kind in model.activations if kind not in GUIDED]
    if "guided" in member.needs and others:
        return f"{member.title} is partial here: through {', '.join(others)} this network passes ordinary gradients."
    return ""


def equal_by_algebra(layer: LayerInfo) -> frozenset[str]:
    """Methods whose maps at this layer are equal up to scale, whatever the picture.

    Behind a plain average and a linear step, every gradient is the same constant w/(h w) per channel.
    """
    return CAM_FAMILY if layer.pooling in ("mean", "convolution") else frozenset()


def _in_full(values: Any) -> Any:
    """In single precision at least: some networks compute in half precision."""
    half = isinstance(values, torch.Tensor) and values.dtype in (torch.float16, torch.bfloat16)
    return values.float() if half else values


def make_maps(choice: Choice, evidence: Evidence, progress: Progress = SILENT) -> torch.Tensor:
    """Run a method: maps [K N h w], signed. Raises MethodError where the evidence lacks what it needs."""
    member = choice.member
    served: dict[str, Any] = {
        need: evidence.passes.get(need) if need in OWN_PASSES else _in_full(getattr(evidence, need))
        for need in member.needs
    }
    missing = [need for need, value in served.items() if value is None]
    if missing:
        lack = f"{member.title} needs {' and '.join(missing)}, which '{evidence.layer.name}' lacks."
        raise MethodError(lack, instead_of(member, missing))
    if "head" in served and evidence.layer.pooling == "mean of relu":
        served["activations"] = served["activations"].relu()
    # The caller may use mixed precision, as in a training loop; heatmaps need full precision.
    with torch.no_grad(), torch.autocast(evidence.activations.device.type, enabled=False):
        maps: torch.Tensor = run(choice, served, progress)
    return maps
