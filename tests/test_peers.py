"""A second opinion on real architectures: pytorch-grad-cam, and ordinary autograd through the whole network."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core.capture import capture
from gradcam_core.explanation import explain
from gradcam_core.layers import resolve_layer
from gradcam_core.preprocess import prepare
from gradcam_core.records import Explanation
from gradcam_core.targets import choose_targets
from tests import networks, papers

PEER_METHODS = {
    "grad_cam": "GradCAM",
    "xgrad_cam": "XGradCAM",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
}
# The default layer, and one far enough before the end that gradients differ from cell to cell.
LAYERS = {
    "torchvision:mobilenet_v2": ("features.18", "features.10"),
    "torchvision:resnet18": ("layer4.1", "layer3"),
    "torchvision:resnet50": ("layer4.2", "layer3"),
    "torchvision:densenet121": ("features.norm5", "features.denseblock3"),
    "torchvision:convnext_tiny": ("features.7.2", "features.5.4"),
    "torchvision:vgg11_bn": ("features.28", "features.14"),
    "torchvision:regnet_y_400mf": ("trunk_output.block4", "trunk_output.block2"),
    "torchvision:efficientnet_b0": ("features.8", "features.4"),
    "torchvision:squeezenet1_1": ("features.12", "features.7"),
    "timm:mobilenetv2_100": ("bn2", "blocks.3"),
    "timm:tf_efficientnet_lite0": ("bn2", "blocks.3"),
}
# In-place steps behind the layer overwrite what the peer keeps (DenseNet's ReLU, ResNet's bn and addition).
OVERWRITTEN = {
    ("torchvision:densenet121", "features.norm5"),
    ("torchvision:resnet18", "layer4.1.bn1"),
    ("torchvision:resnet18", "layer4.1.bn2"),
    ("torchvision:resnet18", "layer4.1.conv1"),
    ("torchvision:vgg11_bn", "features.26"),
}
SAFE = sorted({(name, layer) for name, layers in LAYERS.items() for layer in layers} - OVERWRITTEN)
ALL = sorted(set(SAFE) | OVERWRITTEN)
CLASSES = [0, 7]
PICTURE = networks.picture(90, 120, seed=3)
# These two divide by sums that can be near 0 where activations are signed, which enlarges rounding.
SLACK = {"xgrad_cam": 1e-2, "grad_cam_plus_plus": 1e-3}


def by_model(pairs: list[tuple[str, str]]) -> list[Any]:
    return [pytest.param(*pair, id=" ".join(pair)) for pair in pairs]


@functools.cache
def ours(name: str, layer: str) -> Explanation:
    methods = (*PEER_METHODS, "grad_cam_plus_plus")
    return explain(PICTURE, networks.real(name), layers=layer, targets=CLASSES, methods=methods)


@functools.cache
def ordinary(name: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Activations [N C h w] and gradients [K N C h w] of every tested layer of a model, by ordinary autograd."""
    model = networks.real(name)
    layers = [layer for other, layer in ALL if other == name]
    inputs = torch.from_numpy(prepare(PICTURE, model.preprocessing)[0])[None]
    activations, gradients = networks.whole_graph(model.module, inputs, layers, CLASSES)
    return dict(zip(layers, zip(activations, gradients, strict=True), strict=True))


@functools.cache
def untouched_by_us(name: str) -> nn.Module:
    return networks.without_taps(networks.real(name).module)


@pytest.mark.parametrize(("name", "layer"), by_model(SAFE))
def test_raw_maps_agree_with_pytorch_grad_cam(name: str, layer: str) -> None:
    peer = pytest.importorskip("pytorch_grad_cam", reason="the second opinion needs the package grad-cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    inputs = torch.from_numpy(ours(name, layer).model_input)[None].requires_grad_()
    network = untouched_by_us(name)
    target_layer = network.get_submodule(layer)
    compared = [x for x in ours(name, layer).heatmaps if x.method in PEER_METHODS]
    assert len(compared) == len(PEER_METHODS) * len(CLASSES)
    for heatmap in compared:
        targets = [ClassifierOutputTarget(heatmap.target.index)]
        with getattr(peer, PEER_METHODS[heatmap.method])(network, [target_layer]) as method:
            method(inputs, targets)
            kept = method.activations_and_grads
            activations, gradients = kept.activations[0].numpy(), kept.gradients[0].numpy()
            raw = method.get_cam_image(inputs, target_layer, targets, activations, gradients, False)[0]
        peak = np.abs(raw).max()
        np.testing.assert_allclose(heatmap.raw / peak, raw / peak, atol=1e-4, err_msg=heatmap.method)


@pytest.mark.parametrize(("name", "layer"), by_model(ALL))
def test_cut_and_batched_gradients_equal_ordinary_autograd(name: str, layer: str) -> None:
    model = networks.real(name)
    inputs = torch.from_numpy(prepare(PICTURE, model.preprocessing)[0])[None]
    choose = choose_targets(CLASSES, model.labels, 1)
    evidence = capture(model, inputs, choose, [resolve_layer(model, layer)])[2][0]
    activations, gradients = ordinary(name)[layer]
    close(evidence.activations, activations, 1e-4)  # the folded copy rounds otherwise
    assert evidence.gradients is not None
    close(evidence.gradients, gradients, 1e-4)


@pytest.mark.parametrize(("name", "layer"), by_model(ALL))
def test_maps_equal_the_papers_on_ordinary_gradients(name: str, layer: str) -> None:
    activations, gradients = ordinary(name)[layer]
    for heatmap in ours(name, layer).heatmaps:
        slopes = gradients[CLASSES.index(heatmap.target.index), 0]
        twin = papers.twin(heatmap.method, activations[0], slopes, None)
        slack = SLACK.get(heatmap.method, 1e-4) * np.abs(twin).max()
        np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=slack, err_msg=heatmap.method)


def patches_as_grid(prefix: int) -> Any:
    """The reshape of tokens [N T C] to maps that pytorch-grad-cam wants to be given, written by hand."""

    def reshape(tokens: torch.Tensor) -> torch.Tensor:
        side = round((tokens.shape[1] - prefix) ** 0.5)
        return tokens[:, prefix:].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)

    return reshape


@pytest.mark.parametrize(
    "kind", ["class token", "registers", "dinov2", "no class token", "distilled", "rotary", "torchvision"]
)
def test_maps_of_transformers_agree_with_pytorch_grad_cam(kind: str) -> None:
    peer = pytest.importorskip("pytorch_grad_cam", reason="the second opinion needs the package grad-cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = networks.loaded(networks.transformer(kind))
    found = explain(PICTURE, model, targets=[0, 3], methods=list(PEER_METHODS))
    layer = resolve_layer(model, model.default_layer)
    network = networks.without_taps(model.module)
    inputs = torch.from_numpy(found.model_input)[None].requires_grad_()
    for heatmap in found.heatmaps:
        targets = [ClassifierOutputTarget(heatmap.target.index)]
        target_layer = network.get_submodule(layer.name)
        reshape = patches_as_grid(layer.prefix_tokens)
        with getattr(peer, PEER_METHODS[heatmap.method])(network, [target_layer], reshape) as method:
            method(inputs, targets)
            kept = method.activations_and_grads
            activations, gradients = kept.activations[0].numpy(), kept.gradients[0].numpy()
            raw = method.get_cam_image(inputs, target_layer, targets, activations, gradients, False)[0]
        peak = np.abs(raw).max()
        np.testing.assert_allclose(heatmap.raw / peak, raw / peak, atol=1e-4, err_msg=heatmap.method)


def close(ours: torch.Tensor, theirs: torch.Tensor, share: float) -> None:
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=share * float(theirs.abs().max()))
