"""Grad-CAM by ordinary autograd through a whole network, with a reshape of its own: what the product must equal."""

import numpy as np
import torch
from torch import nn

from gradcam_core import LayerInfo


def grad_cam_by_autograd(network: nn.Module, inputs: torch.Tensor, index: int, layer: LayerInfo) -> np.ndarray:
    """The raw map [h w] of a class at a layer. The network is recorded from its input on, and changed."""
    network = network.eval().requires_grad_(False)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    heard: list[torch.Tensor] = []

    def hear(module: nn.Module, given: object, output: torch.Tensor) -> torch.Tensor:
        heard.append(output)
        return output.clone()

    network.get_submodule(layer.name).register_forward_hook(hear)
    outputs = network(inputs.clone().requires_grad_())
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    (slope,) = torch.autograd.grad(outputs[0, index], heard[0])
    values, slope = heard[0].detach().double(), slope.double()
    if layer.layout == "tokens first":
        values, slope = values.transpose(0, 1), slope.transpose(0, 1)
    values, slope = values[0], slope[0]
    if layer.layout.startswith("tokens"):
        values, slope = values[layer.prefix_tokens :].T, slope[layer.prefix_tokens :].T
        values, slope = values.reshape(-1, *layer.grid), slope.reshape(-1, *layer.grid)
    elif layer.layout == "NHWC":
        values, slope = values.permute(2, 0, 1), slope.permute(2, 0, 1)
    weights = slope.mean(dim=(1, 2))
    return (weights[:, None, None] * values).sum(dim=0).numpy()
