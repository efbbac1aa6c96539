"""Advice on a layer: where it is in the network, how fine its map is, and why it may be a poor choice."""

from torch import nn

from gradcam_core.layers.layouts import INPUT
from gradcam_core.records import LayerInfo, LoadedModel

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# A map of at most so many rows and columns hardly tells a place.
COARSE = 3


def advise(model: LoadedModel, layer: LayerInfo) -> tuple[str, ...]:
    """Say in short sentences what a layer is: first its place and map, then warnings where it is a poor choice."""
    if layer.kind == INPUT:
        return (f"The model's input: {layer.blocked}.",)
    rows, columns = layer.grid
    return (f"{_place(model, layer)}, {columns} × {rows} cells.", *_warnings(model, layer))


def _place(model: LoadedModel, layer: LayerInfo) -> str:
    names = [other.name for other in model.layers]
    usual, here = names.index(model.default_layer), names.index(layer.name)
    if here > usual and not model.default_layer.startswith(f"{layer.name}."):
        return "Behind the recommended layer"
    third = min(2, 3 * here // (usual + 1))
    return ("Early in the network", "In the middle of the network", "Late in the network")[third]


def _warnings(model: LoadedModel, layer: LayerInfo) -> list[str]:
    """What speaks against a layer; nothing but a coarse map speaks against the recommended one."""
    warnings = []
    if layer.blocked:
        warnings.append(f"Methods that need gradients show nothing here: {layer.blocked}.")
    if max(layer.grid) <= COARSE:
        warnings.append("So few cells hardly tell a place.")
    if layer.name == model.default_layer:
        return warnings
    block = _block_around(model, layer)
    if layer.attention:
        warnings.append(
            f"It is a step inside the attention '{layer.attention}': its channels are queries, keys or values, not "
            "features of the picture."
        )
    elif block:
        warnings.append(f"It is only a step inside the block '{block}', whose own map is usually the better choice.")
    if _place(model, layer).startswith("Early"):
        warnings.append("Early layers see edges and textures, much the same for every class.")
    return warnings


def _block_around(model: LoadedModel, layer: LayerInfo) -> str:
    """The nearest block around a layer that has a map of its own, and that a gradient comes back to; "" for none."""
    offered = {other.name for other in model.layers if not other.blocked}
    parts = layer.name.split(".")
    around = [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
    blocks = (name for name in around if not isinstance(model.module.get_submodule(name), CONTAINERS))
    return next((name for name in blocks if name in offered), "")
