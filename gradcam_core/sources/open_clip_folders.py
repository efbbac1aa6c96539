"""What the configuration of a CLIP-like model may say: a folder's is checked before anything is built of it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.sources.checkpoints import guarded
from gradcam_core.sources.family import Architecture
from gradcam_core.sources.folders import read_json

CONFIG = "open_clip_config.json"
# The tokens of CLIP's own vocabulary, which is the one that is served.
TOKENS = 49_408
# Settings that lead to other packages and to look-ups on a hub.
ELSEWHERE = ("hf_model_name", "hf_tokenizer_name")
MOST_LAYERS, LARGEST_SIDE, LONGEST_TEXT = 1_000, 4_096, 4_096
CLEANINGS = ("lower", "whitespace", "canonicalize")
REMEDY = "Save the model again with open_clip, or load it in Python and give its part `visual` as a model in memory."


def read_config(folder: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """A folder's configuration of the network, and of its pictures, both checked. Raises ModelError."""
    stated = read_json(folder / CONFIG)
    config, pictures = stated.get("model_cfg"), stated.get("preprocess_cfg") or {}
    if not isinstance(config, dict) or not isinstance(pictures, dict):
        raise ModelError(f"The folder's {CONFIG} describes no model.", REMEDY)
    vision, text = config.get("vision_cfg"), config.get("text_cfg")
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise ModelError(f"The folder's {CONFIG} describes no network for pictures and texts.", REMEDY)
    with_own_tokens(config)
    _check_vision(vision)
    _check_whole(text, "layers", MOST_LAYERS, 12)
    _check_whole(text, "context_length", LONGEST_TEXT, 77)
    if _check_whole(text, "vocab_size", 1 << 20, TOKENS) < TOKENS:
        raise ModelError("The model's vocabulary is smaller than CLIP's own.", REMEDY)
    _check_pictures(pictures)
    return {**config, "vision_cfg": {**vision, "timm_model_pretrained": False}}, pictures


def with_own_tokens(config: Mapping[str, Any]) -> None:
    """Raise ModelError for a model whose texts are not read with CLIP's own vocabulary."""
    text = config["text_cfg"]
    if any(text.get(key) for key in ELSEWHERE):
        raise ModelError(
            "This model reads texts by a tokenizer of Hugging Face's, which is not supported here.",
            "Choose one with CLIP's own tokenizer, such as open-clip:ViT-B-32.",
        )
    cleaning = (text.get("tokenizer_kwargs") or {}).get("clean", "lower")
    if cleaning not in CLEANINGS:
        raise ModelError(f"The model's way to clean texts, {str(cleaning)[:40]!r}, is not known here.", REMEDY)


def _check_vision(vision: Mapping[str, Any]) -> None:
    import timm

    layers, size = vision.get("layers", 12), vision.get("image_size", 224)
    for count in layers if isinstance(layers, list) and len(layers) == 4 else [layers]:
        _check_whole({"layers": count}, "layers", MOST_LAYERS, 12)
    for side in size if isinstance(size, list) and len(size) == 2 else [size]:
        _check_whole({"image_size": side}, "image_size", LARGEST_SIDE, 224)
    name = vision.get("timm_model_name")
    if name and not (isinstance(name, str) and timm.is_model(name)):
        raise ModelError(f"timm has no network '{str(name)[:80]}' for the folder's model.", REMEDY)
    if vision.get("pos_embed_type", "learnable") != "learnable":
        raise ModelError("The model computes its table of places, which is not supported here.", REMEDY)


def _check_whole(settings: Mapping[str, Any], key: str, most: int, otherwise: int) -> int:
    value = settings.get(key, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ModelError(f"The configuration's {key} cannot be {str(value)[:40]!r}.", REMEDY)
    return value


def _check_pictures(pictures: Mapping[str, Any]) -> None:
    """Mean and std per channel, and known ways to resize."""
    for key in ("mean", "std"):
        values = pictures.get(key) or [0.5] * 3
        least = 0 if key == "std" else -10
        numbers = isinstance(values, list) and all(isinstance(x, float | int) and least < x < 10 for x in values)
        if not numbers or len(values) != 3:
            raise ModelError(f"The configuration's {key} cannot be {str(values)[:40]!r}.", REMEDY)
    if pictures.get("resize_mode") not in (None, "shortest", "squash", "longest"):
        raise ModelError("The folder's way to resize pictures is not known here.", REMEDY)


def bounded(recipe: Architecture, most: int) -> Architecture:
    """The same recipe, which raises ModelError before it builds a network of more than `most` numbers."""

    def build() -> nn.Module:
        with guarded("The folder's configuration cannot be used", REMEDY), torch.device("meta"):
            outline = recipe.build()
        tensors = [*outline.parameters(), *outline.buffers()]
        if sum(tensor.numel() for tensor in tensors) > most:
            raise ModelError("The folder's configuration describes a larger network than it has weights for.", REMEDY)
        return recipe.build()

    return dataclasses.replace(recipe, build=build)
