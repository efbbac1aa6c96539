"""Finer-CAM and RefineCAM against their papers and torchcam."""

import functools
from typing import Any

import numpy as np
import pytest
import torch

from gradcam_core import contrast
from gradcam_core.errors import GradcamError, MethodError
from gradcam_core.explanation import explain
from gradcam_core.layers import layers_by_depth
from gradcam_core.records import Explanation, LoadedModel
from tests import networks, papers

PICTURE = networks.picture(seed=3)
CLASSES = [0, 3]


@functools.cache
def small() -> LoadedModel:
    return networks.loaded(networks.conv_net(classes=6))


def explained(method: str, layer: str = "3", **options: Any) -> Explanation:
    return explain(PICTURE, small(), targets=CLASSES, layers=layer, methods=[(method, options)])


def ordinary(found: Explanation, layers: list[str]) -> tuple[list[Any], list[Any], torch.Tensor]:
    """Activations and the gradients of every class at layers, by ordinary autograd; and the class scores."""
    inputs = torch.from_numpy(found.model_input)[None]
    activations, gradients = networks.whole_graph(small().module, inputs, layers, list(range(6)))
    with torch.no_grad():
        scores = networks.without_taps(small().module)(inputs)[0]
    return activations, gradients, scores


@pytest.mark.parametrize(("alpha", "classes"), [(0.6, 3), (1.0, 1), (0.0, 2), (0.6, 20)])
def test_finer_cam_equals_its_paper(alpha: float, classes: int) -> None:
    found = explained("finer_cam", alpha=alpha, classes=classes)
    (activations,), (gradients,), scores = ordinary(found, ["3"])
    for heatmap in found.heatmaps:
        own = heatmap.target.index
        others = sorted((k for k in range(6) if k != own), key=lambda k: abs(float(scores[k] - scores[own])))
        similar = [gradients[k, 0].double().tolist() for k in others[:classes]]
        A, g = activations[0].double().tolist(), gradients[own, 0].double().tolist()
        twin = np.array(papers.finer_cam(A, g, similar, alpha))
        np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=1e-5 * np.abs(twin).max())


def test_finer_cam_equals_torchcams() -> None:
    peer = pytest.importorskip("torchcam.methods", reason="the second opinion needs the package torchcam")
    found = explained("finer_cam")
    network = networks.without_taps(small().module).requires_grad_(True)
    inputs = torch.from_numpy(found.model_input)[None]
    for heatmap in found.heatmaps:
        with peer.FinerCAM(network, "3", input_shape=(3, 32, 32)) as extractor:
            scores = network(inputs)
            (other,) = extractor(heatmap.target.index, scores, normalized=False)
        positive, theirs = np.maximum(heatmap.raw, 0), other[0].detach().numpy()
        np.testing.assert_allclose(positive, theirs, rtol=0, atol=1e-5 * theirs.max())


def test_finer_cam_without_comparison_is_grad_cam() -> None:
    plain = explained("grad_cam").heatmaps
    for one, other in zip(explained("finer_cam", alpha=0.0).heatmaps, plain, strict=True):
        np.testing.assert_array_equal(one.raw, other.raw)


@pytest.mark.parametrize("target", [contrast(0, 3, [f"class {k}" for k in range(6)])])
def test_finer_cam_of_a_contrast_is_refused(target: Any) -> None:
    with pytest.raises(GradcamError, match="compares two classes already"):
        explain(PICTURE, small(), targets=target, methods="finer_cam")


def test_finer_cam_of_a_single_class_is_refused() -> None:
    with pytest.raises(GradcamError, match="one class"):
        explain(PICTURE, networks.loaded(networks.conv_net(classes=1)), methods="finer_cam")


@pytest.mark.parametrize("layers", [2, 3])
def test_refine_cam_equals_its_paper(layers: int) -> None:
    found = explain(PICTURE, small(), targets=range(6), methods=[("refine_cam", {"layers": layers})])
    names = [layer.name for layer in layers_by_depth(small(), layers)]
    assert len(names) == layers
    assert names[-1] == "5"
    activations, gradients, _ = ordinary(found, names)
    for heatmap in found.heatmaps:
        pairs = [
            (A[0].double().tolist(), g[heatmap.target.index, 0].double().tolist())
            for A, g in zip(activations, gradients, strict=True)
        ]
        twin = np.array(papers.refine_cam(pairs))
        assert heatmap.raw.shape == twin.shape
        np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=1e-5)
    assert sum(heatmap.state == "ok" for heatmap in found.heatmaps) >= 2


def test_refine_cam_at_the_first_layer_is_refused() -> None:
    with pytest.raises(MethodError, match="several layers"):
        explained("refine_cam", "0")
