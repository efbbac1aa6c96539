"""Networks of unusual build: each gives the maps of ordinary autograd through all of it, or is refused for a reason."""

import copy
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gradcam_core import GradcamError, Preprocessing, explain, load_model
from gradcam_core.layers import resolve_layer
from gradcam_core.records import LoadedModel
from tests import networks

CLASSES = [0, 3]


def conv(channels: int, out: int, stride: int = 2, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2)


class Steps(nn.Module):
    """Two convolutions, an average and a linear step, in a forward pass of many kinds."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.first, self.second, self.head = conv(channels, 16), conv(16, 24), nn.Linear(24, 5)

    def read(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.relu().mean((2, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(self.second(self.first(x).relu()))


class ChannelsLast(nn.Module):
    """Patches as the last axis, without a convolution that tells the number of channels; mixed by depth."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Linear(48, 24), nn.LayerNorm(24), nn.Linear(24, 5)
        self.depth = nn.Conv2d(24, 24, 3, padding=1, groups=24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3))
        x = x + self.depth(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.head(self.norm(x).mean((1, 2)))


class Windows(nn.Module):
    """8 x 8 tokens, padded to 9 x 9 and mixed in windows of 3 x 3."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix, self.norm, self.head = (
            conv(3, 24, 4, 4),
            nn.Linear(9, 9),
            nn.LayerNorm(24),
            nn.Linear(24, 5),
        )
        self.stem.padding = (0, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.pad(self.stem(x), (0, 1, 0, 1)).unflatten(3, (3, 3)).unflatten(2, (3, 3))
        x = self.mix(x.permute(0, 1, 2, 4, 3, 5).flatten(4)).unflatten(4, (3, 3)).permute(0, 1, 2, 4, 3, 5)
        return self.head(self.norm(x.flatten(4).flatten(2, 3)[:, :, :8, :8].permute(0, 2, 3, 1)).mean((1, 2)))


class Prompted(nn.Module):
    """Patches twice as high as wide, behind as many learned tokens as asked for."""

    def __init__(self, patch: tuple[int, int], prompts: int = 0) -> None:
        super().__init__()
        self.patch, self.prompts = nn.Conv2d(3, 24, patch, patch), nn.Parameter(torch.randn(1, prompts, 24))
        self.blocks, self.head = nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 24), nn.GELU()), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.prompts.expand(len(x), -1, -1), x], 1)
        return self.head((x + self.blocks(x)).mean(1))


class Encoder(nn.Module):
    """Tokens in front of pictures [T N C], as torch's own encoder takes them by default."""

    def __init__(self, patches: int, token: bool, **options: bool) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 24)) if token else None
        self.position = nn.Parameter(torch.randn(patches + token, 1, 24))
        layer = nn.TransformerEncoderLayer(24, 4, 48, **options)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).permute(2, 0, 1)
        if self.token is not None:
            x = torch.cat([self.token.expand(-1, x.shape[1], -1), x])
        x = self.encoder(x + self.position)
        return self.head(x.mean(0) if self.token is None else x[0])


class Shared(Steps):
    """One step used twice before the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.norm = conv(16, 16, 1), nn.BatchNorm2d(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for _ in range(2):
            x = functional.relu_(self.norm(self.again(x)))
        return self.read(self.second(x))


class InParts(nn.Module):
    """A step that takes and returns a dictionary, or returns a tuple."""

    def __init__(self, step: nn.Module, form: type) -> None:
        super().__init__()
        self.step, self.form = step, form

    def forward(self, x: dict[str, torch.Tensor]) -> object:
        values = self.step(x["x"]).relu()
        return {"x": values, "before": x["x"]} if self.form is dict else (values, values.mean())


class Dictionaries(Steps):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = InParts(self.first, dict), InParts(self.second, tuple)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(self.second(self.first({"x": x}))[0])


class Checkpointed(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = checkpoint(self.first, x, use_reentrant=False).relu()
        return self.read(checkpoint(self.second, x, use_reentrant=False))


class Overwritten(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(functional.relu_(self.first(x))).mul_(1.5).relu_().mean((2, 3)))


class MixedPrecision(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


class Frequencies(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.fft.irfft2(0.5 * torch.fft.rfft2(x)))


BUILT: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    # the network, its usual layer, the layout
    "channels last": (ChannelsLast, "norm", "NHWC"),
    "padded windows": (Windows, "norm", "NHWC"),
    "long patches": (functools.partial(Prompted, (8, 4)), "blocks.2", "tokens"),
    "few long patches": (functools.partial(Prompted, (16, 8), 1), "blocks.2", "tokens"),
    "prompts": (functools.partial(Prompted, (4, 4), 30), "blocks.2", "tokens"),
    "tokens first": (functools.partial(Encoder, 16, False), "encoder", "tokens first"),
    "class token first": (functools.partial(Encoder, 16, True), "encoder.layers.0", "tokens first"),
    "norm first": (functools.partial(Encoder, 16, True, norm_first=True), "encoder.layers.1.norm1", "tokens first"),
    "shared": (Shared, "second", "NCHW"),
    "dictionaries": (Dictionaries, "second.step", "NCHW"),
    "checkpointed": (Checkpointed, "second", "NCHW"),
    "overwritten": (Overwritten, "second", "NCHW"),
    "mixed precision": (MixedPrecision, "second", "NCHW"),
    "frequencies": (Frequencies, "second", "NCHW"),
    "sequential": (lambda: nn.Sequential(*list(networks.conv_net())[:6], nn.Flatten(), nn.Linear(768, 5)), "5", "NCHW"),
    "bfloat16": (lambda: Steps().bfloat16(), "second", "NCHW"),
    "memory format": (lambda: Steps().to(memory_format=torch.channels_last), "second", "NCHW"),
}


def model_of(network: nn.Module, size: int | tuple[int, int] = 32) -> LoadedModel:
    preprocessing: Preprocessing = networks.plain(size)
    return load_model(network, preprocessing=preprocessing.to_dict(), device="cpu", task="single_label")


def grad_cam_twin(network: nn.Module, model: LoadedModel, inputs: np.ndarray) -> list[np.ndarray]:
    """The raw maps [h w] of CLASSES by ordinary autograd, with axes by hand."""
    layer = resolve_layer(model, model.default_layer)
    values, slopes = networks.whole_graph(network, torch.tensor(inputs)[None], [layer.name], CLASSES)
    maps = []
    for slope in slopes[0]:
        pair = torch.stack([values[0], slope]).double()
        if layer.layout == "NHWC":
            A, G = pair[:, 0].permute(0, 3, 1, 2)
        elif layer.layout == "NCHW":
            A, G = pair[:, 0]
        else:
            tokens = (pair[:, :, 0] if layer.layout == "tokens first" else pair[:, 0])[:, layer.prefix_tokens :]
            A, G = tokens.mT.unflatten(2, layer.grid)
        maps.append((G.mean((1, 2))[:, None, None] * A).sum(0).numpy())
    return maps


@pytest.mark.parametrize("kind", BUILT)
def test_unusual_networks_give_the_maps_of_ordinary_autograd(kind: str) -> None:
    build, usual, layout = BUILT[kind]
    torch.manual_seed(0)
    network = build().eval()
    model = model_of(network)
    assert (model.default_layer, resolve_layer(model, usual).layout) == (usual, layout)
    explanation = explain(networks.picture(), model, targets=CLASSES, methods="grad_cam")
    twins = grad_cam_twin(network.float(), model, explanation.model_input)
    for heatmap, twin in zip(explanation.heatmaps, twins, strict=True):
        assert heatmap.raw.any()
        # In mixed precision, what follows the layer is rounded to three digits.
        slack = 0.02 if kind == "mixed precision" else 1e-4
        np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=slack * np.abs(twin).max())


def test_tokens_in_front_of_pictures_are_placed_in_grids_that_are_not_square() -> None:
    torch.manual_seed(0)
    network = Encoder(24, True, norm_first=True).eval()
    model = model_of(network, (32, 48))
    layer = resolve_layer(model, model.default_layer)
    assert (layer.layout, layer.grid, layer.prefix_tokens) == ("tokens first", (4, 6), 1)
    explanation = explain(networks.picture(), model, targets=CLASSES, methods="grad_cam")
    twins = grad_cam_twin(network, model, explanation.model_input)
    np.testing.assert_allclose(explanation.heatmaps[1].raw, twins[1], rtol=0, atol=1e-4 * np.abs(twins[1]).max())


def test_every_method_gives_the_same_maps_whichever_axis_comes_first() -> None:
    methods = ("hires_cam", "score_cam", "legrad", "attention_rollout", "refine_cam")
    torch.manual_seed(0)
    network = Encoder(16, True).eval()
    first = explain(networks.picture(), model_of(network), targets=CLASSES, methods=methods)
    turned = copy.deepcopy(network)
    for layer in turned.encoder.layers:
        layer.self_attn.batch_first = True

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = turned

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inner = self.inner
            x = inner.patch(x).flatten(2).mT
            x = torch.cat([inner.token.expand(len(x), -1, -1), x], 1) + inner.position.transpose(0, 1)
            return inner.head(inner.encoder(x)[:, 0])

    second = explain(networks.picture(), model_of(Turned().eval()), targets=CLASSES, methods=methods)
    for one, other in zip(first.heatmaps, second.heatmaps, strict=True):
        assert one.method == other.method
        np.testing.assert_allclose(one.raw, other.raw, rtol=0, atol=1e-4 * np.abs(other.raw).max(), err_msg=one.method)


def test_a_traced_graph_gives_the_maps_of_the_network_that_it_was_traced_from() -> None:
    torch.manual_seed(0)
    network = torchvision.models.shufflenet_v2_x0_5(num_classes=5).eval()
    maps = [
        explain(networks.picture(), model_of(kind, 64), targets=0, methods="grad_cam", layers="conv5.2").heatmaps[0].raw
        for kind in (network, torch.fx.symbolic_trace(network))
    ]
    np.testing.assert_array_equal(*maps)


class Wrapped(Steps):
    def __init__(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.second = wrap(self.second)


def compiled_forward() -> nn.Module:
    network = Steps()
    network.forward = torch.compile(network.forward, backend="eager")  # type: ignore[method-assign]
    return network


@pytest.mark.parametrize(
    "build",
    [
        lambda: Wrapped(lambda part: torch.compile(part, backend="eager")),  # type: ignore[arg-type, return-value]
        lambda: Wrapped(nn.DataParallel),
        compiled_forward,
    ],
)
def test_compiled_and_wrapped_parts_are_explained_as_what_they_hold(build: Callable[[], nn.Module]) -> None:
    def raw(network: nn.Module) -> np.ndarray:
        model = model_of(network.eval())
        assert model.default_layer == "second"
        return explain(networks.picture(), model, targets=0, methods="grad_cam").heatmaps[0].raw

    maps = []
    for make in (build, Steps):
        torch.manual_seed(0)
        maps.append(raw(make()))
    np.testing.assert_array_equal(*maps)


def test_parts_in_torchscript_are_run_and_not_looked_into() -> None:
    torch.manual_seed(0)
    network = Steps().eval()
    scripted = copy.deepcopy(network)
    with pytest.warns(FutureWarning):
        scripted.first = torch.jit.script(scripted.first)
    with_script, without = (
        explain(networks.picture(), model_of(kind), targets=0, methods="grad_cam").heatmaps[0].raw
        for kind in (scripted, network)
    )
    np.testing.assert_allclose(with_script, without, rtol=0, atol=1e-6)
    with pytest.raises(GradcamError, match="compiled by TorchScript"):
        resolve_layer(model_of(scripted), "first")


class Reentrant(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = checkpoint(self.first, x, use_reentrant=True).relu()
        return self.read(checkpoint(self.second, x, use_reentrant=True))


class Inference(Steps):
    def read(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            x = x.relu()
        return super().read(x.clone())


class Rounded(Steps):
    """Overwrites what its own gradients need: no training would run either."""

    def read(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.exp().add_(1).mul_(2).mean((2, 3)))


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (Reentrant, r"re-entrant checkpointing.*Use Eigen-CAM or Score-CAM"),
        (Inference, r"inference mode.*Use Eigen-CAM or Score-CAM"),
        (Rounded, "overwrites values that its gradients need"),
    ],
)
def test_networks_without_gradients_are_refused_for_the_reason(build: Callable[[], nn.Module], reason: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(GradcamError, match=reason):
        explain(networks.picture(), model_of(build().eval()), methods="grad_cam")


class Mirrored(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flip(-1))


class Corners(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cat([x[..., :16], x[..., 16:]])).view(2, len(x), -1).mean(0)


@pytest.mark.parametrize(
    ("build", "reason"),
    [(Mirrored, "do not lie where the places of the picture lie"), (Corners, "2 maps for one picture")],
)
def test_maps_of_other_places_are_refused(build: Callable[[], nn.Module], reason: str) -> None:
    with pytest.raises(GradcamError, match=reason):
        model_of(build().eval())


class Branches(Steps):
    """Two streams that meet in the classifier only."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.head = conv(3, 24, 4), nn.Linear(48, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine, coarse = self.fine(x).relu(), self.second(self.first(x).relu()).relu()
        return self.head(torch.cat([fine.mean((2, 3)), coarse.mean((2, 3))], 1))


def test_branches_that_lead_past_the_usual_layer_are_said() -> None:
    torch.manual_seed(0)
    model = model_of(Branches().eval())
    assert any("'second', shows one of them only; 'fine' (8 × 8 cells)" in note for note in model.notes)
    assert not any("side by side" in note for note in model_of(Steps().eval()).notes)


class Shuffled(nn.Module):
    """Tokens in an order of their own behind the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 24, 8, 8), nn.Linear(24, 5)
        self.blocks = nn.Sequential(nn.Linear(24, 24), nn.GELU(), nn.Linear(24, 24))
        self.order = torch.randperm(16, generator=torch.Generator().manual_seed(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.patch(x).flatten(2).mT[:, self.order]).mean(1))


def test_a_usual_layer_that_is_early_since_later_ones_have_no_place_is_said() -> None:
    torch.manual_seed(0)
    model = model_of(Shuffled().eval())
    assert model.default_layer == "patch"
    assert any("'patch', is an early one: 4 layers behind it cannot be explained" in note for note in model.notes)
