"""The folded copy gives the original's maps, leaves it alone, and is not used where it would not."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core import list_methods
from gradcam_core.capture.scores import network_for
from gradcam_core.explanation import explain
from gradcam_core.layers import resolve_layer
from gradcam_core.methods import find_method, why_not
from tests import networks

FOLDED = [
    "torchvision:mobilenet_v2",
    "torchvision:resnet18",
    "timm:tf_efficientnet_lite0",
    "torchvision:efficientnet_b0",
]
FEW = {"rise": {"masks": 50}, "occlusion": {"patch": 48, "stride": 48}, "score_cam": {"share": 0.02}}


@pytest.mark.parametrize("reference", FOLDED)
def test_maps_of_every_method_equal_the_originals(reference: str) -> None:
    model = networks.real(reference)
    assert model.folded is not None
    names = [
        entry.name
        for entry in list_methods()
        if not why_not(entry, resolve_layer(model, model.default_layer), model) and entry.name != "ablation_cam"
    ]
    arguments = {"methods": [(name, FEW.get(name, {})) for name in names], "targets": [1, 8]}
    image = networks.picture(90, 120)
    made = explain(image, model, **arguments).heatmaps
    plain = explain(image, dataclasses.replace(model, folded=None), **arguments).heatmaps
    for one, other in zip(made, plain, strict=True):
        atol = 2e-4 * np.abs(other.raw).max()
        if one.method in ("occlusion", "rise"):  # differences of nearly equal scores, from rounding of their size
            atol *= 10
        np.testing.assert_allclose(one.raw, other.raw, rtol=0, atol=atol, err_msg=one.method)


def test_the_original_is_untouched_and_serves_earlier_layers() -> None:
    network = networks.conv_net(inplace=True)
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model = networks.loaded(network)
    assert model.folded is not None
    assert model.folded.layers == {"5"}  # of what is there: 0 and 3 are convolutions, 5 is the last map
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, kept[name])
    for name in ("0", "1", "3", "4"):
        assert network_for(model, [resolve_layer(model, name)]) is model.module
    assert network_for(model, [resolve_layer(model, "5")]) is model.folded.network
    assert network_for(model, []) is model.folded.network
    assert not [part for part in model.folded.network.modules() if isinstance(part, nn.BatchNorm2d)]
    with torch.no_grad():
        x = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(model.folded.network(x), model.module(x))


def test_a_copy_that_is_out_of_date_is_not_used() -> None:
    model, image = networks.loaded(networks.conv_net()), networks.picture()
    old = explain(image, model, methods="grad_cam", targets=0).heatmaps[0].raw
    with torch.no_grad():
        model.module[3].weight.mul_(-1)
    new = explain(image, model, methods="grad_cam", targets=0).heatmaps[0].raw
    plain = explain(image, dataclasses.replace(model, folded=None), methods="grad_cam", targets=0).heatmaps[0].raw
    np.testing.assert_array_equal(new, plain)
    assert not np.allclose(new, old)


class Twice(nn.Module):
    """Uses a convolution's output beside the BatchNorm that follows it: folding would be wrong."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return self.head((self.norm(x) + x).relu().mean((2, 3)))


@pytest.mark.parametrize("network", [networks.calibrated(Twice()), networks.LastAxis(), networks.Tokens()])
def test_what_cannot_be_folded_runs_as_it_is(network: nn.Module) -> None:
    assert networks.loaded(network).folded is None


def test_a_norm_before_its_convolution_is_left_alone() -> None:
    """DenseNet's way: only pairs in the right order are folded, the others stay."""
    model = networks.real("torchvision:densenet121")
    image = networks.picture()
    made = explain(image, model, methods="grad_cam", targets=[3]).heatmaps[0].raw
    plain = explain(image, dataclasses.replace(model, folded=None), methods="grad_cam", targets=[3]).heatmaps[0].raw
    np.testing.assert_allclose(made, plain, rtol=0, atol=2e-4 * np.abs(plain).max())
    assert find_method("grad_cam", {}).needs == ("activations", "gradients")
