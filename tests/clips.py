"""Tiny CLIP networks of open_clip with random weights: a vision transformer and a ResNet."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP
from safetensors.torch import save_file
from torch import nn

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VISION: dict[str, dict[str, Any]] = {
    "transformer": {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
    "resnet": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 64},
}
PICTURES = {
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def configuration(kind: str, **more: Any) -> dict[str, Any]:
    """open_clip's own form of a model's configuration."""
    return {"embed_dim": 16, "vision_cfg": copy.deepcopy(VISION[kind]), "text_cfg": dict(TEXT), **more}


def network(kind: str) -> nn.Module:
    """The whole network, for pictures and texts; of a trained one, no normalisation is 0."""
    torch.manual_seed(3)
    clip = CLIP(**configuration(kind)).eval()
    for name, parameter in clip.named_parameters():
        if parameter.dim() == 1 and name.endswith("weight"):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return clip


def write_folder(folder: Path, kind: str, **changes: Any) -> Path:
    """Write a folder as open_clip's save_for_hf does; `changes` replace parts of its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"model_cfg": configuration(kind), "preprocess_cfg": PICTURES} | changes
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    save_file(network(kind).state_dict(), str(folder / "open_clip_model.safetensors"))
    return folder
