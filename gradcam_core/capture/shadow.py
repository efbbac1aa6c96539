"""Another network that shares every tensor: to change a module or two without touching the original."""

from collections import OrderedDict
from collections.abc import Collection

from torch import nn


def shadow_of(network: nn.Module, names: Collection[str]) -> nn.Module:
    """Copy these modules, and those around them, as new objects that share tensors; all others stay the same objects.

    Made without pickling, which some networks refuse.
    """
    around = {".".join(name.split(".")[:end]) for name in names for end in range(name.count(".") + 2)} | {""}
    copied = {id(network.get_submodule(name)) for name in around}
    made: dict[int, nn.Module] = {}

    def twin(module: nn.Module) -> nn.Module:
        if id(module) not in copied:
            return module
        if id(module) not in made:
            new = made[id(module)] = object.__new__(type(module))
            hooks = OrderedDict(module._forward_hooks)
            vars(new).update({**vars(module), "_forward_hooks": hooks, "_modules": {}})
            new._modules.update({key: child and twin(child) for key, child in module._modules.items()})
        return made[id(module)]

    return twin(network)
