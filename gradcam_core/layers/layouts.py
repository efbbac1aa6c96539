"""Which layers can be explained, and how their outputs become maps: NCHW, NHWC, tokens -> C h w."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradcam_core.records import LayerInfo

# The kind of layer of a model that shows none: its input.
INPUT = "the model's input"
PASS_ON = (nn.Identity, nn.Dropout, nn.Dropout2d)
CHANNELS_FIRST = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm)
CHANNELS_LAST = (nn.Linear, nn.LayerNorm)
# How many class and register tokens may stand before the patches where nothing says so.
MOST_PREFIX_TOKENS = 16
TOKENS, TOKENS_FIRST = "tokens", "tokens first"
NO_GRID = "do not make rows and columns"
AMBIGUOUS = "its output has as many channels as rows and columns, which cannot be told apart; another input size would"

Grid = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a module's output is no map. `ambiguous`: the layout of the network's other layers could decide."""

    reason: str
    ambiguous: bool = False


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
    if len(shape) == 4 and shape[0] > 1:
        return Refused(f"it gives {shape[0]} maps for one picture")
    pictures = shape[1:2] if len(shape) == 3 and shape[0] != 1 else shape[:1]
    if not output.is_floating_point() or len(shape) not in (3, 4) or pictures != (1,):
        return Refused(f"its output {list(shape)} has no rows and columns")
    if len(shape) == 3:
        return _describe_tokens(name, module, shape, input_size, network)
    return _describe_map(name, module, shape, input_size, assumed)


def _describe_map(
    name: str, module: nn.Module, shape: tuple[int, ...], input_size: tuple[int, int], assumed: str
) -> LayerInfo | Refused:
    channels_first, channels_last = _is_grid(shape[2:], input_size), _is_grid(shape[1:3], input_size)
    if not channels_first and not channels_last:
        channels_first = _is_long(shape[2:], input_size)
        channels_last = type(module) in CHANNELS_LAST and _is_long(shape[1:3], input_size)
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
    return fits and _skew(grid, input_size) <= max(input_size)


def _is_long(grid: Sequence[int], input_size: tuple[int, int]) -> bool:
    """Whether cells of such a grid are at most twice as long in one direction as in the other."""
    cells = sorted(cells / length for cells, length in zip(grid, input_size, strict=True))
    return min(grid) > 1 and cells[1] <= 1 and cells[1] <= 2 * cells[0]


def _describe_tokens(
    name: str, module: nn.Module, shape: tuple[int, ...], input_size: tuple[int, int], network: nn.Module
) -> LayerInfo | Refused:
    tokens, layout = (shape[1], TOKENS) if shape[0] == 1 else (shape[0], TOKENS_FIRST)
    readings = token_readings(tokens, input_size, network)
    if not readings:
        return Refused(f"its {tokens} tokens {NO_GRID}")
    grid, prefix = readings[0]
    return LayerInfo(name, type(module).__name__, shape[2], grid, layout, prefix)


def token_readings(tokens: int, input_size: tuple[int, int], network: nn.Module) -> list[tuple[Grid, int]]:
    """Every way to lay so many tokens in rows and columns: the grid, and how many tokens stand before it.

    What the network states comes first and alone; then grids of equal squares, with few tokens before them; then
    grids whose cells are square up to rounding; then those of longer cells.
    """
    patches = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    stated: Any = getattr(network, "num_prefix_tokens", None)
    prefixes: Iterable[int] = range(MOST_PREFIX_TOKENS + 1)
    if isinstance(stated, int):
        if patches is not None and math.prod(patches) == tokens - stated:
            return [((patches[0], patches[1]), stated)]
        prefixes = dict.fromkeys((stated, 0))
    grids = [(grid, prefix) for prefix in prefixes for grid in _grids_of(tokens - prefix, input_size)]
    return sorted(grids, key=lambda x: 0 if not _skew(x[0], input_size) else 1 if _is_grid(x[0], input_size) else 2)


def _grids_of(cells: int, input_size: tuple[int, int]) -> list[Grid]:
    """Rows and columns of so many cells: equal squares, or at least three rows and columns of other cells."""
    if cells < 2:
        return []
    middle = math.sqrt(cells * input_size[0] / input_size[1])
    heights = range(max(1, round(middle / math.sqrt(2)) - 2), round(middle * math.sqrt(2)) + 3)
    grids = [(height, cells // height) for height in heights if cells % height == 0]
    possible = [x for x in grids if _is_grid(x, input_size) or _is_long(x, input_size)]
    return [x for x in possible if min(x) > 2 or not _skew(x, input_size)]


def _skew(grid: Sequence[int], input_size: tuple[int, int]) -> int:
    """How far the cells are from squares; 0 for squares."""
    return abs(grid[0] * input_size[1] - grid[1] * input_size[0])


def to_grid(values: torch.Tensor, layer: LayerInfo) -> torch.Tensor:
    """Bring a layer's output or its gradient [... as the layer gives it] to [... C h w], as a view."""
    if layer.layout == "NHWC":
        return values.movedim(-1, -3)
    if layer.layout in (TOKENS, TOKENS_FIRST):
        patches = to_tokens(values, layer)[..., layer.prefix_tokens :, :].movedim(-1, -2)
        return patches.reshape(*patches.shape[:-1], *layer.grid)
    return values


def to_tokens(values: torch.Tensor, layer: LayerInfo) -> torch.Tensor:
    """Bring the output of a layer of tokens [... as the layer gives it] to [... N T C], or back, as a view."""
    return values.transpose(-3, -2) if layer.layout == TOKENS_FIRST else values
