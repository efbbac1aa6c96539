"""A checkpoint file and an architecture -> a network with just those weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.kinds import SAVE_WEIGHTS
from gradcam_core.progress import Progress
from gradcam_core.sources.checkpoints import Checkpoint, guarded, read_checkpoint
from gradcam_core.sources.family import LIMITS, Architecture, Network, Size, source
from gradcam_core.sources.labels import find_labels, says_multi_label
from gradcam_core.sources.own_networks import accepted_forms, build, build_shapes, find_architecture, input_channels
from gradcam_core.sources.pickle_scan import QUANTISED, SPARSE
from gradcam_core.sources.state_dicts import OTHER, NameMatch, Shape, explain_misfit, match_names, suggest_architecture
from gradcam_core.text import one_line

# Sizes at which an architecture is built to learn which tensors depend on them; any two in a row do.
PROBE = {"num_classes": 7, "in_chans": 3}
WHAT = {"num_classes": "classes", "in_chans": "channels"}


@source("file", example="file:weights.pth with an architecture")
def load_file(
    name: str,
    *,
    architecture: str | Callable[..., nn.Module] | None,
    num_classes: int | None,
    in_chans: int | None,
    size: Size | None,
    labels_given: bool,
    progress: Progress,
) -> Network:
    """Load weights of one's own. Raises ModelError where file and architecture do not fit completely.

    Where the caller gives the names of the classes, none are looked for.
    """
    # The address form file:///home/... is understood too.
    path = Path(name.removeprefix("//") if name.startswith("///") else name).expanduser()
    recipe = find_architecture(architecture) if architecture is not None else None
    progress(0.05, words="Reading the file")
    checkpoint = read_checkpoint(path)
    _require_weights(checkpoint)
    if recipe is None:
        raise ModelError(
            "A checkpoint holds weights but no network: its architecture is missing.",
            f"{suggest_architecture(checkpoint.tensors, checkpoint.content)} {accepted_forms()}".strip(),
            "architecture",
        )
    progress(0.4, words="Fitting the weights to the architecture")
    wanted = {"num_classes": num_classes, "in_chans": in_chans, "size": size}
    with guarded("The file's content cannot be used", f"Save the weights alone: {SAVE_WEIGHTS}."):
        return _network(recipe, None if labels_given else path, checkpoint, wanted)


def _require_weights(checkpoint: Checkpoint) -> None:
    if any(not name.startswith(("optimizer.", "optim.")) for name in checkpoint.tensors):
        return
    inner = [value for value in checkpoint.content.values() if isinstance(value, Mapping)]
    if any("param_groups" in place for place in (checkpoint.content, *inner)):
        message = "The file holds only the state of an optimizer, not the model's weights."
        raise ModelError(message, f"Save the model itself: {SAVE_WEIGHTS}.")
    raise ModelError("The file holds no tensors at all, so no weights.", f"Save the model: {SAVE_WEIGHTS}.")


def _network(recipe: Architecture, path: Path | None, checkpoint: Checkpoint, wanted: Mapping[str, Any]) -> Network:
    """Fit the tensors to the architecture, and add what the file says about classes and pictures.

    Names of classes are looked for in the file and beside its `path`, if there is one.
    """
    module, sizes, notes = _fit(recipe, checkpoint.tensors, wanted)
    classes = sizes["num_classes"] or class_count(module)
    channels = sizes["in_chans"] or input_channels(module)
    preprocessing, remarks, assumption = recipe.describe(module, channels)
    sayings = (checkpoint.metadata, checkpoint.content)
    labels, label_notes = find_labels(path, sayings, classes) if path else (None, ())
    notes = (*notes, *remarks, *label_notes)
    return Network(module, recipe.name, preprocessing, labels, notes, assumption, says_multi_label(*sayings))


def _fit(
    recipe: Architecture, tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, int | None], tuple[str, ...]]:
    """Read classes and channels off the tensors, build a network of that size, and load the tensors into it.

    Returns the network, its classes and channels where the architecture takes them as options, and notes.
    """
    options = {key: PROBE.get(key, wanted[key]) for key in recipe.options if key in PROBE or wanted[key]}
    probe = _shapes(build_shapes(recipe, **options))
    match = match_names(tensors, probe)
    stored = {own: tuple(tensors[name].shape) for own, name in match.names.items()}
    # Tensors that depend on the number of classes are the head.
    measured = {key: _measure(recipe, key, options, probe, stored) for key in PROBE if key in recipe.options}
    options |= {key: size for key, (size, _) in measured.items()}
    head = measured["num_classes"][1] if "num_classes" in measured else ()
    sizes = {"num_classes": options["num_classes"] if head else None, "in_chans": options.get("in_chans")}
    _check_wish(wanted, sizes)
    expected = build_shapes(recipe, **options)
    only_training = [x for x in match.unexpected if any(f".{start}" in f".{x}" for start in recipe.unused)]
    match = replace(match, unexpected=tuple(x for x in match.unexpected if x not in only_training))
    if match.missing or match.unexpected or any(stored[x] != tuple(expected[x].shape) for x in stored):
        raise explain_misfit(recipe.name, match, stored, _shapes(expected), head)
    chosen = {own: tensors[name] for own, name in match.names.items()}
    notes = (*_notes(match), *check_tensors(chosen, expected))
    module = build(recipe, **options)
    # Into the network's own state dict, which keeps what it says about versions.
    state = module.state_dict()
    state.update({name: tensor.to(state[name].dtype) for name, tensor in chosen.items()})
    module.load_state_dict(state)
    return module, sizes, notes


def _measure(
    recipe: Architecture, key: str, options: Mapping[str, Any], probe: Mapping[str, Shape], stored: Mapping[str, Shape]
) -> tuple[int, tuple[str, ...]]:
    """One size, as read off the file's tensors, and the names of the tensors that depend on it.

    Where the architecture's shapes differ between this size and the next, the stored shape gives the size, as
    dimensions grow evenly with it.
    """
    start: int = options[key]
    if key == "in_chans" and all(stored.get(name, shape) == shape for name, shape in probe.items() if len(shape) == 4):
        return start, ()
    try:
        larger = _shapes(build_shapes(recipe, **{**options, key: start + 1}))
    except ModelError:
        return start, ()
    depending = tuple(name for name, shape in probe.items() if larger.get(name, shape) != shape)
    sizes: set[int] = set()
    for name in depending:
        own, small, large = stored.get(name, ()), probe[name], larger[name]
        if len(own) == len(small) == len(large):
            axis = next(index for index in range(len(small)) if small[index] != large[index])
            sizes.add(start + round((own[axis] - small[axis]) / (large[axis] - small[axis])))
    if len(sizes) > 1 or any(not 1 <= size <= LIMITS[key][1] for size in sizes):
        listed = ", ".join(map(str, sorted(sizes)[:4]))
        raise ModelError(f"The file's tensors do not agree on a usable number of {WHAT[key]}: {listed}.", OTHER)
    return (sizes.pop() if sizes else start), depending


def _check_wish(wanted: Mapping[str, Any], sizes: Mapping[str, int | None]) -> None:
    for key, what in WHAT.items():
        wish, own = wanted[key], sizes[key]
        if wish is not None and own is None:
            raise ModelError(f"This architecture's function takes no {key}.", "Leave it out.")
        if wish is not None and wish != own:
            raise ModelError(f"The file has {own} {what}, not {wish}.", f"Leave {key} out: it is read off the file.")


def _notes(match: NameMatch) -> tuple[str, ...]:
    if match.rivals:
        used, others = _place(match.prefix), ", ".join(_place(rival) for rival in match.rivals[:3])
        return (f"The file holds several sets of weights; {used} were used, not {others}.",)
    if match.elsewhere:
        examples = ", ".join(one_line(name) for name in match.elsewhere[:2])
        return (f"{len(match.elsewhere)} other tensors in the file were left out ({examples}).",)
    return ()


def _place(prefix: str) -> str:
    return f"those under '{one_line(prefix.rstrip('.'))}'" if prefix else "those at the top"


def check_tensors(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Refuse tensors that cannot be weights; return notes about types that will be converted.

    Raises ModelError for sparse, quantised, complex, empty-handed (meta), stretched and
    non-finite tensors. Shapes are checked before, so nothing large is made here.
    """
    narrow: set[str] = set()
    for name, tensor in tensors.items():
        kind = _unusable(tensor, expected[name])
        if kind:
            raise ModelError(f"The tensor {one_line(name)} is {kind}.", "Save the model's ordinary 32-bit weights.")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(
                f"The tensor {one_line(name)} holds NaN or infinity: training had failed when it was saved.",
                "Load a checkpoint from before that.",
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            narrow.add(str(tensor.dtype).removeprefix("torch."))
    return (f"The file's weights are {', '.join(sorted(narrow))}; they compute as float32 here.",) if narrow else ()


def _unusable(tensor: torch.Tensor, model: torch.Tensor) -> str:
    if tensor.is_quantized:
        return QUANTISED
    if tensor.layout is not torch.strided or tensor.is_nested:
        return SPARSE
    if tensor.device.type != "cpu":
        return "empty: it has a shape but no values (saved from the 'meta' device)"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "stretched: it repeats a few values over a shape that is far larger than what is stored"
    if model.is_floating_point() and not (tensor.is_floating_point() and tensor.element_size() > 1):
        return f"of type {str(tensor.dtype).removeprefix('torch.')}, as quantised or packed weights are"
    return ""


def class_count(module: nn.Module) -> int | None:
    """Outputs of the last linear layer or 1x1 convolution, as far as that can be seen without running it."""
    for step in reversed(list(module.modules())):
        if isinstance(step, nn.Linear):
            return step.out_features
        if isinstance(step, nn.Conv2d) and step.kernel_size == (1, 1):
            return step.out_channels
    return None


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
