"""Which of a model's networks runs: its folded copy where that serves, its own otherwise."""

from collections.abc import Sequence

from torch import nn

from gradcam_core.records import LayerInfo, LoadedModel


def network_for(model: LoadedModel, layers: Sequence[LayerInfo]) -> nn.Module:
    """Give the folded copy, if there is one that is up to date and serves all these layers; for no layer it does."""
    folded = model.folded
    if folded is None or not all(layer.name in folded.layers for layer in layers):
        return model.module
    current = all(one.data_ptr() == place and one._version == version for one, place, version in folded.weights)
    return folded.network if current else model.module
