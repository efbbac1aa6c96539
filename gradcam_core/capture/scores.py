"""Which of a model's networks runs, and the whole network as a function of changed pictures."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from gradcam_core.capture.outputs import class_scores
from gradcam_core.capture.taps import listening
from gradcam_core.devices import pictures_at_once
from gradcam_core.records import LayerInfo, LoadedModel


def network_for(model: LoadedModel, layers: Sequence[LayerInfo]) -> nn.Module:
    """Choose the folded copy if it is up to date and serves all these layers, the network itself otherwise."""
    folded = model.folded
    if folded is None or not all(layer.name in folded.layers for layer in layers):
        return model.module
    current = all(x.data_ptr() == address and x._version == version for x, address, version in folded.weights)
    return folded.network if current else model.module


def scorer(model: LoadedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give a model as a function: inputs [B Cin Hin Win] -> class scores [B classes], without gradients.

    It takes as many pictures at a time as pay on the model's device, and leaves its inputs as they are.
    """
    network = network_for(model, ())

    def scores(inputs: torch.Tensor) -> torch.Tensor:
        many = pictures_at_once(model.device)
        with listening(None, model.device):
            parts = [inputs[first : first + many] for first in range(0, len(inputs), many)]
            # Copies, since a network's first step may work in place.
            return torch.cat([class_scores(network(part.to(model.device, copy=True))) for part in parts])

    return scores
