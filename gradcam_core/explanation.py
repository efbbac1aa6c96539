"""The straight line: picture -> input -> evidence -> maps -> heatmaps. Read this second."""

import dataclasses
import functools
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from gradcam_core.heatmaps import Found, Tell, heatmaps_of
from gradcam_core.layers import resolve_layer
from gradcam_core.methods import INSTEAD, caveat, find_method, smoothing_of, why_not
from gradcam_core.preprocess import prepare
from gradcam_core.records import Evidence, Explanation, Heatmap, ImageRecord, LayerInfo, LoadedModel, Progress, Target
from gradcam_core.registry import Member
from gradcam_core.targets import Wanted, choose_targets, top_predictions
from gradcam_core.version import __version__

Method = str | tuple[str, Mapping[str, Any]]
DEFAULT_METHODS: Sequence[Method] = ("cam", "grad_cam", "grad_cam_plus_plus")


def explain(
    image: ImageRecord,
    model: LoadedModel,
    *,
    top_k: int = 5,
    targets: Wanted | Sequence[Wanted] | None = None,
    methods: Method | Sequence[Method] = DEFAULT_METHODS,
    layers: str | Sequence[str] | None = None,
    on_progress: Progress | None = None,
) -> Explanation:
    """Show where a picture moves the model's class scores: one heatmap per method, target and layer.

    `targets` are class indices, labels or Target objects instead of the `top_k` most probable
    classes. A method is a name or (name, {option: value}). With several `layers` each is kept and
    a fused heatmap follows. Methods that read activations and gradients share one forward pass and
    one backward pass through the network's tail; those that take many passes tell `on_progress` how
    far they are, and what it raises cancels the analysis. Of the default methods, those that this
    network cannot serve are left out with a note; asked for by name, they raise MethodError. Raises
    a GradcamError for whatever cannot work, before anything is computed where that can be known.
    """
    if not isinstance(image, ImageRecord):
        raise PictureError(f"A {type(image).__name__} is no picture that was read.", "Read it first: read_image(path).")
    if not isinstance(model, LoadedModel):
        raise ModelError(f"A {type(model).__name__} is no loaded model.", "Load it first: load_model(reference).")
    clock = _Clock()
    wanted = [resolve_layer(model, name) for name in _layer_names(model, layers)]
    entries, notes = _choose_methods(methods, wanted, model)
    choose = choose_targets(targets, model.labels, top_k, model.outputs)
    with clock("preprocess"):
        array, placement = prepare(image, model.preprocessing)
    needs = {need for entry, options in entries if not smoothing_of(entry, options) for need in entry.needs}
    outputs, chosen, evidence, model, moved = _capture(model, array, choose, wanted, needs, clock)
    found = Found(model, torch.tensor(array)[None].to(model.device), chosen, tuple(wanted), evidence, placement)
    heatmaps = []
    for place, (entry, options) in enumerate(entries):
        tell = _telling(on_progress, place, len(entries), entry.title)
        with clock(entry.name):
            heatmaps += heatmaps_of(found, entry, options, tell)
    return Explanation(
        image=image,
        reference=model.reference,
        architecture=model.architecture,
        fingerprint=model.fingerprint,
        device=str(model.device),
        preprocessing=model.preprocessing,
        placement=placement,
        predictions=top_predictions(outputs, model.outputs, model.labels, top_k),
        heatmaps=tuple(heatmaps),
        model_input=array,
        seconds=clock.seconds,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(*image.notes, *model.notes, *notes, *moved),
    )


def _telling(on_progress: Progress | None, place: int, count: int, title: str) -> Tell:
    """Turn the share of one method into that of all."""

    def tell(share: float, drafts: tuple[Heatmap, ...]) -> None:
        if on_progress is not None:
            on_progress((place + share) / count, title, drafts)

    return tell


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
    methods: Method | Sequence[Method], layers: Sequence[LayerInfo], model: LoadedModel
) -> tuple[list[tuple[Member, Mapping[str, Any]]], list[str]]:
    """Look the methods up, and leave unsuitable ones out of the default set with a note."""
    entries, notes = [], []
    for name, options in _listed(methods):
        entry = find_method(name, options)
        reason = next(filter(None, (why_not(entry, layer, model) for layer in layers)), "")
        if reason and methods is not DEFAULT_METHODS:
            raise MethodError(reason, INSTEAD)
        notes += [reason] if reason else list(filter(None, {caveat(entry, layer, model) for layer in layers}))
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
    needs: Collection[str],
    clock: "_Clock",
) -> tuple[torch.Tensor, tuple[Target, ...], tuple[Evidence, ...], LoadedModel, tuple[str, ...]]:
    """Run the model; where its device's memory is too small, run a copy on the processor and say so."""
    moved: tuple[str, ...] = ()
    # A copy, since a network's first step may work in place.
    inputs = torch.tensor(array)[None]
    found = None
    try:
        found = capture(model, inputs.to(model.device), choose, layers, needs=needs, clock=clock)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if model.device.type == "cpu":
            raise DeviceError("The memory is too small for this picture and model.", "Use a smaller input.") from error
    if found is None:  # here, behind the except block, the failed pass has let go of its memory
        moved = (f"The memory of {model.device} was too small: this was computed on the processor instead.",)
        model = _on_processor(model)
        found = capture(model, inputs, choose, layers, needs=needs, clock=clock)
    if not found[0].isfinite().all():
        raise ModelError(
            "The model's scores are not finite numbers for this picture.", "Check its weights and preprocessing."
        )
    return (*found, model, moved)


def _on_processor(model: LoadedModel) -> LoadedModel:
    head = None if model.head is None else model.head.cpu()
    module = copy_to_processor(model.module)
    return dataclasses.replace(model, module=module, folded=None, device=torch.device("cpu"), head=head)


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
