"""How much alike two pictures are to a network without a classifier."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from gradcam_core.errors import TargetError


@dataclass(frozen=True, slots=True, eq=False)
class SimilarTarget:
    """The cosine similarity of a picture's features to those of a reference.

    `features` [D] are the model's outputs for the reference. `value` is the similarity, -1..1; NaN before `explain`
    has filled it in.
    """

    label: str
    features: torch.Tensor
    value: float = float("nan")
    index: int = -1
    probability: float = float("nan")
    unit: str = ""

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Similarities [N] out of the model's outputs [N D]."""
        if outputs.shape[1:] != self.features.shape:
            raise TargetError("The reference's features are those of another model.", "Call similar() with this model.")
        return functional.cosine_similarity(outputs, self.features.to(outputs)[None], dim=1)
