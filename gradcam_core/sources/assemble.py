"""A plain network -> LoadedModel: frozen, placed on its device, probed, fingerprinted, tapped."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Averages, Call, install_taps
from gradcam_core.devices import choose_device
from gradcam_core.errors import LayerError, ModelError
from gradcam_core.layers import ATTENTION, Refused, choose_default, describe_layer
from gradcam_core.records import LayerInfo, LoadedModel, Preprocessing
from gradcam_core.sources.folding import fold, with_folded
from gradcam_core.sources.probes import OUTPUT_NOTES, WEAK, Probes, kind_of_outputs, noise, run_probes


def assemble(
    module: nn.Module,
    *,
    reference: str,
    architecture: str,
    labels: Sequence[str] | None,
    preprocessing: Preprocessing,
    device: str = "auto",
    notes: Sequence[str] = (),
    multi_label: bool = False,
) -> LoadedModel:
    """Prepare a network for explanations; it is changed, and must not be used elsewhere.

    Probes find the layers, the classifier's head and what it reads, and what the outputs are.
    `multi_label` says that several classes can be present at once. Raises ModelError where the
    network does not run or is not a classifier, or the labels do not fit it.
    """
    place = choose_device(device)
    fingerprint = fingerprint_of(module)
    with torch.inference_mode(False):
        changed = _freeze(module, place)
        probes = run_probes(module, preprocessing, place)
        outputs = kind_of_outputs(module, probes, preprocessing, multi_label)
    head_name, head_kind = _find_head(*probes.medium)
    layers, refused = _find_layers(module, probes, preprocessing.size)
    layers = tuple(_with_pooling(layer, probes, head_name, head_kind) for layer in layers)
    calls = probes.weak.calls
    twin = fold(module, calls) if place.type == "cpu" else None
    install_taps(module, (layer.name for layer in layers))
    loaded = LoadedModel(
        module=module,
        reference=reference,
        architecture=architecture,
        labels=_check_labels(labels, probes.weak.outputs.shape[1]),
        preprocessing=preprocessing,
        fingerprint=fingerprint,
        device=place,
        layers=layers,
        default_layer=_default_layer(module, layers, calls, head_name),
        head=calls[head_name].module.get_parameter("weight").detach().flatten(1) if head_name else None,
        refused_layers=refused,
        notes=tuple(filter(None, (*notes, changed, OUTPUT_NOTES[outputs]))),
        activations=probes.activations,
        head_name=head_name,
        outputs=outputs,
    )
    return with_folded(loaded, twin, noise(preprocessing, place, WEAK))


def fingerprint_of(module: nn.Module) -> str:
    """sha256 over every tensor of the state with its name, type and shape."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _freeze(module: nn.Module, device: torch.device) -> str:
    """Freeze a network in float32 and evaluation mode on its device; return a note where its weights changed."""
    for part in module.modules():
        # Tensors made in inference mode let no gradient pass.
        for name, weight in part._parameters.items():
            if weight is not None and weight.is_inference():
                part._parameters[name] = nn.Parameter(weight.clone(), False)
        for name, buffer in part._buffers.items():
            if buffer is not None and buffer.is_inference():
                part._buffers[name] = buffer.clone()
    kinds = {str(t.dtype).removeprefix("torch.") for t in module.parameters() if t.is_floating_point()} - {"float32"}
    # Each is called for its effect: a network's own version may return nothing.
    module.eval()
    module.requires_grad_(False)
    if kinds:
        module.float()
    module.to(device)
    return f"Its weights were {' and '.join(sorted(kinds))}; it runs in float32." if kinds else ""


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


def _find_layers(
    module: nn.Module, probes: Probes, size: tuple[int, int]
) -> tuple[tuple[LayerInfo, ...], dict[str, str]]:
    """Sort the modules into layers with a map, in order of computation, and refused ones with the reason."""
    calls = probes.strong.calls
    ran = [name for name, call in sorted(calls.items(), key=lambda item: item[1].ended) if call.calls]
    alone = {name: _describe(name, module, probes, size) for name in ran}
    described = _compare(alone)
    refused = {name: "it takes no part in the forward pass" for name in calls if name not in described}
    refused |= {name: result.reason for name, result in described.items() if isinstance(result, Refused)}
    layers = tuple(result for result in described.values() if isinstance(result, LayerInfo))
    if not layers:
        raise LayerError("No layer of this network keeps rows and columns.", "Use a convolutional or patch network.")
    return layers, refused


def _describe(name: str, module: nn.Module, probes: Probes, size: tuple[int, int]) -> LayerInfo | Refused:
    """First pass: describe one layer by itself."""
    samples = [probe.calls[name].sample for probe in probes.all]
    first = samples[0]
    # A table of positions, for example, is the same for all inputs.
    if first is not None and all(other is not None and torch.equal(first, other) for other in samples):
        return Refused("it does not depend on the picture")
    call = probes.weak.calls[name]
    return describe_layer(name, call.module, call.output, call.calls, size, module)


def _compare(alone: Mapping[str, LayerInfo | Refused]) -> dict[str, LayerInfo | Refused]:
    """Second pass: correct each description by what the network's other layers are."""
    layers = [result for result in alone.values() if isinstance(result, LayerInfo)]
    channels_first = {layer.layout for layer in layers} == {"NCHW"}
    patches = {(math.prod(layer.grid), layer.prefix_tokens) for layer in layers if layer.layout == "tokens"}
    tokens = {count for grid, prefix in patches for count in (grid, grid + prefix)}

    def corrected(result: LayerInfo | Refused) -> LayerInfo | Refused:
        if isinstance(result, Refused):
            return result.channels_first or result if channels_first else result
        height, width = result.grid
        # As many rows and columns as tokens: how much attention each token pays to each other one.
        attention = result.layout != "tokens" and height == width and height in tokens
        return Refused(ATTENTION) if attention else result

    return {name: corrected(result) for name, result in alone.items()}


def _default_layer(module: nn.Module, layers: Sequence[LayerInfo], calls: Mapping[str, Call], head_name: str) -> str:
    before_head = calls[head_name].begun if head_name else math.inf
    return choose_default([layer for layer in layers if calls[layer.name].ended < before_head] or layers, module)


def _with_pooling(layer: LayerInfo, probes: Probes, head: str, head_kind: str) -> LayerInfo:
    """Add how the head reads this layer, where both watched probes agree."""
    watched = (probes.medium.calls, probes.strong.calls)
    readings = {_reading(layer, calls[layer.name], calls[head].entered, head_kind) for calls in watched if head}
    return replace(layer, pooling=readings.pop()) if len(readings) == 1 else layer


def _reading(layer: LayerInfo, call: Call, entered: Averages | None, head_kind: str) -> str:
    """How the head reads a layer: what enters the head must equal the layer's own averages."""
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
