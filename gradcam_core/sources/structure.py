"""What probe passes show of a network: its layers, its classifier's head and what the head reads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Averages, Call, same_output
from gradcam_core.layers import Refused, describe_layer
from gradcam_core.records import LayerInfo
from gradcam_core.sources.places import in_place

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
    module: nn.Module, passes: Sequence[Calls], input_size: tuple[int, int], attending: Collection[str] = ()
) -> tuple[tuple[LayerInfo, ...], dict[str, str]]:
    """Sort the modules that ran into layers with a map, in order of computation, and refused ones with the reason.

    `passes` are probes with different inputs; the last two differ in one quadrant only. Where a module's sizes
    leave its layout open, the layouts of the other layers decide. `attending` are the modules in which places weigh
    each other.
    """
    described = describe(module, passes[0], input_size)
    for name, layer in described.items():
        # A table of positions is the same in all probes.
        if all(same_output(passes[0][name], other[name]) for other in passes[1:]):
            described[name] = Refused("its output was the same for every test picture")
        elif isinstance(layer, LayerInfo):
            described[name] = replace(layer, attention=_around(name, attending))
    described = in_place(described, passes[-2:], input_size, module)
    refused = {name: _why_silent(call.module) for name, call in passes[0].items() if name not in described}
    refused |= {name: layer.reason for name, layer in described.items() if isinstance(layer, Refused)}
    return tuple(layer for layer in described.values() if isinstance(layer, LayerInfo)), refused


def _why_silent(module: nn.Module) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return "it is compiled by TorchScript, which cannot be looked into"
    return "it takes no part in the forward pass"


def describe(module: nn.Module, calls: Calls, input_size: tuple[int, int]) -> dict[str, LayerInfo | Refused]:
    """How the output of each module that ran becomes a map, by its shape, in order of computation."""
    ran = sorted((name for name in calls if calls[name].calls), key=lambda name: calls[name].ended)

    def layer_of(name: str, assumed: str = "") -> LayerInfo | Refused:
        call = calls[name]
        return describe_layer(name, call.module, call.output, call.calls, input_size, module, assumed)

    layers = {name: layer_of(name) for name in ran}
    if {layer.layout for layer in layers.values() if isinstance(layer, LayerInfo)} == {"NCHW"}:
        for name, layer in layers.items():
            if isinstance(layer, Refused) and layer.ambiguous:
                layers[name] = layer_of(name, "NCHW")
    return layers


def attending_modules(noted: Collection[tuple[str, ...]], calls: Calls) -> frozenset[str]:
    """The modules, with parts of their own, in which places weighed each other; not those around most of the network.

    `noted` are the modules at work at that time, outermost first.
    """
    with_parts = (next((name for name in reversed(names) if calls[name].module._modules), "") for names in noted)
    ran = sum(call.calls > 0 for call in calls.values())
    return frozenset(
        name
        for name in with_parts
        if name and 2 * sum(call.calls > 0 for other, call in calls.items() if other.startswith(f"{name}.")) < ran
    )


def _around(name: str, modules: Collection[str]) -> str:
    return next((module for module in modules if name.startswith(f"{module}.")), "")


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
