"""Advice on a layer: where it is in the network, how fine its map is, and why it may be a poor choice."""

from torch import nn

from gradcam_core.layers.layouts import INPUT
from gradcam_core.layers.measured import Localisation, localisations
from gradcam_core.records import LayerInfo, LoadedModel
from gradcam_core.text import percent

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# A map of at most so many rows and columns hardly tells a place.
COARSE = 3
BETTER = (
    "On {}, '{}' localises clearly better: {} of its Grad-CAM heat lies where the class is, and the hottest point in "
    "{} of the pictures; here {} and {}."
)
MEASURED = (
    "On {}, {} of its Grad-CAM heat lies where the class is, and the hottest point in {} of the pictures; at the "
    "recommended layer {} and {}. {}."
)
VERDICTS = ("It localises clearly better", "It localises clearly worse", "Neither layer localises clearly better")


def advise(model: LoadedModel, layer: LayerInfo) -> tuple[str, ...]:
    """Say in short sentences what a layer is: its place and map, warnings, and how well it localises where known."""
    if layer.kind == INPUT:
        return (f"The model's input: {layer.blocked}.",)
    rows, columns = layer.grid
    place = f"{_place(model, layer)}, {columns} × {rows} cells."
    return (place, *_warnings(model, layer), *_localisation(model, layer))


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
    measured = localisations(model).get(layer.name)
    if _place(model, layer).startswith("Early") and not (measured and measured.low > 0):
        warnings.append("Early layers see edges and textures, much the same for every class.")
    return warnings


def _localisation(model: LoadedModel, layer: LayerInfo) -> tuple[str, ...]:
    """How well it localises where that is known; of the recommended layer, only where another is clearly better."""
    known = localisations(model)
    usual, own = known.get(model.default_layer), known.get(layer.name)
    if usual is None or own is None:
        return ()
    if own is usual:
        better = [other for other in known.values() if other.low > 0 and other.hits >= usual.hits]
        best = max(better, key=lambda other: other.mass, default=None)
        return (BETTER.format(usual.pictures, best.name, *_shares(best), *_shares(usual)),) if best else ()
    verdict = VERDICTS[0 if own.low > 0 else 1 if own.high < 0 else 2]
    return (MEASURED.format(own.pictures, *_shares(own), *_shares(usual), verdict),)


def _shares(measured: Localisation) -> tuple[str, str]:
    return percent(measured.mass, 0), percent(measured.hits, 0)


def _block_around(model: LoadedModel, layer: LayerInfo) -> str:
    """The nearest block around a layer that has a map of its own, and that a gradient comes back to; "" for none."""
    offered = {other.name for other in model.layers if not other.blocked}
    parts = layer.name.split(".")
    around = [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
    blocks = (name for name in around if not isinstance(model.module.get_submodule(name), CONTAINERS))
    return next((name for name in blocks if name in offered), "")
