"""Vision transformers of Hugging Face transformers as timm's: ViT, DeiT, DINOv2, BEiT."""

from functools import partial
from typing import Any

import torch
from torch import nn

from gradcam_core.sources.transformers_config import Config, activation, checked, norm_eps, refuse, whole
from gradcam_core.sources.transformers_names import BEIT_RULES, VIT_RULES, Plan


class ClassTokenAndMean(nn.Module):
    """DINOv2's classifier: one linear step on the class token beside the average of the patches."""

    def __init__(self, body: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(2 * width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores [N classes] of pictures [N C H W]."""
        tokens = self.body.forward_features(x)  # type: ignore[operator]
        patches = tokens[:, self.body.num_prefix_tokens :]
        scores: torch.Tensor = self.head(torch.cat([tokens[:, 0], patches.mean(dim=1)], dim=1))
        return scores


def _vit_options(config: Config) -> dict[str, Any]:
    """What timm's vision transformer is built with."""
    width, sizes = whole(config, "hidden_size"), config.get("image_size", 224)
    side = sizes if isinstance(sizes, list) else [sizes, sizes]
    return {
        "img_size": tuple(checked(value, "image_size") for value in side[:2]),
        "patch_size": whole(config, "patch_size"),
        "embed_dim": width,
        "depth": min(whole(config, "num_hidden_layers"), 1_000),
        "num_heads": whole(config, "num_attention_heads"),
        "mlp_ratio": (whole(config, "intermediate_size", 4 * width) + 0.5) / width,  # rounded down again
        "qkv_bias": bool(config.get("qkv_bias", True)),
        "norm_layer": partial(nn.LayerNorm, eps=norm_eps(config, 1e-12)),
        "act_layer": activation(config),
    }


def vit(config: Config) -> Plan:
    """The plain one, and the same network as other tasks trained it."""
    from timm.models.vision_transformer import VisionTransformer

    return Plan(partial(VisionTransformer, **_vit_options(config)), (*VIT_RULES, (r"^classifier\.", "head.")))


def deit(config: Config) -> Plan:
    """With a teacher two heads, on two tokens; without one, the second token is one that no head reads."""
    from timm.models.deit import VisionTransformerDistilled
    from timm.models.vision_transformer import VisionTransformer

    options, token = _vit_options(config), r"embeddings\.distillation_token"
    if str(config["architectures"][0]).endswith("WithTeacher"):
        heads = ((token, "dist_token"), (r"^cls_classifier\.", "head."), (r"^distillation_classifier\.", "head_dist."))
        return Plan(partial(VisionTransformerDistilled, **options), (*VIT_RULES, *heads))
    build = partial(VisionTransformer, **options, reg_tokens=1)
    return Plan(build, (*VIT_RULES, (token, "reg_token"), (r"^classifier\.", "head.")))


def dinov2(config: Config) -> Plan:
    """Also with registers, whose place is between the class token and the patches, and with SwiGLU."""
    from timm.layers.mlp import GluMlp
    from timm.models.vision_transformer import VisionTransformer

    width, registers = whole(config, "hidden_size"), 0
    hidden = width * whole(config, "mlp_ratio", 4)
    if config.get("model_type") == "dinov2_with_registers":
        registers = whole(config, "num_register_tokens", 4)
    if gated := bool(config.get("use_swiglu_ffn", False)):
        hidden = 2 * ((hidden * 2 // 3 + 7) // 8 * 8)
    options = _vit_options({**config, "intermediate_size": hidden}) | {"global_pool": "", "init_values": 1.0}
    if gated:
        options |= {"mlp_layer": partial(GluMlp, gate_last=False), "act_layer": nn.SiLU}
    if registers:
        options |= {"reg_tokens": registers, "no_embed_class": True}

    def build(num_classes: int = 1000, in_chans: int = 3) -> nn.Module:
        return ClassTokenAndMean(VisionTransformer(**options, num_classes=0, in_chans=in_chans), width, num_classes)

    rules = (
        (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
        (r"embeddings\.register_tokens", "reg_token"),
        (r"mlp\.weights_in", "mlp.fc1"),
        (r"mlp\.weights_out", "mlp.fc2"),
        (r"^(?!classifier\.)", "body."),
        (r"^classifier\.", "head."),
    )
    rows, columns = (side // options["patch_size"] for side in options["img_size"])
    return Plan(build, (*VIT_RULES, *rules), (rows, columns), registers > 0)


def beit(config: Config) -> Plan:
    """With the average of the patches or the class token as what the classifier reads."""
    from timm.models.beit import Beit

    options = _vit_options(config)
    if options.pop("act_layer") is not nn.GELU:
        refuse(config, hidden_act="gelu")
    averaged, scale = bool(config.get("use_mean_pooling", True)), config.get("layer_scale_init_value", 0.1)
    options |= {
        "global_pool": "avg" if averaged else "token",
        "init_values": 1.0 if isinstance(scale, float) and scale > 0 else None,
        "use_abs_pos_emb": bool(config.get("use_absolute_position_embeddings", False)),
        "use_rel_pos_bias": bool(config.get("use_relative_position_bias", False)),
        "use_shared_rel_pos_bias": bool(config.get("use_shared_relative_position_bias", False)),
    }
    return Plan(partial(Beit, **options), (*BEIT_RULES, *VIT_RULES, (r"^classifier\.", "head.")))
