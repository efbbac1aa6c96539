"""Classifiers of Hugging Face transformers as timm's own networks, by their config.json, with equal outputs.

The package transformers is not needed: sizes come from the configuration, tensors are renamed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources.family import ASSUMED, Architecture, assumed_preprocessing, for_channels
from gradcam_core.sources.transformers_names import (
    CONVNEXT_RULES,
    RESNET_RULES,
    SWIN_RULES,
    VIT_RULES,
    Plan,
    rename,
)

Config = Mapping[str, Any]
CLASSIFIERS = ("ForImageClassification", "ForImageClassificationWithTeacher")
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), partial(nn.GELU, approximate="tanh")),
    **dict.fromkeys(("silu", "swish"), nn.SiLU),
    "relu": nn.ReLU,
}
LARGEST = 65_536
# Tensors that only training uses.
UNUSED = ("embeddings.mask_token", "pooler.")


class ClassTokenAndMean(nn.Module):
    """DINOv2's classifier: one linear step on the class token beside the average of the patches."""

    def __init__(self, body: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(2 * width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores [N classes] of pictures [N C H W]."""
        tokens = self.body.forward_features(x)  # type: ignore[operator]
        scores: torch.Tensor = self.head(torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1))
        return scores


def transformers_architecture(config: Config, preprocessing: Preprocessing | None) -> Architecture:
    """The recipe for a configuration of transformers. Raises ModelError where timm has no network equal to it."""
    kind, classes = str(config.get("model_type")), config.get("architectures") or [""]
    if kind not in FAMILIES:
        raise ModelError(f"Models of the kind {kind[:40]!r} are not known here.", f"There are {', '.join(FAMILIES)}.")
    if not str(classes[0]).endswith(CLASSIFIERS):
        message = f"The folder's model, {str(classes[0])[:60]!r}, is no classifier."
        raise ModelError(message, "Choose one that ends in ForImageClassification.")
    if kind == "dinov2" and preprocessing:  # the one that takes pictures of another size than it was trained with
        config = {**config, "image_size": list(preprocessing.size)}
    plan = FAMILIES[kind](config)

    def describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...], str]:
        own = preprocessing or assumed_preprocessing(channels)
        return for_channels(own, channels), (), "" if preprocessing else ASSUMED

    options = frozenset({"num_classes", "in_chans"})
    return Architecture(f"transformers:{kind}", plan.build, options, describe, UNUSED, partial(rename, plan))


def _whole(config: Config, key: str, otherwise: int | None = None) -> int:
    return _checked(config.get(key, otherwise), key)


def _checked(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
        raise ModelError(f"The configuration's {key} cannot be {str(value)[:40]!r}.", "Save the model again.")
    return value


def _several(config: Config, key: str) -> tuple[int, ...]:
    values = config.get(key)
    if not isinstance(values, list) or not 0 < len(values) <= 16:
        raise ModelError(f"The configuration's {key} cannot be {str(values)[:40]!r}.", "Save the model again.")
    return tuple(_checked(value, key) for value in values)


def _activation(config: Config) -> Callable[[], nn.Module]:
    name = config.get("hidden_act", "gelu")
    if name not in ACTIVATIONS:
        raise ModelError(
            f"The activation {str(name)[:40]!r} is not known here.", f"There are {', '.join(ACTIVATIONS)}."
        )
    return ACTIVATIONS[name]


def _refuse(config: Config, **usual: Any) -> None:
    """Raise ModelError where a setting is not the usual one, which is all that timm's network does."""
    for key, value in usual.items():
        if config.get(key, value) != value:
            message = f"The model's {key} is {str(config[key])[:40]}, which timm's network of this kind cannot do."
            raise ModelError(message, "Load it with transformers and give the model in memory.")


def _eps(config: Config, otherwise: float) -> float:
    value = config.get("layer_norm_eps", otherwise)
    if not isinstance(value, float | int) or not 0 <= value < 1:
        raise ModelError(f"The configuration's layer_norm_eps cannot be {str(value)[:40]!r}.", "Save the model again.")
    return float(value)


def _vit_options(config: Config) -> dict[str, Any]:
    """What timm's vision transformer is built with."""
    width, sizes = _whole(config, "hidden_size"), config.get("image_size", 224)
    side = sizes if isinstance(sizes, list) else [sizes, sizes]
    return {
        "img_size": tuple(_checked(value, "image_size") for value in side[:2]),
        "patch_size": _whole(config, "patch_size"),
        "embed_dim": width,
        "depth": min(_whole(config, "num_hidden_layers"), 1_000),
        "num_heads": _whole(config, "num_attention_heads"),
        "mlp_ratio": (_whole(config, "intermediate_size", 4 * width) + 0.5) / width,  # rounded down again
        "qkv_bias": bool(config.get("qkv_bias", True)),
        "norm_layer": partial(nn.LayerNorm, eps=_eps(config, 1e-12)),
        "act_layer": _activation(config),
    }


def _vit(config: Config) -> Plan:
    from timm.models.vision_transformer import VisionTransformer

    return Plan(partial(VisionTransformer, **_vit_options(config)), (*VIT_RULES, (r"^classifier\.", "head.")))


def _deit(config: Config) -> Plan:
    """With a teacher two heads, on two tokens; without one, the second token is one that no head reads."""
    from timm.models.deit import VisionTransformerDistilled
    from timm.models.vision_transformer import VisionTransformer

    options, token = _vit_options(config), r"embeddings\.distillation_token"
    if str(config["architectures"][0]).endswith("WithTeacher"):
        heads = ((token, "dist_token"), (r"^cls_classifier\.", "head."), (r"^distillation_classifier\.", "head_dist."))
        return Plan(partial(VisionTransformerDistilled, **options), (*VIT_RULES, *heads))
    build = partial(VisionTransformer, **options, reg_tokens=1)
    return Plan(build, (*VIT_RULES, (token, "reg_token"), (r"^classifier\.", "head.")))


def _dinov2(config: Config) -> Plan:
    from timm.models.vision_transformer import VisionTransformer

    _refuse(config, use_swiglu_ffn=False)
    width = _whole(config, "hidden_size")
    options = _vit_options({**config, "intermediate_size": width * _whole(config, "mlp_ratio", 4)})

    def build(num_classes: int = 1000, in_chans: int = 3) -> nn.Module:
        body = VisionTransformer(**options, num_classes=0, in_chans=in_chans, global_pool="", init_values=1.0)
        return ClassTokenAndMean(body, width, num_classes)

    scales = (
        (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
        (r"^(?!classifier\.)", "body."),
        (r"^classifier\.", "head."),
    )
    rows, columns = (side // options["patch_size"] for side in options["img_size"])
    return Plan(build, (*VIT_RULES, *scales), (rows, columns))


def _swin(config: Config) -> Plan:
    from timm.models.swin_transformer import SwinTransformer

    _refuse(config, use_absolute_embeddings=False)
    if _activation(config) is not nn.GELU:
        _refuse(config, hidden_act="gelu")
    options: dict[str, Any] = {
        "img_size": _whole(config, "image_size", 224),
        "patch_size": _whole(config, "patch_size", 4),
        "embed_dim": _whole(config, "embed_dim"),
        "depths": _several(config, "depths"),
        "num_heads": _several(config, "num_heads"),
        "window_size": _whole(config, "window_size"),
        "mlp_ratio": float(config.get("mlp_ratio", 4.0)),
        "qkv_bias": bool(config.get("qkv_bias", True)),
    }
    eps = _eps(config, 1e-5)

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
    _refuse(config, **usual, embedding_size=64)
    narrow = config.get("layer_type", "bottleneck") == "bottleneck"
    channels = tuple(width // (4 if narrow else 1) for width in _several(config, "hidden_sizes"))
    block: Any = Bottleneck if narrow else BasicBlock
    stages = tuple(
        (rf"^encoder\.stages\.{n}\.layers\.(\d+)\.(?:layer\.)?", rf"layer{n + 1}.\1.") for n in range(len(channels))
    )
    steps = tuple(
        (rf"^(layer\d+\.\d+)\.{n}\.{kind}", rf"\1.{name}{n + 1}")
        for n in range(3)
        for kind, name in (("convolution", "conv"), ("normalization", "bn"))
    )
    build = partial(ResNet, block=block, layers=_several(config, "depths"), channels=channels)
    return Plan(build, (*stages, *steps, *RESNET_RULES))


def _convnext(config: Config) -> Plan:
    from timm.models.convnext import ConvNeXt

    _refuse(config, hidden_act="gelu")
    scale = config.get("layer_scale_init_value", 1e-6)
    options: dict[str, Any] = {
        "depths": _several(config, "depths"),
        "dims": _several(config, "hidden_sizes"),
        "patch_size": _whole(config, "patch_size", 4),
        "ls_init_value": 1.0 if isinstance(scale, float) and scale > 0 else None,
    }
    eps = _eps(config, 1e-12)

    def build(num_classes: int = 1000, in_chans: int = 3) -> nn.Module:
        network = ConvNeXt(**options, num_classes=num_classes, in_chans=in_chans)
        network.head.norm.eps = eps  # type: ignore[union-attr]
        return network

    return Plan(build, CONVNEXT_RULES)


FAMILIES: Mapping[str, Callable[[Config], Plan]] = {
    "vit": _vit,
    "deit": _deit,
    "dinov2": _dinov2,
    "swin": _swin,
    "resnet": _resnet,
    "convnext": _convnext,
}
