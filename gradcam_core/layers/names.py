"""Find a layer by its name, in dots or brackets."""

import difflib
import re

from torch import nn

from gradcam_core.errors import LayerError
from gradcam_core.records import LayerInfo, LoadedModel


def resolve_layer(model: LoadedModel, name: str) -> LayerInfo:
    """Find a layer by its name in dots (`layer4.1`) or brackets (`layer4[-1]`).

    Raises LayerError, with the reason, for one that does not exist or holds no map.
    """
    known = {layer.name: layer for layer in model.layers}
    if name in known:
        return known[name]
    dotted = _canonical(model.module, _dotted(model.module, str(name)))
    if dotted in known:
        return known[dotted]
    usual = f"Choose another layer; the usual one here is '{model.default_layer}'."
    if dotted in model.refused_layers:
        raise LayerError(f"Layer '{name}' cannot be explained: {model.refused_layers[dotted]}.", usual)
    near = difflib.get_close_matches(dotted, known, n=3)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise LayerError(f"There is no layer '{name[:80]}' in this model.", f"{hint}{usual}")


def _dotted(network: nn.Module, name: str) -> str:
    """`layer4[-1].conv2` -> `layer4.1.conv2`; what does not resolve comes back with plain indices."""
    modules = dict(network.named_modules(remove_duplicate=False))
    parts: list[str] = []
    for part in re.sub(r"\[(-?\d+)\]", r".\1", name).strip(".").split("."):
        parent = modules.get(".".join(parts))
        children = list(parent._modules) if parent is not None else []
        if re.fullmatch(r"-?\d+", part) and part not in children and -len(children) <= int(part) < len(children):
            part = children[int(part)]
        parts.append(part)
    return ".".join(parts)


def _canonical(network: nn.Module, name: str) -> str:
    """The first name of a module that the network holds under several."""
    module = dict(network.named_modules(remove_duplicate=False)).get(name)
    return next((first for first, other in network.named_modules() if other is module), name)
