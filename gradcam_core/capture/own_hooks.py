"""Hooks that a network brings along: its owner's are taken off our copy, its own stay."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from gradcam_core.capture.taps import wants_gradients

KINDS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def remove_hooks(network: nn.Module) -> int:
    """Take off hooks that belong to someone else's analysis; return their number.

    These are all backward hooks, and forward hooks that write outside the network. Hooks of torch's own
    (weight normalisation, pruning) and of the network's own objects belong to what it computes.
    """
    parts = list(network.modules())
    own = {id(value) for part in parts for value in vars(part).values()} | {id(part) for part in parts}
    removed = 0
    for part in parts:
        for kind in KINDS:
            hooks = getattr(part, kind)
            foreign = [key for key, hook in hooks.items() if "backward" in kind or not _belongs(hook, own)]
            removed += len(foreign)
            for key in foreign:
                hooks.pop(key)
    return removed


def _belongs(hook: Any, own: set[int]) -> bool:
    """Whether a forward hook is torch's, of an object of the network, or a function that has nothing to write on."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    holder = getattr(hook, "__self__", hook)
    if (getattr(hook, "__module__", None) or type(hook).__module__).startswith("torch."):
        return True
    return id(holder) in own or (holder is hook and hasattr(hook, "__closure__") and not hook.__closure__)


def change_outputs(network: nn.Module, change: Callable[[Any], Any]) -> None:
    """Let a network return what `change` makes of its outputs."""
    network.register_forward_hook(lambda module, given, returned: change(returned))


def record_from_input(network: nn.Module) -> None:
    """Let every pass record gradients from the input on, for a network that puts hooks on its own tensors."""
    network.register_forward_pre_hook(_begin_recording)
    network.register_forward_hook(_end_recording)


def _begin_recording(network: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    torch.set_grad_enabled(True)
    inputs = given[0]
    return given if inputs.requires_grad else (inputs.detach().clone().requires_grad_(), *given[1:])


def _end_recording(network: nn.Module, given: tuple[Any, ...], outputs: Any) -> Any:
    """Hand on outputs without a graph where neither this analysis nor the caller wants gradients."""
    if wants_gradients() or not given[0].is_leaf:
        return outputs
    return tree_map_only(torch.Tensor, torch.Tensor.detach, outputs)
