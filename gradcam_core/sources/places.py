"""Whether a map's cells lie where the picture's places lie: shown by what changes when a quadrant of the input does.

Two probes differ in the top right quadrant of the input alone. That quadrant tells rows from columns, and the order
of the picture from any other.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture import Call
from gradcam_core.layers import TOKENS, TOKENS_FIRST, Refused, token_readings
from gradcam_core.records import LayerInfo

Described = Mapping[str, LayerInfo | Refused]
# How many times more the changed quadrant of a map must change than any other, to show that it lies there.
CLEAR = 1.2
# A quarter of the cells changes so many times more than the rest: the change has a place.
LOCAL = 2.5
# The share of those cells that must lie in the quadrant.
MOST_INSIDE = 0.6
# Modules that work on rows and columns of a map, whatever it shows.
ON_MAPS = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
ELSEWHERE = "its cells do not lie where the places of the picture lie"
UNKNOWN = "nothing shows that its rows and columns are those of the picture"
WEIGHTS = "its outputs are attention weights, which say how each place weighs each other one"


def in_place(
    described: Described, passes: Sequence[Mapping[str, Call]], input_size: tuple[int, int], network: nn.Module
) -> dict[str, LayerInfo | Refused]:
    """Keep the layers whose cells lie where the picture's places lie, and give the others' reasons.

    `passes` are two probes whose inputs differ in the top right quadrant.
    """
    layers = {name: layer for name, layer in described.items() if isinstance(layer, LayerInfo)}
    changes = {name: change_of(passes[0][name], passes[1][name]) for name in layers}
    maps = {name: layer for name, layer in layers.items() if layer.layout not in (TOKENS, TOKENS_FIRST)}
    contrasts = {name: contrast_of(changes[name]) for name in maps}
    sure = {maps[name].grid for name, contrast in contrasts.items() if contrast >= CLEAR}
    grids = sure | {x.grid for name, x in maps.items() if _works_on_maps(x, passes[0][name])}
    verdicts = dict(described)
    read = {
        name: _reading(layer, changes[name], input_size, network, grids)
        for name, layer in layers.items()
        if name not in maps
    }
    placed = [layer for layer, there in read.values() if there]
    counts = {math.prod(x.grid) + prefix for x in placed for prefix in {0, x.prefix_tokens}} | set(map(math.prod, sure))
    for name, (layer, there) in read.items():
        verdicts[name] = _judge_tokens(layer, there, placed)
    for name, layer in maps.items():
        verdicts[name] = _judge_map(layer, changes[name], grids, counts)
    weights = (name for name in layers if all(calls[name].weights for calls in passes))
    return verdicts | dict.fromkeys(weights, Refused(WEIGHTS))


def change_of(before: Call, after: Call) -> torch.Tensor | None:
    """How much each cell changed [h w], or each token [tokens]; of as many tokens as channels, both [C tokens]."""
    if before.cells is None or after.cells is None or before.cells.shape != after.cells.shape:
        return None
    change = (after.cells - before.cells).abs()
    if not change.isfinite().all() or not change.any():
        return None
    return change if change.dim() == 2 and change.shape[0] == change.shape[1] else change.mean(dim=0)


def contrast_of(change: torch.Tensor | None) -> float:
    """How many times more the top right quadrant of a map [h w] changed than the one of the others that did most.

    1 where nothing is known of the change.
    """
    if change is None:
        return 1.0
    top, bottom = _halves(change.shape[0])
    left, right = _halves(change.shape[1])
    means = [float(change[rows, columns].mean()) for rows in (top, bottom) for columns in (left, right)]
    others = max(means[0], means[2], means[3]) if change.shape[0] > 1 else means[0]
    others = others if change.shape[1] > 1 else means[2]
    return means[1] / others if others > 0 else math.inf if means[1] > 0 else 1.0


def _halves(cells: int) -> tuple[slice, slice]:
    """The first and the second half, without a cell in the middle; the only cell is in both."""
    return (slice(0, 1), slice(0, 1)) if cells == 1 else (slice(0, cells // 2), slice(cells - cells // 2, cells))


def _works_on_maps(layer: LayerInfo, call: Call) -> bool:
    """Whether a step takes neighbours together, which attention weights and rows of tokens do not have."""
    return isinstance(call.module, ON_MAPS) and not layer.attention


def _with_halves(grids: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """These grids, and those that halving them once or twice gives, rounded up."""
    return {(-(-rows // step), -(-columns // step)) for rows, columns in grids for step in (1, 2, 4)}


def _reading(
    layer: LayerInfo,
    change: torch.Tensor | None,
    input_size: tuple[int, int],
    network: nn.Module,
    grids: Collection[tuple[int, int]],
) -> tuple[LayerInfo, bool | None]:
    """A layer with its tokens laid out so that the change lies in the right place, and whether it does.

    None where the change shows no place. Tokens before the patches that nothing states are believed where the network
    has maps of this grid; cells that are no squares, where it has maps of this grid or of one that becomes it when
    halved.
    """
    if change is None:
        return layer, None
    across = change.mean(dim=1) if change.dim() == 2 else None  # read with channels and tokens exchanged
    tokens = change.mean(dim=0) if change.dim() == 2 else change
    stated = getattr(network, "num_prefix_tokens", 0)
    prefixes = {grid: len(tokens) - math.prod(grid) for grid in sorted(grids)}
    of_maps = [(grid, prefix) for grid, prefix in prefixes.items() if 0 <= prefix <= math.prod(grid)]
    for grid, prefix in dict.fromkeys([*token_readings(len(tokens), input_size, network), *of_maps]):
        squares = grid[0] * input_size[1] == grid[1] * input_size[0]
        believed = grid in grids or (prefix in (0, stated) and (squares or grid in _with_halves(grids)))
        laid = tokens[prefix:].reshape(grid)
        if across is not None and contrast_of(across[prefix:].reshape(grid)) > max(contrast_of(laid), CLEAR):
            return layer, False
        if believed and _lies_there(laid):
            return replace(layer, grid=grid, prefix_tokens=prefix), True
    return layer, False if _is_local(tokens) else None


def _judge_tokens(layer: LayerInfo, there: bool | None, placed: Sequence[LayerInfo]) -> LayerInfo | Refused:
    """Where the change shows no place, other layers of as many tokens do, or of a grid that becomes it when halved."""
    if there is not None:
        return layer if there else Refused(ELSEWHERE)
    tokens = math.prod(layer.grid) + layer.prefix_tokens
    same = next((x for x in placed if math.prod(x.grid) + x.prefix_tokens == tokens), None)
    if same:
        return replace(layer, grid=same.grid, prefix_tokens=same.prefix_tokens)
    halved = not layer.prefix_tokens and layer.grid in _with_halves(x.grid for x in placed)
    return layer if halved else Refused(UNKNOWN)


def _judge_map(
    layer: LayerInfo, change: torch.Tensor | None, grids: Collection[tuple[int, int]], counts: Collection[int]
) -> LayerInfo | Refused:
    """Where the change does not show the place, other maps of this grid do, or a step that works on maps."""
    contrast = contrast_of(change)
    if contrast >= CLEAR:
        return layer
    if change is not None and contrast < 0.5 and change.numel() > 8 and _is_local(change.flatten()):
        return Refused(ELSEWHERE)
    if layer.attention and layer.grid[0] == layer.grid[1] and layer.grid[0] in counts:
        return Refused(WEIGHTS)
    return layer if layer.grid in grids else Refused(UNKNOWN)


def _lies_there(change: torch.Tensor) -> bool:
    """Whether a map's change lies in the top right quadrant; where it is local, most of its cells must."""
    if contrast_of(change) < CLEAR:
        return False
    if not _is_local(change.flatten()):
        return True
    rows, columns = change.shape
    least = change.flatten().sort(descending=True).values[max(0, change.numel() // 4 - 1)]
    hottest = (change >= least).nonzero()
    inside = (hottest[:, 0] < (rows + 1) // 2) & (hottest[:, 1] >= columns // 2)
    return float(inside.float().mean()) > MOST_INSIDE


def _is_local(change: torch.Tensor) -> bool:
    """Whether a quarter of the cells changes far more than the rest."""
    ordered = change.sort(descending=True).values
    quarter = max(1, len(ordered) // 4)
    return float(ordered[:quarter].mean()) > LOCAL * float(ordered[quarter:].mean())
