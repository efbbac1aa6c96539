"""A checkpoint file and an architecture -> a network with just those weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import GradcamError, ModelError
from gradcam_core.kinds import SAVE_WEIGHTS
from gradcam_core.progress import Progress
from gradcam_core.sources.architectures import accepted_forms, build, build_shapes, find_architecture, input_channels
from gradcam_core.sources.checkpoints import Checkpoint, first_line, named_tensors, read_checkpoint
from gradcam_core.sources.family import source
from gradcam_core.sources.labels import find_labels, says_multi_label
from gradcam_core.sources.loaded_network import Architecture, Network, channel_notes
from gradcam_core.sources.misfit import explain_misfit, suggest_architecture
from gradcam_core.sources.state_dicts import (
    NameMatch,
    Shape,
    check_tensors,
    depends_on,
    match_names,
    shorten,
    solve_size,
)

MOST_CLASSES, MOST_CHANNELS = 100_000, 64
# Sizes at which an architecture is built to learn which tensors depend on them; any two in a row do.
PROBE = {"num_classes": 7, "in_chans": 3}


@source("file", example="file:weights.pth with an architecture")
def load_file(
    name: str,
    *,
    architecture: str | Callable[..., nn.Module] | None,
    num_classes: int | None,
    in_chans: int | None,
    size: tuple[int, int] | None,
    labels_given: bool,
    progress: Progress,
) -> Network:
    """Load weights of one's own. Raises ModelError where file and architecture do not fit completely.

    Where the caller gives the names of the classes, none are looked for.
    """
    path = _path(name)
    recipe = find_architecture(architecture) if architecture is not None else None
    progress(0.05, words="Reading the file")
    checkpoint = read_checkpoint(path)
    tensors = named_tensors(checkpoint.content)
    _require_weights(checkpoint, tensors)
    if recipe is None:
        raise ModelError(
            "A checkpoint holds weights but no network: its architecture is missing.",
            f"{suggest_architecture(tensors, checkpoint.content)} {accepted_forms()}".strip(),
            "architecture",
        )
    progress(0.4, words="Fitting the weights to the architecture")
    wanted = {"num_classes": num_classes, "in_chans": in_chans, "size": size}
    return _guarded(lambda: _network(recipe, path, checkpoint, tensors, wanted, labels_given))


def _path(name: str) -> Path:
    """A path as typed; the address form file:///home/... is understood too."""
    return Path(name.removeprefix("//") if name.startswith("///") else name).expanduser()


def _guarded(prepare: Callable[[], Network]) -> Network:
    """Raise ModelError for anything unexpected: what a foreign file holds can make any step trip."""
    try:
        return prepare()
    except GradcamError:
        raise
    except MemoryError as error:
        raise ModelError("The weights do not fit into this computer's memory.", "Use a smaller model.") from error
    except Exception as error:
        raise ModelError(
            f"The file's content cannot be used ({type(error).__name__}: {first_line(error)}).",
            f"Save the weights alone: {SAVE_WEIGHTS}.",
        ) from error


def _network(
    recipe: Architecture,
    path: Path,
    checkpoint: Checkpoint,
    tensors: Mapping[str, torch.Tensor],
    wanted: Mapping[str, Any],
    labels_given: bool,
) -> Network:
    """Fit the tensors to the architecture, and add what the file says about classes and pictures."""
    module, classes, notes = _fit(recipe, tensors, wanted)
    preprocessing, remarks = recipe.describe(module, input_channels(module))
    labels, label_notes = (
        (None, ())
        if labels_given
        else find_labels(path, (checkpoint.metadata, checkpoint.content), classes or class_count(module))
    )
    return Network(
        module,
        recipe.name,
        preprocessing,
        labels,
        (*notes, *remarks, *label_notes, *channel_notes(preprocessing.channels)),
        recipe.assumption,
        says_multi_label(checkpoint.metadata, checkpoint.content),
    )


def _require_weights(checkpoint: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> None:
    content = checkpoint.content
    if tensors and not all(name.startswith(("optimizer.", "optim.")) for name in tensors):
        return
    inner = [value for value in content.values() if isinstance(value, Mapping)]
    if any("param_groups" in place for place in (content, *inner)):
        raise ModelError(
            "The file holds only the state of an optimizer, not the model's weights.",
            f"Save the model itself: {SAVE_WEIGHTS}.",
        )
    raise ModelError("The file holds no tensors at all, so no weights.", f"Save the model: {SAVE_WEIGHTS}.")


def _fit(
    recipe: Architecture, tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, Any]
) -> tuple[nn.Module, int | None, tuple[str, ...]]:
    """Read classes and channels off the tensors, build a network of that size, and load the tensors into it.

    Returns the network, its number of classes where the architecture depends on one, and notes.
    """
    start = {key: PROBE.get(key, wanted[key]) for key in recipe.options if key in PROBE or wanted[key]}
    probe = build_shapes(recipe, **start)
    match = match_names(tensors, probe)
    shapes = {own: tuple(tensors[name].shape) for own, name in match.names.items()}
    options, head = _measured_options(recipe, start, _shapes(probe), shapes)
    classes = options["num_classes"] if head else None
    _check_wish(wanted, {**options, "num_classes": classes})
    expected = build_shapes(recipe, **options)
    match = _without_unused(match, recipe)
    if match.missing or match.unexpected or any(shapes[x] != tuple(expected[x].shape) for x in shapes):
        raise explain_misfit(recipe.name, match, shapes, _shapes(expected), head)
    chosen = {own: tensors[name] for own, name in match.names.items()}
    notes = (*_notes(match), *check_tensors(chosen, expected))
    return _with_tensors(build(recipe, **options), chosen), classes, notes


def _measured_options(
    recipe: Architecture, start: Mapping[str, Any], probe: Mapping[str, Shape], shapes: Mapping[str, Shape]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options to build with, and the names of the tensors that depend on the number of classes: the head."""
    options = dict(start)
    head: tuple[str, ...] = ()
    if "num_classes" in recipe.options:
        options["num_classes"], head = _measure(recipe, "num_classes", start, probe, shapes, MOST_CLASSES)
    if "in_chans" in recipe.options:
        options["in_chans"], _ = _measure(recipe, "in_chans", start, probe, shapes, MOST_CHANNELS)
    return options, head


def _with_tensors(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Load tensors into the network's own state dict, which keeps what it says about versions."""
    state = module.state_dict()
    state.update({name: tensor.to(state[name].dtype) for name, tensor in tensors.items()})
    module.load_state_dict(state)
    return module


def _measure(
    recipe: Architecture,
    key: str,
    options: Mapping[str, Any],
    probe: Mapping[str, Shape],
    stored: Mapping[str, Shape],
    most: int,
) -> tuple[int, tuple[str, ...]]:
    """One size, as read off the file's tensors, and the names of the tensors that depend on it."""
    start: int = options[key]
    if key == "in_chans" and all(stored.get(name, shape) == shape for name, shape in probe.items() if len(shape) == 4):
        return start, ()
    try:
        larger = _shapes(build_shapes(recipe, **{**options, key: start + 1}))
    except ModelError:
        return start, ()
    sizes = solve_size(stored, probe, larger, start)
    if len(sizes) > 1 or any(not 1 <= size <= most for size in sizes):
        what = "number of classes" if key == "num_classes" else "number of channels"
        raise ModelError(
            f"The file's tensors do not agree on a usable {what}: {', '.join(map(str, sorted(sizes)[:4]))}.",
            "Give the architecture that the weights were trained with.",
        )
    return (sizes.pop() if sizes else start), depends_on(probe, larger)


def _check_wish(wanted: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    for key, what in (("num_classes", "classes"), ("in_chans", "channels")):
        wish, own = wanted[key], options.get(key)
        if wish is not None and own is None:
            raise ModelError(f"This architecture's function takes no {key}.", "Leave it out.")
        if wish is not None and wish != own:
            raise ModelError(f"The file has {own} {what}, not {wish}.", f"Leave {key} out: it is read off the file.")


def _without_unused(match: NameMatch, recipe: Architecture) -> NameMatch:
    """Forgive tensors that only training uses."""
    left = [x for x in match.unexpected if not any(f".{start}" in f".{x}" for start in recipe.unused)]
    return replace(match, unexpected=tuple(left))


def _notes(match: NameMatch) -> tuple[str, ...]:
    notes = []
    if match.rivals:
        used, others = _place(match.prefix), ", ".join(_place(rival) for rival in match.rivals[:3])
        notes.append(f"The file holds several sets of weights; {used} were used, not {others}.")
    elif match.elsewhere:
        examples = ", ".join(shorten(name) for name in match.elsewhere[:2])
        notes.append(f"{len(match.elsewhere)} other tensors in the file were left out ({examples}).")
    return tuple(notes)


def _place(prefix: str) -> str:
    return f"those under '{shorten(prefix.rstrip('.'))}'" if prefix else "those at the top"


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
