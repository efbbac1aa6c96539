"""Gradients by the input through guided ReLUs (Springenberg et al. 2014, https://arxiv.org/abs/1412.6806).

A guided ReLU passes a gradient back only where its input and the gradient are both positive. It takes
the place of every ReLU while the network runs, whether that is a module or a function: the network is
not changed, and other threads' passes stay ordinary.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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


def _spellings(names: Iterable[str]) -> dict[Any, str]:
    """All functions of these names, with the name of each."""
    owners = (functional, torch, Tensor, torch._C._nn)
    return {getattr(owner, name): name for name in names for owner in owners if hasattr(owner, name)}


# The functions that can be a ReLU, each with its parameters in order; a last "_" works in place.
_PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "relu": ("input", "inplace"),
        "relu6": ("input", "inplace"),
        "hardtanh": ("input", "min_val", "max_val", "inplace"),
        "threshold": ("input", "threshold", "value", "inplace"),
        "clamp": ("input", "min", "max"),
        "clip": ("input", "min", "max"),
        "clamp_min": ("input", "min"),
    }
)
_RELUS = MappingProxyType(_spellings(name + end for name in _PARAMETERS for end in ("", "_")))
# Steps without a ReLU's hard bend: they keep their ordinary gradient, and are named.
_OTHERS = MappingProxyType(
    _spellings(("gelu", "silu", "hardswish", "mish", "elu", "selu", "celu", "softplus", "leaky_relu", "prelu"))
)
_PLAIN_NAMES = MappingProxyType({"leaky_relu": "leaky rectifier", "prelu": "learnt rectifier"})


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
    """While this is on, ReLUs of this thread are guided, or merely noted in `kinds`."""

    def __init__(self, guide: bool) -> None:
        super().__init__()
        self.guide = guide
        self.kinds: set[str] = set()

    def __torch_function__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function in _OTHERS:
            self.kinds.add(_PLAIN_NAMES.get(_OTHERS[function], _OTHERS[function]))
        if function not in _RELUS:
            return function(*given, **named)
        name = _RELUS[function]
        arguments = dict(zip(_PARAMETERS[name.rstrip("_")], given, strict=False)) | named
        most = _upper_bound(name.rstrip("_"), arguments)
        if most is None:
            return function(*given, **named)
        self.kinds.add("relu" if most == torch.inf else "bounded relu")
        if not self.guide:
            return function(*given, **named)
        values = arguments["input"]
        result = _GuidedReLU.apply(values, most)
        return values.copy_(result) if name.endswith("_") or arguments.get("inplace") else result


def _upper_bound(name: str, arguments: Mapping[str, Any]) -> float | None:
    """Where a ReLU ends, infinity for a plain one; None where this call is not a ReLU."""
    if name == "relu":
        return torch.inf
    if name == "relu6":
        return 6.0
    if name == "threshold":
        is_zero = arguments.get("threshold") == 0 and arguments.get("value") == 0
        return torch.inf if is_zero else None
    if name == "hardtanh":
        least, most = arguments.get("min_val", -1), arguments.get("max_val", 1)
    else:
        least, most = arguments.get("min"), arguments.get("max")
    if isinstance(least, Tensor) or isinstance(most, Tensor) or least != 0:
        return None
    return torch.inf if most is None else float(most)


@contextmanager
def naming_activations() -> Iterator[set[str]]:
    """Collect the kinds of nonlinear steps that run in this block: "relu", "bounded relu" (ReLU6), "gelu" and so on."""
    mode = _Guiding(guide=False)
    with mode:
        yield mode.kinds


def guided_gradients(network: nn.Module, inputs: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradients [K N Cin Hin Win] with respect to the inputs [N ...] of the scores [K N] = score(outputs)."""
    with listening(None, inputs.device), torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        with _Guiding(guide=True):
            # A copy, since an in-place first step must not overwrite a leaf.
            scores = score(class_scores(network(leaf.clone())))
        # Pictures do not depend on each other, so the sum over them has every picture's own gradient.
        sums = scores.sum(dim=1)
        rows = torch.eye(len(sums), dtype=sums.dtype, device=sums.device)
        try:
            return torch.autograd.grad(sums, leaf, rows, is_grads_batched=True, retain_graph=True)[0]
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            singles = [torch.autograd.grad(total, leaf, retain_graph=True)[0] for total in sums]
            return torch.stack(singles)
