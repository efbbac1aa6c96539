"""The whole network as a function from inputs to class scores; and which copy of the network to run."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from gradcam_core.capture.outputs import class_scores
from gradcam_core.capture.taps import listening
from gradcam_core.devices import pictures_at_once
from gradcam_core.records import LayerInfo, LoadedModel


def scorer(model: LoadedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give a model as a function: inputs [B Cin Hin Win] -> class scores [B classes], without gradients.

    It runs as many pictures at a time as the model's device handles best, and leaves its inputs unchanged.
    """
    network = network_for(model, ())

    def scores(inputs: torch.Tensor) -> torch.Tensor:
        many = pictures_at_once(model.device)
        with listening(None, model.device):
            parts = [inputs[first : first + many] for first in range(0, len(inputs), many)]
            # Copies, since a network's first step may work in place.
            return torch.cat([class_scores(network(part.to(model.device, copy=True))) for part in parts])

    return scores


def network_for(model: LoadedModel, layers: Sequence[LayerInfo]) -> nn.Module:
    """Choose the folded copy if there is one that is up to date and serves all these layers; else the network."""
    folded = model.folded
    if folded is None or not all(layer.name in folded.layers for layer in layers):
        return model.module
    unchanged = all(
        tensor.data_ptr() == address and tensor._version == version for tensor, address, version in folded.weights
    )
    return folded.network if unchanged else model.module
