"""The blocks of a vision transformer: which they are, their attention weights, and LeGrad's gradients by these."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from gradcam_core.capture.attending import Attending
from gradcam_core.capture.scores import BATCH_REFUSALS, class_scores, differentiate, gradients_of, target_scores
from gradcam_core.capture.taps import listening
from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import MethodError
from gradcam_core.layers import TOKENS, TOKENS_FIRST, to_grid, to_tokens
from gradcam_core.records import LayerInfo, LoadedModel, Target

Tensor = torch.Tensor
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# The weights of all blocks may take so many bytes: 24 blocks at 1374 tokens take 181 MB.
MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """The attention weights of a vision transformer's blocks, in order.

    `weights` [N T T] of each block are the mean over its heads: how much each token (row) takes from every token
    (column). `read` [T] is the share of each token in what the classifier reads. `layer` is the last block, and
    says which tokens are patches.
    """

    layer: LayerInfo
    weights: tuple[torch.Tensor, ...]
    read: torch.Tensor


@dataclass(slots=True)
class _Noted:
    """The token layers that ended after each attention call, and how many queries and values it had."""

    wanted: frozenset[str]
    ended: list[list[str]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def attend(self, values: Tensor, weights: Callable[[], Tensor], output: Tensor) -> Tensor:
        self.ended.append([])
        self.sizes.append((output.shape[-2], values.shape[-2]))
        return output

    def take(self, name: str, output: Tensor) -> Tensor:
        if self.ended:
            self.ended[-1].append(name)
        return output


@torch.inference_mode(False)
def attention_blocks(network: nn.Module, layers: Sequence[LayerInfo], inputs: Tensor) -> tuple[str, ...]:
    """Name the blocks of a plain vision transformer, in order: () for any other network.

    In each, every token attends to every token, once; no attention stands before or behind them. `layers` are
    those with taps. Runs the network once where some of them hold tokens.
    """
    tokens = {layer.name: layer for layer in layers if layer.layout in (TOKENS, TOKENS_FIRST)}
    parts = frozenset(name for name in tokens if network.get_submodule(name)._modules)
    if not parts:
        return ()
    noted = _Noted(parts)
    with listening(noted, inputs.device), Attending(noted.attend):
        network(inputs)
    parents = {_parent(name) for name in noted.ended[0]} if noted.ended else set()
    for parent in sorted(parents, key=lambda name: (name.count("."), name)):
        if isinstance(network.get_submodule(parent), CONTAINERS):
            blocks = _each_attends(network, parent, noted, tokens)
            if blocks:
                return blocks
    return ()


def _each_attends(network: nn.Module, parent: str, noted: _Noted, tokens: Mapping[str, LayerInfo]) -> tuple[str, ...]:
    """The parts of a container, if each of them attends exactly once, from every token to every token, and no other."""
    ended = [[name for name in names if _parent(name) == parent] for names in noted.ended]
    if any(len(names) != 1 for names in ended):
        return ()
    members = [tokens[names[0]] for names in ended]
    children = network.get_submodule(parent).named_children()
    every = [f"{parent}.{key}".lstrip(".") for key, child in children if child._modules]
    alike = len({(layer.grid, layer.prefix_tokens) for layer in members}) == 1
    length = _count(members[0])
    whole = alike and set(noted.sizes) == {(length, length)} and every == [layer.name for layer in members]
    return tuple(every) if whole else ()


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _count(layer: LayerInfo) -> int:
    """How many tokens a layer has."""
    return math.prod(layer.grid) + layer.prefix_tokens


def _last_block(model: LoadedModel) -> LayerInfo:
    return next(layer for layer in model.layers if layer.name == model.attention[-1])


@dataclass(slots=True)
class _Weights:
    """The weights of each block, and the last block's output, where the graph starts."""

    wanted: frozenset[str]
    weights: list[Tensor] = field(default_factory=list)
    last: Tensor | None = None

    def attend(self, values: Tensor, weights: Callable[[], Tensor], output: Tensor) -> Tensor:
        self.weights.append(weights())
        return output

    def take(self, name: str, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        self.last = output.detach().requires_grad_()
        return self.last.clone()


def block_attention(model: LoadedModel, inputs: Tensor) -> Attention:
    """The attention weights of every block of `model.attention`, in one pass.

    Raises MethodError where they would take more than MOST_BYTES.
    """
    layer = _last_block(model)
    if 4 * len(model.attention) * len(inputs) * _count(layer) ** 2 > MOST_BYTES:
        raise MethodError(
            f"The attention of {_count(layer)} tokens in {len(model.attention)} blocks takes more than 1 GB.",
            "Choose a smaller input size.",
        )
    session = _Weights(frozenset({layer.name}))
    with listening(session, model.device), Attending(session.attend):
        outputs = class_scores(model.module(inputs.clone()))
        assert session.last is not None
        # The square, since the sum of probabilities is always 1.
        (slopes,) = gradients_of(outputs.square().sum(dim=1)[None], [session.last])
    return Attention(replace(layer, layout=TOKENS), tuple(session.weights), _read(slopes, layer, inputs))


def _read(slopes: Tensor | None, layer: LayerInfo, inputs: Tensor) -> Tensor:
    """The share [T] of each token in what the classifier reads: equal for those that its scores depend on.

    Where no score depends on any, as with weights of 0, the class token is taken, or all patches.
    """
    depends = torch.zeros(_count(layer), device=inputs.device)
    if slopes is not None:
        depends = to_tokens(slopes[0], layer).ne(0).any(dim=2).any(dim=0).float()
    if not depends.any():
        depends[slice(0, 1) if layer.prefix_tokens else slice(None)] = 1
    return depends / depends.sum()


@dataclass(slots=True)
class _Cuts:
    """What starts and ends the graph of each block from `first` on: the output of its attention, and its tokens' mean.

    At the last block a row for each of these blocks joins the batch, in which every token is that block's mean
    token: what follows gives the block's own class scores, however it pools its tokens.
    """

    wanted: frozenset[str]
    layer: LayerInfo
    first: int
    ended: int = 0
    values: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)
    rows: Tensor | None = None

    def attend(self, values: Tensor, weights: Callable[[], Tensor], output: Tensor) -> Tensor:
        if self.ended < self.first:
            return output
        torch.set_grad_enabled(True)
        self.values.append(values.detach())
        self.outputs.append(output.detach().requires_grad_())
        return self.outputs[-1]

    def take(self, name: str, output: Tensor) -> Tensor:
        self.ended += 1
        if self.ended <= self.first:
            return output
        tokens = to_tokens(output, self.layer)
        self.means.append(tokens.mean(dim=1))
        if name != self.layer.name:
            torch.set_grad_enabled(False)
            return output.detach().clone()
        self.rows = torch.cat(self.means).detach().requires_grad_()
        rows = self.rows[:, None].expand(-1, tokens.shape[1], -1)
        return to_tokens(torch.cat([tokens.detach(), rows]), self.layer)


def block_gradients(
    model: LoadedModel, inputs: Tensor, targets: Sequence[Target], first: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each block of `model.attention` from number `first` on (0 is the first), in order:

    the gradients [K N heads T d] of that block's target scores by its attention's output O, and the values V
    [N heads d h w] of the patches. Since O = A V, the gradient by the weights A is their product. One forward
    pass; a block's graph is freed once it has been given. Raises MethodError where what follows the blocks
    does not take several pictures, no score depends on them, or there are not so many.
    """
    if first >= len(model.attention):
        counted = f"This network has {len(model.attention)} blocks, so none has the number {first + 1}."
        raise MethodError(counted, "Choose an earlier first block; 1 takes all of them.")
    layer = _last_block(model)
    session = _Cuts(frozenset(model.attention), layer, first)
    pulled = _scores_by_rows(model, inputs, targets, session)
    for place in range(len(session.means)):
        mean, output = session.means[place], session.outputs[place]
        (slopes,) = differentiate(mean, pulled[:, place], [output])
        if slopes is None:
            raise MethodError("A block of this network does not use its attention.", "Use a method that reads a layer.")
        yield slopes, to_grid(session.values[place], replace(layer, layout=TOKENS))
        del mean, output, slopes
        session.means[place] = session.outputs[place] = session.values[place] = torch.empty(0)


def _scores_by_rows(model: LoadedModel, inputs: Tensor, targets: Sequence[Target], session: _Cuts) -> Tensor:
    """Run the network; the gradients [K blocks N C] of each block's target scores by its mean token."""
    with listening(session, model.device), Attending(session.attend):
        try:
            outputs = class_scores(model.module(inputs.clone()))
        except BATCH_REFUSALS as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            raise _unread() from error
        rows = session.rows
        if rows is None or len(outputs) != len(inputs) + len(rows):
            raise _unread()
        (slopes,) = gradients_of(target_scores(outputs[len(inputs) :], targets), [rows])
    if slopes is None:
        raise MethodError("No class score depends on this network's tokens.", "Use a method that reads a layer.")
    return slopes.reshape(len(targets), -1, len(inputs), slopes.shape[-1])


def _unread() -> MethodError:
    return MethodError(
        "What follows this network's blocks cannot be run on the tokens of several of them at once.",
        "Use Grad-CAM, or attention rollout.",
    )
