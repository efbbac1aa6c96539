"""What follows a layer equals the whole network with the same values put in at that layer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import timm
import torch
from torch import nn

from gradcam_core.capture import class_scores
from gradcam_core.capture.tail import from_grid, tail_of
from gradcam_core.errors import LayerError
from gradcam_core.layers import resolve_layer, to_grid
from gradcam_core.records import LoadedModel
from tests import networks
from tests.test_capture import state_of


def picture_for(model: LoadedModel, seed: int = 0) -> torch.Tensor:
    size = (1, model.preprocessing.channels, *model.preprocessing.size)
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def put_in(model: LoadedModel, name: str, inputs: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The layer's own maps, changed ones, and what a plain copy of the whole network makes of those by a hook."""
    layer = resolve_layer(model, name)
    plain = networks.without_taps(model.module)
    heard: list[torch.Tensor] = []

    def inject(module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
        heard.append(output.clone())
        changed = change(to_grid(output, layer).clone())
        return from_grid(changed, output, layer).clone()

    plain.get_submodule(name).register_forward_hook(inject)
    with torch.no_grad():
        truth = class_scores(plain(inputs))
    own = to_grid(heard[0], layer)
    return own, change(own.clone()), truth


def ablate(maps: torch.Tensor) -> torch.Tensor:
    maps[:, 1::3] = 0
    maps[:, ::4] *= 1.7
    return maps


def assert_tail(model: LoadedModel, name: str) -> None:
    inputs = picture_for(model)
    own, changed, truth = put_in(model, name, inputs, ablate)
    with torch.no_grad():
        plain = class_scores(networks.without_taps(model.module)(inputs))
    run = tail_of(model.module, resolve_layer(model, name), inputs, plain)
    given = torch.cat([own, changed, own])
    kept = given.clone()
    for _ in range(2):  # a second run is as good as the first
        made = run(given)
        torch.testing.assert_close(made, torch.cat([plain, truth, plain]), rtol=1e-4, atol=1e-5)
    assert torch.equal(given, kept)
    assert not torch.allclose(truth, plain, rtol=1e-3)
    torch.testing.assert_close(run(changed), truth, rtol=1e-4, atol=1e-5)  # another number at a time


@pytest.mark.parametrize(
    "build",
    [
        networks.conv_net,
        lambda: networks.conv_net(inplace=True),
        networks.Branches,
        networks.Residual,
        networks.LastAxis,
        networks.Tokens,
    ],
)
def test_tails_of_every_layer_of_small_networks(build: Callable[[], nn.Module]) -> None:
    model = networks.loaded(build())
    before = state_of(model.module)
    for layer in model.layers:
        if layer.kind == "LayerNorm" and layer.prefix_tokens and layer.name == "norm":
            continue  # only its class token is read
        assert_tail(model, layer.name)
    assert state_of(model.module) == before


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("torchvision:resnet18", "layer4.1"),
        ("torchvision:resnet18", "layer4.1.bn1"),
        ("torchvision:resnet18", "layer4.1.bn2"),
        ("torchvision:resnet18", "layer3"),
        ("torchvision:mobilenet_v2", "features.18"),
        ("torchvision:mobilenet_v2", "features.10"),
        ("torchvision:densenet121", "features.denseblock3"),
        ("timm:tf_efficientnet_lite0", "bn2"),
        ("timm:tf_efficientnet_lite0", "blocks.3.1.conv_pw"),
    ],
)
def test_tails_of_real_architectures(reference: str, name: str) -> None:
    assert_tail(networks.real(reference), name)


def test_the_tail_of_a_vision_transformer() -> None:
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=10, depth=4)
    assert_tail(networks.loaded(network, 96), "blocks.3.norm1")


def test_steps_before_the_layer_are_not_run_again() -> None:
    runs = []

    class Counting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            runs.append(len(x))
            return x * 1.5

    layers = list(networks.conv_net())
    model = networks.loaded(nn.Sequential(layers[0], Counting(), *layers[1:]))
    inputs = picture_for(model)
    run = tail_of(model.module, resolve_layer(model, "6"), inputs, model.module(inputs))
    runs.clear()
    run(torch.rand(5, 12, 8, 8))
    assert runs == []


def test_a_network_that_cannot_be_run_from_its_middle_is_refused_in_words() -> None:
    class Counting(nn.Module):
        """Every pass gives another score."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head, self.passes = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 5), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.passes += 1
            return self.head(self.conv(x).relu().mean((2, 3))) + self.passes

    model = networks.loaded(Counting())
    inputs = picture_for(model)
    with pytest.raises(LayerError, match="cannot be run by itself"):
        tail_of(model.module, resolve_layer(model, "conv"), inputs, model.module(inputs))


def test_threads_equal_serial_runs() -> None:
    model = networks.loaded(networks.Residual())
    layer = resolve_layer(model, "bn1")
    pictures = [picture_for(model, seed) for seed in range(6)]
    maps = torch.randn(4, 12, 16, 16)

    def work(inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            outputs = model.module(inputs)
        return tail_of(model.module, layer, inputs, outputs)(maps)

    serial = [work(inputs) for inputs in pictures]
    with ThreadPoolExecutor(8) as pool:
        for index, made in enumerate(pool.map(work, pictures * 20)):
            torch.testing.assert_close(made, serial[index % 6], rtol=0, atol=0)
