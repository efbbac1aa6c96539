"""Methods that compare maps: of a class with similar classes, and of layers with each other. Signed maps [K 1 h w]."""

from typing import Annotated

import torch
from torch.nn import functional

from gradcam_core.errors import MethodError
from gradcam_core.methods.needs import Levels, Similar, method
from gradcam_core.methods.weighting import grad_cam, grad_cam_plus_plus
from gradcam_core.registry import Range
from gradcam_core.shapes import Activations, Gradients, Maps


@method("Finer-CAM", paper="Zhang et al. 2025", url="https://arxiv.org/abs/2501.11309")
def finer_cam(
    activations: Activations,
    gradients: Gradients,
    similar: Similar,
    *,
    alpha: Annotated[float, Range(0, 2, "How much of the similar classes is taken off; 0 is Grad-CAM")] = 0.6,
    classes: Annotated[int, Range(1, 20, "How many similar classes the class is compared with")] = 3,
) -> Maps:
    """Show what sets the class apart from those most like it: Grad-CAM of its score less theirs.

    Grad-CAM of y_c - alpha * mean of y_d (their gamma), over the classes d whose scores are nearest to the
    class's own.
    """
    return grad_cam(activations, gradients - alpha * similar(classes))


@method("RefineCAM", paper="Domeniconi et al. 2026", url="https://arxiv.org/abs/2605.14641")
def refine_cam(
    levels: Levels,
    *,
    layers: Annotated[int, Range(2, 6, "How many layers' maps are multiplied; the chosen layer is the deepest")] = 3,
) -> Maps:
    """Multiply Grad-CAM++'s maps of several layers: fine where an early layer is, about the class where a late one is.

    Each map's positive part is scaled to 0..1 and enlarged to the finest grid. Raises MethodError where no
    layer comes before the chosen one.
    """
    evidence = levels(layers)
    if len(evidence) < 2:
        raise MethodError("RefineCAM multiplies the maps of several layers.", "Choose a later layer.")
    size = max((part.layer.grid for part in evidence), key=lambda grid: grid[0] * grid[1])
    product = torch.ones((), device=evidence[0].activations.device)
    for part in evidence:
        assert part.gradients is not None
        maps = grad_cam_plus_plus(part.activations.float(), part.gradients.float()).relu()
        low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
        scaled = torch.where(high > low, (maps - low) / (high - low), 0)
        product = product * functional.interpolate(scaled, size=size, mode="bilinear", align_corners=False)
    return product
