"""Classifiers of Hugging Face transformers as timm's own networks, by their config.json, with equal outputs.

The package transformers is not needed: sizes come from the configuration, tensors are renamed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources.family import ASSUMED, Architecture, assumed_preprocessing, for_channels
from gradcam_core.sources.transformers_config import Config, NoEqual, activation, norm_eps, refuse, several, whole
from gradcam_core.sources.transformers_names import CONVNEXT_RULES, RESNET_RULES, SWIN_RULES, Plan, rename
from gradcam_core.sources.transformers_package import package_architecture
from gradcam_core.sources.transformers_vits import beit, deit, dinov2, vit

CLASSIFIER = "ForImageClassification"
BODIES = ("Model", "Backbone", "ForMaskedImageModeling", "ForPreTraining")
# Tensors that only training uses.
UNUSED = ("embeddings.mask_token", "pooler.", "decoder.")


def transformers_architecture(config: Config, preprocessing: Preprocessing | None) -> Architecture:
    """The recipe for a configuration of transformers: as timm's network, else as the package's own. Raises ModelError.

    What has no classifier, as DINOv2 is published, ends in features.
    """
    names = config.get("architectures")
    kind, stated = str(config.get("model_type")), str(names[0]) if isinstance(names, list) and names else ""
    if CLASSIFIER not in stated and not stated.endswith(BODIES):
        message = f"The folder's model, {stated[:60]!r}, is no classifier."
        raise ModelError(message, f"Choose one whose name ends in {CLASSIFIER}.")
    resized = {"image_size": list(preprocessing.size)} if kind in RESIZED and preprocessing else {}
    try:
        if kind not in FAMILIES:
            raise NoEqual(f"timm has no network for models of the kind {kind[:40]!r}.", "")
        plan = FAMILIES[kind]({**config, **resized})
    except NoEqual:
        return package_architecture(config, preprocessing)

    def describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...], str]:
        own = preprocessing or assumed_preprocessing(channels)
        return for_channels(own, channels), (), "" if preprocessing else ASSUMED

    options = frozenset({"num_classes", "in_chans"})
    return Architecture(f"transformers:{kind}", plan.build, options, describe, UNUSED, partial(rename, plan))


def _swin(config: Config) -> Plan:
    from timm.models.swin_transformer import SwinTransformer

    refuse(config, use_absolute_embeddings=False)
    if activation(config) is not nn.GELU:
        refuse(config, hidden_act="gelu")
    options: dict[str, Any] = {
        "img_size": whole(config, "image_size", 224),
        "patch_size": whole(config, "patch_size", 4),
        "embed_dim": whole(config, "embed_dim"),
        "depths": several(config, "depths"),
        "num_heads": several(config, "num_heads"),
        "window_size": whole(config, "window_size"),
        "mlp_ratio": float(config.get("mlp_ratio", 4.0)),
        "qkv_bias": bool(config.get("qkv_bias", True)),
    }
    eps = norm_eps(config, 1e-5)

    def build(num_classes: int = 1000, in_chans: int = 3) -> nn.Module:
        network = SwinTransformer(**options, num_classes=num_classes, in_chans=in_chans)
        for name, step in network.named_modules():
            if isinstance(step, nn.LayerNorm) and (".blocks." in name or name == "norm"):
                step.eps = eps
        return network

    # transformers counts the step between two stages to the first, timm to the second.
    between = tuple((rf"^layers\.{n}\.downsample", f"layers.{n + 1}.downsample") for n in reversed(range(16)))
    return Plan(build, (*SWIN_RULES, *between))


def _resnet(config: Config) -> Plan:
    from timm.models.resnet import BasicBlock, Bottleneck, ResNet

    usual = {"downsample_in_first_stage": False, "downsample_in_bottleneck": False, "hidden_act": "relu"}
    refuse(config, **usual, embedding_size=64)
    narrow = config.get("layer_type", "bottleneck") == "bottleneck"
    channels = tuple(width // (4 if narrow else 1) for width in several(config, "hidden_sizes"))
    block: Any = Bottleneck if narrow else BasicBlock
    stages = tuple(
        (rf"^encoder\.stages\.{n}\.layers\.(\d+)\.(?:layer\.)?", rf"layer{n + 1}.\1.") for n in range(len(channels))
    )
    steps = tuple(
        (rf"^(layer\d+\.\d+)\.{n}\.{kind}", rf"\1.{name}{n + 1}")
        for n in range(3)
        for kind, name in (("convolution", "conv"), ("normalization", "bn"))
    )
    build = partial(ResNet, block=block, layers=several(config, "depths"), channels=channels)
    return Plan(build, (*stages, *steps, *RESNET_RULES))


def _convnext(config: Config) -> Plan:
    from timm.models.convnext import ConvNeXt

    refuse(config, hidden_act="gelu")
    scale, second = config.get("layer_scale_init_value", 1e-6), config.get("model_type") == "convnextv2"
    options: dict[str, Any] = {
        "use_grn": second,
        "depths": several(config, "depths"),
        "dims": several(config, "hidden_sizes"),
        "patch_size": whole(config, "patch_size", 4),
        "ls_init_value": 1.0 if isinstance(scale, float) and scale > 0 and not second else None,
    }
    eps = norm_eps(config, 1e-12)

    def build(num_classes: int = 1000, in_chans: int = 3) -> nn.Module:
        network = ConvNeXt(**options, num_classes=num_classes, in_chans=in_chans)
        network.head.norm.eps = eps  # type: ignore[union-attr]
        return network

    return Plan(build, CONVNEXT_RULES)


# Those that take pictures of another size than they were trained with.
RESIZED = ("dinov2", "dinov2_with_registers")
FAMILIES: Mapping[str, Callable[[Config], Plan]] = {
    "vit": vit,
    "deit": deit,
    "vit_msn": vit,
    "vit_mae": vit,
    "dinov2": dinov2,
    "dinov2_with_registers": dinov2,
    "beit": beit,
    "swin": _swin,
    "resnet": _resnet,
    "convnext": _convnext,
    "convnextv2": _convnext,
}
