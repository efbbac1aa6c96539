"""The part of a CLIP-like network that reads texts, apart from the part for pictures."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from gradcam_core.tasks import TextEncoder

# Texts are tokenised to this length to learn how many tokens they have; longer ones are not counted further.
COUNTED = 4_096
KEPT = 64


def split_clip(clip: Any, text_config: Mapping[str, Any]) -> tuple[nn.Module, TextEncoder]:
    """Take a CLIP network of open_clip apart: the network for pictures, and the encoder of texts.

    The encoder stays on the processor, where a text takes milliseconds, and keeps the features of its last texts.
    """
    from open_clip.tokenizer import SimpleTokenizer, tokenize

    visual = clip.visual
    clip.visual = nn.Identity()
    clip.eval()
    clip.float()
    clip.requires_grad_(False)
    longest = int(text_config.get("context_length", 77))
    cleaning = (text_config.get("tokenizer_kwargs") or {}).get("clean", "lower")
    tokens_of = tokenize if cleaning == "lower" else SimpleTokenizer(clean=cleaning)

    @lru_cache(KEPT)
    def encode(text: str) -> tuple[torch.Tensor, int]:
        count = int(tokens_of([text], context_length=COUNTED)[0].nonzero().max()) + 1
        with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
            features: torch.Tensor = clip.encode_text(tokens_of([text], context_length=longest))
        return features[0].float(), count

    scale = 0.0 if getattr(clip, "logit_bias", None) is not None else float(clip.logit_scale.exp().flatten()[0])
    return visual, TextEncoder(encode, longest, scale, clip)
