"""See every attention call of one pass, in this thread only: fused, by hand, or nn.MultiheadAttention.

Fused attention never returns its weights. A function mode stands beside each call; nothing is written on the
network, and outputs stay those of the fused call.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gradcam_core.capture.guided import argument

Tensor = torch.Tensor
# Called with the values [N heads T d], a function that gives the weights' mean over the heads [N T T], and the
# output [N heads T d]; returns what takes the output's place.
Attend = Callable[[Tensor, Callable[[], Tensor], Tensor], Tensor]
_SOFTMAX = frozenset({torch.softmax, functional.softmax, Tensor.softmax})
_PRODUCTS = frozenset({torch.matmul, Tensor.matmul, Tensor.__matmul__})


class Attending(TorchFunctionMode):
    """While this is on, `attend` is called for each attention call of this thread: fused, by hand, or nn's own."""

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.attend = attend
        self.softmaxed: Tensor | None = None

    def __torch_function__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function is functional.multi_head_attention_forward:
            return self._of_module(function, given, named)
        output = function(*given, **named)
        if function is functional.scaled_dot_product_attention:
            return self._fused(output, given, named)
        if function in _SOFTMAX and output.dim() == 4:
            self.softmaxed = output
        elif function in _PRODUCTS and self._weighs(given[0]):
            return self.attend(given[1], lambda: given[0].mean(1), output)
        return output

    def _weighs(self, values: Any) -> bool:
        """Whether these are the weights that a softmax has just given; dropout passes them on as they are."""
        last = self.softmaxed
        return last is not None and values.shape == last.shape and values.data_ptr() == last.data_ptr()

    def _fused(self, output: Tensor, given: Sequence[Any], named: Mapping[str, Any]) -> Tensor:
        queries, keys, values = (argument(given, named, i, name) for i, name in enumerate(("query", "key", "value")))
        mask, causal = argument(given, named, 3, "attn_mask"), argument(given, named, 5, "is_causal", False)
        if causal or named.get("enable_gqa") or output.dim() != 4:
            return output
        return self.attend(values, lambda: _mean_weights(queries, keys, mask, named.get("scale")), output)

    def _of_module(self, function: Any, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """nn.MultiheadAttention of tokens with themselves, step by step; anything else runs unseen."""
        bound = inspect.signature(function).bind(*given, **named)
        bound.apply_defaults()
        call = bound.arguments
        tokens, weight, bias = call["query"], call["in_proj_weight"], call["in_proj_bias"]
        added = ("bias_k", "bias_v", "add_zero_attn", "key_padding_mask", "attn_mask", "static_k", "static_v")
        other = (
            call["use_separate_proj_weight"] or tokens.dim() != 3 or any(call[name] is not None for name in added[3:])
        )
        if other or tokens is not call["key"] or tokens is not call["value"] or any(call[name] for name in added[:3]):
            return function(*given, **named)
        length, count, size = tokens.shape
        parts = functional.linear(tokens, weight, bias).view(length, count, 3, call["num_heads"], -1)
        queries, keys, values = parts.permute(2, 1, 3, 0, 4)
        output = functional.scaled_dot_product_attention(queries, keys, values)
        output = self.attend(values, lambda: _mean_weights(queries, keys, None, None), output)
        joined = output.permute(2, 0, 1, 3).reshape(length, count, size)
        returned = function(*given, **named)[1] if call["need_weights"] else None
        return functional.linear(joined, call["out_proj_weight"], call["out_proj_bias"]), returned


def _mean_weights(queries: Tensor, keys: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    """softmax(Q K^T * scale + mask), the mean over the heads [N T T]; one head at a time, to bound the memory."""
    count, heads, tokens, size = queries.shape
    scale = 1 / math.sqrt(size) if scale is None else scale
    total = queries.new_zeros(count, tokens, keys.shape[2])
    for head in range(heads):
        scores = scale * queries[:, head] @ keys[:, head].mT
        if mask is not None:
            part = mask.expand(count, heads, *scores.shape[1:])[:, head]
            scores = scores.masked_fill(~part, -torch.inf) if part.dtype == torch.bool else scores + part
        total += scores.softmax(-1)
    return total / heads
