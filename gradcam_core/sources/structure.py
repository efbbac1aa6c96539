"""What probe passes show of a network: its layers, its classifier's head and what the head reads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Averages, Call, same_output
from gradcam_core.layers import Refused, describe_layer
from gradcam_core.records import LayerInfo

Calls = Mapping[str, Call]


def find_head(outputs: torch.Tensor, calls: Calls) -> tuple[str, str]:
    """Find the linear step whose output is the scores, by its numbers rather than by its name.

    Returns its name and how it reads: "linear", "convolution" or "convolution, relu"; "" and "" without one, as in
    detectors and segmenters.
    """
    if outputs.dim() > 2:
        return "", ""
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


def find_layers(
    module: nn.Module, passes: Sequence[Calls], input_size: tuple[int, int]
) -> tuple[tuple[LayerInfo, ...], dict[str, str]]:
    """Sort the modules that ran into layers with a map, in order of computation, and refused ones with the reason.

    `passes` are probes with different inputs. Where a module's sizes leave its layout open, the layouts of
    the other layers decide.
    """
    calls = passes[0]
    ran = sorted((name for name in calls if calls[name].calls), key=lambda name: calls[name].ended)
    layers = {name: _describe(name, passes, input_size, module) for name in ran}
    if {layer.layout for layer in _kept(layers)} == {"NCHW"}:
        for name, layer in layers.items():
            if isinstance(layer, Refused) and layer.ambiguous:
                layers[name] = _describe(name, passes, input_size, module, "NCHW")
    tokens = {
        math.prod(layer.grid) + prefix
        for layer in _kept(layers)
        if layer.layout == "tokens"
        for prefix in {0, layer.prefix_tokens}
    }
    refused = {name: "it takes no part in the forward pass" for name in calls if name not in layers}
    refused |= {name: layer.reason for name, layer in layers.items() if isinstance(layer, Refused)}
    # A map with as many rows and columns as the network has tokens says how each token weighs each other one.
    attention = {
        layer.name: "its outputs are attention weights"
        for layer in _kept(layers)
        if layer.layout != "tokens" and layer.grid[0] == layer.grid[1] and layer.grid[0] in tokens
    }
    return tuple(layer for layer in _kept(layers) if layer.name not in attention), refused | attention


def _kept(layers: Mapping[str, LayerInfo | Refused]) -> list[LayerInfo]:
    return [layer for layer in layers.values() if isinstance(layer, LayerInfo)]


def _describe(
    name: str, passes: Sequence[Calls], input_size: tuple[int, int], module: nn.Module, assumed: str = ""
) -> LayerInfo | Refused:
    call = passes[0][name]
    # A table of positions is the same in all probes.
    if all(same_output(call, other[name]) for other in passes[1:]):
        return Refused("its output was the same for every test picture")
    return describe_layer(name, call.module, call.output, call.calls, input_size, module, assumed)


def worth_watching(calls: Calls, classes: int) -> frozenset[str]:
    """Steps that could be the head, and modules as wide as what such a step reads."""
    steps = {name: call.module.weight for name, call in calls.items() if isinstance(call.module, nn.Linear | nn.Conv2d)}
    heads = {name: weight for name, weight in steps.items() if weight.shape[0] == classes}
    widths = {weight.shape[1] for weight in heads.values()}
    wide = {name for name, call in calls.items() if widths & set(getattr(call.output, "shape", ())[1:])}
    return frozenset(wide | heads.keys())


def with_pooling(layer: LayerInfo, passes: Sequence[Calls], head: str, head_kind: str) -> LayerInfo:
    """Add how the head reads this layer, where all of these probes agree.

    A bounded step such as ReLU6 looks like a ReLU until the values are large.
    """
    readings = {_reading(layer, calls[layer.name], calls[head].entered, head_kind) for calls in passes if head}
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


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal up to rounding, and not merely both zero."""
    if first.shape != second.shape or not second.abs().max() > 0:
        return False
    first, second = first.float(), second.float()
    return torch.allclose(first, second, rtol=1e-4, atol=1e-5 * float(second.abs().max()))
