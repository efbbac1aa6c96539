"""Another network that shares every tensor, so that modules can be replaced without touching the original."""

from collections import OrderedDict
from collections.abc import Collection

from torch import nn


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
