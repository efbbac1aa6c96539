"""Methods that go back to the input's own pixels. They return signed maps [K N Hin Win]."""

import torch
from torch.nn import functional

from gradcam_core.methods.needs import method
from gradcam_core.methods.weighting import grad_cam
from gradcam_core.shapes import Activations, Gradients, InputGradients, InputMaps


@method("Guided backpropagation", paper="Springenberg et al. 2014", url="https://arxiv.org/abs/1412.6806", signed=True)
def guided_backprop(guided: InputGradients) -> InputMaps:
    """Follow the score back to the pixels through ReLUs that let only positive gradients pass: fine lines.

    Summed over the colour channels. It resembles an edge detector, and changes little with the class.
    """
    return guided.sum(dim=2)


@method("Guided Grad-CAM", paper="Selvaraju et al. 2017", url="https://arxiv.org/abs/1610.02391", signed=True)
def guided_grad_cam(activations: Activations, gradients: Gradients, guided: InputGradients) -> InputMaps:
    """Multiply guided backpropagation with Grad-CAM's heatmap: fine lines where the class is.

    The positive part of Grad-CAM's map is scaled to its own peak and enlarged to the input's size.
    """
    coarse = grad_cam(activations, gradients).relu()
    peak = coarse.amax(dim=(-2, -1), keepdim=True)
    scaled = torch.where(peak > 0, coarse / peak, 0)
    size = (guided.shape[-2], guided.shape[-1])
    large = functional.interpolate(scaled.flatten(0, 1)[:, None], size=size, mode="bilinear", align_corners=False)
    return guided.sum(dim=2) * large.reshape(*coarse.shape[:2], *size)
