"""A plain network -> LoadedModel: frozen, placed on its device, probed, fingerprinted, tapped."""

import hashlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.capture import (
    attention_blocks,
    class_scores,
    install_taps,
    narrow_outputs,
    noting_steps,
    probe,
    record_from_input,
)
from gradcam_core.devices import choose_device, is_out_of_memory
from gradcam_core.errors import DeviceError, LayerError, ModelError
from gradcam_core.layers import INPUT
from gradcam_core.records import LayerInfo, LoadedModel, Preprocessing
from gradcam_core.sources.backbones import classes_of_detector, layer_before_objects, layer_before_regions, pyramid_of
from gradcam_core.sources.checkpoints import first_line
from gradcam_core.sources.family import Network
from gradcam_core.sources.folding import UNFIT, fold, with_folded
from gradcam_core.sources.heads import is_headless, note_about, numbered_labels, read_outputs
from gradcam_core.sources.reaching import note_if_early, reached
from gradcam_core.sources.structure import (
    Calls,
    attending_modules,
    describe,
    find_head,
    find_layers,
    with_pooling,
    worth_watching,
)
from gradcam_core.tasks import Outputs, Task

# Segmenters give their classes on a grid of at least this part of the input's.
COARSEST = 8
FORWARD_ONLY = "Methods that run the model forward explain it, RISE and occlusion: {}."


class _Probes(NamedTuple):
    """Passes on a picture, on noise, and on noise that is stronger in the top right quadrant.

    They hold the outputs and what every module did. Averages and cells were kept in those on noise only. `attending`
    are the modules in which places weigh each other; `note` says which outputs were taken as scores.
    """

    outputs: tuple[torch.Tensor, ...]
    calls: tuple[Calls, ...]
    activations: tuple[str, ...]
    last_step: str
    classes: int
    attending: frozenset[str] = frozenset()
    note: str = ""


def assemble_model(
    network: Network,
    *,
    reference: str,
    labels: Sequence[str] | None,
    preprocessing: Preprocessing,
    device: str,
    notes: Sequence[str] = (),
) -> LoadedModel:
    """Prepare a network that is ours to keep. Raises ModelError where it is no classifier, or labels do not fit."""
    module, place, fingerprint = network.module, choose_device(device), _fingerprint(network)
    changed, probes = _settle(module, place), _probe(module, preprocessing, place, labels)
    head, head_kind = find_head(probes.outputs[1], probes.calls[1])
    plain, refused = find_layers(module, probes.calls, preprocessing.size, probes.attending)
    layers = tuple(with_pooling(layer, probes.calls[1:], head, head_kind) for layer in plain)
    outputs = _meaning(network, probes, head, labels)
    twin = fold(module, probes.calls[0]) if place.type == "cpu" and outputs.task != "detection" else None
    install_taps(module, [layer.name for layer in layers])
    layers, default, seen = _reached(network, layers, refused, probes, head, _black_to_white(preprocessing, place))
    model = LoadedModel(
        module=module,
        reference=reference,
        architecture=network.architecture,
        labels=_check_labels(labels, probes.classes, outputs.task),
        preprocessing=preprocessing,
        fingerprint=fingerprint,
        device=place,
        layers=layers,
        default_layer=default,
        pyramid=pyramid_of(layers, probes.calls[0], outputs.task),
        head=module.get_submodule(head).get_parameter("weight").detach().flatten(1) if head else None,
        refused_layers=refused,
        notes=tuple(filter(None, (*notes, *changed, *seen, note_about(outputs, probes.classes)))),
        activations=probes.activations,
        head_name=head,
        outputs=outputs,
        attention=attention_blocks(module, layers, _noise(preprocessing, place, 1.0)),
        text=network.text,
    )
    return with_folded(model, twin, _noise(preprocessing, place, 1.0))


def _meaning(network: Network, probes: _Probes, head: str, labels: Sequence[str] | None) -> Outputs:
    if probes.outputs[0].dim() == 3:
        return Outputs("detection", "read")
    if probes.outputs[0].dim() == 4:
        return Outputs("segmentation", "read")
    return read_outputs(
        torch.cat(probes.outputs),
        probes.last_step,
        has_head=bool(head),
        headless=is_headless(network.module, probes.calls[0], head),
        stated=network.task,
        labels=labels,
    )


def _reached(
    network: Network,
    layers: tuple[LayerInfo, ...],
    refused: Mapping[str, str],
    probes: _Probes,
    head: str,
    picture: torch.Tensor,
) -> tuple[tuple[LayerInfo, ...], str, tuple[str, ...]]:
    """The layers with what a backward pass shows of them, the usual one, and what the probes noticed."""
    if not layers:
        raise LayerError("No layer of this network keeps rows and columns.", _why_none(refused))
    if network.closed:
        said = filter(None, (probes.note, FORWARD_ONLY.format(network.closed)))
        return (replace(layers[0], kind=INPUT, blocked=network.closed),), layers[0].name, tuple(said)
    calls, outputs = probes.calls[0], probes.outputs[0]
    if outputs.dim() == 4:
        return layers, layer_before_regions(layers, calls), ()
    if outputs.dim() == 3:
        return layers, (pyramid_of(layers, calls, "detection") or (layer_before_objects(layers),))[0], ()
    layers, default, seen = reached(network.module, picture, layers, calls, outputs, head)
    return layers, default, (*filter(None, (probes.note,)), *seen, *note_if_early(default, layers, calls, refused))


@torch.inference_mode(False)
def _probe(
    module: nn.Module, preprocessing: Preprocessing, device: torch.device, labels: Sequence[str] | None
) -> _Probes:
    """Run on what pictures look like, and on noise, since different steps could look alike on a smooth picture.

    A step may be dead on noise and alive on pictures, or the other way round.
    """
    with noting_steps() as noted:
        returned, calls = _run(module, _black_to_white(preprocessing, device), preprocessing, running=noted.running)
        returned, note = narrow_outputs(module, returned)
        outputs = _scores(returned)
        last_step = noted.last_step(outputs)
    if outputs.dim() == 4:
        _check_regions(outputs, preprocessing.size)
    watched = worth_watching(calls, outputs.shape[1]) if outputs.dim() == 2 else ()
    described = describe(module, calls, preprocessing.size).items()
    layouts = {name: layer.layout for name, layer in described if isinstance(layer, LayerInfo)}
    passes = [(outputs, calls)]
    noise, strong = (_noise(preprocessing, device, strength) for strength in (3.0, 10.0))
    for inputs in (noise, _with_quadrant_of(noise, strong)):
        returned, calls = _run(module, inputs, preprocessing, watched, layouts)
        passes.append((_scores(returned), calls))
    all_outputs, all_calls = zip(*passes, strict=True)
    classes = outputs.shape[1] if outputs.dim() != 3 else classes_of_detector(module, labels)
    attending = attending_modules(noted.attending, all_calls[0])
    return _Probes(all_outputs, all_calls, noted.kinds(), last_step, classes, attending, note)


def _check_regions(outputs: torch.Tensor, size: tuple[int, int]) -> None:
    """Raise ModelError for a map that is too coarse to paint a picture: features, not classes of pixels."""
    if any(COARSEST * cells < length for cells, length in zip(outputs.shape[2:], size, strict=True)):
        raise ModelError(
            f"The model returns {list(outputs.shape)} instead of one score per class.",
            "Use a classifier, or wrap yours so that it returns [pictures, classes].",
        )


def _with_quadrant_of(inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The same inputs with the top right quadrant of others."""
    mixed = inputs.clone()
    rows, columns = slice(0, inputs.shape[-2] // 2), slice(inputs.shape[-1] // 2, None)
    mixed[..., rows, columns] = other[..., rows, columns]
    return mixed


def _fingerprint(network: Network) -> str:
    """That of the network; with a part for texts, one over both."""
    if network.text is None:
        return fingerprint_of(network.module)
    parts = (fingerprint_of(network.module), fingerprint_of(network.text.network))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def fingerprint_of(module: nn.Module) -> str:
    """sha256 over every tensor of the state with its name, type and shape."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@torch.inference_mode(False)
def _settle(module: nn.Module, device: torch.device) -> tuple[str, ...]:
    """Freeze a network in float32 and evaluation mode on its device; say what was changed."""
    for part in module.modules():
        # Tensors made in inference mode let no gradient pass.
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_inference():
                    copied = tensor.clone()
                    setattr(part, name, nn.Parameter(copied, False) if tensors is part._parameters else copied)
    kinds = {str(t.dtype).removeprefix("torch.") for t in module.parameters() if t.is_floating_point()} - {"float32"}
    # One by one, for their effect: networks that override them do not always return themselves.
    module.eval()
    module.requires_grad_(False)
    if kinds:
        module.float()
    module.to(device)
    return (f"Its weights were {' and '.join(sorted(kinds))}; it runs in float32.",) if kinds else ()


def _run(
    module: nn.Module,
    inputs: torch.Tensor,
    preprocessing: Preprocessing,
    watched: Container[str] = (),
    layouts: Mapping[str, str] = MappingProxyType({}),
    running: list[str] | None = None,
) -> tuple[Any, Calls]:
    """Probe once. Raises ModelError where the network does not run."""
    try:
        return probe(module, inputs, watched, layouts, running)
    except UNFIT as error:
        if "cannot register a hook on a tensor" in str(error) and not module._forward_pre_hooks:
            record_from_input(module)
            return _run(module, inputs, preprocessing, watched, layouts, running)
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise DeviceError(
                "The memory is too small for this model.", "Use a smaller one, or the processor (cpu).", "device"
            ) from error
        raise _does_not_run(error, preprocessing) from error


def _does_not_run(error: Exception, preprocessing: Preprocessing) -> ModelError:
    """Say in words why a network does not run."""
    height, width = preprocessing.size
    picture = f"one picture of {width} x {height} with {preprocessing.channels} channels"
    remedy = "Check the input size and number of channels, and that it takes one tensor [N C H W]."
    if any(type_ in str(error) for type_ in ("Input type", "should be the same", "same dtype", "expected scalar type")):
        remedy = "It changes the number type of its values itself; pictures and weights are float32 here."
    return ModelError(f"The network does not run on {picture}: {first_line(error)}.", remedy)


def _scores(returned: Any) -> torch.Tensor:
    """The class scores [1 classes]. Raises ModelError where they are none, or not finite."""
    outputs = class_scores(returned)
    if not outputs.isfinite().all():
        remedy = "Its weights hold NaN or infinity: save them again."
        raise ModelError("The network's scores are not finite numbers.", remedy)
    return outputs


def _noise(preprocessing: Preprocessing, device: torch.device, strength: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(round(strength))
    return strength * torch.randn(1, preprocessing.channels, *preprocessing.size, generator=generator).to(device)


def _black_to_white(preprocessing: Preprocessing, device: torch.device) -> torch.Tensor:
    """What a picture looks like to the network: black to white from left to right, noise in the lower half."""
    height, width = preprocessing.size
    picture = torch.linspace(0, 1, width).repeat(preprocessing.channels, height, 1)
    lower = picture[:, height // 2 :]
    lower.copy_(torch.rand(lower.shape, generator=torch.Generator().manual_seed(0)))
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    return ((picture - mean) / std)[None].to(device)


def _why_none(refused: Mapping[str, str]) -> str:
    """The commonest reason why a layer is none, and what to do."""
    reasons = Counter(refused.values()).most_common(1)
    reason = f"Of most layers, {reasons[0][0]}. " if reasons else ""
    return f"{reason}Use a convolutional or patch network."


def _check_labels(labels: Sequence[str] | None, classes: int, task: Task) -> tuple[str, ...]:
    if labels is None:
        return numbered_labels(task, classes)
    if len(labels) != classes:
        raise ModelError(
            f"{len(labels)} labels do not fit a model with {classes} classes.", f"Give {classes} labels, in order."
        )
    return tuple(map(str, labels))
