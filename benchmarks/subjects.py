"""What is measured: networks, pictures, and the peers as their documentation shows them."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from torch import nn

from gradcam_core import ImageRecord, LoadedModel, load_model, read_image, read_sample
from tests import networks

LAST = {
    "mobilenet_v2": "features.18",
    "resnet18": "layer4.1",
    "resnet50": "layer4.2",
    "efficientnet_b0": "features.8",
    "vit_small_patch16_224": "blocks.11.norm1",
}


@functools.cache
def network(name: str, size: int = 224) -> nn.Module:
    """A network with random weights and BatchNorm of trained proportions."""
    torch.manual_seed(0)
    built = timm.create_model(name) if name.startswith("vit") else getattr(torchvision.models, name)()
    return networks.calibrated(built, size).requires_grad_(True)


@functools.cache
def model(name: str, size: int = 224) -> LoadedModel:
    """The same network, loaded by us."""
    return load_model(network(name), preprocessing={"size": size, "fit": "squash"}, device="cpu")


@functools.cache
def photograph() -> ImageRecord:
    """A picture of 600 x 300."""
    return read_image(read_sample("cat_and_coffee"))


@functools.cache
def tensor(size: int = 224) -> torch.Tensor:
    """An input that the peers get ready-made."""
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))


def forward(net: nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    """One plain eager pass."""

    def run() -> object:
        with torch.inference_mode():
            return net(inputs)

    return run


def tokens(values: torch.Tensor) -> torch.Tensor:
    """How pytorch-grad-cam is told about a vision transformer's tokens."""
    side = int((values.shape[1] - 1) ** 0.5)
    return values[:, 1:].reshape(len(values), side, side, -1).permute(0, 3, 1, 2)


def gradcam_package(
    name: str, methods: Sequence[str], classes: Sequence[int], layer: str = "", inputs: torch.Tensor | None = None
) -> Callable[[], Any]:
    """pytorch-grad-cam: an object a method, a call a class."""
    import pytorch_grad_cam as peer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net = network(name)
    target = [net.get_submodule(layer or LAST[name])]
    reshape = {"reshape_transform": tokens} if name.startswith("vit") else {}

    def run() -> list[np.ndarray]:
        maps = []
        for method in methods:
            with getattr(peer, method)(net, target, **reshape) as cam:
                given = tensor() if inputs is None else inputs
                maps += [cam(given, [ClassifierOutputTarget(index)])[0] for index in classes]
        return maps

    return run


def torchcam_package(
    name: str, methods: Sequence[str], classes: Sequence[int], layers: Sequence[str] = ()
) -> Callable[[], Any]:
    """torchcam at its best: one forward pass a method, whose graph is kept for all classes."""
    from torchcam import methods as peer

    net = network(name)
    target = list(layers) or [LAST[name]]

    def run() -> list[Any]:
        maps = []
        for method in methods:
            with getattr(peer, method)(net, target) as cam:
                scores = net(tensor().requires_grad_())
                for index in classes:
                    small = cam(index, scores, retain_graph=True)
                    maps += [nn.functional.interpolate(each[None], size=(224, 224), mode="bilinear") for each in small]
        return maps

    return run


def captum_package(name: str) -> Callable[[], Any]:
    """captum's LayerGradCam for one class."""
    from captum.attr import LayerAttribution, LayerGradCam

    net = network(name)
    cam = LayerGradCam(net, net.get_submodule(LAST[name]))
    return lambda: LayerAttribution.interpolate(cam.attribute(tensor(), target=0, relu_attributions=True), (224, 224))
