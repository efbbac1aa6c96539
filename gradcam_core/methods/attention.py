"""Methods that read the attention of a vision transformer's blocks. They return maps [K N h w] of its patches."""

from typing import Annotated

import torch

from gradcam_core.layers import to_grid
from gradcam_core.methods.needs import BlockAttention, BlockGradients, method
from gradcam_core.registry import Range
from gradcam_core.shapes import Maps, Scores


@method("LeGrad", paper="Bousselham et al. 2024", url="https://arxiv.org/abs/2404.03214")
def legrad(
    attention_gradients: BlockGradients,
    *,
    first: Annotated[int, Range(1, 200, "The first block that counts; 1 takes all of them, as in the paper")] = 1,
) -> Maps:
    """Show which patches each block of a vision transformer would have to attend to more, for a higher class score.

    A block's own score is what the classifier makes of the mean of its tokens. Its gradients by the attention
    weights A count where they are positive; they are averaged over heads, over the tokens that attend, and over
    blocks. The block's output is O = A V, so that the gradient by A is that by O times V.
    """
    maps = [_positive_mean(slopes, values) for slopes, values in attention_gradients(first - 1)]
    return torch.stack(maps).mean(dim=0)


def _positive_mean(slopes: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean over heads and tokens of relu(dO V): dO [K N heads T d], V [N heads d h w] -> [K N h w].

    One head at a time, to bound the memory.
    """
    total = slopes.new_zeros(*slopes.shape[:2], values.shape[-2] * values.shape[-1])
    for head in range(slopes.shape[2]):
        total += (slopes[:, :, head] @ values[:, head].flatten(-2)).relu().mean(dim=-2)
    return (total / slopes.shape[2]).reshape(*slopes.shape[:2], *values.shape[-2:])


@method("Attention rollout", paper="Abnar & Zuidema 2020", url="https://arxiv.org/abs/2005.00928")
def attention_rollout(attention: BlockAttention, scores: Scores) -> Maps:
    """Follow the attention through all blocks, from what the classifier reads to the patches: the same for every class.

    Rollout = product over the blocks of (A + I) / 2, with A the mean over the heads: half of each token is what
    it was before the block. Read are the rows of the tokens that the classifier reads: the class token, or all.
    """
    blocks = attention()
    flow = torch.eye(len(blocks.read), device=blocks.read.device)
    for weights in blocks.weights:
        flow = (weights @ flow + flow) / 2
    tokens = (blocks.read[:, None] * flow).sum(dim=-2)
    return to_grid(tokens[..., None], blocks.layer)[:, 0].expand(len(scores), -1, -1, -1)
