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
)


class Plan(NamedTuple):
    """How to build a network for a configuration, with its options, and the rules for its tensors' names.

    `grid` are the rows and columns of patches where the table of places may be of another size.
    """

    build: Callable[..., nn.Module]
    rules: Rules
    grid: tuple[int, int] | None = None


def rename(plan: Plan, tensors: Mapping[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors under timm's names; queries, keys and values become one tensor."""
    renamed: dict[str, torch.Tensor] = {}
    apart: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        new = re.sub(r"^(vit|deit|dinov2|swin|resnet|convnext)\.", "", name)
        for old, today in plan.rules:
            new = re.sub(old, today, new)
        before, part, last = [*new.rsplit(".", 2), "", ""][:3]
        if part in PARTS:
            apart.setdefault(f"{before}.qkv.{last}", {})[part] = tensor
        else:
            renamed[new] = _resized(tensor, plan.grid) if plan.grid and new.endswith("pos_embed") else tensor
    return renamed | {name: torch.cat([x[part] for part in PARTS]) for name, x in apart.items() if len(x) == len(PARTS)}


def _resized(table: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The table of places [1, 1 + places, C] for another grid, as transformers computes it in every pass."""
    side = round((table.shape[1] - 1) ** 0.5)
    if table.ndim != 3 or (side, side) == grid or side * side != table.shape[1] - 1:
        return table
    places = table[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(places, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1].float(), resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
