"""A plain network -> LoadedModel: frozen, placed on its device, probed, fingerprinted, tapped."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Averages, Call, install_taps, probe
from gradcam_core.devices import choose_device, is_out_of_memory
from gradcam_core.errors import DeviceError, LayerError, ModelError
from gradcam_core.layers import choose_default, describe_layer
from gradcam_core.records import LayerInfo, LoadedModel, Preprocessing


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

    One probe pass on noise finds the layers, the classifier's head and what it reads. Raises
    ModelError where the network does not run or is no classifier, or the labels do not fit it.
    """
    place = choose_device(device)
    fingerprint = fingerprint_of(module)
    with torch.inference_mode(False):
        notes = (*notes, *_settle(module, place))
        outputs, calls = _run(module, preprocessing, place, 1.0)
        head_name, head_kind = _find_head(outputs, calls)
        layers, refused = _find_layers(module, calls, preprocessing, head_name, head_kind)
        # A bounded step such as ReLU6 looks like a ReLU until the values are large.
        strong = _run(module, preprocessing, place, 10.0)[1]
    if head_name:
        again, _ = _find_layers(module, strong, preprocessing, head_name, head_kind)
        layers = tuple(x if x == y else replace(x, pooling="") for x, y in zip(layers, again, strict=True))
    if not layers:
        raise LayerError("No layer of this network keeps rows and columns.", "Use a convolutional or patch network.")
    before_head = calls[head_name].begun if head_name else float("inf")
    default = choose_default([x for x in layers if calls[x.name].ended < before_head] or layers, module)
    install_taps(module, (layer.name for layer in layers))
    return LoadedModel(
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
    )


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
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_inference():  # made in inference mode: no gradient may pass
                    tensors[name] = (
                        nn.Parameter(tensor.clone(), False) if tensors is part._parameters else tensor.clone()
                    )
    kinds = {str(t.dtype).removeprefix("torch.") for t in module.parameters() if t.is_floating_point()} - {"float32"}
    module.eval().requires_grad_(False)
    (module.float() if kinds else module).to(device)
    return (f"Its weights were {' and '.join(sorted(kinds))}; it runs in float32.",) if kinds else ()


def _run(
    module: nn.Module, preprocessing: Preprocessing, device: torch.device, strength: float
) -> tuple[torch.Tensor, dict[str, Call]]:
    """Probe with noise: on a constant picture, different steps could look alike."""
    noise = torch.randn(1, preprocessing.channels, *preprocessing.size, generator=torch.Generator().manual_seed(0))
    try:
        outputs, calls = probe(module, strength * noise.to(device))
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
        raise ModelError(
            f"The network does not run on one picture of {size}: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}.",
            "Check the input size and number of channels, and that it takes one tensor [N C H W].",
        ) from error
    if not outputs.isfinite().all():
        raise ModelError(
            "The network's scores are not finite numbers.", "Its weights hold NaN or infinity: save them anew."
        )
    return outputs, calls


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal up to rounding, and not merely both zero."""
    if first.shape != second.shape or not second.abs().max() > 0:
        return False
    return torch.allclose(first, second, rtol=1e-4, atol=1e-5 * float(second.abs().max()))


def _find_head(outputs: torch.Tensor, calls: Mapping[str, Call]) -> tuple[str, str]:
    """Find the linear step whose output is the scores, by its numbers rather than by its name."""
    for name, call in reversed(calls.items()):
        step, entered, left = call.module, call.entered, call.channels_first
        if call.calls != 1 or entered is None or left is None or not isinstance(step, nn.Linear | nn.Conv2d):
            continue
        if isinstance(step, nn.Conv2d) and (step.kernel_size != (1, 1) or step.groups != 1):
            continue
        whole = entered.grid and max(entered.grid) > 1
        if _same(left.plain, outputs):
            return name, "convolution" if whole else "linear"
        if whole and _same(left.relu, outputs):
            return name, "convolution, relu"
    return "", ""


def _head_weight(step: nn.Module) -> torch.Tensor:
    weight: torch.Tensor = step.weight.detach()  # type: ignore[assignment,operator,union-attr]
    return weight.flatten(1)


def _find_layers(
    module: nn.Module, calls: Mapping[str, Call], preprocessing: Preprocessing, head: str, head_kind: str
) -> tuple[tuple[LayerInfo, ...], dict[str, str]]:
    """Sort the modules that ran into layers with a map, in order of computation, and refused ones."""
    layers, refused = [], {}
    for name, call in sorted(calls.items(), key=lambda item: item[1].ended):
        if not call.calls:
            refused[name] = "it takes no part in the forward pass"
            continue
        found = describe_layer(name, call.module, call.output, call.calls, preprocessing.size, module)
        if isinstance(found, str):
            refused[name] = found
            continue
        entered = calls[head].entered if head else None
        layers.append(found if entered is None else _with_pooling(found, call, entered, head_kind))
    return tuple(layers), refused


def _with_pooling(layer: LayerInfo, call: Call, entered: Averages, head_kind: str) -> LayerInfo:
    """Tell how the head reads this layer: what enters it must equal the layer's own averages."""
    averages = call.channels_last if layer.layout == "NHWC" else call.channels_first
    if averages is None:
        return layer
    pooling = ""
    if head_kind == "linear" and _same(averages.plain, entered.plain):
        pooling = "mean"
    elif head_kind == "linear" and _same(averages.relu, entered.plain):
        pooling = "mean of relu"
    elif head_kind != "linear" and averages.grid == entered.grid and _same(averages.plain, entered.plain):
        pooling = head_kind
    return replace(layer, pooling=pooling)


def _check_labels(labels: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"class {index}" for index in range(classes))
    if len(labels) != classes:
        raise ModelError(
            f"{len(labels)} labels do not fit a model with {classes} classes.", f"Give {classes} labels, in order."
        )
    return tuple(map(str, labels))
