"""The same model with a randomised classifier: what a map looks like when nothing was learned there.

After Adebayo et al. 2018 (https://arxiv.org/abs/1810.03292), who re-initialise a network from its output on.
"""

import copy
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.capture.shadow import shadow_of
from gradcam_core.records import LoadedModel


def with_randomised_head(model: LoadedModel, seed: int) -> LoadedModel:
    """Replace the classifier's weights by random ones of the same spread; the model itself stays as it is.

    Every other tensor is shared. Only where `can_randomise_head(model)`.
    """
    step = copy.deepcopy(model.module.get_submodule(model.head_name))
    generator = torch.Generator().manual_seed(seed)
    for name, own in list(step.named_parameters(recurse=False)):
        spread = float(own.std(correction=0)) if own.numel() > 1 else float(own.abs())
        values = spread * torch.randn(own.shape, generator=generator)
        setattr(step, name, nn.Parameter(values.to(own), requires_grad=False))
    module = _with_module(model.module, model.head_name, step)
    folded = model.folded
    if folded is not None:
        folded = replace(folded, network=_with_module(folded.network, model.head_name, step))
    head = step.get_parameter("weight").detach().flatten(1)
    return replace(model, module=module, head=head, folded=folded)


def can_randomise_head(model: LoadedModel) -> bool:
    """Whether the classifier is one linear step with weights of its own."""
    return bool(model.head_name) and "weight" in model.module.get_submodule(model.head_name)._parameters


def _with_module(network: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """A network that shares all tensors with another one, but for the module of this name."""
    shadow = shadow_of(network, {name})
    parent, _, key = name.rpartition(".")
    shadow.get_submodule(parent)._modules[key] = module
    return shadow
