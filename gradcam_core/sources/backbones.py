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


def classes_of_detector(module: nn.Module) -> int:
    """The number of a detector's classes, its background among them. Raises ModelError where nothing tells it."""
    for name, part in module.named_modules():
        if name.endswith("cls_score") and isinstance(part, nn.Linear):
            return part.out_features
        for count in COUNTS:
            if "classification" in name and isinstance(getattr(part, count, None), int):
                return int(getattr(part, count))
    raise ModelError(
        "The number of the detector's classes cannot be found.",
        "Wrap it so that it returns scores [pictures, objects], and load it as a classifier.",
    )


def pyramid_of(layers: Sequence[LayerInfo], calls: Calls, task: Task) -> tuple[str, ...]:
    """The layers that are explained together: a detector's, whose outputs its backbone hands on; else ().

    Single layers fail on detectors: an object is found on the level of the pyramid that suits its size.
    """
    return _ends_of_backbone(layers, calls) if task == "detection" else ()


def _ends_of_backbone(layers: Sequence[LayerInfo], calls: Calls) -> tuple[str, ...]:
    """The layers whose outputs are the maps that the backbone hands on; () without a backbone."""
    inside = [layer for layer in layers if layer.name.startswith("backbone.") and layer.layout == "NCHW"]
    names = [_layer_of(values, inside, calls) for values in _handed_on(calls.get("backbone"))]
    return tuple(dict.fromkeys(filter(None, names)))


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


def _handed_on(backbone: Call | None) -> list[torch.Tensor]:
    outputs = backbone.output if backbone else None
    values = outputs.values() if isinstance(outputs, Mapping) else outputs if isinstance(outputs, list | tuple) else ()
    return [each for each in values if isinstance(each, torch.Tensor) and each.dim() == 4]


def _layer_of(values: torch.Tensor, inside: Sequence[LayerInfo], calls: Calls) -> str:
    """The layer that gave these values; where a later step has changed them, the last one of the same shape."""
    alike = [layer.name for layer in inside if (layer.channels, *layer.grid) == tuple(values.shape[1:])]
    trace = trace_of(values)
    same = [name for name in alike if trace and _equal(calls[name].trace, trace)]
    return (same or alike or [""])[-1]


def _equal(first: tuple[torch.Tensor, torch.Tensor] | None, second: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return first is not None and all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
