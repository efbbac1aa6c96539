"""Names of tensors in files of Hugging Face transformers -> the names that timm's networks have."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import nn

Rules = tuple[tuple[str, str], ...]
PARTS = ("query", "key", "value")
VIT_RULES: Rules = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"attention\.attention\.", "attn."),
    (r"attention\.output\.dense", "attn.proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"(?<=\d\.)output\.dense", "mlp.fc2"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    (r"^layernorm\.", "norm."),
)
BEIT_RULES: Rules = (
    (r"^encoder\.relative_position_bias", "rel_pos_bias"),
    (r"attention\.attention\.relative_position_bias", "attn"),
    (r"(?<=\d\.)lambda_(\d)", r"gamma_\1"),
    (r"^pooler\.layernorm", "fc_norm"),
)
SWIN_RULES: Rules = (
    (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"embeddings\.norm", "patch_embed.norm"),
    (r"^encoder\.layers\.", "layers."),
    (r"attention\.self\.", "attn."),
    (r"attention\.output\.dense", "attn.proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"(?<=\d\.)output\.dense", "mlp.fc2"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head.fc."),
)
RESNET_RULES: Rules = (
    (r"embedder\.embedder\.convolution", "conv1"),
    (r"embedder\.embedder\.normalization", "bn1"),
    (r"shortcut\.convolution", "downsample.0"),
    (r"shortcut\.normalization", "downsample.1"),
    (r"^classifier\.1\.", "fc."),
)
CONVNEXT_RULES: Rules = (
    (r"embeddings\.patch_embeddings", "stem.0"),
    (r"embeddings\.layernorm", "stem.1"),
    (r"^encoder\.", ""),
    (r"downsampling_layer", "downsample"),
    (r"\.layers\.(\d+)\.", r".blocks.\1."),
    ("dwconv", "conv_dw"),
    ("layer_scale_parameter", "gamma"),
    ("pwconv", "mlp.fc"),
    (r"(?<=\d\.)layernorm", "norm"),
    (r"^layernorm\.", "head.norm."),
    (r"^classifier\.", "head.fc."),
    (r"(?<=\d\.)grn\.", "mlp.grn."),
)
PREFIX = r"^(vit|deit|dinov2|dinov2_with_registers|beit|swin|resnet|convnext|convnextv2)\."


class Plan(NamedTuple):
    """How to build a network for a configuration, with its options, and the rules for its tensors' names.

    `grid` are the rows and columns of patches where the table of places may be of another size. With `registers`,
    the class token's place in that table belongs to the token itself.
    """

    build: Callable[..., nn.Module]
    rules: Rules
    grid: tuple[int, int] | None = None
    registers: bool = False


def rename(plan: Plan, tensors: Mapping[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors under timm's names; queries, keys and values become one tensor."""
    renamed: dict[str, torch.Tensor] = {}
    apart: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        new = re.sub(PREFIX, "", name)
        for old, today in plan.rules:
            new = re.sub(old, today, new)
        before, part, last = [*new.rsplit(".", 2), "", ""][:3]
        if part in PARTS:
            apart.setdefault(before, {})[f"{part}.{last}"] = tensor
        else:
            renamed[new] = tensor.flatten() if ".grn." in new else tensor
    for before, parts in apart.items():
        renamed |= _together(before, parts)
    return _placed(renamed, plan) if plan.grid else renamed


def _together(before: str, parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Queries, keys and values as one tensor; BEiT's keys have no bias, and its biases stay apart."""
    joined: dict[str, torch.Tensor] = {}
    for last in ("weight", "bias"):
        each = {part: parts[f"{part}.{last}"] for part in PARTS if f"{part}.{last}" in parts}
        if len(each) == len(PARTS):
            joined[f"{before}.qkv.{last}"] = torch.cat(list(each.values()))
        else:
            joined |= {f"{before}.{part[0]}_{last}": tensor for part, tensor in each.items()}
    return joined


def _placed(tensors: dict[str, torch.Tensor], plan: Plan) -> dict[str, torch.Tensor]:
    """The table of places [1, 1 + places, C] for the grid that is wanted, as transformers computes it in every pass."""
    table = tensors.get("body.pos_embed")
    if table is None or table.ndim != 3 or plan.grid is None:
        return tensors
    first, places = table[:, :1].float(), table[:, 1:].float()
    side = round(places.shape[1] ** 0.5)
    if (side, side) != plan.grid and side * side == places.shape[1]:
        square = places.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        resized = nn.functional.interpolate(
            square, size=plan.grid, mode="bicubic", align_corners=False, antialias=plan.registers
        )
        places = resized.permute(0, 2, 3, 1).flatten(1, 2)
    if not plan.registers or "body.cls_token" not in tensors:
        return {**tensors, "body.pos_embed": torch.cat([first, places], dim=1)}
    return {**tensors, "body.pos_embed": places, "body.cls_token": tensors["body.cls_token"].float() + first}
