"""Explain the same few pictures at the end of an epoch, on a copy of the network."""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from torch import nn

from gradcam_core.errors import GradcamError
from gradcam_core.many import explain_many
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.render import overlay
from gradcam_core.sources import load_model
from gradcam_core.sources.own_networks import unwrap
from gradcam_core.training.film import FilmWriter
from gradcam_core.training.records import Scene, Writer
from gradcam_core.training.state import undisturbed

SIDE, QUALITY = 160, 85
Truth = int | str | None


class TrainingHeatmaps:
    """Heatmaps of a few pictures by Grad-CAM: call it with the network and the epoch at the end of each epoch.

    `truths` are the true classes of the `pictures`, as numbers or labels. The heatmaps of every n-th epoch go to the
    folder `out`, as a film strip, and to the `writers`. The network, its gradients, its modes, the random states and
    autocast are left as they are: a copy of the network is explained, which holds as much memory again. Nothing that
    fails here ends the training; it is logged once for each reason. With several processes, that of rank 0 works
    alone. How far a layer's cells lie beside an even tiling is measured at the first call.
    """

    def __init__(
        self,
        pictures: Sequence[ImageRecord],
        *,
        truths: Sequence[Truth] | None = None,
        labels: Sequence[str] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        layer: str | None = None,
        every: int = 1,
        out: str | Path | None = None,
        writers: Sequence[Writer] = (),
    ) -> None:
        if not pictures or every < 1 or (truths is not None and len(truths) != len(pictures)):
            raise GradcamError(
                "These heatmaps cannot be computed.",
                "Give at least one picture, a true class for each or none at all, and every n-th epoch from 1.",
            )
        self._pictures = tuple(pictures)
        self._truths: tuple[Truth, ...] = tuple(truths) if truths is not None else (None,) * len(pictures)
        self._settings = {"labels": labels, "preprocessing": preprocessing}
        self._layer, self._every = layer, every
        self._writers = (*([FilmWriter(Path(out))] if out is not None else []), *writers)
        self._copy: LoadedModel | None = None
        self._said = set[str]()

    def __call__(self, network: nn.Module, epoch: int) -> None:
        """Explain and write, if it is this epoch's turn."""
        if epoch % self._every or _rank() != 0:
            return
        scenes = self._without_harm(lambda: self._scenes(unwrap(network)))
        for writer in self._writers if scenes else ():
            self._without_harm(partial(writer, epoch, scenes))

    def _without_harm(self, work: Callable[[], Any]) -> Any:
        """Run a piece of work; None where it fails. What is wrong is said once, without names of files."""
        try:
            with undisturbed():
                return work()
        except Exception as error:  # whatever it is, the training is worth more
            why = error.message if isinstance(error, GradcamError) else f"{type(error).__name__}."
            if why not in self._said:
                self._said.add(why)
                logging.getLogger(__name__).warning("No heatmaps of this epoch: %s The training goes on.", why)
            return None

    def _scenes(self, network: nn.Module) -> tuple[Scene, ...]:
        model = self._copy = _current(network, self._copy, self._settings)
        answers = self._explained(model, range(len(self._pictures)), [None] * len(self._pictures))
        known = [place for place, truth in enumerate(self._truths) if truth is not None]
        true = self._explained(model, known, [self._truths[place] for place in known])
        return tuple(
            _scene(image, answers[place], true.get(place))
            for place, image in enumerate(self._pictures)
            if place in answers
        )

    def _explained(self, model: LoadedModel, places: Sequence[int], targets: Sequence[Truth]) -> dict[int, Explanation]:
        """The explanations of some pictures, by their place. What is wrong with all of them raises."""
        if not places:
            return {}
        pictures = [self._pictures[place] for place in places]
        results = explain_many(pictures, model, targets=targets, layers=self._layer)
        explanations = {
            place: result for place, result in zip(places, results, strict=True) if isinstance(result, Explanation)
        }
        if not explanations:
            raise next(result for result in results if isinstance(result, GradcamError))
        return explanations


def _current(network: nn.Module, copy: LoadedModel | None, settings: Mapping[str, Any]) -> LoadedModel:
    """The private copy with the network's present weights. The first call makes it."""
    if copy is None:
        device = next((str(tensor.device) for tensor in network.state_dict().values()), "cpu")
        model = load_model(_without_hooks(network), **settings, device=device)
        # The weights change: no fingerprint, and no faster copy of them.
        return replace(model, folded=None, fingerprint="")
    own, given = _tensors(copy.module), _tensors(network)
    if own.keys() != given.keys():  # parts that are wrapped or compiled lie a step deeper in the given network
        own, given = _by_plain_names(own), _by_plain_names(given)
    if not own or {name: tensor.shape for name, tensor in own.items()} != {
        name: tensor.shape for name, tensor in given.items()
    }:
        raise GradcamError("The network has other layers than at the first call.", "Use one callback for each network.")
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(tensor)
    return copy


def _without_hooks(network: nn.Module) -> nn.Module:
    """A copy without the hooks of its owner, who does not want to hear of it; those that compute weights stay."""
    own = deepcopy(network)
    for part in own.modules():
        part._forward_hooks.clear()
        part._backward_hooks.clear()
        part._backward_pre_hooks.clear()
        for key, hook in list(part._forward_pre_hooks.items()):
            if not type(hook).__module__.startswith("torch.nn.utils"):  # weight norm, spectral norm, pruning
                del part._forward_pre_hooks[key]
    return own


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters and buffers by name, also those that are in no checkpoint."""
    named = (network.named_parameters(remove_duplicate=False), network.named_buffers(remove_duplicate=False))
    return {name: tensor for each in named for name, tensor in each}


def _by_plain_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights by their names without the steps of wrappers; empty where two would have one name."""
    plain = {
        ".".join(step for step in name.split(".") if step not in ("_orig_mod", "module")): tensor
        for name, tensor in state.items()
    }
    return plain if len(plain) == len(state) else {}


def _scene(image: ImageRecord, answer: Explanation, true: Explanation | None) -> Scene:
    shown = answer.heatmaps[-1]
    scene = Scene(image.name, shown.target.label, shown.target.probability, shown.raw, _picture(image, shown))
    if true is None:
        return scene
    heatmap = true.heatmaps[-1]
    same = heatmap.target.index == shown.target.index
    return replace(
        scene,
        truth=heatmap.target.label,
        true_probability=heatmap.target.probability,
        true_map=heatmap.raw,
        true_picture=scene.answer_picture if same else _picture(image, heatmap),
    )


def _picture(image: ImageRecord, heatmap: Heatmap) -> bytes:
    """The overlay with a longer side of SIDE pixels, as JPEG."""
    drawn = overlay(image, heatmap)
    share = min(1.0, SIDE / max(drawn.shape[:2]))
    size = (max(1, round(drawn.shape[1] * share)), max(1, round(drawn.shape[0] * share)))
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(small), quality=QUALITY))


def _rank() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if ready else 0
