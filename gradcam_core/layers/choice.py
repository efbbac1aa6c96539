"""Which layers to look at: the usual one, and those that show a network's depth."""

from collections.abc import Sequence

from torch import nn

from gradcam_core.errors import LayerError
from gradcam_core.layers.names import resolve_layer
from gradcam_core.records import LayerInfo, LoadedModel

POOLS = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d)


def list_layers(model: LoadedModel) -> tuple[LayerInfo, ...]:
    """Every layer that can be explained, in the order of computation, with its map's shape."""
    return model.layers


def choose_default(layers: Sequence[LayerInfo], network: nn.Module) -> str:
    """The last map before the classifier reads it: `features[-1]`, `layer4[-1]` and their like.

    `layers` are those that end before the classifier begins, and that a gradient comes back to. A step inside
    attention or a pooling step is not chosen. Plain containers are entered, so that the name is that of the block.
    """
    modules = dict(network.named_modules())
    outside = [x for x in layers if not x.attention] or layers
    candidates = [x.name for x in outside if not _ends_in_pooling(modules[x.name])]
    name = candidates[-1] if candidates else outside[-1].name
    while type(modules[name]) is nn.Sequential:
        inner = f"{name}.{list(modules[name]._modules)[-1]}"
        if inner not in {layer.name for layer in layers}:
            break
        name = inner
    return name


def _ends_in_pooling(module: nn.Module) -> bool:
    while type(module) is nn.Sequential and len(module):
        module = module[-1]
    return isinstance(module, POOLS)


def layers_by_depth(model: LoadedModel, most: int = 8) -> tuple[LayerInfo, ...]:
    """Choose layers that show the network's depth, shallow to deep; the last one is the model's usual layer.

    Blocks rather than their parts; the last of each grid size is always among them, as far as `most`
    allows, and the others are spread evenly.
    """
    names = [layer.name for layer in model.layers]
    place = names.index(model.default_layer)
    before, usual = [layer for layer in model.layers[:place] if not layer.blocked], model.layers[place]
    blocks = [layer for layer in before if _is_block(layer.name, model.module)] or list(before)
    last_of_grid = {layer.grid: layer for layer in (*blocks, usual)}
    kept = list(last_of_grid.values())[-most:]
    others = [layer for layer in blocks if layer not in kept]
    room = most - len(kept)
    if room < len(others):
        others = [others[(2 * place + 1) * len(others) // (2 * room)] for place in range(room)]
    return tuple(layer for layer in (*before, usual) if layer in kept or layer in others)


def _is_block(name: str, network: nn.Module) -> bool:
    """Whether a module has parts of its own, and stands in nothing but plain containers."""
    parts = name.split(".")
    around = [type(network.get_submodule(".".join(parts[:end]))) for end in range(1, len(parts))]
    module = network.get_submodule(name)
    plain = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return bool(module._modules) and type(module) not in plain and all(kind in plain for kind in around)


def wanted_layers(model: LoadedModel, layers: str | Sequence[str] | None) -> tuple[LayerInfo, ...]:
    """The layers of these names, each once; the model's usual one where none is named."""
    names = [layers] if isinstance(layers, str) and layers else layers or model.pyramid or [model.default_layer]
    wrong = [name for name in names if not isinstance(name, str)] if isinstance(names, Sequence) else [names]
    if wrong:
        raise LayerError(f"{wrong[0]!r} is not a layer.", "Give a name, or a list of names.")
    return tuple(dict.fromkeys(resolve_layer(model, name) for name in names))
