"""A plain network -> LoadedModel: frozen, placed on its device, probed, fingerprinted, tapped."""

import hashlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.capture import class_scores, install_taps, narrow_outputs, noting_steps, probe, record_from_input
from gradcam_core.devices import choose_device, is_out_of_memory
from gradcam_core.errors import DeviceError, LayerError, ModelError
from gradcam_core.records import LayerInfo, LoadedModel, Outputs, Preprocessing
from gradcam_core.sources.checkpoints import first_line
from gradcam_core.sources.family import Network
from gradcam_core.sources.folding import UNFIT, fold, with_folded
from gradcam_core.sources.reaching import reached
from gradcam_core.sources.structure import (
    Calls,
    attending_modules,
    describe,
    find_head,
    find_layers,
    with_pooling,
    worth_watching,
)

NOTES = {
    "probabilities": "The network's outputs add up to 1: they are shown as they are, as probabilities.",
    "independent probabilities": (
        "The network's outputs lie between 0 and 1: each is shown as it is, as a probability of its own."
    ),
    "independent scores": "The file says that a picture can have several classes: each has a probability of its own.",
    "assumed": (
        "That a picture has one class only was assumed, as nothing says otherwise: "
        "its classes' probabilities add up to 1."
    ),
}


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
    """Prepare a network that is ours to keep. Raises ModelError where it is no classifier, or the labels do not fit."""
    module, place, fingerprint = network.module, choose_device(device), fingerprint_of(network.module)
    changed = _settle(module, place)
    probes = _probe(module, preprocessing, place)
    twin = fold(module, probes.calls[0]) if place.type == "cpu" else None
    head, head_kind = find_head(probes.outputs[1], probes.calls[1])
    plain, refused = find_layers(module, probes.calls, preprocessing.size, probes.attending)
    layers = tuple(with_pooling(layer, probes.calls[1:], head, head_kind) for layer in plain)
    install_taps(module, [layer.name for layer in layers])
    layers, default, seen = _reached(module, layers, refused, probes, head, _black_to_white(preprocessing, place))
    kind = _kind_of_outputs(probes, bool(head), network.multi_label)
    model = LoadedModel(
        module=module,
        reference=reference,
        architecture=network.architecture,
        labels=_check_labels(labels, probes.classes),
        preprocessing=preprocessing,
        fingerprint=fingerprint,
        device=place,
        layers=layers,
        default_layer=default,
        head=module.get_submodule(head).get_parameter("weight").detach().flatten(1) if head else None,
        refused_layers=refused,
        notes=(*notes, *changed, *seen, *_notes_about(kind, network.multi_label, probes.classes)),
        activations=probes.activations,
        head_name=head,
        outputs=kind,
    )
    return with_folded(model, twin, _noise(preprocessing, place, 1.0))


def _reached(
    module: nn.Module,
    layers: tuple[LayerInfo, ...],
    refused: Mapping[str, str],
    probes: _Probes,
    head: str,
    picture: torch.Tensor,
) -> tuple[tuple[LayerInfo, ...], str, tuple[str, ...]]:
    """The layers with what a backward pass shows of them, the usual one, and what the probes noticed."""
    if not layers:
        raise LayerError("No layer of this network keeps rows and columns.", _why_none(refused))
    layers, default, seen = reached(module, picture, layers, probes.calls[0], probes.outputs[0], head)
    return layers, default, (*filter(None, (probes.note,)), *seen)


@torch.inference_mode(False)
def _probe(module: nn.Module, preprocessing: Preprocessing, device: torch.device) -> _Probes:
    """Run on what pictures look like, and on noise, since different steps could look alike on a smooth picture.

    A step may be dead on noise and alive on pictures, or the other way round.
    """
    with noting_steps() as noted:
        returned, calls = _run(module, _black_to_white(preprocessing, device), preprocessing, running=noted.running)
        returned, note = narrow_outputs(module, returned)
        outputs = _scores(returned)
        last_step = noted.last_step(outputs)
    watched = worth_watching(calls, outputs.shape[1])
    described = describe(module, calls, preprocessing.size).items()
    layouts = {name: layer.layout for name, layer in described if isinstance(layer, LayerInfo)}
    passes = [(outputs, calls)]
    noise, strong = (_noise(preprocessing, device, strength) for strength in (3.0, 10.0))
    for inputs in (noise, _with_quadrant_of(noise, strong)):
        returned, calls = _run(module, inputs, preprocessing, watched, layouts)
        passes.append((_scores(returned), calls))
    all_outputs, all_calls = zip(*passes, strict=True)
    attending = attending_modules(noted.attending, all_calls[0])
    return _Probes(all_outputs, all_calls, noted.kinds(), last_step, outputs.shape[1], attending, note)


def _with_quadrant_of(inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The same inputs with the top right quadrant of others."""
    mixed = inputs.clone()
    rows, columns = slice(0, inputs.shape[-2] // 2), slice(inputs.shape[-1] // 2, None)
    mixed[..., rows, columns] = other[..., rows, columns]
    return mixed


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


def _kind_of_outputs(probes: _Probes, has_head: bool, multi_label: bool | None) -> Outputs:
    """Tell what the outputs are (see LoadedModel.outputs) from the last step, and from their numbers.

    By their numbers alone, outputs count as probabilities where they cannot be the scores of a linear step.
    """
    outputs = torch.cat(probes.outputs)
    classes = outputs.shape[1]
    within = bool((outputs >= -1e-6).all() and (outputs <= 1 + 1e-6).all())
    if within and bool(((outputs.sum(dim=1) - 1).abs() < 1e-3).all()):
        return "probabilities"
    varied = not has_head and classes > 2 and bool(outputs.std() > 0)
    if within and (probes.last_step == "sigmoid" or varied):
        return "independent probabilities"
    return "independent scores" if multi_label else "scores"


def _notes_about(kind: str, multi_label: bool | None, classes: int) -> tuple[str, ...]:
    assumed = kind == "scores" and multi_label is None and classes > 2
    note = NOTES.get("assumed" if assumed else kind)
    return (note,) if note else ()


def _why_none(refused: Mapping[str, str]) -> str:
    """The commonest reason why a layer is none, and what to do."""
    reasons = Counter(refused.values()).most_common(1)
    reason = f"Of most layers, {reasons[0][0]}. " if reasons else ""
    return f"{reason}Use a convolutional or patch network."


def _check_labels(labels: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"class {index}" for index in range(classes))
    if len(labels) != classes:
        raise ModelError(
            f"{len(labels)} labels do not fit a model with {classes} classes.", f"Give {classes} labels, in order."
        )
    return tuple(map(str, labels))
