"""Which layers can be explained, and how their outputs become maps: NCHW, NHWC, tokens -> C h w."""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from gradcam_core.errors import LayerError
from gradcam_core.records import LayerInfo, LoadedModel

PASS_ON = (nn.Identity, nn.Dropout, nn.Dropout2d)
POOLS = (nn.AdaptiveAvgPool2d, nn.AvgPool2d)
CHANNELS_FIRST = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm)
CHANNELS_LAST = (nn.Linear, nn.LayerNorm)
# The class token alone is read after the last block, so gradients reach the patches only before it.
TOKEN_DEFAULTS = ("norm1", "ln_1", "layernorm_before")
PREFIX_TOKENS = (0, 1, 2, 5)
AMBIGUOUS = "its output has as many channels as rows and columns, which cannot be told apart; another input size would"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a module's output is no map. `ambiguous`: the layout of the network's other layers could decide."""

    reason: str
    ambiguous: bool = False


def list_layers(model: LoadedModel) -> tuple[LayerInfo, ...]:
    """Every layer that can be explained, in the order of computation, with its map's shape."""
    return model.layers


def describe_layer(
    name: str,
    module: nn.Module,
    output: object,
    calls: int,
    input_size: tuple[int, int],
    network: nn.Module,
    assumed: str = "",
) -> LayerInfo | Refused:
    """Say how a module's output [for one picture] becomes a map, or why it does not.

    `assumed` is the layout of the network's other layers, for an output whose sizes do not tell.
    """
    if calls > 1:
        return Refused(f"it is used {calls} times in one pass, so its output is not one map")
    if isinstance(module, PASS_ON) or (type(module) is nn.Sequential and not len(module)):
        return Refused("it passes its input on unchanged; the layer before it has the same map")
    if isinstance(module, nn.Softmax):
        return Refused("its outputs are attention weights, not a map")
    if not isinstance(output, torch.Tensor):
        return Refused(f"its output is a {type(output).__name__}, not one tensor")
    shape = tuple(output.shape)
    if not output.is_floating_point() or len(shape) not in (3, 4) or shape[0] != 1:
        return Refused(f"its output {list(shape)} has no rows and columns")
    if len(shape) == 3:
        return _describe_tokens(name, module, shape, input_size, network)
    channels_first, channels_last = _is_grid(shape[2:], input_size), _is_grid(shape[1:3], input_size)
    if channels_first and channels_last:
        # Rows, columns and channels are as many: only a module that works on one known axis can tell them apart.
        channels_last = type(module) in CHANNELS_LAST
        channels_first = not channels_last and (isinstance(module, CHANNELS_FIRST) or assumed == "NCHW")
        if not channels_first and not channels_last:
            return Refused(AMBIGUOUS, ambiguous=True)
    if channels_last:
        info = LayerInfo(name, type(module).__name__, shape[3], (shape[1], shape[2]), "NHWC")
    elif channels_first:
        info = LayerInfo(name, type(module).__name__, shape[1], (shape[2], shape[3]))
    else:
        return Refused(f"its output {list(shape)} has no rows and columns like the picture's")
    return info if math.prod(info.grid) > 1 else Refused("its map has shrunk to a single cell")


def _is_grid(grid: Sequence[int], input_size: tuple[int, int]) -> bool:
    """Whether height and width can be the input's, divided by a stride and rounded."""
    (height, width), (full_height, full_width) = grid, input_size
    fits = height <= full_height and width <= full_width
    return fits and abs(height * full_width - width * full_height) <= max(input_size)


def _describe_tokens(
    name: str, module: nn.Module, shape: tuple[int, ...], input_size: tuple[int, int], network: nn.Module
) -> LayerInfo | Refused:
    if any(type(part).__name__ == "Unroll" for part in network.modules()):
        return Refused("this network does not keep its tokens in rows")
    patches = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    stated = getattr(network, "num_prefix_tokens", None)
    for prefix in (stated, 0) if isinstance(stated, int) else PREFIX_TOKENS:
        known = patches is not None and math.prod(patches) == shape[1] - prefix
        grid = patches if known else _grid_of(shape[1] - prefix, input_size)
        if grid and math.prod(grid) > 1:
            return LayerInfo(name, type(module).__name__, shape[2], (grid[0], grid[1]), "tokens", prefix)
    return Refused(f"its {shape[1]} tokens do not make rows and columns")


def _grid_of(tokens: int, input_size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of the patches, where the input divides into so many equal squares."""
    if tokens < 2:
        return None
    height = round(math.sqrt(tokens * input_size[0] / input_size[1]))
    if height < 1 or tokens % height or input_size[0] % height:
        return None
    width = tokens // height
    return (height, width) if input_size[0] * width == input_size[1] * height else None


def to_grid(values: torch.Tensor, layer: LayerInfo) -> torch.Tensor:
    """Bring a layer's output or its gradient [... as the layer gives it] to [... C h w], as a view."""
    if layer.layout == "NHWC":
        return values.movedim(-1, -3)
    if layer.layout == "tokens":
        patches = values[..., layer.prefix_tokens :, :].movedim(-1, -2)
        return patches.reshape(*patches.shape[:-1], *layer.grid)
    return values


def choose_default(layers: Sequence[LayerInfo], network: nn.Module) -> str:
    """The last map before the classifier reads it: `features[-1]`, `layer4[-1]` and their like.

    `layers` are those that end before the classifier begins. Plain containers are entered, so that
    the name is that of the block.
    """
    tokens = [x for x in layers if x.layout == "tokens" and x.name.rsplit(".", 1)[-1] in TOKEN_DEFAULTS]
    if tokens and layers[-1].layout == "tokens" and layers[-1].prefix_tokens:
        return tokens[-1].name
    known = {layer.name for layer in layers}
    modules = dict(network.named_modules())
    candidates = [x.name for x in layers if not isinstance(modules[x.name], POOLS)]
    name = candidates[-1] if candidates else layers[-1].name
    while type(modules[name]) is nn.Sequential:
        inner = f"{name}.{list(modules[name]._modules)[-1]}"
        if inner not in known:
            break
        name = inner
    return name


def resolve_layer(model: LoadedModel, name: str) -> LayerInfo:
    """Find a layer by its name in dots (`layer4.1`) or brackets (`layer4[-1]`).

    Raises LayerError, with the reason, for one that does not exist or holds no map.
    """
    known = {layer.name: layer for layer in model.layers}
    if name in known:
        return known[name]
    dotted = _canonical(model.module, _dotted(model.module, str(name)))
    if dotted in known:
        return known[dotted]
    usual = f"Choose another layer; the usual one here is '{model.default_layer}'."
    if dotted in model.refused_layers:
        raise LayerError(f"Layer '{name}' cannot be explained: {model.refused_layers[dotted]}.", usual)
    near = difflib.get_close_matches(dotted, known, n=3)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise LayerError(f"There is no layer '{name[:80]}' in this model.", f"{hint}{usual}")


def _dotted(network: nn.Module, name: str) -> str:
    """`layer4[-1].conv2` -> `layer4.1.conv2`; what does not resolve comes back with plain indices."""
    modules = dict(network.named_modules(remove_duplicate=False))
    parts: list[str] = []
    for part in re.sub(r"\[(-?\d+)\]", r".\1", name).strip(".").split("."):
        parent = modules.get(".".join(parts))
        children = list(parent._modules) if parent is not None else []
        if re.fullmatch(r"-?\d+", part) and part not in children and -len(children) <= int(part) < len(children):
            part = children[int(part)]
        parts.append(part)
    return ".".join(parts)


def _canonical(network: nn.Module, name: str) -> str:
    """The first name of a module that the network holds under several."""
    module = dict(network.named_modules(remove_duplicate=False)).get(name)
    return next((first for first, other in network.named_modules() if other is module), name)


def layers_by_depth(model: LoadedModel, most: int = 8) -> tuple[LayerInfo, ...]:
    """Choose layers that show the network's depth, shallow to deep; the last one is the model's usual layer.

    Blocks rather than their parts; the last of each grid size is always among them, as far as `most`
    allows, and the others are spread evenly.
    """
    names = [layer.name for layer in model.layers]
    before = model.layers[: names.index(model.default_layer)]
    usual = model.layers[len(before)]
    blocks = [layer for layer in before if _is_block(layer.name, model.module)] or list(before)
    last_of_grid = {layer.grid: layer for layer in (*blocks, usual)}
    kept = list(last_of_grid.values())[-most:]
    others = [layer for layer in blocks if layer not in kept]
    room = most - len(kept)
    if room < len(others):
        others = [others[(2 * place + 1) * len(others) // (2 * room)] for place in range(room)]
    return tuple(layer for layer in (*before, usual) if layer in kept or layer in others)


def _is_block(name: str, network: nn.Module) -> bool:
    """Whether a module has parts of its own, and stands in nothing but plain containers."""
    parts = name.split(".")
    around = [type(network.get_submodule(".".join(parts[:end]))) for end in range(1, len(parts))]
    module = network.get_submodule(name)
    plain = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return bool(module._modules) and type(module) not in plain and all(kind in plain for kind in around)
