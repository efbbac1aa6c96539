"""A plain network -> LoadedModel: frozen, placed on its device, probed, fingerprinted, tapped."""

import hashlib
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Averages, Call, activation_kinds, install_taps, probe
from gradcam_core.devices import choose_device, is_out_of_memory
from gradcam_core.errors import DeviceError, LayerError, ModelError
from gradcam_core.layers import AMBIGUOUS, choose_default, describe_layer
from gradcam_core.records import LayerInfo, LoadedModel, Preprocessing
from gradcam_core.sources.folding import fold, with_folded


def assemble(
    module: nn.Module,
    *,
    reference: str,
    architecture: str,
    labels: Sequence[str] | None,
    preprocessing: Preprocessing,
    device: str = "auto",
    notes: Sequence[str] = (),
) -> LoadedModel:
    """Make a network that is ours to keep ready for explanations.

    Probe passes on noise of three strengths find the layers, the classifier's head and what it
    reads. Raises ModelError where the network does not run or is no classifier, or the labels do
    not fit it.
    """
    place = choose_device(device)
    fingerprint = fingerprint_of(module)
    with torch.inference_mode(False):
        notes = (*notes, *_settle(module, place))
        outputs, calls = _run(module, preprocessing, place, 1.0)
        watched = _worth_watching(calls, outputs.shape[1])
        middle_outputs, middle = _run(module, preprocessing, place, 3.0, watched)
        _, strong = _run(module, preprocessing, place, 10.0, watched)
    head_name, head_kind = _find_head(middle_outputs, middle)
    layers, refused = _find_layers(module, calls, strong, preprocessing)
    layers = tuple(_with_pooling(x, (middle, strong), head_name, head_kind) for x in layers)
    if not layers:
        raise LayerError("No layer of this network keeps rows and columns.", "Use a convolutional or patch network.")
    before_head = calls[head_name].begun if head_name else float("inf")
    default = choose_default([x for x in layers if calls[x.name].ended < before_head] or layers, module)
    twin = fold(module, calls) if place.type == "cpu" else None
    install_taps(module, (layer.name for layer in layers))
    noise = _noise(preprocessing, place, 1.0)
    loaded = LoadedModel(
        module=module,
        reference=reference,
        architecture=architecture,
        labels=_check_labels(labels, outputs.shape[1]),
        preprocessing=preprocessing,
        fingerprint=fingerprint,
        device=place,
        layers=layers,
        default_layer=default,
        head=_head_weight(calls[head_name].module) if head_name else None,
        refused_layers=refused,
        notes=tuple(notes),
        activations=activation_kinds(module, noise),
        head_name=head_name,
    )
    return with_folded(loaded, twin, noise)


def fingerprint_of(module: nn.Module) -> str:
    """sha256 over every tensor of the state with its name, type and shape."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _settle(module: nn.Module, device: torch.device) -> tuple[str, ...]:
    """Freeze a network in float32 and evaluation mode on its device; say what was changed."""
    for part in module.modules():
        # Tensors made in inference mode let no gradient pass.
        part._parameters |= {
            name: nn.Parameter(one.clone(), False)
            for name, one in part._parameters.items()
            if one is not None and one.is_inference()
        }
        part._buffers |= {
            name: one.clone() for name, one in part._buffers.items() if one is not None and one.is_inference()
        }
    kinds = {str(t.dtype).removeprefix("torch.") for t in module.parameters() if t.is_floating_point()} - {"float32"}
    module.eval().requires_grad_(False)
    (module.float() if kinds else module).to(device)
    return (f"Its weights were {' and '.join(sorted(kinds))}; it runs in float32.",) if kinds else ()


def _run(
    module: nn.Module,
    preprocessing: Preprocessing,
    device: torch.device,
    strength: float,
    watched: Container[str] = (),
) -> tuple[torch.Tensor, dict[str, Call]]:
    """Probe with noise: on a constant picture, different steps could look alike."""
    try:
        outputs, calls = probe(module, _noise(preprocessing, device, strength), watched)
    except (
        RuntimeError,
        ValueError,
        TypeError,
        AssertionError,
        IndexError,
        AttributeError,
        NotImplementedError,
    ) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise DeviceError(
                "The memory is too small for this model.", "Use a smaller one, or device='cpu'."
            ) from error
        size = f"{preprocessing.channels} x {preprocessing.size[0]} x {preprocessing.size[1]}"
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"The network does not run on one picture of {size}: {reason}.",
            "Check the input size and number of channels, and that it takes one tensor [N C H W].",
        ) from error
    if not outputs.isfinite().all():
        raise ModelError(
            "The network's scores are not finite numbers.", "Its weights hold NaN or infinity: save them anew."
        )
    return outputs, calls


def _noise(preprocessing: Preprocessing, device: torch.device, strength: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(round(strength))
    return strength * torch.randn(1, preprocessing.channels, *preprocessing.size, generator=generator).to(device)


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal up to rounding, and not merely both zero."""
    if first.shape != second.shape or not second.abs().max() > 0:
        return False
    first, second = first.float(), second.float()
    return torch.allclose(first, second, rtol=1e-4, atol=1e-5 * float(second.abs().max()))


def _find_head(outputs: torch.Tensor, calls: Mapping[str, Call]) -> tuple[str, str]:
    """Find the linear step whose output is the scores, by its numbers rather than by its name."""
    for name, call in reversed(list(calls.items())):
        step, entered, left = call.module, call.entered, call.channels_first
        if call.calls != 1 or entered is None or left is None or not isinstance(step, nn.Linear | nn.Conv2d):
            continue
        if isinstance(step, nn.Conv2d) and (step.kernel_size != (1, 1) or step.groups != 1):
            continue
        if len(entered.grid) == 1:  # a step on every token
            continue
        whole = bool(entered.grid) and max(entered.grid) > 1
        if _same(left.plain, outputs):
            return name, "convolution" if whole else "linear"
        if whole and _same(left.relu, outputs):
            return name, "convolution, relu"
    return "", ""


def _head_weight(step: nn.Module) -> torch.Tensor:
    weight = step.get_parameter("weight").detach()
    return weight.flatten(1)


def _find_layers(
    module: nn.Module, calls: Mapping[str, Call], strong: Mapping[str, Call], preprocessing: Preprocessing
) -> tuple[tuple[LayerInfo, ...], dict[str, str]]:
    """Sort the modules that ran into layers with a map, in order of computation, and refused ones."""
    ran = {name: call for name, call in sorted(calls.items(), key=lambda item: item[1].ended) if call.calls}

    def describe(name: str, assumed: str = "") -> LayerInfo | str:
        call = ran[name]
        if not _depends(call, strong[name]):
            return "it does not depend on the picture"
        return describe_layer(name, call.module, call.output, call.calls, preprocessing.size, module, assumed)

    found = {name: describe(name) for name in ran}
    layouts = {one.layout for one in found.values() if isinstance(one, LayerInfo)}
    if layouts == {"NCHW"}:
        found = {name: describe(name, "NCHW") if one == AMBIGUOUS else one for name, one in found.items()}
    counts = {
        math.prod(one.grid) + extra
        for one in found.values()
        if isinstance(one, LayerInfo) and one.layout == "tokens"
        for extra in {0, one.prefix_tokens}
    }
    found = {
        name: "its output are attention weights" if _is_square_of(one, counts) else one for name, one in found.items()
    }
    refused = {name: "it takes no part in the forward pass" for name in calls if name not in ran}
    refused |= {name: one for name, one in found.items() if isinstance(one, str)}
    return tuple(one for one in found.values() if isinstance(one, LayerInfo)), refused


def _is_square_of(layer: LayerInfo | str, counts: Container[int]) -> bool:
    """Whether a map has as many rows and columns as the network has tokens: what each gives each other one."""
    return (
        isinstance(layer, LayerInfo)
        and layer.layout != "tokens"
        and layer.grid[0] == layer.grid[1]
        and layer.grid[0] in counts
    )


def _depends(first: Call, second: Call) -> bool:
    """Whether a module's output follows the picture: a table of positions is the same for any two."""
    same = first.sample is not None and second.sample is not None and torch.equal(first.sample, second.sample)
    return not same


def _worth_watching(calls: Mapping[str, Call], classes: int) -> frozenset[str]:
    """Steps that could be the head, and modules as wide as what such a step reads."""
    heads = {name: call.module.weight for name, call in calls.items() if isinstance(call.module, nn.Linear | nn.Conv2d)}
    heads = {name: weight for name, weight in heads.items() if weight.shape[0] == classes}
    widths = {weight.shape[1] for weight in heads.values()}
    wide = {name for name, call in calls.items() if widths & set(getattr(call.output, "shape", ())[1:])}
    return frozenset(wide | heads.keys())


def _with_pooling(layer: LayerInfo, probes: Sequence[Mapping[str, Call]], head: str, head_kind: str) -> LayerInfo:
    """Tell how the head reads this layer, where both probes say the same.

    A bounded step such as ReLU6 looks like a ReLU until the values are large.
    """
    readings = {_reading(layer, calls[layer.name], calls[head].entered, head_kind) for calls in probes if head}
    return replace(layer, pooling=readings.pop()) if len(readings) == 1 else layer


def _reading(layer: LayerInfo, call: Call, entered: Averages | None, head_kind: str) -> str:
    """What enters the head must equal the layer's own averages."""
    averages = call.channels_last if layer.layout == "NHWC" else call.channels_first
    if averages is None or entered is None or layer.prefix_tokens:
        return ""
    if head_kind == "linear":
        if _same(averages.plain, entered.plain):
            return "mean"
        return "mean of relu" if _same(averages.relu, entered.plain) else ""
    return head_kind if averages.grid == entered.grid and _same(averages.plain, entered.plain) else ""


def _check_labels(labels: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"class {index}" for index in range(classes))
    if len(labels) != classes:
        raise ModelError(
            f"{len(labels)} labels do not fit a model with {classes} classes.", f"Give {classes} labels, in order."
        )
    return tuple(map(str, labels))
