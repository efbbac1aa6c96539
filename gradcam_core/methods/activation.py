"""CAM: the activations, weighted by the classifier's own weights."""

import torch

from gradcam_core.methods.needs import method
from gradcam_core.shapes import Activations, Head, Maps


@method("CAM", paper="Zhou et al. 2016", url="https://arxiv.org/abs/1512.04150")
def cam(activations: Activations, head: Head) -> Maps:
    """Weight each channel by the classifier's own weight: for networks that end in average and linear step."""
    return torch.einsum("kc,nchw->knhw", head, activations)
