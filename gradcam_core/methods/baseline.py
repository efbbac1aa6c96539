"""Random maps, as a baseline for the other methods."""

from typing import Annotated

import torch

from gradcam_core.methods.needs import method
from gradcam_core.registry import Range
from gradcam_core.shapes import Activations, Maps, Scores


@method("Random map", paper="baseline", url="https://arxiv.org/abs/1810.03292")
def random(
    activations: Activations,
    scores: Scores,
    *,
    seed: Annotated[int, Range(0, 2**31 - 1, "Another seed, another map")] = 0,
) -> Maps:
    """Give noise on the layer's grid, the same for every class: a baseline that no other method should resemble."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 1, *activations.shape[2:], generator=generator, dtype=activations.dtype)
    return noise.to(activations.device).expand(scores.shape[0], activations.shape[0], -1, -1)
