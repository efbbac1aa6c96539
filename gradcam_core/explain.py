"""The straight line: picture -> input -> evidence -> maps -> heatmaps. Read this second."""

import dataclasses
import functools
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from gradcam_core.capture import capture
from gradcam_core.devices import copy_to_processor, is_out_of_memory
from gradcam_core.errors import DeviceError, LayerError, MethodError, ModelError, PictureError
from gradcam_core.layers import resolve_layer
from gradcam_core.methods import caveat, find_method, make_maps, why_not
from gradcam_core.placement import Placement, resample
from gradcam_core.preprocess import prepare
from gradcam_core.records import Evidence, Explanation, Heatmap, ImageRecord, LayerInfo, LoadedModel, Target
from gradcam_core.registry import Entry
from gradcam_core.targets import Wanted, choose_targets, predict
from gradcam_core.version import __version__

Method = str | tuple[str, Mapping[str, Any]]
DEFAULT_METHODS: Sequence[Method] = ("cam", "grad_cam", "grad_cam_plus_plus")
FUSION = "element-wise maximum of the layers' maps, each scaled to its own peak"


def explain(
    image: ImageRecord,
    model: LoadedModel,
    *,
    top_k: int = 5,
    targets: Wanted | Sequence[Wanted] | None = None,
    methods: Method | Sequence[Method] = DEFAULT_METHODS,
    layers: str | Sequence[str] | None = None,
) -> Explanation:
    """Show where a picture moves the model's class scores: one heatmap per method, target and layer.

    `targets` are class indices, labels or Target objects instead of the `top_k` most probable
    classes. A method is a name or (name, {option: value}). With several `layers` each is kept and
    a fused heatmap follows. All come from one forward pass and one backward pass through the
    network's tail. Of the default methods, those that this network cannot serve are left out
    with a note; asked for by name, they raise MethodError. Raises a GradcamError for whatever
    cannot work, before anything is computed where that can be known.
    """
    if not isinstance(image, ImageRecord):
        raise PictureError(f"A {type(image).__name__} is no picture that was read.", "Read it first: read_image(path).")
    if not isinstance(model, LoadedModel):
        raise ModelError(f"A {type(model).__name__} is no loaded model.", "Load it first: load_model(reference).")
    clock = _Clock()
    wanted = [resolve_layer(model, name) for name in _layer_names(model, layers)]
    entries, notes = _choose_methods(methods, wanted)
    choose = choose_targets(targets, model.labels, top_k)
    with clock("preprocess"):
        array, placement = prepare(image, model.preprocessing)
    with clock("model"):
        gradients = any("gradients" in entry.needs for entry, _ in entries)
        outputs, chosen, evidence, moved = _capture(model, array, choose, wanted, gradients)
    heatmaps = []
    for entry, options in entries:
        with clock(entry.name):
            heatmaps += _heatmaps(entry, options, chosen, evidence, placement)
    return Explanation(
        image=image,
        reference=model.reference,
        architecture=model.architecture,
        fingerprint=model.fingerprint,
        device="cpu" if moved else str(model.device),
        preprocessing=model.preprocessing,
        placement=placement,
        predictions=predict(outputs, model.labels, top_k),
        heatmaps=tuple(heatmaps),
        model_input=array,
        seconds=clock.seconds,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(*image.notes, *model.notes, *notes, *moved),
    )


class _Clock:
    """Measure what each step takes, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


def _layer_names(model: LoadedModel, layers: str | Sequence[str] | None) -> list[str]:
    if layers is None or isinstance(layers, str):
        return [layers or model.default_layer]
    if not isinstance(layers, Sequence):
        raise LayerError(f"{layers!r} is no layer.", "Give a name, or a list of names.")
    if not layers:
        return [model.default_layer]
    for name in layers:
        if not isinstance(name, str):
            raise LayerError(f"{name!r} is no layer.", "Give a name, or a list of names.")
    return list(dict.fromkeys(resolve_layer(model, name).name for name in layers))


def _choose_methods(
    methods: Method | Sequence[Method], layers: Sequence[LayerInfo]
) -> tuple[list[tuple[Entry, Mapping[str, Any]]], list[str]]:
    """Look the methods up, and leave unsuitable ones out of the default set with a note."""
    entries, notes = [], []
    for name, options in _listed(methods):
        entry = find_method(name, options)
        reason = next(filter(None, (why_not(entry, layer) for layer in layers)), "")
        if reason and methods is not DEFAULT_METHODS:
            raise MethodError(reason, "Use Grad-CAM or HiResCAM instead: they need no such head.")
        notes += [reason] if reason else list(filter(None, {caveat(entry, layer) for layer in layers}))
        entries += [] if reason else [(entry, options)]
    return entries, notes


def _listed(methods: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """One method or several, as pairs of name and options."""
    single = isinstance(methods, str) or (
        isinstance(methods, Sequence) and len(methods) == 2 and isinstance(methods[1], Mapping)
    )
    asked = [methods] if single else list(methods) if isinstance(methods, Iterable) else []
    pairs = [(one, {}) if isinstance(one, str) else one for one in asked]
    if not pairs:
        raise MethodError("No method is chosen.", "Name at least one, e.g. grad_cam.")
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[1], Mapping)):
            raise MethodError(f"{pair!r} is no method.", 'Give a name, or a pair: ("name", {"option": value}).')
    return [(str(name), options) for name, options in pairs]


def _capture(
    model: LoadedModel,
    array: np.ndarray,
    choose: Callable[[torch.Tensor], tuple[Target, ...]],
    layers: Sequence[LayerInfo],
    gradients: bool,
) -> tuple[torch.Tensor, tuple[Target, ...], tuple[Evidence, ...], tuple[str, ...]]:
    """Run the model; where its device's memory is too small, run a copy on the processor and say so."""
    moved: tuple[str, ...] = ()
    # A copy, since a network's first step may work in place.
    inputs = torch.tensor(array)[None]
    found = None
    try:
        found = capture(model, inputs.to(model.device), choose, layers, gradients=gradients)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if model.device.type == "cpu":
            raise DeviceError("The memory is too small for this picture and model.", "Use a smaller input.") from error
    if found is None:  # here, behind the except block, the failed pass has let go of its memory
        found = capture(_on_processor(model), inputs, choose, layers, gradients=gradients)
        moved = (f"The memory of {model.device} was too small: this was computed on the processor instead.",)
    if not found[0].isfinite().all():
        raise ModelError(
            "The model's scores are not finite numbers for this picture.", "Check its weights and preprocessing."
        )
    return (*found, moved)


def _on_processor(model: LoadedModel) -> LoadedModel:
    head = None if model.head is None else model.head.cpu()
    return dataclasses.replace(model, module=copy_to_processor(model.module), device=torch.device("cpu"), head=head)


def _heatmaps(
    entry: Entry,
    options: Mapping[str, Any],
    targets: Sequence[Target],
    evidence: Sequence[Evidence],
    placement: Placement,
) -> list[Heatmap]:
    """One heatmap a target and layer, the fused one last where there are several layers."""
    maps = [make_maps(entry, one, options)[:, 0].float().cpu().numpy() for one in evidence]
    if not all(np.isfinite(one).all() for one in maps):
        raise MethodError(f"{entry.title} gave numbers that are not finite here.", "Choose another layer or method.")
    names = [one.layer.name for one in evidence]
    heatmaps = []
    for index, target in enumerate(targets):
        rows = [
            Heatmap(entry.name, options, target, name, raw[index], placement)
            for name, raw in zip(names, maps, strict=True)
        ]
        if len(rows) > 1:
            fused = _fuse([row.raw for row in rows])
            rows.append(Heatmap(entry.name, options, target, " + ".join(names), fused, placement, FUSION))
        heatmaps += rows
    return heatmaps


def _fuse(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Element-wise maximum on the finest grid, each map's positive part scaled to its own peak first.

    After Jiang et al. 2021, who join LayerCAM's maps of several layers so.
    """
    finest = max((one.shape for one in maps), key=lambda shape: shape[0] * shape[1])
    scaled = [np.maximum(one, 0) / one.max() if one.max() > 0 else np.zeros_like(one) for one in maps]
    fused: np.ndarray = np.max([resample(one, finest) for one in scaled], axis=0)
    return fused


@functools.cache
def versions() -> Mapping[str, str]:
    """Versions of what shapes the numbers, for the record. Read once: they are a fact of the installation."""
    found = {"cam-lightbox": __version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "timm", "numpy", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return MappingProxyType(found)
