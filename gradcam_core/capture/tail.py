"""What follows a layer, as a function: maps at the layer -> the network's outputs.

The network is not touched. A shadow of it, whose modules are new objects that share every tensor,
plays back what was recorded of the steps before the layer, and runs only those behind it. Before it
is used it must reproduce what the whole network gives, on the layer's own activations and on others.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from gradcam_core.capture.scores import class_scores
from gradcam_core.capture.shadow import put_in, shadow_of
from gradcam_core.capture.taps import listening
from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import LayerError
from gradcam_core.layers import TOKENS, TOKENS_FIRST, to_grid, to_tokens
from gradcam_core.records import LayerInfo

Run = Callable[[torch.Tensor], torch.Tensor]
# What a network raises when it meets another number of pictures in its middle than at its beginning.
MISFITS = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError)
CONTAINERS = (nn.ModuleList, nn.ModuleDict)


def tail_of(network: nn.Module, layer: LayerInfo, inputs: torch.Tensor, outputs: torch.Tensor) -> Run:
    """Give what follows a layer for one picture: maps [B C h w] -> outputs [B classes].

    `inputs` [1 Cin Hin Win] is the picture, `outputs` [1 classes] what the network says of it. Raises
    LayerError where nothing but the layer's own pass gives what the network does.
    """
    with listening(None, inputs.device):
        before, own, changed, truth = _record(network, layer, inputs)
        expected = torch.cat([outputs, truth])
        both = torch.cat([to_grid(own, layer), to_grid(changed, layer)])
        # One picture's values are given to a batch as they are, to be broadcast, or as copies; at worst nothing is
        # played back, and the whole network runs each time.
        for played, copies in ((before, False), (before, True), ({}, True)):
            run = _Replay(network, layer, inputs, own, played, copies)
            if _reproduces(run, both, expected):
                for player in run.players.values():
                    player.settle()
                return run
    raise LayerError(
        f"What follows layer '{layer.name}' cannot be run by itself in this network.",
        "Choose another layer, or a method that needs no tail.",
    )


def _record(
    network: nn.Module, layer: LayerInfo, inputs: torch.Tensor
) -> tuple[dict[str, list[Any]], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run a shadow once with other activations at the layer.

    Returns the outputs, call by call, of the steps beside the way to the layer that run only before it ends; the
    layer's own output, what was put in its place, and the outputs that this led to.
    """
    calls: dict[str, list[Any]] = {name: [] for name in _beside(network, layer.name)}
    shadow = shadow_of(network, {*calls, layer.name})
    later: set[str] = set()
    seen: list[torch.Tensor] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if seen:
                later.add(name)
            else:  # a later step may work in place
                calls[name].append(tree_map_only(torch.Tensor, torch.clone, output))

        return hook

    def replace(module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
        other = 0.5 * to_grid(output, layer).roll(1, dims=1)
        seen.extend((output.clone(), from_grid(other, output, layer).clone()))
        return seen[1].clone()

    for name in calls:
        shadow.get_submodule(name).register_forward_hook(note(name))
    shadow.get_submodule(layer.name).register_forward_hook(replace)
    truth = class_scores(shadow(inputs))
    before = {name: outputs for name, outputs in calls.items() if outputs and name not in later}
    return before, seen[0], seen[1], truth


def _beside(network: nn.Module, target: str, name: str = "") -> Iterator[str]:
    """Names of the modules beside the way from the root to the target; lists of modules are entered."""
    for key, child in network.get_submodule(name).named_children():
        full = f"{name}.{key}" if name else key
        on_the_way = target.startswith(f"{full}.")
        if on_the_way or isinstance(child, CONTAINERS):
            yield from _beside(network, target, full)
        elif full != target:
            yield full


class _Player(nn.Module):
    """Replaces a module, and plays back its recorded outputs call by call."""

    def __init__(self, outputs: list[Any], copies: bool) -> None:
        super().__init__()
        self.outputs, self.copies = outputs, copies
        self.turn, self.count, self.careful = 0, 1, True
        self.handed: list[torch.Tensor] = []

    def begin(self, count: int) -> None:
        """Start again, for a batch of `count`."""
        self.turn, self.count, self.handed = 0, count, []

    def forward(self, *given: Any, **named: Any) -> Any:
        """Give the recorded output of this call."""
        self.turn += 1
        return tree_map_only(torch.Tensor, self._hand_out, self.outputs[self.turn - 1])

    def _hand_out(self, values: torch.Tensor) -> torch.Tensor:
        if self.copies:
            return values.repeat(self.count, *[1] * (values.dim() - 1))
        handed = values.clone() if self.careful else values
        self.handed += [handed] if self.careful else []
        return handed

    def settle(self) -> None:
        """From now on make a copy only if the last run overwrote one."""
        self.careful = any(values._version for values in self.handed)
        self.handed = []


class _Injected(nn.Module):
    """Stands for the layer, and gives what is put in."""

    def __init__(self) -> None:
        super().__init__()
        self.values = torch.empty(0)

    def forward(self, *given: Any, **named: Any) -> torch.Tensor:
        """Give a copy, which a later in-place step may overwrite."""
        return self.values.clone()


class _Replay:
    """A shadow of the network that plays back what came before the layer. For one thread at a time."""

    def __init__(
        self,
        network: nn.Module,
        layer: LayerInfo,
        inputs: torch.Tensor,
        own: torch.Tensor,
        before: dict[str, list[Any]],
        copies: bool,
    ) -> None:
        self.layer, self.inputs, self.own = layer, inputs, own
        self.players = {name: _Player(outputs, copies) for name, outputs in before.items()}
        self.injected = _Injected()
        self.shadow = shadow_of(network, {*before, layer.name})
        for name, stand_in in (*self.players.items(), (layer.name, self.injected)):
            put_in(self.shadow, name, stand_in)

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        """Outputs [B classes] for maps [B C h w] at the layer."""
        for player in self.players.values():
            player.begin(len(maps))
        self.injected.values = from_grid(maps, self.own, self.layer)
        with listening(None, self.inputs.device):
            return class_scores(self.shadow(self.inputs.expand(len(maps), *self.inputs.shape[1:])))


def from_grid(maps: torch.Tensor, own: torch.Tensor, layer: LayerInfo) -> torch.Tensor:
    """Bring maps [B C h w] to the form in which the layer gives them; prefix tokens are those of its `own` output."""
    if layer.layout == "NHWC":
        return maps.movedim(1, -1)
    if layer.layout in (TOKENS, TOKENS_FIRST):
        patches = maps.flatten(2).transpose(1, 2)
        prefix = to_tokens(own, layer)[:, : layer.prefix_tokens].expand(len(maps), -1, -1)
        return to_tokens(torch.cat([prefix, patches], dim=1), layer)
    return maps


def _reproduces(run: _Replay, maps: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether a replay gives what the whole network does."""
    try:
        outputs = run(maps)
    except MISFITS as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        return False
    slack = 1e-5 * float(expected.abs().max())
    return outputs.shape == expected.shape and torch.allclose(outputs, expected, rtol=1e-4, atol=slack)
