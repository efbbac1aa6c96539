"""Methods that weight the activations: by the classifier's own weights, or by the gradients of the targets' scores.

All return signed maps [K N h w], before the final ReLU. K targets, N pictures, C channels, h w the grid.
"""

import torch

from gradcam_core.methods.needs import method
from gradcam_core.shapes import Activations, Gradients, Head, Maps

# Relative tolerance: a denominator whose two parts cancel to less than this share counts as 0.
CANCELLED = 1e-6
# Relative tolerance: a single-precision sum over channels below this share of its terms is rounding noise.
NOISE = 3e-5


@method("CAM", paper="Zhou et al. 2016", url="https://arxiv.org/abs/1512.04150")
def cam(activations: Activations, head: Head) -> Maps:
    """Weight each channel by the classifier's own weight: for networks that end in average and linear step."""
    return torch.einsum("kc,nchw->knhw", head, activations)


@method("Grad-CAM", paper="Selvaraju et al. 2017", url="https://arxiv.org/abs/1610.02391")
def grad_cam(activations: Activations, gradients: Gradients) -> Maps:
    """Weight each channel by its average gradient: the standard choice."""
    return _weighted(gradients.mean(dim=(-2, -1)), activations)


@method("Grad-CAM++", paper="Chattopadhyay et al. 2018", url="https://arxiv.org/abs/1710.11063")
def grad_cam_plus_plus(activations: Activations, gradients: Gradients) -> Maps:
    """Weight each channel by its positive gradients, so that several objects of a class show.

    The paper's alpha = g^2 / (2 g^2 + sum(A) g^3) is 1 / (2 + sum(A) g) where g is not 0, which needs
    no epsilon against small gradients. Where the two parts cancel, alpha is undefined and counts as
    0. Where g is not positive alpha does not matter, since relu(g) is 0.
    """
    total, rising = activations.sum(dim=(-2, -1), keepdim=True), gradients.relu()
    if not bool((activations < 0).any()):
        weights = rising.div(total.mul(rising).add_(2)).sum(dim=(-2, -1))
        return _weighted(weights, activations)
    # The two parts can cancel here, so double precision is needed. Apple's devices have none.
    if activations.device.type != "mps":
        total, rising = activations.sum(dim=(-2, -1), keepdim=True, dtype=torch.float64), rising.double()
    drive = total * rising
    denominator = 2 + drive
    defined = denominator.abs() > CANCELLED * (2 + drive.abs())
    weights = torch.where(defined, rising / denominator, 0).sum(dim=(-2, -1))
    return _weighted(weights.to(activations.dtype), activations)


@method("XGrad-CAM", paper="Fu et al. 2020", url="https://arxiv.org/abs/2008.02312")
def xgrad_cam(activations: Activations, gradients: Gradients) -> Maps:
    """Weight each channel by its gradient, averaged by activation."""
    total = activations.sum(dim=(-2, -1))
    weighted = (gradients * activations).sum(dim=(-2, -1))
    return _weighted(torch.where(total != 0, weighted / total, 0), activations)


@method("HiResCAM", paper="Draelos & Carin 2020", url="https://arxiv.org/abs/2011.08891")
def hires_cam(activations: Activations, gradients: Gradients) -> Maps:
    """Multiply gradient and activation at every position: shows exactly what the last linear step used.

    Before a step that ignores scale, such as a LayerNorm, the products cancel at every position; the
    rounding noise that is left is set to 0, or it would be drawn as a heatmap.
    """
    products = gradients * activations
    sums, sizes = products.sum(dim=-3), products.abs_().sum(dim=-3)
    return torch.where(sums.abs() > NOISE * sizes, sums, 0)


@method("LayerCAM", paper="Jiang et al. 2021", url="https://doi.org/10.1109/TIP.2021.3089943")
def layer_cam(activations: Activations, gradients: Gradients) -> Maps:
    """Multiply positive gradient and activation at every position: made for earlier, finer layers.

    Several layers are fused without the tanh scaling that the paper applies to its early layers.
    """
    return torch.einsum("knchw,nchw->knhw", gradients.relu(), activations)


def _weighted(weights: torch.Tensor, activations: Activations) -> Maps:
    """Sum the channels with weights [K N C]."""
    return torch.einsum("knc,nchw->knhw", weights, activations)
