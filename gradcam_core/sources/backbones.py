"""Detectors and segmenters: their number of classes, and the maps that their heads read."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from gradcam_core.capture import Call, trace_of
from gradcam_core.errors import ModelError
from gradcam_core.records import LayerInfo
from gradcam_core.sources.structure import Calls
from gradcam_core.tasks import Task

# Where detection heads keep their number of classes.
COUNTS = ("num_classes", "num_columns")
Trace = tuple[torch.Tensor, torch.Tensor]


def classes_of_detector(module: nn.Module, labels: Sequence[str] | None) -> int:
    """The number of a detector's classes, its background among them, by its head or else by the labels.

    Raises ModelError where neither tells it.
    """
    for name, part in module.named_modules():
        if name.endswith("cls_score") and isinstance(part, nn.Linear):
            return part.out_features
        for count in COUNTS:
            if "classification" in name and isinstance(getattr(part, count, None), int):
                return int(getattr(part, count))
    if labels is None:
        raise ModelError("The number of the detector's classes cannot be found.", "Give the names of its classes.")
    return len(labels)


def pyramid_of(layers: Sequence[LayerInfo], calls: Calls, task: Task) -> tuple[str, ...]:
    """The layers that are explained together: a detector's, whose outputs its backbone hands on; else ().

    Single layers fail on detectors: an object is found on the level of the pyramid that suits its size.
    """
    return _ends_of_backbone(layers, calls) if task == "detection" else ()


def _ends_of_backbone(layers: Sequence[LayerInfo], calls: Calls) -> tuple[str, ...]:
    """The layers whose outputs are the maps that the backbone hands on; () without a backbone."""
    inside = [layer for layer in layers if layer.name.startswith("backbone.") and layer.layout == "NCHW"]
    names = [_layer_of(shape, trace, inside, calls) for shape, trace in _handed_on(calls.get("backbone"))]
    return tuple(dict.fromkeys(filter(None, names)))


def layer_before_objects(layers: Sequence[LayerInfo]) -> str:
    """The usual layer of a detector without a pyramid that is known: the last of those with the most channels.

    The maps behind it hold boxes and classes.
    """
    most = max(layer.channels for layer in layers)
    return [layer.name for layer in layers if layer.channels == most][-1]


def layer_before_regions(layers: Sequence[LayerInfo], calls: Calls) -> str:
    """The usual layer of a segmenter: the deepest map of its backbone, else the last of its coarsest ones.

    Behind it, the network spreads its classes over the picture again: maps there repeat the regions themselves.
    """
    ends = _ends_of_backbone(layers, calls)
    by_name = {layer.name: layer for layer in layers}
    if ends:
        return max(ends, key=lambda name: (by_name[name].channels, ends.index(name)))
    coarsest = min(math.prod(layer.grid) for layer in layers)
    return [layer.name for layer in layers if math.prod(layer.grid) == coarsest][-1]


def _handed_on(backbone: Call | None) -> list[tuple[tuple[int, ...], Trace | None]]:
    """Shape and trace of each map that the backbone hands on."""
    outputs = backbone.output if backbone else None
    if backbone and isinstance(outputs, torch.Tensor):
        return [(tuple(outputs.shape), backbone.trace)] if outputs.dim() == 4 else []
    values = outputs.values() if isinstance(outputs, Mapping) else outputs if isinstance(outputs, list | tuple) else ()
    maps = [each for each in values if isinstance(each, torch.Tensor) and each.dim() == 4]
    return [(tuple(each.shape), trace_of(each)) for each in maps]


def _layer_of(shape: tuple[int, ...], trace: Trace | None, inside: Sequence[LayerInfo], calls: Calls) -> str:
    """The layer that gave a map; where a later step has changed it, the last one of the same shape."""
    alike = [layer.name for layer in inside if (layer.channels, *layer.grid) == shape[1:]]
    same = [name for name in alike if trace and _equal(calls[name].trace, trace)]
    return (same or alike or [""])[-1]


def _equal(first: Trace | None, second: Trace) -> bool:
    return first is not None and all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
