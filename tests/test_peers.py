"""A second opinion on real architectures: pytorch-grad-cam, and ordinary autograd through the whole network."""

from typing import Any

import numpy as np
import pytest
import torch
from tests import networks, papers

from gradcam_core.capture import capture
from gradcam_core.explain import explain
from gradcam_core.layers import resolve_layer
from gradcam_core.methods.gradient import grad_cam_plus_plus
from gradcam_core.preprocess import prepare
from gradcam_core.records import Evidence, Explanation, LoadedModel
from gradcam_core.targets import choose_targets

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
    "torchvision:densenet121": ("features", "features.denseblock3"),
    "torchvision:convnext_tiny": ("features.7.2", "features.5.4"),
    "torchvision:vgg11_bn": ("features.28", "features.14"),
    "torchvision:regnet_y_400mf": ("trunk_output", "trunk_output.block2"),
    "torchvision:efficientnet_b0": ("features.8", "features.4"),
    "torchvision:squeezenet1_1": ("features.12", "features.7"),
    "timm:mobilenetv2_100": ("bn2", "blocks.3"),
    "timm:tf_efficientnet_lite0": ("bn2", "blocks.3"),
}
# In-place steps behind the layer overwrite what the peer keeps (DenseNet's ReLU, ResNet's bn and addition).
OVERWRITTEN = {
    ("torchvision:densenet121", "features"),
    ("torchvision:resnet18", "layer4.1.bn1"),
    ("torchvision:resnet18", "layer4.1.bn2"),
    ("torchvision:resnet18", "layer4.1.conv1"),
    ("torchvision:vgg11_bn", "features.26"),
}
SAFE = sorted({(name, layer) for name, layers in LAYERS.items() for layer in layers} - OVERWRITTEN)
ALL = sorted(set(SAFE) | OVERWRITTEN)
CLASSES = [0, 7]


def by_model(pairs: list[tuple[str, str]]) -> list[Any]:
    """One worker builds each architecture."""
    return [pytest.param(*pair, marks=pytest.mark.xdist_group(pair[0]), id=" ".join(pair)) for pair in pairs]


def gather(model: LoadedModel, layer: str) -> tuple[torch.Tensor, Evidence]:
    array, _ = prepare(networks.picture(90, 120, seed=3), model.preprocessing)
    inputs = torch.from_numpy(array)[None]
    choose = choose_targets(CLASSES, model.labels, 1)
    return inputs, capture(model, inputs, choose, [resolve_layer(model, layer)])[2][0]


def ours(model: LoadedModel, layer: str) -> Explanation:
    return explain(
        networks.picture(90, 120, seed=3), model, layers=layer, targets=CLASSES, methods=tuple(PEER_METHODS)
    )


@pytest.mark.parametrize(("name", "layer"), by_model(SAFE))
def test_raw_maps_agree_with_pytorch_grad_cam(name: str, layer: str) -> None:
    peer = pytest.importorskip("pytorch_grad_cam", reason="the second opinion needs the package grad-cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = networks.real(name)
    explanation = ours(model, layer)
    inputs = torch.from_numpy(explanation.model_input)[None]
    theirs = networks.without_taps(model.module).requires_grad_(True)
    target_layer = theirs.get_submodule(layer)
    for heatmap in explanation.heatmaps:
        targets = [ClassifierOutputTarget(heatmap.target.index)]
        with getattr(peer, PEER_METHODS[heatmap.method])(theirs, [target_layer]) as method:
            method(inputs, targets)
            kept = method.activations_and_grads
            activations, gradients = kept.activations[0].numpy(), kept.gradients[0].numpy()
            raw = method.get_cam_image(inputs, target_layer, targets, activations, gradients, False)[0]
        peak = np.abs(raw).max()
        np.testing.assert_allclose(heatmap.raw / peak, raw / peak, atol=1e-4, err_msg=heatmap.method)


@pytest.mark.parametrize(("name", "layer"), by_model(ALL))
def test_cut_and_batched_gradients_equal_ordinary_autograd(name: str, layer: str) -> None:
    model = networks.real(name)
    inputs, evidence = gather(model, layer)
    (activations,), (gradients,) = networks.whole_graph(model.module, inputs, [layer], CLASSES)
    close(evidence.activations, activations, 1e-5)
    assert evidence.gradients is not None
    close(evidence.gradients, gradients, 1e-4)


@pytest.mark.parametrize(("name", "layer"), by_model(ALL))
def test_maps_equal_the_papers_on_ordinary_gradients(name: str, layer: str) -> None:
    model = networks.real(name)
    inputs, evidence = gather(model, layer)
    (activations,), (gradients,) = networks.whole_graph(model.module, inputs, [layer], CLASSES)
    for heatmap in ours(model, layer).heatmaps:
        slopes = gradients[CLASSES.index(heatmap.target.index), 0]
        twin = papers.twin(heatmap.method, activations[0], slopes, None)
        # XGrad-CAM divides by sums that may be near 0 where activations are signed.
        slack = 1e-2 if heatmap.method == "xgrad_cam" else 1e-4
        np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=slack * np.abs(twin).max(), err_msg=heatmap.method)
    assert evidence.gradients is not None
    doubled = grad_cam_plus_plus(evidence.activations.double(), evidence.gradients.double())
    for k in range(len(CLASSES)):
        twin = papers.twin("grad_cam_plus_plus", evidence.activations[0], evidence.gradients[k, 0], None)
        np.testing.assert_allclose(doubled[k, 0].numpy(), twin, rtol=0, atol=1e-9 * np.abs(twin).max())
        single = grad_cam_plus_plus(evidence.activations, evidence.gradients)[k, 0].numpy()
        np.testing.assert_allclose(single, twin, rtol=0, atol=1e-3 * np.abs(twin).max())


def close(ours: torch.Tensor, theirs: torch.Tensor, share: float) -> None:
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=share * float(theirs.abs().max()))
