"""Another network that shares every tensor, so that modules can be replaced without touching the original."""

import copy
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace

import torch
from torch import nn

from gradcam_core.records import LoadedModel


def shadow_of(network: nn.Module, names: Collection[str]) -> nn.Module:
    """Copy these modules, and those around them, as new objects that share tensors; all others stay the same objects.

    Without pickling, which some networks refuse.
    """
    around = {".".join(name.split(".")[:end]) for name in names for end in range(name.count(".") + 2)} | {""}
    copied = {id(network.get_submodule(name)) for name in around}
    copies: dict[int, nn.Module] = {}

    def twin(module: nn.Module) -> nn.Module:
        if id(module) not in copied:
            return module
        if id(module) not in copies:
            new = copies[id(module)] = object.__new__(type(module))
            hooks = OrderedDict(module._forward_hooks)
            vars(new).update({**vars(module), "_forward_hooks": hooks, "_modules": {}})
            new._modules.update({key: child and twin(child) for key, child in module._modules.items()})
        return copies[id(module)]

    return twin(network)


def put_in(network: nn.Module, name: str, module: nn.Module) -> None:
    """Replace the module of this name in a shadow."""
    parent, _, key = name.rpartition(".")
    network.get_submodule(parent)._modules[key] = module


def random_weights(own: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Normally distributed weights of this shape, which vary as much as a layer's own."""
    spread = float(own.std(correction=0)) if own.numel() > 1 else float(own.abs())
    return (spread * torch.randn(shape, generator=generator)).to(own)


def can_randomise_head(model: LoadedModel) -> bool:
    """Whether the classifier is one linear step with weights of its own."""
    return bool(model.head_name) and "weight" in model.module.get_submodule(model.head_name)._parameters


def with_randomised_head(model: LoadedModel, seed: int) -> LoadedModel:
    """Replace the classifier's weights by random ones of the same spread; the model itself stays as it is.

    After Adebayo et al. 2018 (https://arxiv.org/abs/1810.03292), who re-initialise a network from its output
    on. Every other tensor is shared. Only where `can_randomise_head(model)`.
    """
    step = copy.deepcopy(model.module.get_submodule(model.head_name))
    generator = torch.Generator().manual_seed(seed)
    for name, own in list(step.named_parameters(recurse=False)):
        setattr(step, name, nn.Parameter(random_weights(own, own.shape, generator), requires_grad=False))
    module = shadow_of(model.module, {model.head_name})
    put_in(module, model.head_name, step)
    folded = model.folded
    if folded is not None:
        folded = replace(folded, network=shadow_of(folded.network, {model.head_name}))
        put_in(folded.network, model.head_name, step)
    return replace(model, module=module, head=step.get_parameter("weight").detach().flatten(1), folded=folded)
