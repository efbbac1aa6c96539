"""Where a layer's cells look, measured by pictures and their mirror images.

Strided steps can move the centre of what a cell looks at, and training can move it back: no theory tells. If cells look
d further down than they are drawn, what lies at y is drawn at y - d, and in the mirror image, mirrored back, at y + d.
So the maps of a picture and of its mirror image lie 2 d apart. The pictures are drawn discs that hide each other: edges
of all sizes like those of photographs, with no preferred direction.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float

from gradcam_core.capture.scores import network_for
from gradcam_core.capture.taps import Session, listening
from gradcam_core.layers import INPUT, TOKENS, TOKENS_FIRST, to_grid
from gradcam_core.placement import EVEN, UNMEASURED, Centres
from gradcam_core.records import LayerInfo, LoadedModel
from gradcam_core.shapes import InputArray

# Each picture takes three forward passes: itself and two mirror images.
PICTURES = 8
DISCS, SMALLEST, LARGEST = 160, 0.04, 0.35
CLASSES = 16
# Fewer cells along a side leave too few to compare.
FEWEST_CELLS = 6
# Offsets are looked for up to so many cells, at steps of FINE.
FARTHEST, FINE = 0.75, 0.005
# A class tells where its mirrored maps are so similar at their best; so large a share of the classes must tell.
LIKE, ENOUGH = 0.5, 0.5
# The largest standard error at which a measurement counts, in cells.
SURE = 0.125
# How closely offsets are known at best, in cells: classes of one network differ by so much. Less is not moved.
CLOSEST = 0.1

Maps = Float[np.ndarray, "maps h w"]
Similar = Float[np.ndarray, "lags maps pictures"]


def centres_of(model: LoadedModel, layers: Sequence[LayerInfo]) -> dict[str, Centres]:
    """Measure where the cells of these layers look; each once for a model and input size, all in one set of passes.

    Costs 3 * PICTURES forward passes. Tokens lie where their patches lie, so they are not measured. The maps are those
    of some classes where the classifier reads the layer directly; elsewhere, how far each cell's channels lie from
    their mean. Detectors and segmenters are not measured, since they choose places themselves.
    """
    size = model.preprocessing.size
    known = {layer.name: _settled(model, layer) or model.centres.get((layer.name, size)) for layer in layers}
    missing = [layer for layer in layers if known[layer.name] is None]
    for name, centres in _measured(model, missing).items() if missing else ():
        model.centres[name, size] = known[name] = centres
    return {name: centres for name, centres in known.items() if centres is not None}


def _settled(model: LoadedModel, layer: LayerInfo) -> Centres | None:
    """What needs no measurement, or allows none."""
    if layer.layout in (TOKENS, TOKENS_FIRST) or layer.kind == INPUT:
        return EVEN
    return UNMEASURED if model.outputs.has_places or layer.attention or min(layer.grid) < FEWEST_CELLS else None


def _measured(model: LoadedModel, layers: Sequence[LayerInfo]) -> dict[str, Centres]:
    similar: dict[str, tuple[list[Similar], list[Similar]]] = {layer.name: ([], []) for layer in layers}
    for picture in _pictures(model):
        inputs = torch.from_numpy(picture)[None].to(model.device)
        plain = _maps(model, inputs, layers)
        for axis in (0, 1):
            mirrored = _maps(model, inputs.flip(2 + axis), layers)
            for name in plain.keys() & mirrored.keys():
                similar[name][axis].append(_similarities(plain[name], np.flip(mirrored[name], 1 + axis), 1 + axis))
    return {layer.name: _centres(similar[layer.name], layer, model) for layer in layers}


def _centres(similar: tuple[list[Similar], list[Similar]], layer: LayerInfo, model: LoadedModel) -> Centres:
    """Centres from the similarities along both axes; unmeasured where a layer takes part in some passes only."""
    if min(map(len, similar)) < PICTURES:
        return UNMEASURED
    axes = [_offset(np.concatenate(parts, axis=2)) for parts in similar]
    cells = [side / count for side, count in zip(model.preprocessing.size, layer.grid, strict=True)]
    offsets = [offset * cell for (offset, _), cell in zip(axes, cells, strict=True)]
    known = [None if error is None else error * cell for (_, error), cell in zip(axes, cells, strict=True)]
    return Centres((offsets[0], offsets[1]), (known[0], known[1]))


def _pictures(model: LoadedModel) -> list[InputArray]:
    """Discs of random size, place and colour that hide each other, as the model's inputs [Cin Hin Win]."""
    spec, random = model.preprocessing, np.random.default_rng(0)
    (height, width), side = spec.size, 2 * min(spec.size)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    pictures = []
    for _ in range(PICTURES):
        # Twice as large at first, so that edges are soft like those of pictures.
        discs = np.zeros((2 * height, 2 * width), np.int32)
        for number in range(1, DISCS + 1):
            radius = side * SMALLEST * (LARGEST / SMALLEST) ** (random.random() ** 2)
            place = random.uniform(-0.1, 1.1, 2) * (2 * width, 2 * height)
            cv2.circle(discs, tuple(np.rint(place).astype(int).tolist()), round(radius), number, -1)
        colours = random.random((DISCS + 1, spec.channels)).astype(np.float32)[discs]
        shares = colours.reshape(height, 2, width, 2, spec.channels).mean((1, 3)).transpose(2, 0, 1)
        pictures.append(np.ascontiguousarray((shares - mean) / std))
    return pictures


def _maps(model: LoadedModel, inputs: torch.Tensor, layers: Sequence[LayerInfo]) -> dict[str, Maps]:
    """One pass: maps of each layer that takes part in it, none below 0."""
    session = Session(frozenset(layer.name for layer in layers), gradients=False)
    with listening(session, model.device):
        network_for(model, layers)(inputs.clone())
    return {
        layer.name: _shown(to_grid(session.outputs[layer.name], layer)[0].float(), layer, model) for layer in layers
    }


def _shown(cells: torch.Tensor, layer: LayerInfo, model: LoadedModel) -> Maps:
    """The maps of some classes, or how much happens in each cell, from activations [C h w]."""
    head = model.head
    if layer.pooling and head is not None and head.shape[1] == len(cells):
        rows = head[torch.linspace(0, len(head) - 1, min(CLASSES, len(head))).round().long()]
        shown = torch.einsum("kc,chw->khw", rows.to(cells), cells).relu()
    else:
        apart = (cells - cells.mean((1, 2), keepdim=True)).norm(dim=0)[None]
        shown = apart - apart.min()
    maps: Maps = shown.detach().cpu().numpy()
    return maps


def _similarities(maps: Maps, others: Maps, axis: int) -> Similar:
    """Correlation of each map with the other one moved by -3 .. 3 cells along an axis, over what both cover."""
    count = maps.shape[axis]
    most = min(3, count // 2 - 1)
    rows = []
    for lag in range(-most, most + 1):
        first = np.take(maps, range(max(0, -lag), count - max(0, lag)), axis)
        second = np.take(others, range(max(0, lag), count - max(0, -lag)), axis)
        first, second = (part - part.mean((1, 2), keepdims=True) for part in (first, second))
        size = np.sqrt((first**2).sum((1, 2)) * (second**2).sum((1, 2)))
        rows.append((first * second).sum((1, 2)) / np.maximum(size, 1e-12))
    return np.stack(rows)[:, :, None]


def _offset(similar: Similar) -> tuple[float, float | None]:
    """The offset in cells and how closely it is known; 0 and None where the maps do not show it.

    Maps that stay unlike are left out, and too many of them show nothing.
    """
    alike = [place for place in range(similar.shape[1]) if _peak(similar[:, place].mean(1))[1] >= LIKE]
    if len(alike) < ENOUGH * similar.shape[1]:
        return 0.0, None
    similar = similar[:, alike]
    best, _ = _peak(similar.mean((1, 2)))
    error = float(np.hypot(_spread(similar, 1), _spread(similar, 2)))
    if error > SURE or abs(best) >= FARTHEST:
        return 0.0, None
    close = max(CLOSEST, 2 * error)
    return (best if abs(best) > close else 0.0), close


def _spread(similar: Similar, axis: int) -> float:
    """The jackknife's standard error of the offset over maps or pictures; 0 for one alone."""
    count = similar.shape[axis]
    if count < 2:
        return 0.0
    left = [_peak(np.delete(similar, place, axis).mean((1, 2)))[0] for place in range(count)]
    return float(np.sqrt((count - 1) * np.var(left)))


def _peak(similar: Float[np.ndarray, " lags"]) -> tuple[float, float]:
    """Half the lag at which the similarity is largest, and that similarity.

    Maps drawn bilinearly correlate at shifts between whole lags as a cubic B-spline joins those at the lags.
    """
    most = len(similar) // 2
    offsets = np.arange(-FARTHEST, FARTHEST + FINE / 2, FINE)
    far = np.abs(2 * offsets[:, None] - np.arange(-most, most + 1))
    near = np.where(far < 1, 2 / 3 - far**2 + far**3 / 2, np.maximum(2 - far, 0) ** 3 / 6)
    between = near @ similar / near.sum(axis=1)
    return float(offsets[between.argmax()]), float(between.max())
