"""Gradients by the input through guided ReLUs (Springenberg et al. 2014, https://arxiv.org/abs/1412.6806).

A guided ReLU passes a gradient back only where its input and the gradient are both positive. It takes
the place of every ReLU while the network runs, whether that is a module or a function: nothing is
written on the network, and other threads' passes stay ordinary.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gradcam_core.capture.scores import class_scores, gradients_of
from gradcam_core.capture.taps import listening
from gradcam_core.errors import MethodError

Tensor = torch.Tensor
MOST_OUTPUTS = 200_000


def _called(*names: str) -> frozenset[Any]:
    """The functions of these names, wherever torch has them: as a function, as a method, or in place."""
    owners = (torch, functional, Tensor, torch._C._nn, torch.special)
    return frozenset(getattr(owner, name) for name in names for owner in owners if hasattr(owner, name))


_RELUS = _called("relu", "relu_")
_RELUS6 = _called("relu6", "relu6_")
_THRESHOLDS = _called("threshold", "threshold_")
_HARD = _called("hardtanh", "hardtanh_")
_BOUNDED = _HARD | _called("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_")
_IN_PLACE = _called("relu_", "relu6_", "threshold_", "hardtanh_", "clamp_", "clip_", "clamp_min_")
# Where a function takes `inplace` by position.
_INPLACE_AT: Mapping[Any, int] = MappingProxyType(
    {functional.relu: 1, functional.relu6: 1, functional.threshold: 3, functional.hardtanh: 3}
)
# Steps whose results are probabilities, where they are a network's last.
_SQUASHING: Mapping[Any, str] = MappingProxyType(
    {
        **dict.fromkeys(_called("softmax"), "softmax"),
        **dict.fromkeys(_called("sigmoid", "sigmoid_", "expit", "hardsigmoid"), "sigmoid"),
    }
)
# Steps by which places weigh each other.
_WEIGHING = _called("softmax", "scaled_dot_product_attention", "multi_head_attention_forward")
# Steps without a ReLU's hard bend: they keep their ordinary gradient, and are named.
_OTHERS: Mapping[Any, str] = MappingProxyType(
    {
        **dict.fromkeys(_called("leaky_relu", "leaky_relu_"), "leaky rectifier"),
        **dict.fromkeys(_called("prelu"), "learnt rectifier"),
        **{
            function: name
            for name in ("gelu", "silu", "hardswish", "mish", "elu", "selu", "celu", "softplus")
            for function in _called(name, f"{name}_")
        },
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
    """While this is on, ReLUs of this thread are guided, or merely listed in `met`.

    `running` are the modules at work, where a probe keeps it up to date; `attending` are those, outermost first, in
    which places weighed each other.
    """

    def __init__(self, guide: bool) -> None:
        super().__init__()
        self.guide = guide
        self.met: set[str] = set()
        self.squashed: deque[tuple[str, Tensor]] = deque(maxlen=8)
        self.running: list[str] = []
        self.attending: set[tuple[str, ...]] = set()

    def kinds(self) -> tuple[str, ...]:
        """Name the nonlinear steps met so far, in alphabetical order."""
        return tuple(sorted(self.met))

    def last_step(self, outputs: Tensor) -> str:
        """Name the step that gave these outputs: "softmax", "sigmoid", or "" for any other."""
        for kind, result in reversed(self.squashed):
            if result.numel() == outputs.numel() and torch.equal(result.flatten().float(), outputs.flatten().float()):
                return kind
        return ""

    def __torch_function__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        most = _upper_bound(function, given, named)
        if most is not None:
            self.met.add("relu" if most == torch.inf else "bounded relu")
            if self.guide:
                return _guided(function, given, named, most)
        elif function in _OTHERS:
            self.met.add(_OTHERS[function])
        result = function(*given, **named)
        if function in _SQUASHING and isinstance(result, Tensor) and result.numel() <= MOST_OUTPUTS:
            self.squashed.append((_SQUASHING[function], result))
        if function in _WEIGHING and (not isinstance(result, Tensor) or result.dim() > 2):
            self.attending.add(tuple(self.running))
        return result


def _guided(function: Any, given: tuple[Any, ...], named: Mapping[str, Any], most: float) -> Tensor:
    """A guided ReLU in place of this call, which writes on its input where the call would."""
    values = argument(given, named, 0, "input")
    result: Tensor = _GuidedReLU.apply(values, most)
    in_place = function in _IN_PLACE or argument(given, named, _INPLACE_AT.get(function, 9), "inplace", False)
    return values.copy_(result) if in_place is True else result


def argument(given: Sequence[Any], named: Mapping[str, Any], place: int, name: str, otherwise: Any = None) -> Any:
    """An argument by its place or by its name."""
    return given[place] if len(given) > place else named.get(name, otherwise)


def _upper_bound(function: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> float | None:
    """Where a ReLU ends, infinity for a plain one; None where this call is no ReLU."""
    if function in _RELUS:
        return torch.inf
    if function in _RELUS6:
        return 6.0
    if function in _THRESHOLDS:
        both = argument(given, named, 1, "threshold"), argument(given, named, 2, "value")
        return torch.inf if all(map(_is_zero, both)) else None
    if function not in _BOUNDED:
        return None
    hard = function in _HARD
    least = argument(given, named, 1, "min_val" if hard else "min", -1 if hard else None)
    most = argument(given, named, 2, "max_val" if hard else "max", 1 if hard else None)
    if not _is_zero(least) or not isinstance(most, int | float | None):
        return None
    return torch.inf if most is None else float(most)


def _is_zero(value: Any) -> bool:
    """Whether this is the plain number 0: a bound that is a tensor makes another kind of step."""
    return isinstance(value, int | float) and value == 0


def noting_steps() -> _Guiding:
    """Note the nonlinear steps that passes of this thread meet within this context."""
    return _Guiding(guide=False)


def activation_kinds(network: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Name the kinds of nonlinear steps that one pass meets: "relu", "bounded relu" (ReLU6), "gelu" and their like."""
    noted = noting_steps()
    with listening(None, inputs.device), noted:
        network(inputs)
    return noted.kinds()


def guided_gradients(network: nn.Module, inputs: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradients [K N Cin Hin Win] of the scores [K N], which `score` makes of the outputs, by the inputs [N ...]."""
    with listening(None, inputs.device), torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        with _Guiding(guide=True):
            # A copy: a first step in place may not write on a leaf.
            scores = score(class_scores(network(leaf.clone())))
        (gradients,) = gradients_of(scores, [leaf])
    if gradients is None:
        raise MethodError("No class score depends on the input here.", "Use a method that reads a layer.")
    return gradients
