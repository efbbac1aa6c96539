"""Small networks with one property each, larger real architectures, and pictures to show them."""

import copy
import functools
import io
from collections.abc import Callable

import numpy as np
import skimage.data
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

from gradcam_core.methods import find_method
from gradcam_core.records import ImageRecord, LoadedModel, Preprocessing
from gradcam_core.sources.assemble import assemble_model
from gradcam_core.sources.family import Network
from gradcam_core.tasks import Task


def plain(size: int | tuple[int, int] = 32, **changes: object) -> Preprocessing:
    """Squash the whole picture to `size`, and bring 0..1 to -1..1."""
    sides = (size, size) if isinstance(size, int) else size
    values: dict[str, object] = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "fit": "squash", **changes}
    return Preprocessing(sides, values.pop("resize", sides), **values)  # type: ignore[arg-type]


def loaded(
    network: nn.Module,
    size: int | tuple[int, int] = 32,
    labels: list[str] | None = None,
    task: Task | None = "single_label",
    **changes: object,
) -> LoadedModel:
    preprocessing = plain(size, **changes)
    return assemble_model(
        Network(network, type(network).__name__, preprocessing, task=task),
        reference="memory",
        labels=labels,
        preprocessing=preprocessing,
        device="cpu",
    )


def picture(height: int = 40, width: int = 56, seed: int = 0, bits: int = 8) -> ImageRecord:
    """Smooth noise: real pictures are not white noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
    fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return record(np.asarray(fine), bits)


def record(values: np.ndarray, bits: int = 8) -> ImageRecord:
    """A picture from 8-bit values [H W 3]; with `bits` 16 or 32 it takes the float way."""
    pixels = np.ascontiguousarray(values, np.uint8).astype(np.float32) / np.float32(255)
    return ImageRecord(pixels, "0" * 64, "", "PNG", bits=bits)


def decoded(content: bytes) -> np.ndarray:
    """A picture file's values, as they are stored."""
    return np.asarray(Image.open(io.BytesIO(content)))


def cat_and_cup() -> ImageRecord:
    def square(values: np.ndarray) -> np.ndarray:
        height, width = values.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        cut = Image.fromarray(values[top : top + side, left : left + side])
        return np.asarray(cut.resize((300, 300)))

    return record(np.concatenate([square(skimage.data.chelsea()), square(skimage.data.coffee())], axis=1))


def calibrated(network: nn.Module, size: int | tuple[int, int] = 32, channels: int = 3) -> nn.Module:
    """Bring a random network's BatchNorm averages, and its scaled branches, to what training would leave."""
    sides = (size, size) if isinstance(size, int) else size
    torch.manual_seed(1)
    for name, parameter in network.named_parameters():
        if name.endswith(("gamma", "layer_scale")):  # ConvNeXt starts with branches switched off
            nn.init.constant_(parameter, 0.3)
    norms = [x for x in network.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
        norm.reset_running_stats()
        norm.momentum = None
    dropouts = [x for x in network.modules() if isinstance(x, nn.Dropout)]
    network.train()
    for dropout in dropouts:
        dropout.eval()
    with torch.no_grad():
        network(torch.randn(6, channels, *sides))
    return network.eval()


def conv_net(
    classes: int = 5, width: int = 12, inplace: bool = False, seed: int = 0, channels: int = 3
) -> nn.Sequential:
    """Convolution blocks, then average and linear step: CAM is exact at '5'."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(channels, width, 3, 2, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace),
        nn.Conv2d(width, width, 3, 2, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )
    return nn.Sequential(*calibrated(network, channels=channels))


class Branches(nn.Module):
    """Two parallel branches that are added in place, then a flattened head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 10, 3, 2, 1), nn.GELU())
        self.left = nn.Sequential(nn.Conv2d(10, 12, 3, 2, 1), nn.BatchNorm2d(12))
        self.right = nn.Sequential(nn.Conv2d(10, 12, 5, 2, 2), nn.BatchNorm2d(12), nn.SiLU(inplace=True))
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(12, 6, 3, padding=1)
        self.head = nn.Linear(6 * 8 * 8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        both = self.left(x)
        both += self.right(x)
        return self.head(self.act(self.last(both)).flatten(1))


class Residual(nn.Module):
    """A BatchNorm that an in-place addition follows, and after it an in-place ReLU: as in ResNet."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 12, 3, 2, 1)
        self.bn1 = nn.BatchNorm2d(12)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(12, 12, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(x))
        y += x
        return self.head(self.relu(y).mean((2, 3)))


class LastAxis(nn.Module):
    """The same network as `FirstAxis`, with channels on the last axis."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 12, 4, 4)
        self.norm = nn.LayerNorm(12)
        self.mix = nn.Linear(12, 16)
        self.act = nn.GELU()
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return self.head(self.act(self.mix(x)).mean((1, 2)))


class Tokens(nn.Module):
    """A patch network with a class token that a block mixes in, read off the class token."""

    def __init__(self, patches: tuple[int, int] = (4, 4)) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.norm1 = nn.LayerNorm(12)
        self.mix = nn.Linear(1 + patches[0] * patches[1], 1 + patches[0] * patches[1])
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        x = x + self.mix(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return self.head(self.norm(x)[:, 0])


class _Unbatchable(torch.autograd.Function):
    """Doubles; its backward leaves torch for numpy, as compiled operators do."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        if not gradient.numel():
            raise ValueError("empty")
        return torch.from_numpy(gradient.detach().cpu().numpy() * 2)


class Doubling(nn.Module):
    """x * 2, batchable or not."""

    def __init__(self, batchable: bool) -> None:
        super().__init__()
        self.batchable = batchable

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if self.batchable else _Unbatchable.apply(x)


REAL = {
    "torchvision:mobilenet_v2": (torchvision.models.mobilenet_v2, 96),
    "torchvision:resnet18": (torchvision.models.resnet18, 96),
    "torchvision:resnet50": (torchvision.models.resnet50, 96),
    "torchvision:densenet121": (torchvision.models.densenet121, 96),
    "torchvision:convnext_tiny": (torchvision.models.convnext_tiny, 96),
    "torchvision:vgg11_bn": (torchvision.models.vgg11_bn, 96),
    "torchvision:regnet_y_400mf": (torchvision.models.regnet_y_400mf, 96),
    "torchvision:efficientnet_b0": (torchvision.models.efficientnet_b0, 96),
    "torchvision:squeezenet1_1": (torchvision.models.squeezenet1_1, 96),
    "timm:mobilenetv2_100": (functools.partial(timm.create_model, "mobilenetv2_100"), 96),
    "timm:tf_efficientnet_lite0": (functools.partial(timm.create_model, "tf_efficientnet_lite0"), 96),
}


@functools.cache
def real(reference: str) -> LoadedModel:
    """A real architecture with seeded random weights of trained proportions."""
    build, size = REAL[reference]
    torch.manual_seed(0)
    options = {"num_classes": 10}
    if "vgg" in reference:
        options["init_weights"] = False  # its own initialisation takes seconds
    return loaded(calibrated(build(**options), size), size)


def whole_graph(
    network: nn.Module, inputs: torch.Tensor, layers: list[str], classes: list[int]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Outputs [N ...] of layers and gradients [K N ...] of class scores by them, by ordinary autograd.

    On a copy without in-place steps; everything is recorded, and each class takes its own backward pass.
    """
    network = without_taps(network).requires_grad_(True)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    heard: dict[str, torch.Tensor] = {}

    def hear(name: str, output: torch.Tensor) -> torch.Tensor:
        heard[name] = output
        return output.clone()  # functional in-place steps follow in DenseNet

    modules = dict(network.named_modules())
    for name in layers:
        modules[name].register_forward_hook(lambda module, inputs, output, name=name: hear(name, output))
    outputs = network(inputs.clone().requires_grad_())
    points = [heard[name] for name in layers]
    slopes = [torch.autograd.grad(outputs[:, k].sum(), points, retain_graph=True) for k in classes]
    return [point.detach() for point in points], [torch.stack(slope) for slope in zip(*slopes, strict=True)]


def without_taps(network: nn.Module) -> nn.Module:
    """A copy that knows nothing of us."""
    network = copy.deepcopy(network)
    for module in network.modules():
        module._forward_hooks.clear()
    return network


def transformer(kind: str = "class token") -> nn.Module:
    """A small vision transformer for pictures of 32 x 32, whose attention is far from even."""
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "num_classes": 5, "embed_dim": 48, "depth": 3, "num_heads": 4}
    builders: dict[str, Callable[[], nn.Module]] = {
        "class token": lambda: timm.models.VisionTransformer(**sizes),
        "registers": lambda: timm.models.VisionTransformer(
            **sizes, reg_tokens=2, global_pool="avg", qk_norm=True, init_values=0.5, qkv_bias=False
        ),
        "dinov2": lambda: timm.models.VisionTransformer(
            **sizes, reg_tokens=4, no_embed_class=True, init_values=0.5, mlp_ratio=2
        ),
        "no class token": lambda: timm.models.VisionTransformer(**sizes, class_token=False, global_pool="avg"),
        "distilled": lambda: timm.models.VisionTransformerDistilled(**sizes),
        "rotary": lambda: timm.models.Eva(
            **sizes, qkv_fused=False, swiglu_mlp=True, use_rot_pos_emb=True, num_reg_tokens=2
        ),
        "biased": lambda: timm.models.Beit(**sizes, use_rel_pos_bias=True),
        "torchvision": lambda: torchvision.models.VisionTransformer(32, 8, 3, 4, 48, 96, num_classes=5),
    }
    network = builders[kind]()
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1 and "embed" not in name and "token" not in name:
            nn.init.normal_(parameter, std=0.3)
    return network.eval()


def serving(method: str) -> nn.Module:
    """A small network for pictures of 32 x 32 that the method can explain."""
    return transformer() if find_method(method, {}).needs[0].startswith("attention") else conv_net()


class OneByOne(nn.Module):
    """A network that accepts one picture at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv_net()
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            raise RuntimeError("shape '[1, 12]' is invalid for input of size 24")
        return self.body(x)
