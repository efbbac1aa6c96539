"""Maps that know nothing, to hold the others against."""

from typing import Annotated

import torch

from gradcam_core.methods.needs import method
from gradcam_core.registry import Range
from gradcam_core.shapes import Activations, Maps, Scores


@method("Random map", paper="control", url="https://arxiv.org/abs/1810.03292")
def random(
    activations: Activations,
    scores: Scores,
    *,
    seed: Annotated[int, Range(0, 2**31 - 1, "Another seed, another map")] = 0,
) -> Maps:
    """Give noise on the layer's grid: a control that no method may resemble, as in sanity checks of heatmaps."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(scores.shape[0], 1, *activations.shape[2:], generator=generator, dtype=activations.dtype)
    return noise.to(activations.device).expand(-1, activations.shape[0], -1, -1)
