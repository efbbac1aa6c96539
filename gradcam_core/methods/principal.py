"""Methods that take the activations' first principal direction. They return signed maps [K N h w]."""

import torch

from gradcam_core.methods.needs import method
from gradcam_core.shapes import Activations, Gradients, Maps, Scores


@method("Eigen-CAM", paper="Muhammad & Yeasin 2020", url="https://arxiv.org/abs/2008.00299")
def eigen_cam(activations: Activations, scores: Scores) -> Maps:
    """Show what the layer responds to most, the same for every class: the first principal direction, uncentred.

    As in the paper. pytorch-grad-cam subtracts the mean first and leaves the sign to chance, so its maps differ.
    """
    return _principal(activations).expand(scores.shape[0], *activations.shape[:1], *activations.shape[2:])


@method("EigenGrad-CAM", paper="Muhammad & Yeasin 2020", url="https://arxiv.org/abs/2008.00299")
def eigen_grad_cam(activations: Activations, gradients: Gradients) -> Maps:
    """Take Eigen-CAM of activation times gradient, which makes it a map of the class."""
    return _principal(activations * gradients)


def _principal(values: torch.Tensor) -> torch.Tensor:
    """Project maps [... C h w] on their first right singular vector over channels: [... h w].

    The positions are the rows of the matrix, as in the paper: A = U S V*, map = A V_1. A singular
    vector's sign is arbitrary; it is chosen to agree with the mean activation, so that the map is bright
    where the layer responds. Where that mean is 0 the largest value is made positive.
    """
    rows = values.flatten(-2).movedim(-2, -1)
    precise = rows if rows.device.type == "mps" else rows.double()
    # There are usually fewer positions than channels, so the reduced decomposition is cheap.
    _, _, right = torch.linalg.svd(precise, full_matrices=False)
    projected = (precise @ right[..., :1, :].mT).squeeze(-1)
    agreement = (projected * precise.mean(-1)).sum(-1, keepdim=True)
    largest = projected.gather(-1, projected.abs().argmax(-1, keepdim=True))
    # Ignore an agreement that is rounding noise.
    noise = 1e-9 * projected.norm(dim=-1, keepdim=True) * precise.mean(-1).norm(dim=-1, keepdim=True)
    sign = torch.where(torch.where(agreement.abs() > noise, agreement, largest) < 0, -1.0, 1.0)
    maps: torch.Tensor = (projected * sign).reshape(*values.shape[:-3], *values.shape[-2:]).to(values.dtype)
    return maps
