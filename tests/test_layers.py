"""Which layers are offered, how they are named, and that their axes are read right."""

import functools
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from gradcam_core import list_layers
from gradcam_core.capture import capture
from gradcam_core.errors import LayerError
from gradcam_core.explanation import explain
from gradcam_core.layers import Refused, describe_layer, layers_by_depth, resolve_layer, to_grid
from gradcam_core.records import LayerInfo, LoadedModel
from gradcam_core.targets import choose_targets
from tests import networks


@functools.cache
def built(reference: str, size: int | tuple[int, int]) -> LoadedModel:
    hub, name = reference.split(":")
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_classes": 10}
    if name in ("googlenet", "inception_v3", "vgg11_bn") and hub == "torchvision":
        options["init_weights"] = False  # its own initialisation takes seconds
    build = getattr(torchvision.models, name) if hub == "torchvision" else functools.partial(timm.create_model, name)
    sides = (size, size) if isinstance(size, int) else size
    if hub == "timm" and name.split("_")[0] in ("vit", "swin", "mixer"):
        options["img_size"] = sides
    network = build(**options)
    for parameter in network.parameters():
        if parameter.dim() == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)  # a head that starts at 0 would read nothing
    return networks.loaded(network, sides)


EXPECTED = [
    # architecture, input, default layer, grid, layout, how the head reads it
    ("torchvision:mobilenet_v2", 64, "features.18", (2, 2), "NCHW", "mean"),
    ("timm:mobilenetv2_100", 64, "bn2", (2, 2), "NCHW", "mean"),
    ("torchvision:resnet18", 96, "layer4.1", (3, 3), "NCHW", "mean"),
    ("timm:resnet18", 96, "layer4.1", (3, 3), "NCHW", "mean"),
    ("torchvision:resnet50", 64, "layer4.2", (2, 2), "NCHW", "mean"),
    ("torchvision:densenet121", 64, "features.norm5", (2, 2), "NCHW", "mean of relu"),
    ("timm:densenet121", 64, "features.norm5", (2, 2), "NCHW", "mean"),
    ("torchvision:vgg11_bn", 64, "features.27", (4, 4), "NCHW", ""),
    ("torchvision:convnext_tiny", 64, "features.7.2", (2, 2), "NCHW", ""),
    ("timm:convnext_tiny", 64, "stages.3", (2, 2), "NCHW", ""),
    ("torchvision:regnet_y_400mf", 64, "trunk_output.block4", (2, 2), "NCHW", "mean"),
    ("torchvision:efficientnet_b0", 64, "features.8", (2, 2), "NCHW", "mean"),
    ("torchvision:squeezenet1_1", 96, "features.12", (5, 5), "NCHW", "convolution, relu"),
    ("torchvision:googlenet", 64, "inception5b", (2, 2), "NCHW", "mean"),
    ("torchvision:inception_v3", 299, "Mixed_7c", (8, 8), "NCHW", "mean"),
    ("torchvision:mnasnet0_5", 64, "layers.16", (2, 2), "NCHW", "mean"),
    ("torchvision:shufflenet_v2_x0_5", 64, "conv5.2", (2, 2), "NCHW", "mean"),
    ("torchvision:mobilenet_v3_small", 64, "features.12", (2, 2), "NCHW", ""),
    ("timm:vit_tiny_patch16_224", 64, "blocks.11.norm1", (4, 4), "tokens", ""),
    ("timm:mixer_s32_224", 64, "norm", (2, 2), "tokens", "mean"),
    ("timm:swin_tiny_patch4_window7_224", 112, "norm", (4, 4), "NHWC", "mean"),
    ("torchvision:resnet18", (64, 128), "layer4.1", (2, 4), "NCHW", "mean"),
    ("timm:vit_tiny_patch16_224", (64, 96), "blocks.11.norm1", (4, 6), "tokens", ""),
    ("torchvision:convnext_tiny", (64, 160), "features.7.2", (2, 5), "NCHW", ""),
]


@pytest.mark.parametrize(("reference", "size", "default", "grid", "layout", "pooling"), EXPECTED)
def test_the_default_layer_is_the_last_with_rows_and_columns(
    reference: str, size: int | tuple[int, int], default: str, grid: tuple[int, int], layout: str, pooling: str
) -> None:
    model = built(reference, size)
    layer = resolve_layer(model, model.default_layer)
    assert (layer.name, layer.grid, layer.layout, layer.pooling) == (default, grid, layout, pooling)
    assert (model.head is not None) == (pooling != "") or pooling == ""
    heatmaps = explain(networks.picture(80, 100), model, top_k=2, methods=["grad_cam", "layer_cam"]).heatmaps
    assert all(h.raw.shape == grid and h.raw.any() for h in heatmaps)


@pytest.mark.parametrize("reference", ["torchvision:mobilenet_v2", "timm:densenet121"])
def test_offered_layers_are_ordered_modules_with_true_shapes(reference: str) -> None:
    model = built(reference, 64)
    layers = list_layers(model)
    assert layers == model.layers
    assert len({layer.name for layer in layers}) == len(layers) > 20
    seen = capture(model, torch.randn(1, 3, 64, 64), choose_targets(0, model.labels, 1), layers, needs=())
    for layer, evidence in zip(layers, seen[2], strict=True):
        assert type(model.module.get_submodule(layer.name)).__name__ == layer.kind
        assert evidence.activations.shape == (1, layer.channels, *layer.grid)
    names = [layer.name for layer in layers]
    convolutions = [name for name, m in model.module.named_modules() if isinstance(m, nn.Conv2d) and name in names]
    assert [name for name in names if name in convolutions] == convolutions
    assert not set(names) & set(model.refused_layers)


@pytest.mark.parametrize(
    ("name", "dotted"),
    [
        ("layer4.1", "layer4.1"),
        ("layer4[-1]", "layer4.1"),
        ("layer4[1]", "layer4.1"),
        ("layer4[-2].conv2", "layer4.0.conv2"),
        ("layer4.-1", "layer4.1"),
        ("layer4[1].conv2", "layer4.1.conv2"),
        ("layer2[0].downsample[-1]", "layer2.0.downsample.1"),
    ],
)
def test_layers_are_named_in_dots_or_brackets(name: str, dotted: str) -> None:
    model = built("torchvision:resnet18", 96)
    assert resolve_layer(model, name).name == dotted
    assert explain(networks.picture(), model, layers=name, methods="grad_cam").heatmaps[0].layer == dotted


def test_brackets_count_the_way_python_does() -> None:
    plain = networks.loaded(networks.conv_net())
    assert resolve_layer(plain, "[-4]").name == "5"
    assert resolve_layer(plain, "[2]").name == "2"
    named = built("timm:densenet121", 64)
    assert resolve_layer(named, "features[-1]").name == "features.norm5"
    assert resolve_layer(named, "features[0]").name == "features.conv0"
    assert resolve_layer(built("torchvision:mobilenet_v2", 64), "features[-1]").name == "features.18"
    relu = nn.ReLU()
    shared = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), relu, nn.Conv2d(12, 12, 3, 1, 1), relu)
    wrapped = nn.Sequential(shared, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5))
    model = networks.loaded(wrapped)
    assert resolve_layer(model, "0[-2]").name == "0.2"
    for name in ("0[-1]", "0.3", "0[1]"):
        with pytest.raises(LayerError, match="used 2 times"):
            resolve_layer(model, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("layer4.1.relu", "used 2 times in one pass"),
        ("avgpool", "single cell"),
        ("fc", "no rows and columns"),
        ("layer5", "Did you mean layer4"),
        ("layer4[7]", "There is no layer"),
        ("layer4[-9]", "There is no layer"),
        ("", "There is no layer"),
        ("nothing like it", "usual one here is 'layer4.1'"),
        ("layer4..1", "There is no layer"),
        ("layer4[", "There is no layer"),
    ],
)
def test_a_layer_that_cannot_be_explained_says_why_and_what_to_do(name: str, words: str) -> None:
    with pytest.raises(LayerError) as failure:
        resolve_layer(built("torchvision:resnet18", 96), name)
    assert words in str(failure.value)
    assert "layer4.1" in failure.value.remedy


def test_refusals_name_the_reason() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.recurrent = nn.Conv2d(3, 12, 4, 4), nn.LSTM(12, 12, batch_first=True)
            self.spare, self.drop, self.head = nn.Conv2d(3, 3, 1), nn.Dropout(), nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.drop(self.conv(x))
            return self.head(self.recurrent(x.flatten(2).transpose(1, 2))[0].mean(1))

    refused = networks.loaded(Odd()).refused_layers
    assert refused["spare"] == "it takes no part in the forward pass"
    assert refused["recurrent"] == "its output is a tuple, not one tensor"
    assert "no rows and columns" in refused["head"]
    assert "passes its input on" in refused["drop"]


def test_what_does_not_depend_on_the_picture_is_no_layer() -> None:
    class Positions(nn.Module):
        """Adds a table of positions that a small network makes, as Swin V2 does."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.table = nn.Conv2d(3, 12, 4, 4), nn.Linear(2, 12)
            self.head = nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            steps = torch.linspace(-1, 1, x.shape[2])
            places = self.table(torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)[None])
            return self.head((x + places.permute(0, 3, 1, 2)).relu().mean((2, 3)))

    model = networks.loaded(Positions())
    assert "table" not in [layer.name for layer in model.layers]
    assert "table" in model.refused_layers


def test_a_network_that_is_blind_to_brightness_depends_on_the_picture() -> None:
    class Ranks(nn.Module):
        """The order of the values alone, as histogram equalisation keeps it."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).argsort(1).argsort(1).view_as(x) / x.numel()

    for first in (Ranks(), nn.InstanceNorm2d(3), nn.Hardtanh(-1e-3, 1e-3)):
        model = networks.loaded(nn.Sequential(first, *networks.conv_net()))
        assert model.default_layer == "6"


def test_attention_weights_are_no_layer() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.softmax, self.head = nn.Conv2d(3, 12, 8, 8), nn.Softmax(-1), nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x).flatten(2).transpose(1, 2)[:, None]
            weights = self.softmax(x @ x.transpose(-1, -2))  # [1, 1, 16, 16]
            return self.head((weights @ x)[:, 0].mean(1))

    model = networks.loaded(Attending())
    assert "softmax" not in [layer.name for layer in model.layers]


def test_channels_on_the_last_axis_give_the_same_maps_as_on_the_first() -> None:
    last = networks.LastAxis()

    class FirstAxis(nn.Module):
        """The same steps as 1 x 1 convolutions."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head, self.gain = last.conv, last.head, last.norm
            self.norm, self.mix = nn.GroupNorm(1, 12), nn.Conv2d(12, 16, 1)
            self.mix.weight, self.mix.bias = nn.Parameter(last.mix.weight[..., None, None]), last.mix.bias
            self.act = nn.GELU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.gain(self.conv(x).movedim(1, -1)).movedim(-1, 1)
            return self.head(self.act(self.mix(x)).mean((2, 3)))

    size = (32, 48)
    image, first = networks.picture(50, 60), networks.loaded(FirstAxis(), size)
    model = networks.loaded(last, size)
    methods = ["cam", "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam"]
    for layer, layout in (("mix", "NHWC"), ("act", "NHWC")):
        assert resolve_layer(model, layer).layout == layout
        assert resolve_layer(first, layer).layout == "NCHW"
        assert resolve_layer(model, layer).pooling == resolve_layer(first, layer).pooling
        wanted = methods if layer == "act" else methods[1:]
        one = explain(image, model, layers=layer, methods=wanted)
        other = explain(image, first, layers=layer, methods=wanted)
        for a, b in zip(one.heatmaps, other.heatmaps, strict=True):
            assert a.raw.shape == (8, 12)
            np.testing.assert_allclose(a.raw, b.raw, atol=1e-5 * np.abs(b.raw).max(), rtol=0)


PLACED = [
    ("torchvision:convnext_tiny", (160, 256)),
    ("torchvision:resnet18", (160, 256)),
    ("timm:swin_tiny_patch4_window7_224", (112, 224)),
    ("timm:vit_tiny_patch16_224", (160, 256)),
]


@pytest.mark.parametrize(("reference", "size"), PLACED)
def test_maps_change_where_the_picture_changes(reference: str, size: tuple[int, int]) -> None:
    """Wrong axes or a wrong order of tokens would show the change elsewhere at most layers."""
    model = built(reference, size)
    plain = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))

    def outputs(inputs: torch.Tensor) -> list[torch.Tensor]:
        seen = capture(model, inputs, choose_targets(0, model.labels, 1), model.layers, needs=())
        return [one.activations[0] for one in seen[2]]

    before, astray = outputs(plain), set()
    for place in ((0.1, 0.85), (0.85, 0.2)):
        changed = plain.clone()
        top, left = (round(share * side) for share, side in zip(place, size, strict=True))
        changed[..., max(0, top - 5) : top + 5, max(0, left - 5) : left + 5] += 4
        for layer, one, other in zip(model.layers, before, outputs(changed), strict=True):
            peak = np.unravel_index(int((other - one).abs().mean(0).argmax()), layer.grid)
            for index, cells, share in zip(peak, layer.grid, place, strict=True):
                if abs((index + 0.5) / cells - share) > 0.26 + 0.5 / cells:
                    astray.add(layer.name)
    assert len(astray) <= 0.1 * len(model.layers), astray


@pytest.mark.parametrize("reference", ["torchvision:resnet18", "torchvision:convnext_tiny"])
def test_as_many_rows_as_channels_are_not_mistaken(reference: str) -> None:
    # ResNet at 256 has 64 channels of 64 x 64, ConvNeXt at 384 has 96 of 96 x 96.
    model = built(reference, 256 if "resnet" in reference else 384)
    layouts = {layer.name: layer.layout for layer in model.layers}
    if "resnet" in reference:
        assert layouts["layer1"] == layouts["layer1.0"] == layouts["layer1.0.bn1"] == "NCHW"
    else:
        assert layouts["features.0.0"] == layouts["features.1.0.block.0"] == "NCHW"
        assert layouts["features.1.0.block.2"] == layouts["features.1.0.block.3"] == "NHWC"
        assert layouts.get("features.0.1", "NCHW") == "NCHW"  # LayerNorm2d keeps the order
        assert layouts.get("features.1.0.block.1", "NHWC") == "NHWC"  # Permute


@pytest.mark.parametrize(("grid", "prefix"), [((4, 4), 1), ((4, 6), 1)])
def test_tokens_become_rows_and_columns_without_the_class_token(grid: tuple[int, int], prefix: int) -> None:
    model = networks.loaded(networks.Tokens(grid), (grid[0] * 8, grid[1] * 8))
    layer = resolve_layer(model, "norm1")
    assert (layer.layout, layer.grid, layer.prefix_tokens) == ("tokens", grid, prefix)
    assert model.default_layer == "norm1"
    values = torch.arange((1 + grid[0] * grid[1]) * 12).reshape(1, -1, 12)
    laid = to_grid(values, layer)
    assert laid.shape == (1, 12, *grid)
    for row in range(grid[0]):
        for column in range(grid[1]):
            assert torch.equal(laid[0, :, row, column], values[0, 1 + row * grid[1] + column])


def test_tokens_that_do_not_stand_in_rows_are_refused() -> None:
    class Unroll(nn.Module):
        """Hiera's order: windows first."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(1, (2, 2, 2, 2)).transpose(2, 3).flatten(1, 4)

    class Unrolled(networks.Tokens):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.order(self.patch(x).flatten(2).transpose(1, 2))
            return self.head(self.norm(x).mean(1))

    network = Unrolled()
    network.order = Unroll()
    model = networks.loaded(network)
    for name in ("order", "norm"):
        with pytest.raises(LayerError, match="do not lie where the places of the picture lie"):
            resolve_layer(model, name)
    assert model.default_layer == "patch"


def test_grids_are_views_in_every_layout() -> None:
    layouts = {
        "NCHW": (torch.randn(2, 3, 4, 5, 6), LayerInfo("x", "X", 4, (5, 6))),
        "NHWC": (torch.randn(2, 3, 5, 6, 4), LayerInfo("x", "X", 4, (5, 6), "NHWC")),
        "tokens": (torch.randn(2, 3, 31, 4), LayerInfo("x", "X", 4, (5, 6), "tokens", 1)),
    }
    for values, layer in layouts.values():
        laid = to_grid(values, layer)
        assert laid.shape == (2, 3, 4, 5, 6)
        assert laid.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("output", "calls", "words"),
    [
        (torch.zeros(1, 12, 8, 8), 2, "used 2 times"),
        ({"x": torch.zeros(1)}, 1, "a dict"),
        (torch.zeros(4, 12, 8, 8), 1, "4 maps for one picture"),
        (torch.zeros(1, 12, 1, 1), 1, "single cell"),
        (torch.zeros(1, 12, 8, 2), 1, "no rows and columns like the picture's"),
        (torch.zeros(1, 12, 64, 64), 1, "no rows and columns like the picture's"),
        (torch.zeros(1, 12, 8, 8, dtype=torch.long), 1, "no rows and columns"),
        (torch.zeros(1, 3, 12), 1, "3 tokens"),
        (torch.zeros(1, 1, 12), 1, "1 tokens"),
    ],
)
def test_outputs_that_are_no_maps_are_told_apart(output: object, calls: int, words: str) -> None:
    refused = describe_layer("x", nn.ReLU(), output, calls, (32, 32), nn.Identity())
    assert isinstance(refused, Refused)
    assert words in refused.reason


def test_an_empty_container_is_no_layer_and_never_the_default() -> None:
    parts = (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Sequential(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    model = networks.loaded(nn.Sequential(*parts))
    assert model.default_layer == "1"
    with pytest.raises(LayerError, match="passes its input on unchanged"):
        resolve_layer(model, "2")


@pytest.mark.parametrize(
    "reference",
    [
        "torchvision:mobilenet_v2",
        "torchvision:resnet50",
        "timm:tf_efficientnet_lite0",
        "torchvision:vgg11_bn",
        "torchvision:convnext_tiny",
    ],
)
@pytest.mark.parametrize("most", [3, 8])
def test_layers_by_depth_are_blocks_from_shallow_to_the_usual_one(reference: str, most: int) -> None:
    model = networks.real(reference)
    chosen = layers_by_depth(model, most)
    order = [layer.name for layer in model.layers]
    places = [order.index(layer.name) for layer in chosen]
    assert places == sorted(set(places))
    assert chosen[-1].name == model.default_layer
    assert 2 <= len(chosen) <= most
    if most == 8:
        assert len({layer.grid for layer in chosen}) >= 4  # every stage of these networks is there


def test_layers_by_depth_of_small_networks_and_of_tokens() -> None:
    tiny = networks.loaded(networks.conv_net())
    assert [layer.name for layer in layers_by_depth(tiny)] == ["0", "1", "2", "3", "4", "5"]
    assert layers_by_depth(tiny, 1)[0].name == tiny.default_layer
    tokens = networks.loaded(networks.Tokens())
    assert layers_by_depth(tokens)[-1].name == tokens.default_layer


class FromRawPixels(nn.Module):
    """Trained on pixels of 0 to 255: on noise about 0, everything behind the first convolution is dead."""

    def __init__(self, constant: bool = False) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(3, 12, 3, 2, 1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(12, 12, 3, padding=1, bias=False), nn.ReLU()
        self.table = nn.Conv2d(3, 12, 3, 2, 1)
        self.fc, self.constant = nn.Linear(12, 3), constant
        nn.init.constant_(self.conv1.weight, 0.02)
        nn.init.constant_(self.conv1.bias, -100.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.conv1(x))
        x = x + self.table(torch.ones(1, 3, 32, 32))
        return self.fc(self.relu2(self.conv2(x)).mean((2, 3)))


def test_a_layer_that_is_dead_on_noise_and_alive_on_pictures_is_a_layer() -> None:
    model = networks.loaded(FromRawPixels(), mean=(0.0,) * 3, std=(1 / 255,) * 3)
    names = {layer.name for layer in model.layers}
    assert {"conv1", "relu1", "conv2", "relu2"} <= names
    assert model.refused_layers["table"] == "its output was the same for every test picture"
    assert explain(networks.picture(), model, layers="relu1", methods="grad_cam").heatmaps[0].raw.any()


class Captums(nn.Module):
    """The network of captum's tests/attr/test_grad_cam.py: its ReLU is dead on noise about 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1, self.fc1 = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(8, 4)
        with torch.no_grad():
            self.conv1.weight.fill_(1)
            self.conv1.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc1.weight.copy_(torch.tensor([1.0] * 5 + [-1.0] * 3).expand(4, 8))
            self.fc1.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc1(self.relu1(self.conv1(x)).flatten(1))


def test_captums_own_example_is_explained_at_its_relu() -> None:
    model = networks.loaded(Captums(), 4, channels=1, mean=(0.0,), std=(1 / 15,))
    inputs = torch.arange(16.0).view(1, 1, 4, 4)
    choose = choose_targets([0], model.labels, 1)
    (evidence,) = capture(model, inputs, choose, [resolve_layer(model, "relu1")])[2]
    heatmap = torch.einsum("knc,nchw->hw", evidence.gradients.mean(dim=(-2, -1)), evidence.activations)
    torch.testing.assert_close(heatmap, torch.tensor([[0.0, 4.0], [28.0, 32.5]]))
