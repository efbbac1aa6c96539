"""Which of a model's networks runs, and the whole network as a function of changed pictures."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from gradcam_core.capture.outputs import class_scores
from gradcam_core.capture.taps import listening
from gradcam_core.devices import pictures_at_once
from gradcam_core.errors import ModelError
from gradcam_core.records import LayerInfo, LoadedModel

# What networks raise over a batch; which of them is the network's own affair.
BATCH_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ModelError)


def network_for(model: LoadedModel, layers: Sequence[LayerInfo]) -> nn.Module:
    """Choose the folded copy if it is up to date and serves all these layers, the network itself otherwise."""
    folded = model.folded
    if folded is None or not all(layer.name in folded.layers for layer in layers):
        return model.module
    current = all(x.data_ptr() == address and x._version == version for x, address, version in folded.weights)
    return folded.network if current else model.module


def scorer(model: LoadedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give a model as a function: inputs [B Cin Hin Win] -> class scores [B classes], without gradients.

    It takes as many pictures at a time as pay on the model's device, and leaves its inputs as they are. Where
    the network accepts no batches, or memory is short, the pictures go one by one.
    """
    network = network_for(model, ())

    def scores_of(part: torch.Tensor) -> torch.Tensor:
        with listening(None, model.device):
            # A copy, since a network's first step may work in place.
            return class_scores(network(part.to(model.device, copy=True)))

    def scores(inputs: torch.Tensor) -> torch.Tensor:
        parts = torch.split(inputs, pictures_at_once(model.device))
        return torch.cat([in_batches(scores_of, part) for part in parts])

    return scores


def in_batches(function: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Apply a function to inputs [B ...] at once, or one by one where it refuses several or mixes them up."""
    try:
        outputs = function(inputs)
        if len(outputs) == len(inputs):
            return outputs
    except BATCH_REFUSALS:
        if len(inputs) == 1:
            raise
    return torch.cat([function(single) for single in torch.split(inputs, 1)])
