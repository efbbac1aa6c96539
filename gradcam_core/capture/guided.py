"""Gradients by the input through guided ReLUs (Springenberg et al. 2014, https://arxiv.org/abs/1412.6806).

A guided ReLU passes a gradient back only where its input and the gradient are both positive. It takes
the place of every ReLU while the network runs, whether that is a module or a function: nothing is
written on the network, and other threads' passes stay ordinary.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gradcam_core.capture.outputs import class_scores
from gradcam_core.capture.taps import listening
from gradcam_core.devices import is_out_of_memory

Tensor = torch.Tensor
_RELUS = frozenset({torch.relu, torch.relu_, functional.relu, Tensor.relu, Tensor.relu_})
_RELUS6 = frozenset({functional.relu6})
_BOUNDED = frozenset(
    {functional.hardtanh, functional.hardtanh_, torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_}
)
_FROM_BELOW = frozenset({torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_})
_IN_PLACE = frozenset(
    {torch.relu_, Tensor.relu_, functional.hardtanh_, torch.clamp_, Tensor.clamp_, torch.clamp_min_, Tensor.clamp_min_}
)
# Steps without a ReLU's hard bend: they keep their ordinary gradient, and are named.
_OTHERS: Mapping[Any, str] = MappingProxyType(
    {
        function: name
        for name in ("gelu", "silu", "hardswish", "mish", "elu", "selu", "celu", "softplus", "leaky_relu", "prelu")
        for function in {getattr(owner, name, None) for owner in (functional, torch, torch._C._nn)} - {None}
    }
)


class _GuidedReLU(torch.autograd.Function):
    """min(max(x, 0), most), whose gradient passes where it is positive and the input is within the bounds."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, most: float) -> Tensor:
        ctx.save_for_backward((values > 0) & (values < most))
        return values.clamp(0, most)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (open_,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * open_, None


class _Guiding(TorchFunctionMode):
    """While this is on, ReLUs of this thread are guided, or merely listed in `met`."""

    def __init__(self, guide: bool) -> None:
        super().__init__()
        self.guide = guide
        self.met: set[str] = set()

    def __torch_function__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function in _OTHERS:
            self.met.add(
                _OTHERS[function].replace("leaky_relu", "leaky rectifier").replace("prelu", "learnt rectifier")
            )
        most = _upper_bound(function, given, named)
        if most is None:
            return function(*given, **named)
        self.met.add("relu" if most == torch.inf else "bounded relu")
        if not self.guide:
            return function(*given, **named)
        values = given[0] if given else named["input"]
        result = _GuidedReLU.apply(values, most)
        in_place = function in _IN_PLACE or named.get("inplace") or (given[1:2] == (True,) and function in _RELUS)
        return values.copy_(result) if in_place else result


def _upper_bound(function: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> float | None:
    """Where a ReLU ends, infinity for a plain one; None where this call is no ReLU."""
    if function in _RELUS:
        return torch.inf
    if function in _RELUS6:
        return 6.0
    if function is functional.threshold:
        both = (*given[1:3], *(named[name] for name in ("threshold", "value") if name in named))
        return torch.inf if both == (0, 0) else None
    if function in _FROM_BELOW:
        return torch.inf if (*given[1:], *named.values())[:1] == (0,) else None
    if function not in _BOUNDED:
        return None
    hard = function in (functional.hardtanh, functional.hardtanh_)
    low, high = ("min_val", "max_val") if hard else ("min", "max")
    least = given[1] if len(given) > 1 else named.get(low, -1 if hard else None)
    most = given[2] if len(given) > 2 else named.get(high, 1 if hard else None)
    if isinstance(least, Tensor) or isinstance(most, Tensor) or least != 0:
        return None
    return torch.inf if most is None else float(most)


def activation_kinds(network: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Name the kinds of nonlinear steps that one pass meets: "relu", "bounded relu" (ReLU6), "gelu" and their like."""
    mode = _Guiding(guide=False)
    with listening(None, inputs.device), mode:
        network(inputs)
    return tuple(sorted(mode.met))


def guided_gradients(network: nn.Module, inputs: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradients [K N Cin Hin Win] of the scores [K N], which `score` makes of the outputs, by the inputs [N ...]."""
    with listening(None, inputs.device), torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        with _Guiding(guide=True):
            # A copy: a first step in place may not write on a leaf.
            scores = score(class_scores(network(leaf.clone())))
        # Pictures do not depend on each other, so the sum over them has every picture's own gradient.
        sums = scores.sum(dim=1)
        rows = torch.eye(len(sums), dtype=sums.dtype, device=sums.device)
        try:
            return torch.autograd.grad(sums, leaf, rows, is_grads_batched=True, retain_graph=True)[0]
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            singles = [torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in sums]
            return torch.stack(singles)
